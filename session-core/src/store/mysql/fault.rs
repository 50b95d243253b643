//! The error numbers of MySQL and MariaDB, from their manuals' lists of server errors.

use sqlx::error::Error as SqlxError;
use sqlx::mysql::MySqlDatabaseError;

use crate::store::sql::server::Closed;

/// The database's own number.
pub(super) fn number(error: &SqlxError) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// A deadlock, a lock that wasn't free in time, a row that changed since it was read, and a cluster that rolled back at commit.
pub(super) fn is_rolled_back(error: &SqlxError) -> bool {
    matches!(number(error), Some(1213 | 1205 | 1020 | 3101))
}

/// The server goes down (1053), a connection was killed (1927, 1317), the network failed (1152 to 1161, 1184), or the commit
/// itself failed half-way (1180).
pub(super) fn is_end_of_connection(error: &SqlxError) -> bool {
    number(error).is_none_or(|number| matches!(number, 1053 | 1152..=1161 | 1180 | 1184 | 1317 | 1927))
}

/// No such table, no such column.
pub(super) fn is_not_migrated(error: &SqlxError) -> bool {
    matches!(number(error), Some(1146 | 1054))
}

pub(super) fn why_not_open(error: &SqlxError) -> Option<Closed> {
    match number(error)? {
        // A wrong password, a user who needs another way to say who it is, a host from where nobody may come.
        1045 | 1698 | 1130 => Some(Closed::Refused),
        1049 => Some(Closed::NoDatabase),
        // Not in this database, not this statement, not on this table; a read-only server.
        1044 | 1142 | 1227 | 1290 | 1836 => Some(Closed::MissingRights),
        _ => None,
    }
}
