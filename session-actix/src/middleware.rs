//! The middleware: begins a session scope around each request, and commits it before the response
//! leaves.
//!
//! A verdict may be applied more than once. A middleware further in may return an error, which
//! becomes a response only when Actix asks for it, and perhaps again later. The session's headers
//! are added to the error as a mapper, so that the error keeps its type for middleware further out.

use std::cell::Cell;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use pin_project_lite::pin_project;
use session_core::CookieSessionService;
use session_core::adapter::{MaybeReady, Scope, ScopeGuard, Verdict};

use crate::head::{Asked, Outgoing, answered};
use crate::slot::{Entered, Slot};

/// Gives the app, scope or resource that it wraps the sessions of one [`CookieSessionService`].
#[derive(Debug, Clone)]
pub struct CookieSessionMiddleware {
    service: CookieSessionService,
}

impl CookieSessionMiddleware {
    /// The middleware of `service`'s sessions.
    pub const fn new(service: CookieSessionService) -> Self {
        Self { service }
    }
}

impl<S, B> Transform<S, ServiceRequest> for CookieSessionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = Wrapped<S>;
    type InitError = ();
    type Future = Ready<Result<Wrapped<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(Wrapped { inner, service: self.service.clone() }))
    }
}

/// A service inside a [`CookieSessionMiddleware`].
#[derive(Debug)]
pub struct Wrapped<S> {
    inner: S,
    service: CookieSessionService,
}

impl<S, B> Service<ServiceRequest> for Wrapped<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let outer = request.extensions().get::<Slot>().map(|slot| slot.with(Scope::clone));
        let guard = self.service.begin(outer.as_ref());
        if let Some(answer) = guard.admit(&Asked(request.request())) {
            // Nothing is loaded, so this commit only closes the request, and is ready at once.
            let committing = Some((guard.commit(answer.status()), Ok(answered(request, &answer))));
            return ResponseFuture { inner: None, guard, entered: None, committing };
        }
        let entered = enter(request.request(), guard.scope());
        ResponseFuture { inner: Some(self.inner.call(request)), guard, entered, committing: None }
    }
}

pin_project! {
    /// The response of a service inside a [`CookieSessionMiddleware`].
    pub struct ResponseFuture<F, B> {
        // None where the request was answered before the handler.
        #[pin]
        inner: Option<F>,
        guard: ScopeGuard,
        // Until the handler has returned, if there is a layer further out.
        entered: Option<Entered>,
        committing: Option<(MaybeReady<Verdict>, Result<ServiceResponse<EitherBody<B>>, Error>)>,
    }
}

impl<F, B> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut commit, outcome) = match this.committing.take() {
            Some(committing) => committing,
            None => {
                // There is always one, unless this is polled again after it was ready.
                let Some(inner) = this.inner.as_pin_mut() else { return Poll::Pending };
                let mut outcome = ready!(inner.poll(cx)).map(ServiceResponse::map_into_left_body);
                // A response carries its request, and middleware further out gets its own session
                // back.
                drop(this.entered.take());
                let status = match &mut outcome {
                    Ok(response) => response.status(),
                    Err(error) if this.guard.is_used() => status_of(error),
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                (this.guard.commit(status.as_u16()), outcome)
            }
        };
        let Poll::Ready(verdict) = Pin::new(&mut commit).poll(cx) else {
            *this.committing = Some((commit, outcome));
            return Poll::Pending;
        };
        Poll::Ready(match outcome {
            Ok(mut response) => {
                verdict.apply(&mut Outgoing(response.response_mut()));
                Ok(response)
            }
            Err(mut error) => {
                if !verdict.is_untouched() {
                    error.add_response_mapper(move |response| completed(response, &verdict));
                }
                Err(error)
            }
        })
    }
}

/// Makes `scope` the one that extractors find: for good, unless a layer further out has its own.
fn enter(request: &HttpRequest, scope: &Scope) -> Option<Entered> {
    if let Some(slot) = request.extensions().get::<Slot>() {
        return Some(slot.enter(scope.clone()));
    }
    request.extensions_mut().insert(Slot::new(scope.clone()));
    None
}

/// The status of an error's response. Some errors can give their response only once, so it is kept
/// for the next time that it is asked for.
fn status_of(error: &mut Error) -> StatusCode {
    let response = error.error_response();
    let status = response.status();
    let response = Cell::new(Some(response));
    error.add_response_mapper(move |next| response.take().unwrap_or(next));
    status
}

/// The response of an error with the session's headers, each time that Actix asks for it.
fn completed(response: HttpResponse, verdict: &Verdict) -> HttpResponse {
    let mut response = response.map_into_left_body();
    verdict.apply(&mut Outgoing(&mut response));
    response.map_into_boxed_body()
}
