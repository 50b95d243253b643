//! The error numbers of MySQL and MariaDB, from their manuals' lists of server errors.

use sqlx::error::Error as SqlxError;
use sqlx::mysql::MySqlDatabaseError;

use crate::store::sql::server::ErrorKind;

/// The database's own number.
pub(super) fn number(error: &SqlxError) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

fn message(error: &SqlxError) -> &str {
    error.as_database_error().map(|error| error.message()).unwrap_or_default()
}

/// What an error of the database, or of its driver, means.
///
/// `EndOfConnection` covers errors that end the connection, or leave open whether the change was
/// committed: the server shuts down (1053), a connection or its statement was killed or took too
/// long (1317, 1927, 1969, 4031), the network failed (1152 to 1161, 1184), writing the tables or
/// the binary log failed (1026, 1030), the commit itself failed half-way (1180), or something in
/// between reports what only a client can (1105, 2000 to 2999).
pub(super) fn classify(error: &SqlxError) -> ErrorKind {
    let Some(number) = number(error) else { return ErrorKind::EndOfConnection };
    match number {
        // A deadlock, a row that changed since it was read, and a cluster that rolled back at
        // commit.
        1213 | 1020 | 3101 => ErrorKind::RolledBack,
        1205 => ErrorKind::Locked,
        1026 | 1030 | 1053 | 1105 | 1152..=1161 | 1180 | 1184 | 1317 | 1927 | 1969 | 2000..=2999 | 4031 => {
            ErrorKind::EndOfConnection
        }
        // No such table, no such column.
        1146 | 1054 => ErrorKind::NotMigrated,
        // A wrong or expired password, a user who must authenticate by another method, a locked
        // account, a host that may not connect or is blocked.
        1045 | 1820 | 1862 | 1698 | 3118 | 4151 | 1130 | 1129 => ErrorKind::Refused,
        // Of the server, and of the user, who may have other limits too.
        1040 | 1203 | 1226 => ErrorKind::TooMany,
        3159 => ErrorKind::NeedsTls,
        // It doesn't exist, and none is named.
        1049 | 1046 => ErrorKind::NoDatabase,
        // An option of the server forbids the statement. The message names it in any language.
        1290 if !["read-only", "read_only"].iter().any(|option| message(error).contains(option)) => ErrorKind::Other,
        // A server, a transaction, a table or InnoDB is read-only.
        1290 | 1836 | 1792 | 1036 | 1874 => ErrorKind::ReadOnly,
        // Not in this database, not this statement, not on this table or column.
        1044 | 1142 | 1143 | 1227 => ErrorKind::MissingRights,
        _ => ErrorKind::Other,
    }
}
