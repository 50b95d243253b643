//! The extractors, and the error as a response.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use session_core::adapter::Scope;

use crate::head::Incoming;
use crate::{CookieSession, Error, Result, Session};

/// Extracts the request's session, whether somebody is signed in or not: one store call a request at most.
///
/// # Panics
/// Without a [`CookieSessionLayer`](crate::CookieSessionLayer) around the handler.
impl<S: Send + Sync> FromRequestParts<S> for CookieSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match load(parts).await? {
            Some(session) => Ok(session),
            None => panic!("{}", session_core::Error::NoLayer { layer: ".layer(service.layer())" }),
        }
    }
}

/// Extracts the request's session; none if there is no [`CookieSessionLayer`](crate::CookieSessionLayer).
impl<S: Send + Sync> OptionalFromRequestParts<S> for CookieSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>> {
        load(parts).await
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
        Ok(session.as_core().snapshot()?.ok_or(session_core::Error::NotAuthenticated)?.into())
    }
}

/// Extracts a snapshot of the session of whoever is signed in, if anybody is.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>> {
        match load(parts).await? {
            Some(session) => Ok(session.as_core().snapshot()?.map(Self::from)),
            None => Ok(None),
        }
    }
}

async fn load(parts: &Parts) -> Result<Option<CookieSession>> {
    let Some(scope) = parts.extensions.get::<Scope>() else { return Ok(None) };
    let facts = scope.read(&Incoming(parts));
    Ok(Some(scope.load(facts).await?.into()))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).expect("the core names HTTP statuses only");
        let no_store = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (status, no_store, self.as_core().body()).into_response()
    }
}
