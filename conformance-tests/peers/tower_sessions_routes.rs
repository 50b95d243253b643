//! The routes on tower-sessions, for both of its versions.

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use tower_sessions::Session;
use tower_sessions::session::Error;

use super::common::{self, Data, KEYS, Login, Set};

type Answer<T = &'static str> = Result<T, StatusCode>;

/// As its documentation does.
fn failed(_: Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

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

pub async fn serve(routes: Router) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes).await.expect("it serves");
}

async fn read(session: Session) -> Answer {
    let theme: Option<String> = session.get("theme").await.map_err(failed)?;
    std::hint::black_box(theme);
    Ok("plain")
}

async fn write(session: Session) -> Answer {
    session.insert("theme", common::next_theme()).await.map_err(failed)?;
    Ok("plain")
}

async fn login(session: Session, Query(login): Query<Login>) -> Answer {
    session.cycle_id().await.map_err(failed)?;
    session.insert("user", login.user).await.map_err(failed)?;
    session.insert("theme", "light").await.map_err(failed)?;
    Ok("plain")
}

async fn logout(session: Session) -> Answer {
    session.flush().await.map_err(failed)?;
    Ok("plain")
}

async fn rotate(session: Session) -> Answer {
    session.cycle_id().await.map_err(failed)?;
    Ok("plain")
}

async fn set(session: Session, Query(set): Query<Set>) -> Answer {
    let theme: Option<String> = session.get("theme").await.map_err(failed)?;
    std::hint::black_box(theme);
    set.wait_before().await;
    session.insert(&set.key, "1").await.map_err(failed)?;
    set.wait_after().await;
    Ok("plain")
}

async fn keys_there(session: Session) -> Answer<String> {
    if session.get::<String>("user").await.map_err(failed)?.is_none() {
        return Ok("out".to_owned());
    }
    let mut there = Vec::new();
    for key in KEYS {
        if session.get::<String>(key).await.map_err(failed)?.is_some() {
            there.push(key);
        }
    }
    Ok(there.join(","))
}

async fn data(session: Session, Query(data): Query<Data>) -> Answer {
    session.insert("blob", "x".repeat(data.bytes)).await.map_err(failed)?;
    Ok("plain")
}
