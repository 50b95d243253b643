//! The error codes of PostgreSQL: its documentation, appendix A.

use sqlx::error::Error as SqlxError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::store::sql::server::ErrorKind;

/// What an error of the database, or of its driver, says.
///
/// `EndOfConnection` is whatever ends the connection, or leaves open whether the statement was completed: class 08, connection
/// exceptions, 57P, operator intervention, 58 and XX, errors of the system and of the server itself, and 40003. A statement that
/// was cancelled, 57014, was rolled back.
pub(super) fn classify(error: &SqlxError) -> ErrorKind {
    let Some(error) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) else {
        return ErrorKind::EndOfConnection;
    };
    let code = error.code();
    match code {
        // Serialization failure, deadlock.
        "40001" | "40P01" => ErrorKind::RolledBack,
        // A lock that wasn't free within `lock_timeout`.
        "55P03" => ErrorKind::Locked,
        // No such table, no such column.
        "42P01" | "42703" => ErrorKind::NotMigrated,
        "28000" | "28P01" => ErrorKind::Refused,
        "3D000" => ErrorKind::NoDatabase,
        // Insufficient rights, no such schema, a read-only server.
        "42501" | "3F000" | "25006" => ErrorKind::MissingRights,
        _ if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) => ErrorKind::EndOfConnection,
        _ if ["08", "57P", "58", "XX", "40003"].iter().any(|class| code.starts_with(class)) => {
            ErrorKind::EndOfConnection
        }
        _ => ErrorKind::Other,
    }
}
