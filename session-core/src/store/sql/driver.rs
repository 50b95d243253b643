//! A driver's error as logs and reports may show it. What databases say of a statement that failed can quote the row: its token hash,
//! its data.

use std::fmt;

use sqlx::error::{DatabaseError, Error as SqlxError};

/// What the database or its driver said, without what that quotes of rows. `Debug` shows the same as `Display`.
pub struct DriverError(SqlxError);

/// MySQL's "incorrect value", which has the code of any other error.
#[cfg(feature = "mysql")]
const INCORRECT_VALUE: u16 = 1366;

impl DriverError {
    /// Whether the database itself refused what it was asked, and not what is between it and here.
    pub(super) const fn is_of_database(&self) -> bool {
        matches!(self.0, SqlxError::Database(_))
    }

    /// Whether there is a row of that id already.
    pub(super) fn is_duplicate(&self) -> bool {
        self.0.as_database_error().is_some_and(DatabaseError::is_unique_violation)
    }
}

impl From<SqlxError> for DriverError {
    fn from(error: SqlxError) -> Self {
        Self(error)
    }
}

/// Whether the message may quote values: a warning about one, an exception of data, a violated constraint (SQLSTATE classes 01, 22
/// and 23).
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

/// Without a source: the driver's own error would show what this leaves out.
impl std::error::Error for DriverError {}
