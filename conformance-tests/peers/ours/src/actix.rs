//! Actix with this project's sessions.

use actix_web::web::{Query, ServiceConfig, get};
use actix_web::{App, HttpServer};
use session_actix::{
    CookieSession, CookieSessionService, KeyRing, MemoryStore, MySqlOptions, PostgresOptions, Result, SessionConfig,
    SigningKey, SqliteOptions,
};

#[path = "../../common.rs"]
mod common;
use common::{Data, KEYS, Login, Set};

#[actix_web::main]
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
    let server = HttpServer::new(move || App::new().configure(routes).wrap(service.middleware()));
    let server = server.bind("127.0.0.1:0").expect("a port");
    common::listening(server.addrs()[0]);
    server.run().await.expect("it serves");
}

fn routes(config: &mut ServiceConfig) {
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
