//! Sessions for Poem: a third framework, bound to the core's public API alone. Everything a session
//! means is the core's; this file only says where Poem keeps a request's headers, its peer and its
//! extensions.
//!
//! Poem suits an example because it has what most frameworks have: middleware around endpoints,
//! extractors, and errors that aren't responses yet.

use std::sync::Arc;

use poem::http::{HeaderMap, StatusCode};
use poem::{Endpoint, FromRequest, IntoResponse, Middleware, Request, RequestBody, Response};
use session_core::adapter::{FromSession, Headers, RequestHead, ResponseHead, Scope, check};
use session_core::{Answer, CookieSessionService, Incoming};

session_core::adapter_types!();

/// Gives the endpoints inside it the sessions of one [`CookieSessionService`].
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

impl<E: Endpoint> Middleware<E> for CookieSessionMiddleware {
    type Output = CookieSessionEndpoint<E>;

    fn transform(&self, inner: E) -> CookieSessionEndpoint<E> {
        CookieSessionEndpoint { inner, service: self.service.clone() }
    }
}

/// An endpoint inside a [`CookieSessionMiddleware`].
#[derive(Debug)]
pub struct CookieSessionEndpoint<E> {
    inner: E,
    service: CookieSessionService,
}

impl<E: Endpoint> Endpoint for CookieSessionEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let guard = self.service.begin(request.extensions().get::<Scope>());
        if let Some(answer) = guard.admit(&Asked(&request)) {
            return Ok(answered(&answer));
        }
        request.extensions_mut().insert(guard.scope().clone());
        let outcome = self.inner.call(request).await.map(IntoResponse::into_response);
        if !guard.is_used() {
            return outcome;
        }
        // An error of Poem's is no response yet. It becomes one here: its status counts, and
        // headers are added.
        let mut response = outcome.unwrap_or_else(poem::Error::into_response);
        let verdict = guard.commit(response.status().as_u16()).await;
        verdict.apply(&mut Outgoing(&mut response));
        Ok(response)
    }
}

struct Outgoing<'a>(&'a mut Response);

impl ResponseHead for Outgoing<'_> {
    type Headers<'a>
        = &'a mut HeaderMap
    where
        Self: 'a;

    fn headers(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    fn replace(&mut self, status: u16) {
        let headers = std::mem::take(self.0.headers_mut());
        *self.0 = StatusCode::from_u16(status).expect("the core names HTTP statuses only").into();
        *self.0.headers_mut() = headers;
    }

    fn set_text(&mut self, text: &'static str) {
        self.0.set_body(text);
    }
}

/// The head of a request, as the core looks at it.
struct Asked<'a>(&'a Request);

impl Headers for Asked<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.headers().lines(name)
    }
}

impl RequestHead for Asked<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path_and_query(&self) -> &str {
        self.0.original_uri().path_and_query().map_or("", |target| target.as_str())
    }

    fn authority(&self) -> Option<&str> {
        self.0.original_uri().authority().map(|authority| authority.as_str())
    }
}

fn answered(answer: &Answer) -> Response {
    let mut response = Response::default();
    answer.apply(&mut Outgoing(&mut response));
    response
}

/// The request's session, once a request, in one store call at most.
async fn loaded(request: &Request) -> session_core::Result<session_core::CookieSession> {
    let layer = ".with(CookieSessionMiddleware::new(service))";
    let scope = request.extensions().get::<Scope>().ok_or(session_core::Error::NoLayer { layer })?;
    let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
    scope.load(scope.read(request.headers(), peer)).await
}

/// Puts a check of the session before an endpoint, inside the middleware: an [`Answer`] takes its
/// place.
pub async fn guard<E: Endpoint>(
    inner: Arc<E>,
    request: Request,
    asks: impl Fn(&session_core::CookieSession, &Incoming<'_>) -> std::result::Result<(), Answer>,
) -> poem::Result<Response> {
    let checked = check(loaded(&request).await, &Asked(&request), &asks);
    match checked {
        Ok(_) => inner.call(request).await.map(IntoResponse::into_response),
        Err(answer) => Ok(answered(&answer)),
    }
}

/// Extracts what is made of the request's session.
macro_rules! extract {
    ($($type:ty),+) => {$(
        impl<'a> FromRequest<'a> for $type {
            async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
                let session = loaded(request).await.map_err(Error::from)?;
                Ok(FromSession::from_session(session).map_err(Error::from)?)
            }
        }
    )+};
}

extract!(CookieSession, CsrfToken, Flash, Session);

impl poem::error::ResponseError for Error {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().status()).expect("the core names HTTP statuses only")
    }

    fn as_response(&self) -> Response {
        let parts = Self::as_response(self);
        let mut response = Response::builder().status(poem::error::ResponseError::status(self));
        for &(name, value) in parts.headers {
            response = response.header(name, value);
        }
        response.body(parts.body)
    }
}
