//! A driver's error, made safe for logs and reports. A database's message about a failed statement
//! can quote the row: its token hash, its data.

use std::fmt;

use sqlx::error::{DatabaseError, Error as SqlxError};

/// What the database or its driver reported, without anything that it quotes from rows. `Debug`
/// shows the same as `Display`.
pub struct DriverError(SqlxError);

/// MySQL's "incorrect value", whose SQLSTATE is that of any other error.
#[cfg(feature = "mysql")]
const INCORRECT_VALUE: u16 = 1366;

/// A row has another version than a transaction needs, which is therefore rolled back.
#[derive(Debug, thiserror::Error)]
#[error("the row has another version")]
struct OtherVersion;

/// Rolls a transaction back, as [`is_other_version`] finds out.
pub(super) fn other_version() -> SqlxError {
    SqlxError::AnyDriverError(Box::new(OtherVersion))
}

/// Whether an error is [`other_version`].
pub(super) fn is_other_version(error: &SqlxError) -> bool {
    matches!(error, SqlxError::AnyDriverError(error) if error.is::<OtherVersion>())
}

impl DriverError {
    /// Whether the database itself refused the statement, rather than the network or the driver
    /// failing.
    pub(super) const fn is_of_database(&self) -> bool {
        matches!(self.0, SqlxError::Database(_))
    }

    /// Whether there is a row with that id already.
    pub(super) fn is_duplicate(&self) -> bool {
        self.0.as_database_error().is_some_and(DatabaseError::is_unique_violation)
    }

    /// Whether it is [`other_version`].
    pub(super) fn is_other_version(&self) -> bool {
        is_other_version(&self.0)
    }
}

impl From<SqlxError> for DriverError {
    fn from(error: SqlxError) -> Self {
        Self(error)
    }
}

/// Whether the message may quote values: a warning about a value, a data exception or a violated
/// constraint (SQLSTATE classes 01, 22 and 23).
fn quotes_values(error: &dyn DatabaseError) -> bool {
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        && error.number() == INCORRECT_VALUE
    {
        return true;
    }
    error.code().is_some_and(|code| code.len() == 5 && ["01", "22", "23"].iter().any(|class| code.starts_with(class)))
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = self.0.as_database_error() else { return fmt::Display::fmt(&self.0, f) };
        match (error.code(), error.constraint()) {
            (Some(code), Some(constraint)) => write!(f, "database error {code}, of the constraint {constraint:?}")?,
            (Some(code), None) => write!(f, "database error {code}")?,
            (None, _) => f.write_str("database error")?,
        }
        if quotes_values(error) { Ok(()) } else { write!(f, ": {}", error.message()) }
    }
}

impl fmt::Debug for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Has no source: the driver's own error would show what this leaves out.
impl std::error::Error for DriverError {}
