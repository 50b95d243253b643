//! The tower layer: begins a session scope around each request, and commits it before the response leaves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use session_core::adapter::{Commit, Scope, ScopeGuard};
use tower_layer::Layer;
use tower_service::Service;

use crate::CookieSessionService;

/// Gives the services inside it the sessions of one [`CookieSessionService`].
///
/// It works around anything that is a tower service from `http::Request` to `http::Response`, as long as the response
/// body has a `Default`: the empty one, for when changes couldn't be stored.
#[derive(Debug, Clone)]
pub struct CookieSessionLayer {
    service: CookieSessionService,
}

impl CookieSessionLayer {
    /// The layer of `service`'s sessions.
    pub const fn new(service: CookieSessionService) -> Self {
        Self { service }
    }
}

impl<S> Layer<S> for CookieSessionLayer {
    type Service = CookieSessionMiddleware<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CookieSessionMiddleware { inner, service: self.service.clone() }
    }
}

/// A service inside a [`CookieSessionLayer`].
#[derive(Debug, Clone)]
pub struct CookieSessionMiddleware<S> {
    inner: S,
    service: CookieSessionService,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CookieSessionMiddleware<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let guard = self.service.as_core().begin(request.extensions().get::<Scope>());
        request.extensions_mut().insert(guard.scope().clone());
        ResponseFuture { inner: self.inner.call(request), guard, committing: None }
    }
}

pin_project! {
    /// The response of a service inside a [`CookieSessionLayer`].
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        guard: ScopeGuard,
        committing: Option<(Response<B>, Commit)>,
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut response, mut commit) = match this.committing.take() {
            Some(committing) => committing,
            None => {
                let response = ready!(this.inner.poll(cx))?;
                let commit = this.guard.commit(response.status().as_u16());
                (response, commit)
            }
        };
        let Poll::Ready(verdict) = Pin::new(&mut commit).poll(cx) else {
            *this.committing = Some((response, commit));
            return Poll::Pending;
        };
        verdict.apply(&mut response);
        Poll::Ready(Ok(response))
    }
}

impl<F, B> std::fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("guard", &self.guard).finish_non_exhaustive()
    }
}
