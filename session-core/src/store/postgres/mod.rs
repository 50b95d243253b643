//! Sessions in PostgreSQL, which any number of app servers share.
//! Leaves opening to `options`, tables to `schema`, what a failure means to `fault`, and what it has in common with other
//! databases to `sql`.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Row};

use super::StoreError;
use super::sql::glue::{sql_store, sqlx_glue};
use super::sql::statements::{Dialect, Statements};
use super::sql::{Backend, Step};
use crate::session::UserId;

mod fault;
mod options;
mod schema;
#[cfg(test)]
mod tests;

pub use options::{PostgresOpenError, PostgresOptions};

/// How often a transaction that the database rolled back, because it ran into another one, is run again.
const RETRIES: u32 = 20;

/// Takes the user's turn, until the transaction ends. `DO UPDATE` and not `DO NOTHING`, which would lock nothing.
const TAKE_TURN: &str = "INSERT INTO cookie_session_user (user_id) VALUES ($1) \
     ON CONFLICT (user_id) DO UPDATE SET user_id = EXCLUDED.user_id";

/// Sessions in PostgreSQL. Clones share the connections. What the database needs is in
/// [`operators`](crate::store::operators).
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use session_core::PostgresStore;
///
/// let store = PostgresStore::open("postgres://app@db.internal/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// A connection belongs to the async runtime that opened it, as sqlx has it: where one runtime of a process ends while others
/// go on, its connections fail once and are replaced.
///
/// Everything is read from the server that the pool connects to: point it at the primary, because a replica that lags
/// behind would let revoked sessions in. Times are kept in whole microseconds. A failure says [`StoreError::NotApplied`] only
/// if nothing was changed for certain.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    /// How long the server may take to answer.
    patience: Duration,
}

/// [`PostgresStore::answer_within`], unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

impl PostgresStore {
    /// Sessions in the database of your own `pool`, whose settings stay as they are. Call [`migrate`](Self::migrate)
    /// before the first request. The tables are those of the connections' `search_path`.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool, patience: PATIENCE }
    }

    /// How long the server may take for one operation, 10 seconds by default: a request that waits longer is a 503, and its
    /// connection is closed. How long to wait for a free connection is the pool's own setting.
    #[must_use]
    pub const fn answer_within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects to the database at `url` with the settings of [`PostgresOptions::new`], and brings its tables to this
    /// release's schema.
    ///
    /// # Errors
    /// [`PostgresOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(url: &str) -> Result<Self, PostgresOpenError> {
        PostgresOptions::new(url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session`, `cookie_session_user` and `cookie_session_schema`. Does
    /// nothing if they are, and is safe to call from many nodes at once.
    ///
    /// # Errors
    /// [`PostgresOpenError`], which says what to do.
    pub async fn migrate(&self) -> Result<(), PostgresOpenError> {
        let migrated = async {
            let mut conn = self.pool.acquire().await?;
            schema::migrate(&mut conn).await
        };
        migrated.await.map_err(PostgresOpenError::of)
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(fault::before_commit)
    }

    /// Runs `operation` on a connection of the pool. One that failed, or on which nobody answers in time, is closed.
    async fn on_connection<T>(
        &self,
        operation: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Failed>,
    ) -> Result<Result<T, Failed>, StoreError> {
        let mut conn = self.connection().await?;
        let outcome = match tokio::time::timeout(self.patience, operation(&mut conn)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failed::NoAnswer),
        };
        match &outcome {
            // At once, and without a word to a server that may not listen.
            Err(Failed::NoAnswer) => drop(conn.detach()),
            Err(Failed::Before(error) | Failed::AtCommit(error)) if fault::is_of_connection(error) => {
                drop(conn.detach());
            }
            _ => {}
        }
        Ok(outcome)
    }
}

impl Backend for PostgresStore {
    type Row = PgRow;

    fn sql(&self) -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::POSTGRES));
        &SQL
    }

    async fn read(&self, step: Step<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut tries = 0;
        loop {
            let read = self.on_connection(async |conn| query(&step).fetch_all(conn).await.map_err(Failed::Before));
            match read.await? {
                // A connection of the pool may have died since it was used last. Reading again changes nothing.
                Err(Failed::Before(error)) if fault::is_worth_another_try(&error) && tries < RETRIES => tries += 1,
                Err(Failed::Before(error) | Failed::AtCommit(error)) => return Err(fault::before_commit(error)),
                Err(Failed::NoAnswer) => return Err(StoreError::not_applied(NoAnswer)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    async fn write(&self, step: Step<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut tries = 0;
        loop {
            let write = self.on_connection(async |conn| query(&step).fetch_all(conn).await.map_err(Failed::AtCommit));
            match write.await? {
                Err(Failed::AtCommit(error)) if fault::is_rolled_back(&error) && tries < RETRIES => tries += 1,
                Err(Failed::Before(error) | Failed::AtCommit(error)) => return Err(fault::statement(error)),
                Err(Failed::NoAnswer) => return Err(StoreError::unknown(NoAnswer)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    async fn in_turn(&self, user: &UserId, steps: &[Step<'_>]) -> Result<Vec<PgRow>, StoreError> {
        let mut tries = 0;
        loop {
            match self.on_connection(async |conn| transaction(conn, user, steps).await).await? {
                // Before the commit nothing is changed, whatever became of the connection.
                Err(Failed::Before(error)) if fault::is_worth_another_try(&error) && tries < RETRIES => tries += 1,
                Err(Failed::AtCommit(error)) if fault::is_rolled_back(&error) && tries < RETRIES => tries += 1,
                Err(Failed::Before(error)) => return Err(fault::before_commit(error)),
                Err(Failed::AtCommit(error)) => return Err(fault::statement(error)),
                Err(Failed::NoAnswer) => return Err(StoreError::unknown(NoAnswer)),
                Ok(rows) => return Ok(rows),
            }
        }
    }
}

/// How an operation failed.
enum Failed {
    /// Certainly before its commit.
    Before(sqlx::Error),
    /// It may be at the commit.
    AtCommit(sqlx::Error),
    /// Nobody knows.
    NoAnswer,
}

/// The server took too long.
#[derive(Debug, thiserror::Error)]
#[error("the PostgreSQL server did not answer in time")]
struct NoAnswer;

/// Runs the steps while the user's row is locked: the rows of the last. Dropped before its commit it is rolled back.
async fn transaction(conn: &mut PgConnection, user: &UserId, steps: &[Step<'_>]) -> Result<Vec<PgRow>, Failed> {
    // Whatever the database's default: each statement must see what was committed while it waited for its turn.
    let begin = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED");
    let mut tx = begin.await.map_err(Failed::Before)?;
    sqlx::query(TAKE_TURN).bind(user.as_str()).execute(&mut *tx).await.map_err(Failed::Before)?;
    let mut rows = Vec::new();
    for step in steps {
        rows = query(step).fetch_all(&mut *tx).await.map_err(Failed::Before)?;
    }
    tx.commit().await.map_err(Failed::AtCommit)?;
    Ok(rows)
}

/// Names the database, and nothing of what is in it.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.pool.connect_options();
        f.debug_struct("PostgresStore")
            .field("host", &options.get_host())
            .field("database", &options.get_database())
            .finish_non_exhaustive()
    }
}

sqlx_glue!(Postgres, PgRow, PgArguments, fault::before_commit);
sql_store!(PostgresStore);
