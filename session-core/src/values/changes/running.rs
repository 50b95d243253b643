//! Which `update` functions run on this thread, to find one that changes its own session. Such an
//! update could never be made: each run changes the values that it is computed from, so it would be
//! run again for ever.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::{Error, Result};

thread_local! {
    /// Nested calls, the innermost last.
    static RUNNING: RefCell<Vec<Running>> = const { RefCell::new(Vec::new()) };
}

struct Running {
    owner: Owner,
    key: String,
    /// Whether it tried to change its own session.
    refused: bool,
}

/// The request whose session an update changes: the address of what the request's handles share.
/// The updater is kept there too, so it doesn't outlive the request, and no other request gets that
/// address meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(usize);

impl Owner {
    pub(super) fn of<R>(request: &Arc<R>) -> Self {
        Self(Arc::as_ptr(request).addr())
    }
}

/// Runs an update's function. It is an error if that tried to change the session of its own
/// request.
pub(super) fn run<T>(owner: Owner, key: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    /// Takes the function off the list when it ends, by a panic too.
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            RUNNING.with_borrow_mut(Vec::pop);
        }
    }
    RUNNING.with_borrow_mut(|all| all.push(Running { owner, key: key.to_owned(), refused: false }));
    let _ends = Ends;
    let result = f();
    if RUNNING.with_borrow(|all| all.last().is_some_and(|running| running.refused)) {
        return Err(Error::UpdateChangesSession { key: key.to_owned() });
    }
    result
}

/// Refuses to change the session of `request` from inside one of its updates, and remembers that.
/// So the update fails, whatever its function does with the refusal.
pub(crate) fn check_may_change<R>(request: &Arc<R>) -> Result<()> {
    let owner = Owner::of(request);
    RUNNING.with_borrow_mut(|all| match all.iter_mut().rfind(|running| running.owner == owner) {
        None => Ok(()),
        Some(running) => {
            running.refused = true;
            Err(Error::UpdateChangesSession { key: running.key.clone() })
        }
    })
}
