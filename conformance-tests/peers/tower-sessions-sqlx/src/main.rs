//! Axum with tower-sessions and its SQL stores and its Redis store, on pools as their documentation makes them.

use std::str::FromStr;

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tower_sessions::SessionManagerLayer;
use tower_sessions::cookie::SameSite;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};
use tower_sessions_sqlx_store::{PostgresStore, SqliteStore};

#[path = "../../common.rs"]
mod common;
#[path = "../../tower_sessions_routes.rs"]
mod routes;

#[tokio::main]
async fn main() {
    let store = common::store();
    // sqlx's own default unless told otherwise.
    let connections = common::connections().unwrap_or(10);
    match store.split_once(':') {
        Some(("sqlite", path)) => {
            let synchronous =
                if common::waits_for_the_disk() { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
            let options = SqliteConnectOptions::from_str(path).expect("a path").create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
            let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await;
            let store = SqliteStore::new(pool.expect("a file"));
            store.migrate().await.expect("tables");
            routes::serve(routes::routes().layer(SessionManagerLayer::new(store).with_same_site(SameSite::Lax))).await;
        }
        Some(("postgres", _)) => {
            let pool = PgPoolOptions::new().max_connections(connections).connect(&store).await;
            let store = PostgresStore::new(pool.expect("a server"));
            store.migrate().await.expect("tables");
            routes::serve(routes::routes().layer(SessionManagerLayer::new(store).with_same_site(SameSite::Lax))).await;
        }
        Some(("redis", _)) => {
            let config = Config::from_url(&store).expect("a URL");
            let pool = Pool::new(config, None, None, None, connections as usize).expect("a pool");
            pool.connect();
            pool.wait_for_connect().await.expect("a server");
            let store = RedisStore::new(pool);
            routes::serve(routes::routes().layer(SessionManagerLayer::new(store).with_same_site(SameSite::Lax))).await;
        }
        _ => panic!("no such store: {store}"),
    }
}
