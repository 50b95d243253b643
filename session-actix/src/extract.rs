//! The extractors, and the error as a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use session_core::adapter::Load;

use crate::head::Lines;
use crate::middleware::Slot;
use crate::{CookieSession, Error, Result, Session};

/// Extracts the request's session, whether somebody is signed in or not: one store call a request at most.
///
/// Without a [`CookieSessionMiddleware`](crate::CookieSessionMiddleware) around the handler it is a 500 and an error in the
/// log, or none for an `Option<CookieSession>`. If the store can't be read, the response is a 503 in any case.
impl FromRequest for CookieSession {
    type Error = Error;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Extraction<Self> {
        Extraction::of(request, |session| Ok(session.into()))
    }
}

/// Extracts a snapshot of the session of whoever is signed in; 401 if nobody is, or none for an `Option<Session>`.
impl FromRequest for Session {
    type Error = Error;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Extraction<Self> {
        Extraction::of(request, |session| Ok(session.signed_in()?.into()))
    }
}

/// The future of an extraction.
#[derive(Debug)]
#[must_use = "nothing is extracted unless it is polled"]
pub struct Extraction<T> {
    /// None without a middleware.
    load: Option<Load>,
    then: fn(session_core::CookieSession) -> Result<T>,
}

impl<T> Extraction<T> {
    fn of(request: &HttpRequest, then: fn(session_core::CookieSession) -> Result<T>) -> Self {
        let load = request.extensions().get::<Slot>().map(|slot| {
            let (scope, peer) = (slot.borrow(), request.peer_addr().map(|peer| peer.ip()));
            scope.load_boxed(scope.read(&Lines(request.headers()), peer))
        });
        Self { load, then }
    }
}

impl<T> Future for Extraction<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(load) = &mut self.load else {
            let error = session_core::Error::NoLayer { layer: ".wrap(service.middleware())" };
            return Poll::Ready(Err(error.into()));
        };
        let session = ready!(Pin::new(load).poll(cx))?;
        Poll::Ready((self.then)(session))
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).expect("the core names HTTP statuses only")
    }

    fn error_response(&self) -> HttpResponse {
        // Only here, as an `Option` extractor takes the error without a response.
        self.as_core().trace_program_fault();
        let mut response = HttpResponse::build(self.status_code());
        for header in session_core::Error::HEADERS {
            response.insert_header(header);
        }
        response.body(self.as_core().body())
    }
}
