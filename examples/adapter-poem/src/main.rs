//! A small Poem app with sessions: `SESSION_KEY=$(openssl rand -base64 32) cargo run -p
//! adapter-poem`, then `curl -c jar -b jar -X POST 127.0.0.1:3000/login` and `curl -c jar -b jar
//! 127.0.0.1:3000`.

use adapter_poem::{CookieSession, CookieSessionMiddleware, Result};
use poem::listener::TcpListener;
use poem::{EndpointExt, Route, Server, get, handler, post};
use session_core::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};

#[handler]
async fn home(session: CookieSession) -> Result<String> {
    let Some(user) = session.user_id() else { return Ok("please sign in: POST /login\n".to_owned()) };
    session.update("visits", |n: Option<u64>| n.unwrap_or(0) + 1)?;
    Ok(format!("{user}, visit {}\n", session.get::<u64>("visits")?.unwrap_or(0)))
}

#[handler]
async fn login(session: CookieSession) -> Result<&'static str> {
    session.authenticate("ada").await?; // after you have checked a password or passkey
    Ok("signed in\n")
}

#[handler]
async fn logout(session: CookieSession) -> Result<&'static str> {
    session.logout().await?;
    Ok("signed out\n")
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().insecure_development_cookies().build(keys)?;
    let service = CookieSessionService::new(MemoryStore::new(), config);
    let _cleanup = service.spawn_cleanup(std::time::Duration::from_secs(3600));
    let routes = Route::new().at("/", get(home)).at("/login", post(login)).at("/logout", post(logout));
    Ok(Server::new(TcpListener::bind("127.0.0.1:3000")).run(routes.with(CookieSessionMiddleware::new(service))).await?)
}
