//! Axum without sessions: what the others are compared with. With a store, the hand-written least that an app can do to look a
//! session up there, with no security at all: `select-sqlite:PATH` and `select-postgres://…` the one SELECT, by sqlx, and
//! `floor:PATH` a SELECT, and for a write an UPDATE too, in the handler's own thread.

use std::str::FromStr;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, Row};

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
mod floor;

/// As wide as this project's row of a session is.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS by_hand (token TEXT PRIMARY KEY, id TEXT NOT NULL, previous_token TEXT, \
     token_issued_at BIGINT NOT NULL, token_seen BOOLEAN NOT NULL, user_id TEXT NOT NULL, ip_address TEXT NOT NULL, \
     user_agent TEXT NOT NULL, device_name TEXT NOT NULL, device_type TEXT NOT NULL, fingerprint TEXT NOT NULL, data TEXT NOT NULL, \
     version BIGINT NOT NULL, persistent BOOLEAN NOT NULL, created_at BIGINT NOT NULL, authenticated_at BIGINT NOT NULL, \
     last_active_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, absolute_expires_at BIGINT NOT NULL)";
const SELECT: &str = "SELECT token, id, previous_token, token_issued_at, token_seen, user_id, ip_address, user_agent, device_name, \
     device_type, fingerprint, data, version, persistent, created_at, authenticated_at, last_active_at, expires_at, absolute_expires_at \
     FROM by_hand WHERE token = $1 AND expires_at > $2";
const INSERT: &str = "INSERT INTO by_hand VALUES ($1, '0192e5d2b3c474738a8f3d1f2a4b5c6d', NULL, 0, TRUE, $1, '192.0.2.1', \
     'Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0', 'Firefox on Linux', 'desktop', 'Linux/Firefox', \
     '{\"theme\":\"light\"}', 0, TRUE, 0, 0, 0, 4102444800000000, 4102444800000000) ON CONFLICT DO NOTHING";
/// Where `SELECT` has the data.
const DATA: usize = 11;

#[tokio::main]
async fn main() {
    let store = common::store();
    let plain = || Router::new().route("/plain", get(async || "plain"));
    let routes = match store.split_once(':') {
        None => plain()
            .route("/read", get(async || "plain"))
            .route(
                "/write",
                get(async || {
                    std::hint::black_box(common::next_theme());
                    "plain"
                }),
            )
            .route("/login", get(async || "plain")),
        Some(("floor", path)) => plain().merge(floor::routes(path)),
        Some(("select-sqlite", path)) => plain().merge(sqlite(path).await),
        Some(("select-postgres", rest)) => plain().merge(postgres(&format!("postgres:{rest}")).await),
        Some(_) => panic!("no such store: {store}"),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes).await.expect("it serves");
}

/// The value of the cookie `id`.
fn cookie(headers: &HeaderMap) -> String {
    let cookie = headers.get("cookie").and_then(|line| line.to_str().ok()).unwrap_or_default();
    cookie.strip_prefix("id=").unwrap_or_default().to_owned()
}

fn next_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:064x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

macro_rules! select {
    ($pool:expr, $type:ty) => {{
        let pool: $type = $pool;
        pool.execute(TABLE).await.expect("a table");
        Router::new()
            .route(
                "/read",
                get(async |State(pool): State<$type>, headers: HeaderMap| {
                    let row = sqlx::query(SELECT).bind(cookie(&headers)).bind(0_i64).fetch_optional(&pool).await;
                    let row = row.expect("a database").expect("a session");
                    std::hint::black_box(row.get::<String, _>(DATA));
                    "plain"
                }),
            )
            .route(
                "/login",
                get(async |State(pool): State<$type>| {
                    let id = next_id();
                    sqlx::query(INSERT).bind(&id).execute(&pool).await.expect("a database");
                    ([("set-cookie", format!("id={id}"))], "plain")
                }),
            )
            .with_state(pool)
    }};
}

async fn sqlite(path: &str) -> Router {
    let options = SqliteConnectOptions::from_str(path).expect("a path").create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(common::connections().unwrap_or(8)).test_before_acquire(false);
    select!(pool.connect_with(options).await.expect("a file"), SqlitePool)
}

async fn postgres(url: &str) -> Router {
    let pool = PgPoolOptions::new().max_connections(common::connections().unwrap_or(16)).test_before_acquire(false);
    select!(pool.connect(url).await.expect("a server"), PgPool)
}
