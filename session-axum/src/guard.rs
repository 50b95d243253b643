//! A layer that asks about the session before the handlers inside it run.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use session_core::adapter::{Check, check};
use session_core::{Answer, CookieSession, Incoming};
use tower_layer::Layer;
use tower_service::Service;

use crate::extract::{answered, loaded, look_up, target};

/// Asks about the session before the routes it is put around: if the function returns an
/// [`Answer`], that is the response, and the handler doesn't run. Put it inside a
/// [`CookieSessionLayer`](crate::CookieSessionLayer): without one the response is a 500. In an
/// outage of the store it is a 503. Like that layer it stands anywhere among others.
///
/// ```
/// use axum::{Router, routing::get};
/// use session_axum::{Answer, guard};
///
/// let members = guard(|session, _| match session.user_id() {
///     Some(_) => Ok(()),
///     None => Err(Answer::see_other("/sign-in")),
/// });
/// let app: Router = Router::new().route("/members", get("for members")).route_layer(members);
/// # assert!(app.has_routes());
/// ```
pub const fn guard<F>(asks: F) -> GuardLayer<F>
where
    F: Fn(&CookieSession, &Incoming<'_>) -> Result<(), Answer>,
{
    GuardLayer(asks)
}

/// The layer that [`guard`] makes, or [`RequireSignIn`](crate::RequireSignIn).
#[derive(Debug, Clone)]
pub struct GuardLayer<F>(pub(crate) F);

impl<S, F: Clone> Layer<S> for GuardLayer<F> {
    type Service = Guarded<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, check: self.0.clone() }
    }
}

/// A service inside a [`GuardLayer`].
#[derive(Debug, Clone)]
pub struct Guarded<S, F> {
    inner: S,
    check: F,
}

impl<S, F, B, C> Service<Request<B>> for Guarded<S, F>
where
    S: Service<Request<B>, Response = Response<C>, Future: Send> + Clone + Send + 'static,
    F: Check + Clone + Send + 'static,
    B: Send + 'static,
    C: HttpBody<Data = Bytes> + Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready serves this request; its clone gets ready for the next.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let asks = self.check.clone();
        let load = look_up(request.extensions(), request.headers());
        Box::pin(async move {
            let loaded = loaded(load).await;
            let checked = check(loaded, &(target(&request), &request), &asks);
            match checked {
                Ok(_) => Ok(inner.call(request).await?.map(Body::new)),
                Err(answer) => Ok(answered(&answer)),
            }
        })
    }
}
