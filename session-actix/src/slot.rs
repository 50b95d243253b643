//! Where a request's extensions hold the scope that extractors find. Not here: when it is another
//! one, see `middleware`.

use std::cell::RefCell;
use std::rc::Rc;

use session_core::adapter::Scope;

/// Holds a scope. It can change while the extensions are borrowed, as by `connection_info`.
pub(crate) struct Slot(RefCell<Held>);

enum Held {
    One(Scope),
    /// A second layer has entered, which may have no request to find the slot by when it leaves.
    Shared(Rc<RefCell<Scope>>),
}

impl Slot {
    pub(crate) const fn new(scope: Scope) -> Self {
        Self(RefCell::new(Held::One(scope)))
    }

    /// Asks the scope that it holds now.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Scope) -> T) -> T {
        match &*self.0.borrow() {
            Held::One(scope) => ask(scope),
            Held::Shared(scope) => ask(&scope.borrow()),
        }
    }

    /// Holds this scope until what is returned is dropped, and then the former one again.
    pub(crate) fn enter(&self, scope: Scope) -> Entered {
        let former = self.with(Scope::clone);
        let mut held = self.0.borrow_mut();
        let shared = match &*held {
            Held::One(_) => Rc::new(RefCell::new(scope)),
            Held::Shared(shared) => {
                shared.replace(scope);
                Rc::clone(shared)
            }
        };
        *held = Held::Shared(Rc::clone(&shared));
        Entered { shared, former }
    }
}

/// A layer inside another one, on a request's way through it.
#[must_use = "dropping it leaves the layer"]
pub(crate) struct Entered {
    shared: Rc<RefCell<Scope>>,
    former: Scope,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shared.replace(self.former.clone());
    }
}
