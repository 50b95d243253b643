//! Signing in and out.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Redirect};
use actix_web::{Either, HttpResponse, Responder};
use devices_pages::pages::{self, Attempt};
use devices_pages::{Accounts, LoginForm, Unchecked, headers};
use maud::Markup;
use session_actix::{CookieSession, Result, SignIn};

use crate::visitor::SignedIn;

pub(crate) async fn page(session: CookieSession) -> Either<Redirect, Markup> {
    if session.is_authenticated() {
        return Either::Left(Redirect::to("/").see_other());
    }
    Either::Right(pages::login(Attempt::First))
}

pub(crate) async fn sign_in(
    accounts: Data<Accounts>,
    session: CookieSession,
    form: Form<LoginForm>,
) -> Result<Either<Redirect, impl Responder>> {
    let LoginForm { username, password, remember } = form.into_inner();
    match accounts.check(username.clone(), password).await {
        Ok(Some(account)) => {
            // Replaces the session that this browser may have had: a token from before the sign-in
            // is worth nothing.
            session.authenticate_opts(account.username, SignIn::new().browser_session(!remember)).await?;
            Ok(Either::Left(Redirect::to("/").see_other()))
        }
        Ok(None) => {
            let attempt = Attempt::Refused { username: username.as_str(), remember };
            let page = pages::login(attempt).customize().with_status(StatusCode::UNAUTHORIZED);
            Ok(Either::Right(Either::Left(page)))
        }
        Err(Unchecked::Busy) => {
            let attempt = Attempt::Busy { username: username.as_str(), remember };
            let page = pages::login(attempt).customize().with_status(StatusCode::SERVICE_UNAVAILABLE);
            Ok(Either::Right(Either::Left(page.insert_header(headers::RETRY_SOON))))
        }
        Err(error) => {
            tracing::error!("{error}");
            Ok(Either::Right(Either::Right(HttpResponse::InternalServerError())))
        }
    }
}

/// Also for who isn't signed in any more: it removes a cookie that is left over.
pub(crate) async fn sign_out(session: CookieSession) -> Result<Redirect> {
    session.logout().await?;
    Ok(Redirect::to("/login").see_other())
}

pub(crate) async fn sign_out_others(SignedIn { session, .. }: SignedIn) -> Result<Redirect> {
    session.logout_other().await?;
    Ok(Redirect::to("/devices").see_other())
}

pub(crate) async fn sign_out_everywhere(session: CookieSession) -> Result<Redirect> {
    session.logout_all().await?;
    Ok(Redirect::to("/login").see_other())
}
