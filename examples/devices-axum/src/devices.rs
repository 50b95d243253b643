//! The start page and the list of devices.

use axum::extract::Path;
use axum::response::Redirect;
use devices_pages::pages;
use maud::Markup;
use session_axum::Result;
use time::OffsetDateTime;

use crate::visitor::{SignedIn, device};

pub(crate) async fn home(visit: SignedIn) -> Result<Markup> {
    let device = device(&visit.current, &visit.current.id);
    Ok(pages::home(&visit.visitor()?, &device, OffsetDateTime::now_utc()))
}

pub(crate) async fn list(visit: SignedIn) -> Result<Markup> {
    let sessions = visit.session.list_my_sessions().await?;
    let devices: Vec<_> = sessions.iter().map(|session| device(session, &visit.current.id)).collect();
    Ok(pages::devices(&visit.visitor()?, &devices, OffsetDateTime::now_utc()))
}

/// Revoking one's own session is a sign-out: the redirect then leads on to the sign-in page.
pub(crate) async fn revoke(SignedIn { session, .. }: SignedIn, Path(id): Path<String>) -> Result<Redirect> {
    session.revoke(&id).await?;
    Ok(Redirect::to("/devices"))
}
