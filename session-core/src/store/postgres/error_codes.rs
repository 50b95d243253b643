//! The error codes of PostgreSQL: its documentation, appendix A.

use sqlx::error::Error as SqlxError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::store::sql::server::ErrorKind;

/// What an error of the database, or of its driver, means.
///
/// `EndOfConnection` covers errors that end the connection, or leave open whether the statement was
/// completed: class 08, connection exceptions; 57P, operator intervention; 58 and XX, errors of the
/// system and of the server itself; and 40003. A statement that was cancelled, 57014, was rolled
/// back.
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
        // No entry in `pg_hba.conf` lets an unencrypted connection in; poolers say it in words, by
        // a code for many errors. A message may be translated, except where it is a pooler's.
        "28000" | "08P01" | "XX000" if demands_encryption(error.message()) => ErrorKind::NeedsTls,
        "28000" | "28P01" => ErrorKind::Refused,
        "08P01" if error.message().contains("startup parameter") => ErrorKind::PoolerRefuses,
        "08P01" if error.message().contains("statement pooling") => ErrorKind::PoolsStatements,
        "08P01" if error.severity() == PgSeverity::Fatal => refused_by_pooler(error.message()),
        // A prepared statement that isn't there, is there already, or is another one.
        "26000" | "42P05" => ErrorKind::PreparedElsewhere,
        "08P01" if error.severity() == PgSeverity::Error => ErrorKind::PreparedElsewhere,
        "3D000" => ErrorKind::NoDatabase,
        "25006" => ErrorKind::ReadOnly,
        // Of the server, the database or the role.
        "53300" => ErrorKind::TooMany,
        // The same code as for a missing right. Names of functions aren't translated.
        "42501" if error.routine() == Some("ExecWithCheckOptions") => ErrorKind::RowSecurity,
        "42501" => ErrorKind::MissingRights,
        "3F000" => ErrorKind::NoSchema,
        _ if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) => ErrorKind::EndOfConnection,
        _ if ["08", "57P", "58", "XX", "40003"].iter().any(|class| code.starts_with(class)) => {
            ErrorKind::EndOfConnection
        }
        _ => ErrorKind::Other,
    }
}

/// What a pooler means that lets a client in no further. It has one code for all of it, also for
/// what its own server said to it.
fn refused_by_pooler(message: &str) -> ErrorKind {
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&["no such database", "bouncer config error"]) || (says(&["database"]) && says(&["does not exist"])) {
        ErrorKind::NoDatabase
    } else if says(&["no such user", "auth failed", "authentication failed", "login rejected"])
        || (says(&["role"]) && says(&["does not exist"]))
    {
        ErrorKind::Refused
    } else if says(&["no more connections allowed", "too many connections", "too many clients", "connection slots"]) {
        ErrorKind::TooMany
    } else {
        ErrorKind::EndOfConnection
    }
}

/// Whether a server or pooler says that it takes only encrypted connections: "no pg_hba.conf entry
/// for host …, no encryption", "SSL off" before version 14, "SSL required", and the like.
fn demands_encryption(message: &str) -> bool {
    ["no encryption", "SSL off", "SSL required", "SSL connection is required", "connection is insecure"]
        .iter()
        .any(|text| message.contains(text))
}
