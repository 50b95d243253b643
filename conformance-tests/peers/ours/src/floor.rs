//! SQLite by hand, in the thread of whoever asks, with a connection for each thread to read, and one that writes.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use rusqlite::{Connection, OptionalExtension, params};

use super::{DATA, INSERT, SELECT, TABLE, common, cookie, next_id};

const UPDATE: &str = "UPDATE by_hand SET data = ?2, version = version + 1 WHERE token = ?1 AND version = ?3";

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct File {
    path: Arc<str>,
    /// SQLite has one writer at a time; several would poll for their turn.
    writer: Arc<Mutex<Connection>>,
}

pub(super) fn routes(path: &str) -> Router {
    let writer = open(path);
    writer.execute(TABLE, []).expect("a table");
    Router::new()
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .with_state(File { path: path.into(), writer: Arc::new(Mutex::new(writer)) })
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
    select.query_row(params![id, 0], |row| Ok((row.get(DATA)?, row.get(DATA + 1)?))).optional()
}

async fn read(State(file): State<File>, headers: HeaderMap) -> &'static str {
    let found = with(&file.path, |connection| find(connection, &cookie(&headers)));
    std::hint::black_box(found.expect("a session"));
    "plain"
}

async fn write(State(file): State<File>, headers: HeaderMap) -> &'static str {
    let id = cookie(&headers);
    loop {
        let found = with(&file.path, |connection| find(connection, &id));
        let (_, version) = found.expect("a session");
        let data = format!(r#"{{"theme":"{}"}}"#, common::next_theme());
        let writer = file.writer.lock().expect("no panic");
        let stored = writer.prepare_cached(UPDATE).and_then(|mut update| update.execute(params![id, data, version]));
        if stored.expect("a database") == 1 {
            return "plain";
        }
    }
}

async fn login(State(file): State<File>) -> ([(&'static str, String); 1], &'static str) {
    let id = next_id();
    file.writer.lock().expect("no panic").execute(INSERT, [&id]).expect("a database");
    ([("set-cookie", format!("id={id}"))], "plain")
}
