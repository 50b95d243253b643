//! This project's sessions, with all defaults, on the store that a server is told to use.

use std::str::FromStr;

use session_axum::session_core::{CookieSessionService, SessionStore};
use session_axum::{KeyRing, MemoryStore, MySqlOptions, PostgresOptions, PostgresStore, RedisOptions};
use session_axum::{SessionConfig, SigningKey, SqliteOptions, SqliteStore};
use sqlx::SqlitePool;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::common;

pub async fn open(store: &str) -> CookieSessionService {
    let connections = common::connections();
    match store.split(':').next() {
        Some("memory") => over(MemoryStore::new()),
        Some("sqlite") => {
            let mut options = SqliteOptions::new(store);
            if let Some(connections) = connections {
                options = options.max_connections(connections);
            }
            if !common::waits_for_the_disk() {
                options = options.synchronous_normal_may_lose_writes_on_power_cut();
            }
            over(options.open().await.expect("a file"))
        }
        Some("postgres") => {
            let options = PostgresOptions::new(store).max_connections(connections.unwrap_or(16));
            over(options.open().await.expect("a server"))
        }
        Some("mysql") => {
            let options = MySqlOptions::new(store).max_connections(connections.unwrap_or(16));
            over(options.open().await.expect("a server"))
        }
        Some("redis") => over(RedisOptions::new(store).open().await.expect("a server")),
        // A pool of the application's own, as sqlx makes it.
        Some("pool-sqlite") => {
            let synchronous =
                if common::waits_for_the_disk() { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
            let options =
                SqliteConnectOptions::from_str(&store["pool-".len()..]).expect("a path").create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
            let store = SqliteStore::new(SqlitePool::connect_with(options).await.expect("a file"));
            store.migrate().await.expect("tables");
            over(store)
        }
        Some("pool-postgres") => {
            let pool = PgPoolOptions::new().max_connections(connections.unwrap_or(16));
            let store = PostgresStore::new(pool.connect(&store["pool-".len()..]).await.expect("a server"));
            store.migrate().await.expect("tables");
            over(store)
        }
        _ => panic!("no such store: {store}"),
    }
}

fn over(store: impl SessionStore) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
    CookieSessionService::new(store, SessionConfig::builder().build(keys).expect("the defaults are valid"))
}
