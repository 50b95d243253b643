//! The versions of the tables, for all SQL stores. Not here: running the steps, and making them
//! safe when many nodes start at once, see each database's `schema`.

/// One step from a schema version to the next; the first makes version 1.
pub(in crate::store) struct Migration {
    pub(in crate::store) sql: &'static str,
    /// The oldest schema version whose releases still read and write this version correctly. A step
    /// that adds only what those releases can ignore keeps the number, so that neighbouring
    /// releases can share a database during an update.
    pub(in crate::store) oldest_reader: i64,
}

/// Why a database can't get this release's tables. `U` is what may make one unfit for sessions.
#[derive(Debug)]
pub(in crate::store) enum MigrateError<U> {
    Sqlx(sqlx::Error),
    /// The tables refuse what this release's tables would take.
    Altered(sqlx::Error),
    /// The tables take it, and don't do it: what is wrong with them.
    Spoiled(&'static str),
    Newer {
        found: i64,
        known: i64,
    },
    Unfit(U),
}

impl<U> From<sqlx::Error> for MigrateError<U> {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

/// The steps that a database of version `found` lacks. There are none if it has this release's
/// version, or a newer one that this release can share. `oldest_reader` is what the database has
/// recorded.
pub(in crate::store) fn pending<U>(
    all: &'static [Migration],
    found: i64,
    oldest_reader: i64,
) -> Result<&'static [Migration], MigrateError<U>> {
    let known = all.len() as i64;
    if found > known && oldest_reader > known {
        return Err(MigrateError::Newer { found, known });
    }
    // No release writes a negative version. All steps are tried, and the database reports what is
    // wrong.
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
        Some(pending::<()>(&STEPS, found, oldest_reader).ok()?.iter().map(|step| step.sql).collect())
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
    fn a_version_that_no_release_wrote_is_not_taken_for_up_to_date() {
        assert_eq!(steps(-1, 0).unwrap(), ["1", "2", "3"]);
    }
}
