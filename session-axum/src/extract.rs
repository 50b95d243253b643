//! The extractors, and the error as a response.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use session_core::adapter::Scope;

use crate::{CookieSession, Error, Result, Session};

/// Extracts the request's session, whether somebody is signed in or not: one store call a request at most.
///
/// # Panics
/// Without a [`CookieSessionLayer`](crate::CookieSessionLayer) around the handler.
impl<S: Send + Sync> FromRequestParts<S> for CookieSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match Self::of(parts).await? {
            Some(session) => Ok(session),
            None => panic!("{}", session_core::Error::NoLayer { layer: ".layer(service.layer())" }),
        }
    }
}

/// Extracts the request's session; none if there is no [`CookieSessionLayer`](crate::CookieSessionLayer).
impl<S: Send + Sync> OptionalFromRequestParts<S> for CookieSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>> {
        Self::of(parts).await
    }
}

/// Extracts a snapshot of the session of whoever is signed in; 401 if nobody is.
///
/// # Panics
/// Without a [`CookieSessionLayer`](crate::CookieSessionLayer) around the handler.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let session = <CookieSession as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(session.as_core().signed_in()?.into())
    }
}

/// Extracts a snapshot of the session of whoever is signed in, if anybody is.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>> {
        match CookieSession::of(parts).await? {
            Some(session) => Ok(session.as_core().snapshot()?.map(Self::from)),
            None => Ok(None),
        }
    }
}

impl CookieSession {
    /// The session of a request inside a [`CookieSessionLayer`](crate::CookieSessionLayer), for services that have no
    /// extractors; none without the layer. The peer's address is that of a [`ConnectInfo`] in the extensions.
    ///
    /// # Errors
    /// 503 if the store failed.
    pub async fn of(parts: &Parts) -> Result<Option<Self>> {
        let Some(scope) = parts.extensions.get::<Scope>() else { return Ok(None) };
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        // A small future: Axum's own, which holds it, is on the heap.
        Ok(Some(scope.load_boxed(scope.read(&parts.headers, peer)).await?.into()))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.as_core().response()
    }
}
