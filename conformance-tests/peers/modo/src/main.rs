//! Axum with modo's cookie sessions, in SQLite by libsql.

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use modo::Result;
use modo::auth::session::cookie::{CookieSession, CookieSessionService, CookieSessionsConfig};
use modo::db::{self, SynchronousMode};
use modo::ip::ClientIpLayer;

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
use common::{Data, KEYS, Login, Set};

/// As its documentation gives it.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS authenticated_sessions (
    id TEXT NOT NULL PRIMARY KEY, session_token_hash TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
    ip_address TEXT NOT NULL DEFAULT '', user_agent TEXT NOT NULL DEFAULT '', device_name TEXT NOT NULL DEFAULT '',
    device_type TEXT NOT NULL DEFAULT '', fingerprint TEXT NOT NULL DEFAULT '', data TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL, last_active_at TEXT NOT NULL, expires_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS idx_sessions_user_id ON authenticated_sessions (user_id);
CREATE INDEX IF NOT EXISTS idx_sessions_expires_at ON authenticated_sessions (expires_at);";

#[tokio::main]
async fn main() {
    let store = common::store();
    let path = store.strip_prefix("sqlite:").expect("only SQLite");
    let synchronous = if common::waits_for_the_disk() { SynchronousMode::Full } else { SynchronousMode::Normal };
    let database = db::Config { path: path.to_owned(), synchronous, ..db::Config::default() };
    let database = db::connect(&database).await.expect("a file");
    database.conn().execute_batch(TABLES).await.expect("tables");
    let mut config = CookieSessionsConfig::default();
    config.cookie.secret = "7".repeat(64);
    let sessions = CookieSessionService::new(database, config).expect("a valid configuration");
    let routes = Router::new()
        .route("/plain", get(async || "plain"))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .route("/rotate", get(rotate))
        .route("/set", get(set))
        .route("/keys", get(keys_there))
        .route("/data", get(data))
        .layer(sessions.layer())
        .layer(ClientIpLayer::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes).await.expect("it serves");
}

async fn read(session: CookieSession) -> Result<&'static str> {
    let theme: Option<String> = session.get("theme")?;
    std::hint::black_box(theme);
    Ok("plain")
}

async fn write(session: CookieSession) -> Result<&'static str> {
    session.set("theme", &common::next_theme())?;
    Ok("plain")
}

async fn login(session: CookieSession, Query(login): Query<Login>) -> Result<&'static str> {
    // A `set` after it, in the same request, isn't stored.
    session.authenticate_with(&login.user, [("theme", "light")].into_iter().collect()).await?;
    Ok("plain")
}

async fn logout(session: CookieSession) -> Result<&'static str> {
    session.logout().await?;
    Ok("plain")
}

async fn rotate(session: CookieSession) -> Result<&'static str> {
    session.rotate().await?;
    Ok("plain")
}

async fn set(session: CookieSession, Query(set): Query<Set>) -> Result<&'static str> {
    let theme: Option<String> = session.get("theme")?;
    std::hint::black_box(theme);
    set.wait_before().await;
    session.set(&set.key, &"1")?;
    set.wait_after().await;
    Ok("plain")
}

async fn keys_there(session: CookieSession) -> Result<String> {
    if !session.is_authenticated() {
        return Ok("out".to_owned());
    }
    let mut there = Vec::new();
    for key in KEYS {
        if session.get::<String>(key)?.is_some() {
            there.push(key);
        }
    }
    Ok(there.join(","))
}

async fn data(session: CookieSession, Query(data): Query<Data>) -> Result<&'static str> {
    session.set("blob", &"x".repeat(data.bytes))?;
    Ok("plain")
}
