//! The runtime that a store's own connections belong to. A connection fails when the runtime in
//! which it was opened ends. Actix's workers each have one, and they end one by one when the server
//! stops; so a store opens all its connections in the same runtime. If that one has ended, as a
//! test's does, the next operation makes its own runtime the owner, and no older connection is used
//! again.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

/// The runtime that owns a store's connections now.
#[derive(Clone)]
pub(in crate::store) struct OwnerRuntime(Arc<Mutex<Arc<RuntimeHandle>>>);

/// A runtime, and whether it still runs.
pub(in crate::store) struct RuntimeHandle {
    runtime: Handle,
    /// A task that does nothing, and ends with the runtime.
    canary: AbortHandle,
}

impl RuntimeHandle {
    fn current() -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let canary = runtime.spawn(pending::<()>()).abort_handle();
        Some(Self { runtime, canary })
    }

    /// Whether it still runs.
    pub(in crate::store::sql) fn is_alive(&self) -> bool {
        !self.canary.is_finished()
    }

    /// Spawns `task` in it; drops the task if the runtime has ended.
    pub(in crate::store::sql) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store::sql) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs `work` as a task of this runtime. The task is aborted if this future is dropped.
    pub(in crate::store::sql) async fn spawn_and_wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Ended> {
        let mut task = Dropped(self.runtime.spawn(work));
        (&mut task.0).await.map_err(|_| Ended)
    }

    /// Polls `future` inside this runtime, whichever runtime drives it. The future must not use
    /// this runtime's timers, which panic when it ends.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store::sql) async fn enter<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            let _inside = self.runtime.enter();
            future.as_mut().poll(context)
        })
        .await
    }
}

/// A runtime ended before its task did.
pub(in crate::store) struct Ended;

/// A task that is aborted when this is dropped.
struct Dropped<T>(JoinHandle<T>);

impl<T> Drop for Dropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for RuntimeHandle {
    fn drop(&mut self) {
        self.canary.abort();
    }
}

impl OwnerRuntime {
    /// The runtime that is running this; none outside of one.
    pub(in crate::store) fn current() -> Option<Self> {
        Some(Self(Arc::new(Mutex::new(Arc::new(RuntimeHandle::current()?)))))
    }

    /// The owner, if it is alive; otherwise the runtime that is running this becomes the owner.
    pub(in crate::store::sql) fn live(&self) -> Arc<RuntimeHandle> {
        // Nothing panics between two consistent states.
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !runtime.is_alive()
            && let Some(current) = RuntimeHandle::current()
        {
            *runtime = Arc::new(current);
        }
        Arc::clone(&runtime)
    }

    /// Whether the owner is running this, so that it is certainly being driven.
    pub(in crate::store::sql) fn is_current(&self) -> bool {
        Handle::try_current().is_ok_and(|current| current.id() == self.live().runtime.id())
    }

    /// Spawns `task` in the owner.
    pub(in crate::store::sql) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.live().spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn the_owner_is_current_only_inside_its_own_runtime() {
        let (first, second) = (runtime(), runtime());
        let owner = first.block_on(async { OwnerRuntime::current().unwrap() });
        assert!(!owner.is_current(), "outside of any runtime");
        assert!(first.block_on(async { owner.is_current() }));
        assert!(!second.block_on(async { owner.is_current() }));
    }

    #[test]
    fn when_the_owner_has_ended_the_next_runtime_that_asks_becomes_the_owner() {
        let (first, second, third) = (runtime(), runtime(), runtime());
        let owner = first.block_on(async { OwnerRuntime::current().unwrap() });
        let clone = owner.clone();
        drop(first);
        assert!(!owner.is_current(), "there is no owner");
        assert!(second.block_on(async { clone.is_current() }));
        assert!(!third.block_on(async { owner.is_current() }), "clones have the same owner");
        assert!(second.block_on(async { owner.is_current() }));
    }

    #[test]
    fn work_in_the_owner_ends_with_the_owner_or_when_its_waiter_is_dropped() {
        let (owner_runtime, here) = (runtime(), runtime());
        let owner = owner_runtime.block_on(async { OwnerRuntime::current().unwrap().live() });
        let (kept, dropped) = (Arc::new(()), Arc::new(()));
        let work = |held: &Arc<()>| {
            let held = Arc::clone(held);
            async move {
                pending::<()>().await;
                drop(held);
            }
        };
        let mut waiter = Box::pin(owner.spawn_and_wait(work(&kept)));
        here.block_on(async {
            tokio::select! {
                biased;
                _ = &mut waiter => unreachable!("the work never ends"),
                () = tokio::task::yield_now() => {}
            }
            drop(tokio::time::timeout(std::time::Duration::ZERO, owner.spawn_and_wait(work(&dropped))).await);
        });
        owner_runtime.block_on(tokio::task::yield_now());
        assert_eq!((Arc::strong_count(&kept), Arc::strong_count(&dropped)), (2, 1));
        drop(owner_runtime);
        assert!(here.block_on(waiter).is_err());
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
