//! Values kept in the session: the theme and a counter.

use actix_web::web::{Form, Redirect};
use devices_pages::{THEME, ThemeForm, VISITS};
use session_actix::Result;

use crate::visitor::SignedIn;

pub(crate) async fn pick_theme(SignedIn { session, .. }: SignedIn, form: Form<ThemeForm>) -> Result<Redirect> {
    session.set(THEME, &form.theme)?;
    Ok(Redirect::to(form.page.path()).see_other())
}

/// `update` and not `get` then `set`, so that of two clicks at once both count.
pub(crate) async fn count_visit(SignedIn { session, .. }: SignedIn) -> Result<Redirect> {
    session.update::<u64>(VISITS, |visits| visits.unwrap_or_default().saturating_add(1))?;
    Ok(Redirect::to("/").see_other())
}

/// What is removed counts from nothing again.
pub(crate) async fn start_over(SignedIn { session, .. }: SignedIn) -> Result<Redirect> {
    session.remove_key(VISITS);
    Ok(Redirect::to("/").see_other())
}
