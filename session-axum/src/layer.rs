//! The tower layer: begins a session scope around each request, and commits it before the response leaves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use session_core::adapter::{Commit, Scope};
use tower_layer::Layer;
use tower_service::Service;

use crate::CookieSessionService;
use crate::head::Outgoing;

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
        let scope = self.service.as_core().begin(request.extensions().get::<Scope>());
        request.extensions_mut().insert(scope.clone());
        ResponseFuture { inner: self.inner.call(request), scope, committing: None }
    }
}

pin_project! {
    /// The response of a service inside a [`CookieSessionLayer`].
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        scope: Scope,
        committing: Option<(Response<B>, Commit)>,
    }

    impl<F, B> PinnedDrop for ResponseFuture<F, B> {
        fn drop(this: Pin<&mut Self>) {
            this.scope.close();
        }
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
        if this.committing.is_none() {
            let response = ready!(this.inner.poll(cx))?;
            let commit = this.scope.commit(response.status().as_u16());
            *this.committing = Some((response, commit));
        }
        let (_, commit) = this.committing.as_mut().expect("set above");
        let verdict = ready!(Pin::new(commit).poll(cx));
        let (mut response, _) = this.committing.take().expect("set above");
        verdict.apply(&mut Outgoing(&mut response));
        Poll::Ready(Ok(response))
    }
}

impl<F, B> std::fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::extract::FromRequestParts;
    use http::header::SET_COOKIE;
    use http::{Request, Response};
    use session_core::{KeyRing, MemoryStore, SessionConfig, SigningKey};
    use tower::{Layer, ServiceExt, service_fn};

    use crate::{CookieSession, CookieSessionService};

    fn service() -> CookieSessionService {
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
        CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap())
    }

    /// A handler's part without a framework: signs in and sets a value.
    async fn sign_in(request: Request<u8>) {
        let (mut parts, _) = request.into_parts();
        let session = <CookieSession as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await.unwrap();
        session.authenticate("ada").await.unwrap();
        session.set("theme", &"dark").unwrap();
    }

    #[tokio::test]
    async fn any_tower_service_between_http_heads_can_be_inside() {
        let inner = service_fn(async |request: Request<u8>| Ok::<_, Infallible>(Response::new(vec![*request.body()])));
        let response = service().layer().layer(inner).oneshot(Request::new(7)).await.unwrap();
        assert_eq!(response.body(), &[7]);
        assert!(response.headers().is_empty());
    }

    #[tokio::test]
    async fn the_cookie_is_marked_sensitive() {
        let inner = service_fn(async |request| {
            sign_in(request).await;
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let response = service().layer().layer(inner).oneshot(Request::new(7)).await.unwrap();
        assert!(response.headers()[SET_COOKIE].is_sensitive());
    }

    #[tokio::test]
    async fn once_the_response_is_given_up_no_cookie_can_be_promised() {
        let (give, taken) = std::sync::mpsc::channel();
        let inner = service_fn(move |request: Request<u8>| {
            let give = give.clone();
            async move {
                let (mut parts, _) = request.into_parts();
                let session = <CookieSession as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
                give.send(session.unwrap()).unwrap();
                std::future::pending::<Result<Response<String>, Infallible>>().await
            }
        });
        let mut response = Box::pin(service().layer().layer(inner).oneshot(Request::new(7)));
        std::future::poll_fn(|cx| {
            assert!(response.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(response);
        let error = taken.recv().unwrap().authenticate("ada").await.unwrap_err();
        assert!(matches!(error.as_core(), session_core::Error::HeadSent));
    }

    #[tokio::test]
    async fn a_tower_error_discards_what_is_pending_and_keeps_the_sign_in() {
        let service = service();
        let inner = service_fn(async |request| {
            sign_in(request).await;
            Err::<Response<String>, _>("broken")
        });
        assert_eq!(service.layer().layer(inner).oneshot(Request::new(7)).await.unwrap_err(), "broken");
        let sessions = service.list("ada").await.unwrap();
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].data.as_object().map(serde_json::Map::len), Some(0));
    }
}
