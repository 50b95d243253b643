//! SQLite by hand, in the thread of whoever asks, with a connection for each thread.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use rusqlite::{Connection, OptionalExtension, params};

use super::{INSERT, SELECT, TABLE, common, cookie, next_id};

const UPDATE: &str = "UPDATE by_hand SET data = ?2, version = version + 1 WHERE token = ?1 AND version = ?3";

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

pub(super) fn routes(path: &str) -> Router {
    open(path).execute(TABLE, []).expect("a table");
    Router::new()
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .with_state(path.into())
}

fn open(path: &str) -> Connection {
    let connection = Connection::open(path).expect("a file");
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a setting");
    let synchronous = if common::waits_for_the_disk() { "FULL" } else { "NORMAL" };
    connection
        .execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}"))
        .expect("settings");
    connection
}

fn with<T>(path: &str, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
    CONNECTION.with_borrow_mut(|connection| act(connection.get_or_insert_with(|| open(path))).expect("a database"))
}

/// Data and version.
fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<(String, i64)>> {
    let mut select = connection.prepare_cached(SELECT)?;
    select.query_row(params![id, 0], |row| Ok((row.get(5)?, row.get(6)?))).optional()
}

async fn read(State(path): State<Arc<str>>, headers: HeaderMap) -> &'static str {
    let found = with(&path, |connection| find(connection, &cookie(&headers)));
    std::hint::black_box(found.expect("a session"));
    "plain"
}

async fn write(State(path): State<Arc<str>>, headers: HeaderMap) -> &'static str {
    let id = cookie(&headers);
    loop {
        let stored = with(&path, |connection| {
            let (_, version) = find(connection, &id)?.expect("a session");
            let data = format!(r#"{{"theme":"{}"}}"#, common::next_theme());
            connection.prepare_cached(UPDATE)?.execute(params![id, data, version])
        });
        if stored == 1 {
            return "plain";
        }
    }
}

async fn login(State(path): State<Arc<str>>) -> ([(&'static str, String); 1], &'static str) {
    let id = next_id();
    with(&path, |connection| connection.execute(INSERT, [&id]));
    ([("set-cookie", format!("id={id}"))], "plain")
}
