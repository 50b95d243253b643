//! A middleware that asks about the session before the handlers inside it run.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::Error;
use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use session_core::adapter::{Check, check};
use session_core::{Answer, CookieSession, Incoming};

use crate::extract::{loaded, look_up};
use crate::head::{Asked, answered};

/// Asks about the session before what it wraps: if the function returns an [`Answer`], that is the
/// response, and the handler doesn't run. Put it inside a
/// [`CookieSessionMiddleware`](crate::CookieSessionMiddleware): without one the response is a 500.
/// In an outage of the store it is a 503.
///
/// ```
/// use actix_web::web::{get, resource};
/// use session_actix::{Answer, guard};
///
/// let members = guard(|session, _| match session.user_id() {
///     Some(_) => Ok(()),
///     None => Err(Answer::see_other("/sign-in")),
/// });
/// let resource = resource("/members").route(get().to(async || "for members")).wrap(members);
/// # fn is_a_service<T: actix_web::dev::HttpServiceFactory>(_: T) {}
/// # assert_eq!(is_a_service(resource), ());
/// ```
pub const fn guard<F>(asks: F) -> GuardMiddleware<F>
where
    F: Fn(&CookieSession, &Incoming<'_>) -> Result<(), Answer>,
{
    GuardMiddleware(asks)
}

/// The middleware that [`guard`] makes, or [`RequireSignIn`](crate::RequireSignIn).
#[derive(Debug, Clone)]
pub struct GuardMiddleware<F>(pub(crate) F);

impl<S, B, F> Transform<S, ServiceRequest> for GuardMiddleware<F>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    F: Check + Clone + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = Guarded<S, F>;
    type InitError = ();
    type Future = Ready<Result<Guarded<S, F>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(Guarded { inner: Rc::new(inner), check: self.0.clone() }))
    }
}

/// A service inside a [`GuardMiddleware`].
#[derive(Debug)]
pub struct Guarded<S, F> {
    inner: Rc<S>,
    check: F,
}

impl<S, B, F> Service<ServiceRequest> for Guarded<S, F>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    F: Check + Clone + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (inner, asks) = (Rc::clone(&self.inner), self.check.clone());
        let load = look_up(request.request());
        Box::pin(async move {
            let loaded = loaded(load).await;
            let checked = check(loaded, &Asked(request.request()), &asks);
            match checked {
                Ok(_) => Ok(inner.call(request).await?.map_into_left_body()),
                Err(answer) => Ok(answered(request, &answer)),
            }
        })
    }
}
