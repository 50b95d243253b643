//! Sessions for Poem: a third framework, bound to the core's public API alone. Everything a session means is the core's; this
//! file only says where Poem keeps a request's headers, its peer and its extensions.
//!
//! Poem suits an example because it has what most frameworks have: middleware around endpoints, extractors, and errors that
//! aren't responses yet.

use poem::http::{HeaderMap, StatusCode};
use poem::{Endpoint, FromRequest, IntoResponse, Middleware, Request, RequestBody, Response};
use session_core::adapter::{ResponseHead, Scope};

session_core::adapter_types!();

impl CookieSessionService {
    /// The middleware that gives the endpoints inside it this service's sessions.
    pub fn middleware(&self) -> CookieSessionMiddleware {
        CookieSessionMiddleware { service: self.clone() }
    }
}

/// Gives the endpoints inside it the sessions of one [`CookieSessionService`].
#[derive(Debug, Clone)]
pub struct CookieSessionMiddleware {
    service: CookieSessionService,
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
        let guard = self.service.as_core().begin(request.extensions().get::<Scope>());
        request.extensions_mut().insert(guard.scope().clone());
        let outcome = self.inner.call(request).await.map(IntoResponse::into_response);
        if !guard.is_used() {
            return outcome;
        }
        // An error of Poem's is no response yet. It becomes one here: its status counts, and headers are added.
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
        *self.0 = StatusCode::from_u16(status).expect("the core names HTTP statuses only").into();
    }
}

/// Extracts the request's session, whether somebody is signed in or not: one store call a request at most.
impl<'a> FromRequest<'a> for CookieSession {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let layer = ".with(service.middleware())";
        let scope = request.extensions().get::<Scope>().ok_or(Error::from(session_core::Error::NoLayer { layer }))?;
        let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        let session = scope.load(scope.read(request.headers(), peer)).await;
        Ok(session.map_err(Error::from)?.into())
    }
}

/// Extracts a snapshot of the session of whoever is signed in; 401 if nobody is.
impl<'a> FromRequest<'a> for Session {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let session = CookieSession::from_request(request, body).await?;
        Ok(session.as_core().signed_in().map_err(Error::from)?.into())
    }
}

impl poem::error::ResponseError for Error {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.as_core().status()).expect("the core names HTTP statuses only")
    }

    fn as_response(&self) -> Response {
        self.as_core().trace_program_fault();
        let mut response = Response::builder().status(poem::error::ResponseError::status(self));
        for (name, value) in session_core::Error::HEADERS {
            response = response.header(name, value);
        }
        response.body(self.as_core().body())
    }
}
