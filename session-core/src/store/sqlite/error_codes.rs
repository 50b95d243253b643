//! What an error of SQLite means for the change that failed.

use sqlx::error::Error as SqlxError;

use crate::error::StoreError;
use crate::store::sql::driver::DriverError;

// Primary result codes: <https://sqlite.org/rescode.html>.
const ERROR: i32 = 1;
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const AUTH: i32 = 23;
const RANGE: i32 = 25;
const NOTADB: i32 = 26;

/// The database has no tables for sessions.
#[derive(Debug, thiserror::Error)]
#[error("the database lacks this release's session tables: call `SqliteStore::migrate` once at start")]
struct NotMigrated(#[source] DriverError);

/// SQLite's extended result code.
pub(super) fn code(error: &SqlxError) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// The primary code of an extended one: its low byte.
pub(super) const fn primary(code: i32) -> i32 {
    code & 0xff
}

pub(super) fn is_busy(code: Option<i32>) -> bool {
    matches!(code.map(primary), Some(BUSY | LOCKED))
}

/// The error of a read, or of a step before the commit, which can't have changed anything.
pub(super) fn before_commit(error: SqlxError) -> StoreError {
    let message = error.as_database_error().map(|error| error.message()).unwrap_or_default();
    let tables = ["no such table: cookie_session", "no such column", "has no column named"];
    if tables.iter().any(|text| message.contains(text)) {
        return StoreError::not_applied(NotMigrated(error.into()));
    }
    StoreError::not_applied(DriverError::from(error))
}

/// The error of a statement that is its own transaction, so its commit may have failed.
///
/// Only codes by which SQLite refused the change count as nothing changed. After a failed fsync,
/// for example, the pages may be in the log already, and take effect when another process recovers
/// it.
pub(super) fn statement(error: SqlxError) -> StoreError {
    match code(&error).map(primary) {
        Some(
            ERROR | PERM | BUSY | LOCKED | READONLY | INTERRUPT | FULL | CANTOPEN | SCHEMA | TOOBIG | CONSTRAINT
            | MISMATCH | AUTH | RANGE | NOTADB,
        ) => before_commit(error),
        _ => StoreError::unknown(DriverError::from(error)),
    }
}

/// The error of a `COMMIT`. If nothing changed, the transaction is still to be rolled back.
pub(super) fn commit(error: SqlxError) -> StoreError {
    match code(&error).map(primary) {
        Some(BUSY | LOCKED | READONLY | FULL) => StoreError::not_applied(DriverError::from(error)),
        _ => StoreError::unknown(DriverError::from(error)),
    }
}
