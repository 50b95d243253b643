//! Sessions in an embedded SQLite file, which several processes of one machine may share.
//! Leaves opening to `options`, tables to `schema`, what a failure means to `fault`, and what it has in common with other
//! databases to `sql`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection, Row, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, MutexGuard};

use super::StoreError;
use super::sql::Backend;
use super::sql::dialect::Dialect;
use super::sql::glue::sqlx_glue;
use super::sql::groups::Groups;
use super::sql::row::Written;
use super::sql::spares::{Lent, PING, Spares, lend};
use super::sql::statements::Statements;
use super::sql::task::{Step, Task};

mod fault;
mod options;
mod schema;
#[cfg(test)]
mod tests;

pub use options::{SqliteOpenError, SqliteOptions};

/// What a row can hold, `SQLITE_MAX_LENGTH`, less what else is in it.
const MOST_DATA: usize = 1_000_000_000 - (1 << 20);

/// Sessions in a SQLite file. Clones share the connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_core::SqliteOpenError> {
/// use session_core::SqliteStore;
///
/// let store = SqliteStore::open("sqlite::memory:").await?;
/// store.migrate().await?; // `open` has done so already; a second time does nothing
/// # Ok(())
/// # }
/// ```
///
/// Times are kept in whole microseconds. A failure says [`StoreError::NotApplied`] only if SQLite refused the change.
#[derive(Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    /// SQLite lets one connection write at a time, and the others poll with growing pauses. Within this process they
    /// queue instead, and without holding a connection that a reader could use.
    writer: Arc<Mutex<()>>,
    /// What is asked together, if it opened the file itself.
    groups: Option<Arc<Groups<SqliteRow>>>,
    /// Its spare connections, if it opened the file itself.
    spares: Option<Arc<Spares<Sqlite>>>,
}

impl SqliteStore {
    /// Sessions in the database of your own `pool`, whose settings stay as they are. Call [`migrate`](Self::migrate)
    /// before the first request.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, writer: Arc::default(), groups: None, spares: None }
    }

    /// Opens the file at `path_or_url` with the settings of [`SqliteOptions::new`], creating it if need be, and brings
    /// its tables to this release's schema.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(path_or_url: &str) -> Result<Self, SqliteOpenError> {
        SqliteOptions::new(path_or_url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session` and `cookie_session_schema`. Does nothing if they
    /// are, and is safe to call from many processes at once.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn migrate(&self) -> Result<(), SqliteOpenError> {
        let migrated = async {
            let mut conn = lend(self.spares.as_ref(), &self.pool, false).await?;
            schema::migrate(&mut conn).await
        };
        migrated.await.map_err(|error| SqliteOpenError::of(&options::path_of(&self.pool), error))
    }

    async fn connection(&self) -> Result<Lent<'_, Sqlite>, StoreError> {
        lend(self.spares.as_ref(), &self.pool, false).await.map_err(fault::before_commit)
    }

    /// Waits for the turn to write, as long as for a connection.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let patience = self.pool.options().get_acquire_timeout();
        let turn = tokio::time::timeout(patience, self.writer.lock()).await;
        turn.map_err(|_| StoreError::not_applied("other writes took too long"))
    }
}

impl Backend for SqliteStore {
    type Row = SqliteRow;

    fn groups(&self) -> Option<&Groups<SqliteRow>> {
        self.groups.as_deref()
    }

    fn sql(&self) -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::SQLITE));
        &SQL
    }

    fn most_data(&self) -> Option<usize> {
        Some(MOST_DATA)
    }

    async fn read(&self, step: Step<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        let mut conn = self.connection().await?;
        let rows = query(&step).fetch_all(&mut **conn).await.map_err(fault::before_commit)?;
        conn.keep(PING);
        Ok(rows)
    }

    /// Its row is handed over at once, without waiting for the end of the statement.
    async fn read_one(&self, step: Step<'_>) -> Result<Option<SqliteRow>, StoreError> {
        let mut conn = self.connection().await?;
        let row = query(&step).fetch_optional(&mut **conn).await.map_err(fault::before_commit)?;
        conn.keep(PING);
        Ok(row)
    }

    /// With `fetch_optional` sqlx would stop at the first row, and never hear of a failed commit.
    async fn write(&self, step: Step<'_>) -> Result<Written<SqliteRow>, StoreError> {
        let _turn = self.turn().await?;
        let mut conn = self.connection().await?;
        let rows = query(&step).fetch_all(&mut **conn).await.map_err(fault::statement)?;
        conn.keep(PING);
        Ok(Written::of(rows))
    }

    async fn change(&self, task: Task) -> Result<Written<SqliteRow>, StoreError> {
        let steps = task.steps(self.sql());
        let _turn = self.turn().await?;
        let mut conn = self.connection().await?;
        if let [step] = &steps[..] {
            // One statement is a transaction of its own, and nobody else writes meanwhile.
            let rows = query(step).fetch_all(&mut **conn).await.map_err(fault::statement)?;
            conn.keep(PING);
            return Ok(Written::of(rows));
        }
        let result = transaction(&mut conn, &steps).await;
        // After some errors SQLite itself has rolled back, and sqlx, whose own roll-back then fails, counts a
        // transaction as open for ever: such a connection would refuse every later sign-in. The ping comes after the
        // roll-back in the connection's queue.
        if result.is_ok() {
            conn.keep(PING);
        } else if conn.ping().await.is_err() || conn.is_in_transaction() {
            conn.close_on_drop();
        }
        result.map(Written::of)
    }
}

/// Runs the steps: the rows of the last. Dropped before its commit it is rolled back.
async fn transaction(conn: &mut SqliteConnection, steps: &[Step<'_>]) -> Result<Vec<SqliteRow>, StoreError> {
    // Whoever races for the limit waits here, not at the first write, where it would be too late to wait.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(fault::before_commit)?;
    let mut rows = Vec::new();
    for step in steps {
        rows = query(step).fetch_all(&mut *tx).await.map_err(fault::before_commit)?;
    }
    tx.commit().await.map_err(fault::commit)?;
    Ok(rows)
}

/// Names the file, and nothing of what is in it.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &options::path_of(&self.pool)).finish_non_exhaustive()
    }
}

sqlx_glue!(Sqlite, SqliteRow, SqliteArguments, fault::before_commit);
