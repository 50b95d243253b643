//! One operation of a request at a time, in the order in which they were called, and each of them to its end. Not here: what an
//! operation does.
//!
//! Handlers may give an operation up: a timeout around it, a task that is aborted, a client that hangs up. The store has been
//! asked by then, and its answer decides what the next operation may do. So an operation that has begun goes on in a task of its
//! own when its future is dropped, and what was called after it waits. One that hasn't begun yet never begins.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::Request;
use crate::error::Result;

/// The order of a request's operations.
pub(super) struct Order {
    /// Of one permit, which is handed on in the order of arrival.
    permit: Semaphore,
    /// Whether the operation that has the permit was given up.
    is_abandoned: AtomicBool,
}

impl Order {
    pub(super) const fn new() -> Self {
        Self { permit: Semaphore::const_new(1), is_abandoned: AtomicBool::new(false) }
    }

    /// Whether an operation is under way that its caller waits for.
    pub(super) fn is_awaited(&self) -> bool {
        self.permit.available_permits() == 0 && !self.is_abandoned()
    }

    /// Whether the operation under way was given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }
}

/// The permit of the operation that is under way. Dropped, it is the next one's.
pub(crate) struct Permit(Arc<Request>);

impl Permit {
    pub(crate) async fn of(request: &Arc<Request>) -> Self {
        request.order.permit.acquire().await.expect("it is never closed").forget();
        Self(Arc::clone(request))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.order.is_abandoned.store(false, Ordering::Release);
        self.0.order.permit.add_permits(1);
    }
}

impl Request {
    /// Runs `operation` when it is its turn, after what was left open before it is settled.
    ///
    /// # Errors
    /// What the operation gives; or 503 if what was left open can't be settled.
    pub(crate) async fn run<T, F>(self: &Arc<Self>, operation: impl FnOnce(Arc<Self>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let permit = Permit::of(self).await;
        let (request, operation) = (Arc::clone(self), operation(Arc::clone(self)));
        let work = async move {
            if request.has_open() {
                request.settle().await?;
            }
            operation.await
        };
        Operation(Some((permit, Box::pin(work)))).await
    }
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// An operation that has begun. Dropped, it goes on in a task of its own.
struct Operation<T: Send + 'static>(Option<(Permit, Work<T>)>);

impl<T: Send + 'static> Future for Operation<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        // Taken out, so that one that panics is dropped by that, and doesn't go on.
        let (permit, mut work) = self.0.take().expect("not polled after it was ready");
        let done = work.as_mut().poll(cx);
        if done.is_pending() {
            self.0 = Some((permit, work));
        }
        done
    }
}

impl<T: Send + 'static> Drop for Operation<T> {
    fn drop(&mut self) {
        let Some((permit, work)) = self.0.take() else { return };
        permit.0.order.is_abandoned.store(true, Ordering::Release);
        // Without a runtime it ends here. What it has left open is settled by the next one, as after a store that didn't answer.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _permit = permit;
                // There is no caller any more; a store's failure was reported by an event.
                drop(work.await);
            });
        }
    }
}
