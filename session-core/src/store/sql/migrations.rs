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
    // A negative version is nothing that any release has written: all steps are tried, and the database says what is wrong.
    let done = usize::try_from(found).unwrap_or(0);
    Ok(all.get(done..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    static STEPS: [Migration; 3] = [
        Migration { sql: "1", oldest_reader: 1 },
        Migration { sql: "2", oldest_reader: 1 },
        Migration { sql: "3", oldest_reader: 3 },
    ];

    fn steps(found: i64, oldest_reader: i64) -> Option<Vec<&'static str>> {
        Some(pending(&STEPS, found, oldest_reader).ok()?.iter().map(|step| step.sql).collect())
    }

    #[test]
    fn a_database_gets_the_steps_that_it_lacks() {
        assert_eq!(steps(0, 0).unwrap(), ["1", "2", "3"]);
        assert_eq!(steps(2, 1).unwrap(), ["3"]);
        assert_eq!(steps(3, 3).unwrap(), [""; 0]);
    }

    #[test]
    fn a_newer_one_is_shared_if_it_says_so() {
        assert_eq!(steps(5, 3).unwrap(), [""; 0]);
        assert_eq!(steps(5, 4), None);
    }

    #[test]
    fn a_version_that_nobody_wrote_is_not_taken_for_up_to_date() {
        assert_eq!(steps(-1, 0).unwrap(), ["1", "2", "3"]);
    }
}
