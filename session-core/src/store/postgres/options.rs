//! Connecting to PostgreSQL with settings that fit sessions, and saying clearly why it can't be.
//! Leaves the tables to `schema`.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::PostgresStore;
use super::fault::code;
use crate::store::sql::migrations::MigrateError;

/// How to connect to PostgreSQL: see [`PostgresOptions::new`].
#[derive(Clone)]
pub struct PostgresOptions {
    url: String,
    max_connections: u32,
    patience: Duration,
}

impl PostgresOptions {
    /// Options for the database at `url`, `postgres://user:password@host:port/database`, with libpq's parameters after a
    /// `?`: up to 16 connections, and 5 seconds of patience for a free one, after which a request is a 503.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_connections: 16, patience: Duration::from_secs(5) }
    }

    /// At most this many connections, at least one. All nodes together must stay below the server's `max_connections`.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a request waits for a free connection.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects, and brings the tables to this release's schema.
    ///
    /// # Errors
    /// [`PostgresOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(self) -> Result<PostgresStore, PostgresOpenError> {
        let is_postgres = self.url.starts_with("postgres://") || self.url.starts_with("postgresql://");
        let options = PgConnectOptions::from_str(&self.url).ok().filter(|_| is_postgres);
        let options = options.ok_or(PostgresOpenError::Url)?;
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.patience)
            // A connection that has died shows at its next use, and asking each time would be one more round trip.
            .test_before_acquire(false)
            .connect_with(options);
        let store = PostgresStore::new(pool.await.map_err(|error| PostgresOpenError::of(error.into()))?);
        store.migrate().await?;
        Ok(store)
    }
}

/// The URL may hold a password.
impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("max_connections", &self.max_connections)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Why a PostgreSQL database can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresOpenError {
    /// It is no URL of PostgreSQL. It isn't repeated here, because it may hold a password.
    #[error("this is no PostgreSQL URL: write `postgres://user:password@host:5432/database`")]
    Url,
    /// Nobody answers.
    #[error("no PostgreSQL server answers: check host and port of the URL, and that the server runs")]
    NoServer {
        /// What happened.
        source: sqlx::Error,
    },
    /// User or password are wrong.
    #[error("the PostgreSQL server refuses this user: check user and password of the URL, and pg_hba.conf")]
    Refused {
        /// What the server said.
        source: sqlx::Error,
    },
    /// The database isn't there.
    #[error("the PostgreSQL server has no such database: create it, or correct the URL")]
    NoDatabase {
        /// What the server said.
        source: sqlx::Error,
    },
    /// The user may not make or use the tables.
    #[error(
        "this user may not make the session tables: grant CREATE on the schema, or migrate as another user and grant \
         SELECT, INSERT, UPDATE and DELETE on cookie_session, cookie_session_user and cookie_session_schema"
    )]
    MissingRights {
        /// What the server said.
        source: sqlx::Error,
    },
    /// A newer release changed the tables in a way that this one doesn't understand.
    #[error("the session tables are of version {found}, this release knows {known}: use a newer release")]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// Anything else that the server has to say.
    #[error("can't use the PostgreSQL database for sessions: {source}")]
    Other {
        /// What the server said.
        source: sqlx::Error,
    },
}

impl PostgresOpenError {
    pub(super) fn of(error: MigrateError) -> Self {
        let source = match error {
            MigrateError::Newer { found, known } => return Self::NewerSchema { found, known },
            MigrateError::Sqlx(source) => source,
        };
        match (code(&source).as_deref(), &source) {
            (Some("28000" | "28P01"), _) => Self::Refused { source },
            (Some("3D000"), _) => Self::NoDatabase { source },
            (Some("42501" | "3F000" | "25006"), _) => Self::MissingRights { source },
            (None, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => Self::NoServer { source },
            _ => Self::Other { source },
        }
    }
}
