//! The runtime that a store's own connections belong to. A connection fails when the runtime in which it was opened ends, as
//! those of Actix's workers do one by one when the server is told to stop; so a store opens all of them in one. Where that one has
//! ended, as that of a test does, the next operation makes its own runtime the store's, and no connection of the old one is used.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

/// The runtime of a store's connections, whichever that is by now.
#[derive(Clone)]
pub(in crate::store) struct Home(Arc<Mutex<Arc<Place>>>);

/// A runtime.
pub(in crate::store) struct Place {
    runtime: Handle,
    /// A task that does nothing, and ends with the runtime.
    canary: AbortHandle,
}

impl Place {
    fn here() -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let canary = runtime.spawn(pending::<()>()).abort_handle();
        Some(Self { runtime, canary })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        !self.canary.is_finished()
    }

    /// Runs `task` there; drops it if the runtime has ended.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Does `work` as a task of this runtime, which is dropped with this future.
    pub(super) async fn does<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Ended> {
        let mut task = Dropped(self.runtime.spawn(work));
        (&mut task.0).await.map_err(|_| Ended)
    }

    /// Polls `future` as if in this runtime, whichever runs it. It must not use the runtime's timers, which panic when that ends.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(super) async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            let _inside = self.runtime.enter();
            future.as_mut().poll(context)
        })
        .await
    }
}

/// A runtime ended before its task did.
pub(super) struct Ended;

/// A task that ends when this is dropped.
struct Dropped<T>(JoinHandle<T>);

impl<T> Drop for Dropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.canary.abort();
    }
}

impl Home {
    /// The runtime that runs this; none outside of one.
    pub(in crate::store) fn here() -> Option<Self> {
        Some(Self(Arc::new(Mutex::new(Arc::new(Place::here()?)))))
    }

    /// The runtime to use now: the one that was used before, or if that has ended the one that runs this.
    pub(super) fn now(&self) -> Arc<Place> {
        // Nothing panics between two consistent states.
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.is_alive()
            && let Some(here) = Place::here()
        {
            *place = Arc::new(here);
        }
        Arc::clone(&place)
    }

    /// Whether this is polled in it: then it runs for certain.
    pub(super) fn is_here(&self) -> bool {
        Handle::try_current().is_ok_and(|here| here.id() == self.now().runtime.id())
    }

    /// Runs `task` there.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.now().spawn(task);
    }
}
