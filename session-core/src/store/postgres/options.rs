//! Connecting to PostgreSQL with settings that fit sessions. Leaves the tables to `schema`.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::PostgresStore;
use crate::store::sql::groups::Groups;
use crate::store::sql::server::{BESIDE, PoolSettings, ServerOpenError};
use crate::store::sql::spares::Spares;

/// How to connect to PostgreSQL: see [`PostgresOptions::new`].
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pool: PoolSettings,
    is_pooled: bool,
}

impl PostgresOptions {
    /// Options for the database at `url`, `postgres://user:password@host:port/database`, with libpq's parameters after a
    /// `?`: up to 16 connections, and 5 seconds of patience for a free one, after which a request is a 503.
    pub fn new(url: impl Into<String>) -> Self {
        Self { pool: PoolSettings::new(url.into()), is_pooled: false }
    }

    /// At most this many connections, at least one. All nodes together must stay below the server's `max_connections`.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.pool.max_connections = connections.max(1);
        self
    }

    /// How long a request waits for a free connection.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.pool.patience = patience;
        self
    }

    /// For a `url` of PgBouncer, or another pooler, in transaction mode: see [`PostgresStore::transaction_pooling`].
    #[must_use]
    pub const fn transaction_pooling(mut self) -> Self {
        self.is_pooled = true;
        self
    }

    /// Connects, and brings the tables to this release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(self) -> Result<PostgresStore, ServerOpenError> {
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| self.pool.url.starts_with(scheme));
        let options = PgConnectOptions::from_str(&self.pool.url).ok().filter(|_| is_postgres);
        let mut options = options.ok_or_else(ServerOpenError::url::<PostgresStore>)?;
        if self.is_pooled {
            // A setting of the connection, which poolers refuse; no column here holds a float.
            options = options.extra_float_digits(None);
        }
        let pool = self.pool.pool().connect_with(options).await;
        let pool = pool.map_err(|error| ServerOpenError::of::<PostgresStore>(error.into()))?;
        let (groups, spares) = (Groups::here(&BESIDE), Spares::of(&pool));
        let store = PostgresStore { is_pooled: self.is_pooled, groups, spares, ..PostgresStore::new(pool) };
        store.migrate().await?;
        Ok(store)
    }
}
