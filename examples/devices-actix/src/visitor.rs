//! Extracts the session of a signed-in user.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::header::{COOKIE, LOCATION};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse};
use devices_pages::{Visitor, headers};
use session_actix::{CookieSession, Result, Session};

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

impl FromRequest for SignedIn {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let session = CookieSession::extract(request);
        let forget_pages = headers::forget_pages(request.headers().contains_key(COOKIE));
        Box::pin(async move {
            let session = session.await?;
            match (session.current(), visitor(&session)?) {
                (Some(current), Some(visitor)) => Ok(Self { session, current, visitor }),
                _ => {
                    let mut to_login = HttpResponse::SeeOther();
                    to_login.insert_header((LOCATION, "/login"));
                    if let Some(header) = forget_pages {
                        to_login.insert_header(header);
                    }
                    Err(InternalError::from_response("nobody is signed in", to_login.finish()).into())
                }
            }
        })
    }
}

/// What every page shows about the user; none if nobody is signed in.
pub(crate) fn visitor(session: &CookieSession) -> Result<Option<Visitor>> {
    Ok(Visitor::of(session)?)
}
