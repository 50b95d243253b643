//! A future that is ready at once where the store needn't be asked, and only then not boxed.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future of an adapter's: of [`Scope::load`](super::Scope::load), and of
/// [`ScopeGuard::commit`](super::ScopeGuard::commit).
#[must_use = "nothing happens unless it is polled"]
pub struct MaybeReady<T>(State<T>);

enum State<T> {
    /// Taken when it is polled.
    Ready(Option<T>),
    Waiting(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> MaybeReady<T> {
    pub(super) const fn ready(outcome: T) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    pub(super) fn waiting(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(State::Waiting(Box::pin(future)))
    }
}

impl<T: Unpin> Future for MaybeReady<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            State::Ready(outcome) => Poll::Ready(outcome.take().expect("not polled after it was ready")),
            State::Waiting(future) => future.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for MaybeReady<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaybeReady")
    }
}
