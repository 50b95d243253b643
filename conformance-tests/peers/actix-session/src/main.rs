//! Actix with actix-session: in the cookie itself, or in Redis.

use actix_session::config::PersistentSession;
use actix_session::storage::{CookieSessionStore, RedisSessionStore, SessionStore};
use actix_session::{Session, SessionGetError, SessionInsertError, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::web::{Query, ServiceConfig, get};
use actix_web::{App, HttpServer};

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
use common::{Data, KEYS, Login, Set};

#[actix_web::main]
async fn main() {
    let store = common::store();
    if store == "cookie" {
        serve(CookieSessionStore::default).await;
    } else {
        let redis = RedisSessionStore::new(&store).await.expect("a server");
        serve(move || redis.clone()).await;
    }
}

async fn serve<S: SessionStore + 'static>(store: impl Fn() -> S + Clone + Send + 'static) {
    let server = HttpServer::new(move || {
        let lifecycle = PersistentSession::default().session_ttl(Duration::days(1));
        let sessions = SessionMiddleware::builder(store(), Key::from(&[7; 64])).session_lifecycle(lifecycle).build();
        App::new().configure(routes).wrap(sessions)
    });
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
