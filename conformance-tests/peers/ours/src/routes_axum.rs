//! The routes on Axum.

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use session_axum::{CookieSession, Result};

use super::common::{self, Data, KEYS, Login, Set};

pub fn routes() -> Router {
    Router::new()
        .route("/plain", get(async || "plain"))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .route("/rotate", get(rotate))
        .route("/set", get(set))
        .route("/keys", get(keys_there))
        .route("/data", get(data))
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
    session.authenticate_with(&login.user, serde_json::json!({"theme": "light"})).await?;
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
