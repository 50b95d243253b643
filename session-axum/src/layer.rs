//! The tower layer: begins a session scope around each request, and commits it before the response
//! leaves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use session_core::CookieSessionService;
use session_core::adapter::{MaybeReady, Scope, ScopeGuard, Verdict};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{AxumBodies, Bodies, OwnBodies};
use crate::extract::target;

/// Gives the services inside it the sessions of one [`CookieSessionService`].
///
/// It stands anywhere among other layers, also around those that change the response's body, such
/// as tower-http's for tracing, timeouts and compression. Its own responses have Axum's
/// [`Body`](axum::body::Body); see [`unboxed`](Self::unboxed) for services outside of Axum.
///
/// ```
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use session_axum::{CookieSession, CookieSessionService, CookieSessionServiceExt};
/// use session_axum::{KeyRing, MemoryStore, SessionConfig, SigningKey};
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_http::{cors::CorsLayer, trace::TraceLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = SessionConfig::builder().build(KeyRing::new(SigningKey::from_bytes(&[7; 32])?))?;
/// let sessions = CookieSessionService::new(MemoryStore::new(), config);
/// let layers = ServiceBuilder::new()
///     .layer(CorsLayer::permissive())
///     .layer(sessions.layer())
///     .layer(TraceLayer::new_for_http());
/// let user = async |session: CookieSession| session.user_id().unwrap_or("anonymous".to_owned());
/// let app: Router = Router::new().route("/", get(user)).layer(layers);
///
/// let response = app.oneshot(Request::new(Body::empty())).await?;
/// assert_eq!(response.headers()["access-control-allow-origin"], "*");
/// assert_eq!(axum::body::to_bytes(response.into_body(), 100).await?, "anonymous");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CookieSessionLayer<K = AxumBodies> {
    service: CookieSessionService,
    bodies: K,
}

impl CookieSessionLayer {
    /// The layer of `service`'s sessions.
    pub const fn new(service: CookieSessionService) -> Self {
        Self { service, bodies: AxumBodies }
    }

    /// The same for services outside of Axum, whose responses have a body of any type. The layer's
    /// have a [`BodyOrEmpty`](crate::BodyOrEmpty) of it, which needs no box, as a body that isn't
    /// Axum's otherwise does.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use http::{Request, Response};
    /// use session_axum::{BodyOrEmpty, CookieSessionService, CookieSessionServiceExt};
    /// use session_axum::{KeyRing, MemoryStore, SessionConfig, SigningKey};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// let config = SessionConfig::builder().build(keys)?;
    /// let sessions = CookieSessionService::new(MemoryStore::new(), config);
    /// let answer = async |_: Request<()>| Ok::<_, Infallible>(Response::new([1, 2, 3]));
    /// let inner = service_fn(answer);
    ///
    /// let response = sessions.layer().unboxed().layer(inner).oneshot(Request::new(())).await?;
    /// assert_eq!(response.into_body(), BodyOrEmpty::Body { body: [1, 2, 3] });
    /// # Ok(())
    /// # }
    /// ```
    pub fn unboxed(self) -> CookieSessionLayer<OwnBodies> {
        CookieSessionLayer { service: self.service, bodies: OwnBodies }
    }
}

impl<S, K: Copy> Layer<S> for CookieSessionLayer<K> {
    type Service = CookieSessionMiddleware<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        CookieSessionMiddleware { inner, service: self.service.clone(), bodies: self.bodies }
    }
}

/// A service inside a [`CookieSessionLayer`].
#[derive(Debug, Clone)]
pub struct CookieSessionMiddleware<S, K = AxumBodies> {
    inner: S,
    service: CookieSessionService,
    bodies: K,
}

impl<S, K, ReqBody, B> Service<Request<ReqBody>> for CookieSessionMiddleware<S, K>
where
    S: Service<Request<ReqBody>, Response = Response<B>>,
    K: Bodies<B>,
{
    type Response = Response<K::Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, K, K::Body>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let (guard, bodies) = (self.service.begin(request.extensions().get::<Scope>()), self.bodies);
        if let Some(answer) = guard.admit(&(target(&request), &request)) {
            // Nothing is loaded, so this commit only closes the request, and is ready at once.
            let commit = guard.commit(answer.status());
            let committing = Some((answer.into_response(), commit));
            return ResponseFuture { inner: None, guard, bodies, committing };
        }
        request.extensions_mut().insert(guard.scope().clone());
        ResponseFuture { inner: Some(self.inner.call(request)), guard, bodies, committing: None }
    }
}

pin_project! {
    /// The response of a service inside a [`CookieSessionLayer`].
    pub struct ResponseFuture<F, K, B> {
        // None where the request was answered before the handler.
        #[pin]
        inner: Option<F>,
        guard: ScopeGuard,
        bodies: K,
        committing: Option<(Response<B>, MaybeReady<Verdict>)>,
    }
}

impl<F, K, B, E> Future for ResponseFuture<F, K, K::Body>
where
    F: Future<Output = Result<Response<B>, E>>,
    K: Bodies<B>,
{
    type Output = Result<Response<K::Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut response, mut commit) = match this.committing.take() {
            Some(committing) => committing,
            None => {
                // There is always one, unless this is polled again after it was ready.
                let Some(inner) = this.inner.as_pin_mut() else { return Poll::Pending };
                let response = ready!(inner.poll(cx))?;
                let commit = this.guard.commit(response.status().as_u16());
                (response.map(|body| this.bodies.hold(body)), commit)
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

impl<F, K, B> std::fmt::Debug for ResponseFuture<F, K, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("guard", &self.guard).finish_non_exhaustive()
    }
}
