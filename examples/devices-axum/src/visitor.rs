//! From the session to what the pages show.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use devices_pages::{Device, Visitor};
use session_axum::{CookieSession, Result, Session};

/// The session's keys.
pub(crate) const THEME: &str = "theme";
pub(crate) const VISITS: &str = "visits";

/// Extracts the session of a signed-in user. Anyone else is sent to the sign-in page, and the handler doesn't run.
pub(crate) struct SignedIn {
    /// To act on the session.
    pub(crate) session: CookieSession,
    /// What it was when the request came.
    pub(crate) current: Session,
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let session = CookieSession::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        match session.current() {
            Some(current) => Ok(Self { session, current }),
            None => Err(Redirect::to("/login").into_response()),
        }
    }
}

impl SignedIn {
    /// What every page shows about the user.
    pub(crate) fn visitor(&self) -> Result<Visitor> {
        named(&self.session, self.current.user_id.clone())
    }
}

/// What every page shows about the user, or `None` if nobody is signed in.
pub(crate) fn visitor(session: &CookieSession) -> Result<Option<Visitor>> {
    session.user_id().map(|user_id| named(session, user_id)).transpose()
}

fn named(session: &CookieSession, user_id: String) -> Result<Visitor> {
    let theme = session.get(THEME)?.unwrap_or_default();
    let visits = session.get(VISITS)?.unwrap_or_default();
    Ok(Visitor { user_id, theme, visits })
}

/// A session as a row of the device table; `this` is the id of the one that asks.
pub(crate) fn device<'a>(session: &'a Session, this: &str) -> Device<'a> {
    Device {
        id: &session.id,
        name: &session.device_name,
        kind: &session.device_type,
        ip_address: &session.ip_address,
        signed_in: session.created_at,
        last_active: session.last_active_at,
        expires: session.expires_at,
        is_this: session.id == this,
    }
}
