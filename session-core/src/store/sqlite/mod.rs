//! Sessions in an embedded SQLite file, which several processes of one machine may share. Not here:
//! opening, see `options`; the tables, see `schema`; what a failure means, see `error_codes`; and
//! what all databases have in common, see `sql`.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::{Connection, Row};
use sqlx_sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use tokio::sync::{Mutex, MutexGuard};

use super::StoreError;
use super::sql::Backend;
use super::sql::batch::Batchers;
use super::sql::change::{BoundStatement, Change, check_version};
use super::sql::connection::lease::{FOREIGN_ACQUIRE_TIMEOUT, Lease, LeasePool, OwnPoolTimeout, PING_TIMEOUT, acquire};
use super::sql::dialect::Dialect;
use super::sql::macros::impl_sqlx_row;
use super::sql::row::WriteResult;
use super::sql::statements::Statements;

mod error_codes;
mod location;
mod open_error;
mod opened_file;
mod options;
mod schema;
#[cfg(test)]
mod tests;

pub use open_error::{LocationFault, SqliteOpenError};
use opened_file::OpenedFile;
pub use options::SqliteOptions;

/// What a row can hold, `SQLITE_MAX_LENGTH`, less room for its other columns.
const MAX_DATA_BYTES: usize = 1_000_000_000 - (1 << 20);

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
/// Times are kept in whole microseconds. A failure is [`StoreError::NotApplied`] only if SQLite
/// refused the change or never got it.
#[derive(Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    /// SQLite lets one connection write at a time, and the others poll with growing pauses. Within
    /// this process writers queue here instead, and hold no connection that a reader could use.
    writer: Arc<Mutex<()>>,
    /// Its batchers, if it opened the file itself.
    batchers: Option<Arc<Batchers<SqliteRow>>>,
    /// Its own connections, if it opened the file itself.
    leases: Option<Arc<LeasePool<Sqlite>>>,
    /// Its file, if it opened one itself and another file there would be noticed.
    file: Option<Arc<OpenedFile>>,
}

