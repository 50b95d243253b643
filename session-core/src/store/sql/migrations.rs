//! Versions of the tables, for all SQL stores. Leaves running the steps, and making them safe when many nodes start at once,
//! to each database.

/// One step from a schema version to the next; the first makes version 1.
pub(in crate::store) struct Migration {
    pub(in crate::store) sql: &'static str,
    /// The oldest schema version whose releases still read and write a database of this one correctly. A step that only
    /// adds what they may ignore keeps it, so that neighbouring releases can share a database during an update.
    pub(in crate::store) oldest_reader: i64,
}

/// Why a database can't get this release's tables.
#[derive(Debug)]
pub(in crate::store) enum MigrateError {
    Sqlx(sqlx::Error),
    Newer { found: i64, known: i64 },
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

/// The steps that a database of version `found` lacks: none if it is of this release's, or of a newer one that this one may
/// share. `oldest_reader` is what the database's own release has noted.
pub(in crate::store) fn pending(
    all: &'static [Migration],
    found: i64,
    oldest_reader: i64,
) -> Result<&'static [Migration], MigrateError> {
    let known = all.len() as i64;
    if found > known && oldest_reader > known {
        return Err(MigrateError::Newer { found, known });
    }
    Ok(usize::try_from(found).ok().and_then(|done| all.get(done..)).unwrap_or_default())
}
