//! Signing in and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use devices_pages::pages::{self, Attempt};
use devices_pages::{Accounts, LoginForm, Unchecked, headers};
use session_axum::{CookieSession, Result, SignIn};

use crate::visitor::SignedIn;

pub(crate) async fn page(session: CookieSession) -> Response {
    if session.is_authenticated() {
        return Redirect::to("/").into_response();
    }
    pages::login(Attempt::First).into_response()
}

pub(crate) async fn sign_in(
    State(accounts): State<Arc<Accounts>>,
    session: CookieSession,
    Form(form): Form<LoginForm>,
) -> Result<Response> {
    let LoginForm { username, password, remember } = form;
    match accounts.check(username.clone(), password).await {
        Ok(Some(account)) => {
            // Replaces the session that this browser may have had: a token from before the sign-in
            // is worth nothing.
            session.authenticate_opts(account.username, SignIn::new().browser_session(!remember)).await?;
            Ok(Redirect::to("/").into_response())
        }
        Ok(None) => {
            let attempt = Attempt::Refused { username: username.as_str(), remember };
            Ok((StatusCode::UNAUTHORIZED, pages::login(attempt)).into_response())
        }
        Err(Unchecked::Busy) => {
            let attempt = Attempt::Busy { username: username.as_str(), remember };
            Ok((StatusCode::SERVICE_UNAVAILABLE, [headers::RETRY_SOON], pages::login(attempt)).into_response())
        }
        Err(error) => {
            tracing::error!("{error}");
            Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        }
    }
}

/// Also for who isn't signed in any more: it removes a cookie that is left over.
pub(crate) async fn sign_out(session: CookieSession) -> Result<Redirect> {
    session.logout().await?;
    Ok(Redirect::to("/login"))
}

pub(crate) async fn sign_out_others(SignedIn { session, .. }: SignedIn) -> Result<Redirect> {
    session.logout_other().await?;
    Ok(Redirect::to("/devices"))
}

pub(crate) async fn sign_out_everywhere(session: CookieSession) -> Result<Redirect> {
    session.logout_all().await?;
    Ok(Redirect::to("/login"))
}
