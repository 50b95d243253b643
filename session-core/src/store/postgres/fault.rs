//! What a failure of PostgreSQL says about the change it was asked to make.

use sqlx::error::Error as SqlxError;

use crate::error::StoreError;

// Codes: PostgreSQL's documentation, appendix A.
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_COLUMN: &str = "42703";

/// The database has no tables for sessions.
#[derive(Debug, thiserror::Error)]
#[error("the database lacks this release's session tables: call `PostgresStore::migrate` once at start")]
struct NotMigrated(#[source] SqlxError);

/// The database's own code.
pub(super) fn code(error: &SqlxError) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the database rolled the transaction back because of another one, so that it can be run again.
pub(super) fn is_rolled_back(error: &SqlxError) -> bool {
    matches!(code(error).as_deref(), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

/// Of whatever can't have changed anything: a read, or a step before the commit.
pub(super) fn before_commit(error: SqlxError) -> StoreError {
    match code(&error).as_deref() {
        Some(UNDEFINED_TABLE | UNDEFINED_COLUMN) => StoreError::not_applied(NotMigrated(error)),
        _ => StoreError::not_applied(error),
    }
}

/// Whether an operation that changed nothing for certain may succeed when it is run again.
pub(super) fn is_worth_another_try(error: &SqlxError) -> bool {
    is_of_connection(error) || is_rolled_back(error)
}

/// Whether it is the connection that failed, and not what was asked.
pub(super) fn is_of_connection(error: &SqlxError) -> bool {
    match error {
        SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed => true,
        SqlxError::Database(_) => is_end_of_connection(error),
        _ => false,
    }
}

/// Of a statement that is its own transaction, or of a commit.
pub(super) fn statement(error: SqlxError) -> StoreError {
    match &error {
        // Nothing was sent.
        SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::Encode(_) => StoreError::not_applied(error),
        // The server refused it and has rolled it back; unless it was told to go away, which may be after the commit.
        SqlxError::Database(_) if !is_end_of_connection(&error) => before_commit(error),
        _ => StoreError::unknown(error),
    }
}

/// Class 08, connection exceptions, 57, operator intervention, and XX, internal errors: the server or an operator ended the
/// connection, and it may be after the commit.
fn is_end_of_connection(error: &SqlxError) -> bool {
    code(error).is_none_or(|code| ["08", "57", "XX"].iter().any(|class| code.starts_with(class)))
}
