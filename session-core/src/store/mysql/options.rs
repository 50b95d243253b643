//! Connecting to MySQL or MariaDB with settings that fit sessions. Leaves the tables to `schema`.

use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;

use super::MySqlStore;
use crate::store::sql::groups::Groups;
use crate::store::sql::server::{BESIDE, PoolSettings, ServerOpenError};
use crate::store::sql::spares::Spares;

const SESSION: &str = "SET autocommit = 1, completion_type = 'NO_CHAIN', sql_safe_updates = 0";

/// How to connect to MySQL or MariaDB: see [`MySqlOptions::new`].
#[derive(Debug, Clone)]
pub struct MySqlOptions(PoolSettings);

impl MySqlOptions {
    /// Options for the database at `url`, `mysql://user:password@host:port/database`, with parameters after a
    /// `?`: up to 16 connections, and 5 seconds of patience for a free one, after which a request is a 503.
    pub fn new(url: impl Into<String>) -> Self {
        Self(PoolSettings::new(url.into()))
    }

    /// At most this many connections, at least one. All nodes together must stay below the server's `max_connections`.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.0.max_connections = connections.max(1);
        self
    }

    /// How long a request waits for a free connection.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.0.patience = patience;
        self
    }

    /// Connects, and brings the tables to this release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(self) -> Result<MySqlStore, ServerOpenError> {
        let is_mysql = ["mysql://", "mariadb://"].iter().any(|scheme| self.0.url.starts_with(scheme));
        let options = MySqlConnectOptions::from_str(&self.0.url).ok().filter(|_| is_mysql);
        let options = options.ok_or_else(ServerOpenError::url::<MySqlStore>)?;
        // What a server's own defaults could make of a write: one that is never committed, or refused.
        let pool = self
            .0
            .pool()
            .after_connect(|conn, _| Box::pin(async { sqlx::raw_sql(SESSION).execute(conn).await.map(drop) }));
        let pool = pool.connect_with(options).await;
        let pool = pool.map_err(|error| ServerOpenError::of::<MySqlStore>(error.into()))?;
        let (groups, spares) = (Groups::here(&BESIDE), Spares::of(&pool));
        let store = MySqlStore { groups, spares, ..MySqlStore::new(pool) };
        store.migrate().await?;
        Ok(store)
    }
}
