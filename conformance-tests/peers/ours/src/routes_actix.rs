//! The routes on Actix.

use actix_web::web::{Query, ServiceConfig, get};
use session_actix::{CookieSession, Result};

use super::common::{self, Data, KEYS, Login, Set};

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

async fn read(session: CookieSession) -> Result<&'static str> {
    let theme: Option<String> = session.get("theme")?;
    std::hint::black_box(theme);
    Ok("plain")
}

async fn write(session: CookieSession) -> Result<&'static str> {
    session.set("theme", &common::next_theme())?;
    Ok("plain")
}

async fn login(session: CookieSession, login: Query<Login>) -> Result<&'static str> {
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

async fn set(session: CookieSession, set: Query<Set>) -> Result<&'static str> {
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

async fn data(session: CookieSession, data: Query<Data>) -> Result<&'static str> {
    session.set("blob", &"x".repeat(data.bytes))?;
    Ok("plain")
}
