//! Axum with axum_session: in memory alone, or in SQLite behind its process cache. At its defaults, without signed cookies.

use std::str::FromStr;

use axum_session::SessionNullPool;
use axum_session_sqlx::SessionSqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

#[path = "../../common.rs"]
mod common;
mod routes;

#[tokio::main]
async fn main() {
    let store = common::store();
    let routes = match store.split_once(':') {
        Some(("sqlite", path)) => {
            let synchronous =
                if common::waits_for_the_disk() { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
            let options = SqliteConnectOptions::from_str(path).expect("a path").create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
            let pool = SqlitePoolOptions::new().max_connections(common::connections().unwrap_or(10));
            let pool = pool.connect_with(options).await.expect("a file");
            let layer = routes::layer(Some(SessionSqlitePool::from(pool))).await;
            routes::routes::<SessionSqlitePool>().layer(layer)
        }
        _ => routes::routes::<SessionNullPool>().layer(routes::layer::<SessionNullPool>(None).await),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes).await.expect("it serves");
}