impl SqliteStore {
    /// Sessions in the database of your own `pool`, whose settings stay as they are. Call
    /// [`migrate`](Self::migrate) before the first request. The pool is one of sqlx 0.9, which this
    /// crate re-exports as `session_core::sqlx`.
    ///
    /// `open` makes a pool of its own, and that is the one to use. On a pool that the application
    /// uses too, a session that is called inside the application's own transaction may find no free
    /// connection, and is a 503 after 10 seconds at most, like the requests that wait with it.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, writer: Arc::default(), batchers: None, leases: None, file: None }
    }

    /// Opens the file at `path_or_url` with the settings of [`SqliteOptions::new`], creates it if
    /// necessary, and brings its tables to this release's schema.
    ///
    /// If the file or its write-ahead log is replaced or removed while it is open, requests are
    /// 503s until it is back, and the event names it: stop the application before you put another
    /// file in its place.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(path_or_url: &str) -> Result<Self, SqliteOpenError> {
        SqliteOptions::new(path_or_url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session`, `cookie_session_schema`, and
    /// `cookie_session_user`, which stays empty. Does nothing if they have it already, and is safe
    /// to call from many processes at once.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn migrate(&self) -> Result<(), SqliteOpenError> {
        let migrated = async {
            let mut conn = acquire(self.leases.as_ref(), &self.pool, false, Duration::MAX).await?;
            schema::migrate(&mut conn).await
        };
        migrated.await.map_err(|error| SqliteOpenError::of(&options::path_of(&self.pool), error))
    }

    /// A connection to read with.
    async fn connection(&self) -> Result<Lease<'_, Sqlite>, StoreError> {
        if let Some(file) = &self.file {
            file.check_sometimes()?;
        }
        self.lease().await
    }

    /// A connection to write with, when no other request of this process writes.
    async fn writing_connection(&self) -> Result<(MutexGuard<'_, ()>, Lease<'_, Sqlite>), StoreError> {
        let waiting = async {
            let writing = self.lock_writes().await?;
            if let Some(file) = &self.file {
                file.check()?;
            }
            Ok((writing, self.lease().await?))
        };
        if self.leases.is_some() {
            return waiting.await;
        }
        // The caller itself may hold what it waits for.
        let waited = tokio::time::timeout(FOREIGN_ACQUIRE_TIMEOUT, waiting).await;
        waited.unwrap_or_else(|_| Err(StoreError::not_applied(OwnPoolTimeout)))
    }

    async fn lease(&self) -> Result<Lease<'_, Sqlite>, StoreError> {
        acquire(self.leases.as_ref(), &self.pool, false, Duration::MAX).await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut if self.leases.is_none() => StoreError::not_applied(OwnPoolTimeout),
            error => error_codes::before_commit(error),
        })
    }

    /// Waits until no other request of this process writes, for as long as for a connection.
    async fn lock_writes(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let limit = self.pool.options().get_acquire_timeout();
        let guard = tokio::time::timeout(limit, self.writer.lock()).await;
        guard.map_err(|_| StoreError::not_applied("other writes took too long"))
    }
}

impl Backend for SqliteStore {
    type Row = SqliteRow;

    fn batchers(&self) -> Option<&Batchers<SqliteRow>> {
        self.batchers.as_deref()
    }

    fn sql(&self) -> &'static Statements {
        statements()
    }

    fn max_data_bytes(&self) -> Option<usize> {
        Some(MAX_DATA_BYTES)
    }

    async fn read(&self, statement: BoundStatement<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        let mut conn = self.connection().await?;
        let rows = query(&statement).fetch_all(&mut **conn).await.map_err(error_codes::before_commit)?;
        conn.release(PING_TIMEOUT);
        Ok(rows)
    }

    /// Returns the row at once, without waiting for the end of the statement.
    async fn read_one(&self, statement: BoundStatement<'_>) -> Result<Option<SqliteRow>, StoreError> {
        let mut conn = self.connection().await?;
        let row = query(&statement).fetch_optional(&mut **conn).await.map_err(error_codes::before_commit)?;
        conn.release(PING_TIMEOUT);
        Ok(row)
    }

    /// With `fetch_optional` sqlx would stop at the first row, and wouldn't notice a failed commit.
    async fn write(&self, statement: BoundStatement<'_>) -> Result<WriteResult<SqliteRow>, StoreError> {
        let (_writing, mut conn) = self.writing_connection().await?;
        let rows = query(&statement).fetch_all(&mut **conn).await.map_err(error_codes::statement)?;
        conn.release(PING_TIMEOUT);
        Ok(WriteResult::of(rows))
    }

    async fn change(&self, change: Change) -> Result<WriteResult<SqliteRow>, StoreError> {
        let statements = change.statements(self.sql());
        let (_writing, mut conn) = self.writing_connection().await?;
        if let [statement] = &statements[..] {
            // One statement is a transaction of its own, and no other request of this process
            // writes meanwhile.
            let rows = query(statement).fetch_all(&mut **conn).await.map_err(error_codes::statement)?;
            conn.release(PING_TIMEOUT);
            return Ok(WriteResult::of(rows));
        }
        let result = transaction(&mut conn, &change, &statements).await;
        // After some errors SQLite itself has rolled back. sqlx's own roll-back then fails, and it
        // counts a transaction as open for ever, so the connection would refuse every later
        // sign-in. The ping waits in the connection's queue behind the roll-back.
        if result.is_ok() {
            conn.release(PING_TIMEOUT);
        } else if conn.ping().await.is_err() || conn.is_in_transaction() {
            conn.close_on_drop();
        }
        result.map(WriteResult::of)
    }
}

fn statements() -> &'static Statements {
    static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::SQLITE));
    &SQL
}

/// Runs the statements in a transaction, and returns the rows of the last. If it is dropped before
/// its commit, it is rolled back.
async fn transaction(
    conn: &mut SqliteConnection,
    change: &Change,
    statements: &[BoundStatement<'_>],
) -> Result<Vec<SqliteRow>, StoreError> {
    // Waits here for other writers, such as other processes. At the first write it would be too
    // late to wait.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(error_codes::before_commit)?;
    let mut rows = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        rows = query(statement).fetch_all(&mut *tx).await.map_err(error_codes::before_commit)?;
        if let Some(expected) = change.expected_version(at) {
            check_version(&rows, expected).map_err(error_codes::before_commit)?;
        }
    }
    tx.commit().await.map_err(error_codes::commit)?;
    Ok(rows)
}

/// Shows which file it is, and nothing of its content.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &options::path_of(&self.pool)).finish_non_exhaustive()
    }
}

impl_sqlx_row!(Sqlite, SqliteRow, SqliteArguments, error_codes::before_commit);
