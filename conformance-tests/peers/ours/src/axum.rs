//! Axum with this project's sessions.

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use session_axum::{
    CookieSession, CookieSessionService, KeyRing, MemoryStore, MySqlOptions, PostgresOptions, Result, SessionConfig,
    SigningKey, SqliteOptions,
};

#[path = "../../common.rs"]
mod common;
use common::{Data, KEYS, Login, Set};

#[tokio::main]
async fn main() {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
    let config = SessionConfig::builder().build(keys).expect("the defaults are valid");
    let store = common::store();
    let connections = common::connections();
    let service = match store.split(':').next() {
        Some("memory") => CookieSessionService::new(MemoryStore::new(), config),
        Some("sqlite") => {
            let mut options = SqliteOptions::new(&store);
            if let Some(connections) = connections {
                options = options.max_connections(connections);
            }
            if !common::waits_for_the_disk() {
                options = options.synchronous_normal_may_lose_writes_on_power_cut();
            }
            CookieSessionService::new(options.open().await.expect("a file"), config)
        }
        Some("postgres") => {
            let mut options = PostgresOptions::new(&store);
            if let Some(connections) = connections {
                options = options.max_connections(connections);
            }
            CookieSessionService::new(options.open().await.expect("a server"), config)
        }
        Some("mysql") => {
            let mut options = MySqlOptions::new(&store);
            if let Some(connections) = connections {
                options = options.max_connections(connections);
            }
            CookieSessionService::new(options.open().await.expect("a server"), config)
        }
        _ => panic!("no such store: {store}"),
    };
    let routes = Router::new()
        .route("/plain", get(async || "plain"))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .route("/rotate", get(rotate))
        .route("/set", get(set))
        .route("/keys", get(keys_there))
        .route("/data", get(data));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes.layer(service.layer())).await.expect("it serves");
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
