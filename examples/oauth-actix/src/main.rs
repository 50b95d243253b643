//! Sign-in with an OAuth 2 provider, which runs in the same process: `cargo run -p oauth-actix`,
//! then open the address that it prints.
//!
//! What the app must remember between the redirect to the provider and the callback is kept in the
//! visitor's session. The callback is sent by a page of another site, so the session's cookie must
//! be `SameSite=Lax`, as it is by default; with `Strict` the browser would send none.

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::http::{StatusCode, header::LOCATION};
use actix_web::web::{Data, Query, Redirect, get, post};
use actix_web::{App, HttpResponse, HttpServer};
use maud::{DOCTYPE, Markup, html};
use oauth_client::{Attempt, Callback, Client, SignInError};
use session_actix::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, Flash, FlashLevel, KeyRing, Result, SessionConfig,
    SigningKey, SqliteStore, Visitors,
};

/// Where the session keeps the sign-in that waits for the provider.
const ATTEMPT: &str = "oauth";

async fn home(session: CookieSession, flash: Flash) -> Result<Markup> {
    let messages = flash.take().await?;
    Ok(html! {
        (DOCTYPE)
        title { "Sign-in with a provider" }
        main {
            @for message in messages { p role="status" class=(message.level) { (message.text) } }
            @if let Some(user) = session.user_id() {
                h1 { "Hello, " span #user { (user) } }
                form method="post" action="/sign-out" { button { "Sign out" } }
            } @else {
                h1 { "Hello, visitor" }
                form method="post" action="/sign-in" { button { "Sign in with the provider" } }
            }
        }
    })
}

async fn sign_in(client: Data<Client>, session: CookieSession) -> Result<Redirect> {
    let (url, attempt) = client.begin();
    session.set(ATTEMPT, &attempt)?;
    Ok(Redirect::to(url).see_other())
}

async fn callback(
    client: Data<Client>,
    session: CookieSession,
    flash: Flash,
    Query(callback): Query<Callback>,
) -> Result<HttpResponse> {
    let attempt = match Attempt::answered(session.get(ATTEMPT)?, &callback) {
        Ok(attempt) => attempt,
        Err(error) => return Ok(refusal(&error)),
    };
    // Used once, whatever follows: it is stored before the provider is asked.
    session.remove_key(ATTEMPT);
    session.save().await?;
    match client.finish(attempt, callback).await {
        // A new session with a new token, in which nothing is left of the visitor's. If there were
        // several providers, the user id would have to name this one too.
        Ok(subject) => session.authenticate(&subject).await?,
        Err(error @ SignInError::Denied) => flash.push(FlashLevel::Warning, error.to_string())?,
        Err(error) => return Ok(refusal(&error)),
    }
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish())
}

fn refusal(error: &SignInError) -> HttpResponse {
    if let Some(cause) = error.cause() {
        eprintln!("{error}: {cause}");
    }
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(format!("{error}\n"))
}

async fn sign_out(session: CookieSession) -> Result<Redirect> {
    session.logout().await?;
    Ok(Redirect::to("/").see_other())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A random key at each start unless it is set: this store ends with the process too.
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().visitors(Visitors::new()).insecure_development_cookies().build(keys)?;
    let service = CookieSessionService::new(SqliteStore::open(":memory:").await?, config);
    let _cleanup = service.spawn_cleanup(Duration::from_secs(3600));

    let listener = TcpListener::bind(std::env::var("ADDR").as_deref().unwrap_or("127.0.0.1:3000"))?;
    let addr = listener.local_addr()?;
    let client = Data::new(Client::new(oauth_provider::start(format!("http://{addr}/callback")).await?)?);
    let app = move || {
        let routes = App::new().app_data(client.clone()).route("/", get().to(home));
        let routes = routes.route("/sign-in", post().to(sign_in)).route("/callback", get().to(callback));
        routes.route("/sign-out", post().to(sign_out)).wrap(service.middleware())
    };
    println!("oauth-actix is at http://{addr}");
    Ok(HttpServer::new(app).listen(listener)?.run().await?)
}
