//! Extracts the session of a signed-in user.

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use devices_pages::{Visitor, headers};
use session_axum::{CookieSession, Result, Session};

/// The session of a signed-in user. Anyone else is sent to the sign-in page, and the handler
/// doesn't run.
pub(crate) struct SignedIn {
    /// To act on the session.
    pub(crate) session: CookieSession,
    /// What it was when the request came.
    pub(crate) current: Session,
    /// What every page shows about the user.
    pub(crate) visitor: Visitor,
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let session = CookieSession::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let visitor = visitor(&session).map_err(IntoResponse::into_response)?;
        match (session.current(), visitor) {
            (Some(current), Some(visitor)) => Ok(Self { session, current, visitor }),
            _ => {
                let forget_pages = headers::forget_pages(parts.headers.contains_key(COOKIE));
                Err((AppendHeaders(forget_pages), Redirect::to("/login")).into_response())
            }
        }
    }
}

/// What every page shows about the user; none if nobody is signed in.
pub(crate) fn visitor(session: &CookieSession) -> Result<Option<Visitor>> {
    Ok(Visitor::of(session)?)
}
