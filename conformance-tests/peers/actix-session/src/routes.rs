//! The routes on actix-session, and its middleware.

use actix_session::config::PersistentSession;
use actix_session::storage::SessionStore;
use actix_session::{Session, SessionGetError, SessionInsertError, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::web::{Query, ServiceConfig, get};

use super::common::{self, Data, KEYS, Login, Set};

pub fn middleware<S: SessionStore>(store: S) -> SessionMiddleware<S> {
    let lifecycle = PersistentSession::default().session_ttl(Duration::days(1));
    SessionMiddleware::builder(store, Key::from(&[7; 64])).session_lifecycle(lifecycle).build()
}

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/plain", get().to(async || "plain"))
        .route("/read", get().to(read))
        .route("/write", get().to(write))
        .route("/login", get().to(login))
        .route("/logout", get().to(logout))
        .route("/rotate", get().to(rotate))
        .route("/set", get().to(set))
        .route("/keys", get().to(keys_there))
        .route("/data", get().to(data));
}

async fn read(session: Session) -> Result<&'static str, SessionGetError> {
    let theme: Option<String> = session.get("theme")?;
    std::hint::black_box(theme);
    Ok("plain")
}

async fn write(session: Session) -> Result<&'static str, SessionInsertError> {
    session.insert("theme", common::next_theme())?;
    Ok("plain")
}

async fn login(session: Session, login: Query<Login>) -> Result<&'static str, SessionInsertError> {
    session.renew();
    session.insert("user", &login.user)?;
    session.insert("theme", "light")?;
    Ok("plain")
}

async fn logout(session: Session) -> &'static str {
    session.purge();
    "plain"
}

async fn rotate(session: Session) -> &'static str {
    session.renew();
    "plain"
}

async fn set(session: Session, set: Query<Set>) -> Result<&'static str, SessionInsertError> {
    let theme: Option<String> = session.get("theme").unwrap_or_default();
    std::hint::black_box(theme);
    set.wait_before().await;
    session.insert(&set.key, "1")?;
    set.wait_after().await;
    Ok("plain")
}

async fn keys_there(session: Session) -> Result<String, SessionGetError> {
    if session.get::<String>("user")?.is_none() {
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

async fn data(session: Session, data: Query<Data>) -> Result<&'static str, SessionInsertError> {
    session.insert("blob", "x".repeat(data.bytes))?;
    Ok("plain")
}
