//! The start page and the list of devices.

use axum::extract::Path;
use axum::response::Redirect;
use devices_pages::{device, pages};
use maud::Markup;
use session_axum::Result;
use time::OffsetDateTime;

use crate::visitor::SignedIn;

pub(crate) async fn home(SignedIn { current, visitor, .. }: SignedIn) -> Markup {
    pages::home(&visitor, &device!(current, current.id), OffsetDateTime::now_utc())
}

pub(crate) async fn list(SignedIn { session, current, visitor }: SignedIn) -> Result<Markup> {
    let sessions = session.list_my_sessions().await?;
    let devices: Vec<_> = sessions.iter().map(|session| device!(session, current.id)).collect();
    Ok(pages::devices(&visitor, &devices, OffsetDateTime::now_utc()))
}

/// Revoking one's own session is a sign-out: the redirect then leads on to the sign-in page.
pub(crate) async fn revoke(SignedIn { session, .. }: SignedIn, Path(id): Path<String>) -> Result<Redirect> {
    session.revoke(&id).await?;
    Ok(Redirect::to("/devices"))
}

/// The same session under a new token: whoever has a copy of the old cookie is out.
pub(crate) async fn rotate(SignedIn { session, .. }: SignedIn) -> Result<Redirect> {
    session.rotate().await?;
    Ok(Redirect::to("/devices"))
}
