//! The error codes of PostgreSQL: its documentation, appendix A.

use sqlx::error::Error as SqlxError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::store::sql::server::Closed;

const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_COLUMN: &str = "42703";

/// The database's own code.
pub(super) fn code(error: &SqlxError) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

pub(super) fn is_rolled_back(error: &SqlxError) -> bool {
    matches!(code(error).as_deref(), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

/// Whatever ends the connection, or leaves open whether the statement was completed: class 08, connection exceptions, 57P, operator
/// intervention, 58 and XX, errors of the system and of the server itself, and 40003. A statement that was cancelled, 57014, was
/// rolled back.
pub(super) fn is_end_of_connection(error: &SqlxError) -> bool {
    let Some(error) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) else {
        return true;
    };
    matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
        || ["08", "57P", "58", "XX", "40003"].iter().any(|class| error.code().starts_with(class))
}

pub(super) fn is_not_migrated(error: &SqlxError) -> bool {
    matches!(code(error).as_deref(), Some(UNDEFINED_TABLE | UNDEFINED_COLUMN))
}

pub(super) fn why_not_open(error: &SqlxError) -> Option<Closed> {
    match code(error)?.as_str() {
        "28000" | "28P01" => Some(Closed::Refused),
        "3D000" => Some(Closed::NoDatabase),
        // Insufficient rights, no such schema, a read-only server.
        "42501" | "3F000" | "25006" => Some(Closed::MissingRights),
        _ => None,
    }
}
