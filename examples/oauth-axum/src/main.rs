//! Sign-in with an OAuth 2 provider, which runs in the same process: `cargo run -p oauth-axum`,
//! then open the address that it prints.
//!
//! What the app must remember between the redirect to the provider and the callback is kept in the
//! visitor's session. The callback is sent by a page of another site, so the session's cookie must
//! be `SameSite=Lax`, as it is by default; with `Strict` the browser would send none.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{DOCTYPE, Markup, html};
use oauth_client::{Attempt, Callback, Client, SignInError};
use session_axum::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, Flash, FlashLevel, KeyRing, Result, SessionConfig,
    SigningKey, SqliteStore, Visitors,
};
use tokio::net::TcpListener;

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

async fn sign_in(State(client): State<Arc<Client>>, session: CookieSession) -> Result<Redirect> {
    let (url, attempt) = client.begin();
    session.set(ATTEMPT, &attempt)?;
    Ok(Redirect::to(&url))
}

async fn callback(
    State(client): State<Arc<Client>>,
    session: CookieSession,
    flash: Flash,
    Query(callback): Query<Callback>,
) -> Result<Response> {
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
    Ok(Redirect::to("/").into_response())
}

fn refusal(error: &SignInError) -> Response {
    if let Some(cause) = error.cause() {
        eprintln!("{error}: {cause}");
    }
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, format!("{error}\n")).into_response()
}

async fn sign_out(session: CookieSession) -> Result<Redirect> {
    session.logout().await?;
    Ok(Redirect::to("/"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A random key at each start unless it is set: this store ends with the process too.
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().visitors(Visitors::new()).insecure_development_cookies().build(keys)?;
    let service = CookieSessionService::new(SqliteStore::open(":memory:").await?, config);
    let _cleanup = service.spawn_cleanup(Duration::from_secs(3600));

    let listener = TcpListener::bind(std::env::var("ADDR").as_deref().unwrap_or("127.0.0.1:3000")).await?;
    let addr = listener.local_addr()?;
    let client = Client::new(oauth_provider::start(format!("http://{addr}/callback")).await?)?;
    let routes = Router::new().route("/", get(home)).route("/sign-in", post(sign_in)).route("/callback", get(callback));
    let routes = routes.route("/sign-out", post(sign_out)).with_state(Arc::new(client));
    let app = routes.layer(service.layer()).into_make_service_with_connect_info::<SocketAddr>();
    println!("oauth-axum is at http://{addr}");
    Ok(axum::serve(listener, app).await?)
}
