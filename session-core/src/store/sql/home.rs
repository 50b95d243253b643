//! The runtime that a store's own connections belong to. A connection fails when the runtime in which it was opened ends, as
//! those of Actix's workers do one by one when the server is told to stop; so a store opens all of them in one.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The runtime in which a store was opened.
#[derive(Clone)]
pub(in crate::store) struct Home {
    runtime: Handle,
    canary: Arc<Canary>,
}

/// A task that does nothing, and ends with its runtime.
struct Canary(AbortHandle);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Home {
    /// The runtime that runs this; none outside of one.
    pub(in crate::store) fn here() -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let canary = runtime.spawn(pending::<()>()).abort_handle();
        Some(Self { runtime, canary: Arc::new(Canary(canary)) })
    }

    /// Runs `task` there; drops it if the runtime has ended.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    fn is_alive(&self) -> bool {
        !self.canary.0.is_finished()
    }
}

/// Polls `future` as if in the store's own runtime, whichever runs the request; if that one has ended, in the request's.
pub(in crate::store) async fn at_home<F: Future>(home: Option<&Home>, future: F) -> F::Output {
    let Some(home) = home.filter(|home| home.is_alive()) else { return future.await };
    let mut future = pin!(future);
    poll_fn(|context| {
        let _inside = home.runtime.enter();
        future.as_mut().poll(context)
    })
    .await
}
