//! The SQLite tables, and how a file gets them: versioned, in one transaction, safe when many
//! processes start at once. Not here: opening the file, see `options`; and the statements that use
//! the tables, see `statements`.

use sqlx::{AssertSqlSafe, Connection, Row};
use sqlx_sqlite::SqliteConnection;

use super::query;
use crate::store::sql::migrations::{self, MigrateError, Migration};
use crate::store::sql::rehearsal::Rehearsal;
use crate::store::sql::row::WriteResult;

const MIGRATIONS: &[Migration] = &[SIGNED_IN, ROTATED];

const SIGNED_IN: Migration = Migration {
    oldest_reader: 1,
    // Times are microseconds since 1970, ids and hashes raw bytes. The index of `user_id` has no
    // other column, so that recording activity doesn't change it.
    sql: "
CREATE TABLE cookie_session (
    id BLOB NOT NULL PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    previous_token_hash BLOB,
    token_issued_at INTEGER NOT NULL,
    token_seen INTEGER NOT NULL,
    user_id TEXT COLLATE BINARY NOT NULL,
    ip_address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    device_name TEXT NOT NULL,
    device_type TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    data TEXT NOT NULL,
    version INTEGER NOT NULL,
    persistent INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX cookie_session_user_id ON cookie_session (user_id);
CREATE INDEX cookie_session_expires_at ON cookie_session (expires_at);
",
};

const ROTATED: Migration = Migration {
    oldest_reader: 2,
    // Look-ups use the id now, so there is no index of hashes any more. Besides `successor` and
    // `strict_rotated_at`, the new columns are for features that are known to come: a lifetime for
    // each sign-in, a label, the identity provider's session, the last address and browser, the
    // level at sign-in and now, and the user's epoch. A release that doesn't know `successor` would
    // rotate without it. SQLite can't drop a column's own UNIQUE, so the rows move to a new table.
    sql: "
CREATE TABLE cookie_session_next (
    id BLOB NOT NULL PRIMARY KEY,
    token_hash BLOB NOT NULL,
    previous_token_hash BLOB,
    token_issued_at INTEGER NOT NULL,
    token_seen INTEGER NOT NULL,
    successor BLOB,
    strict_rotated_at INTEGER,
    user_id TEXT COLLATE BINARY NOT NULL,
    ip_address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    device_name TEXT NOT NULL,
    device_type TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    last_ip_address TEXT,
    last_user_agent TEXT,
    label TEXT,
    issuer TEXT,
    issuer_sid TEXT,
    sign_in_level INTEGER,
    level INTEGER,
    user_epoch INTEGER,
    data TEXT NOT NULL,
    version INTEGER NOT NULL,
    persistent INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    idle_timeout INTEGER
) STRICT;
INSERT INTO cookie_session_next (
    id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, ip_address, user_agent, device_name, device_type,
    fingerprint, data, version, persistent, created_at, authenticated_at, last_active_at, expires_at, absolute_expires_at
) SELECT
    id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, ip_address, user_agent, device_name, device_type,
    fingerprint, data, version, persistent, created_at, authenticated_at, last_active_at, expires_at, absolute_expires_at
FROM cookie_session;
DROP TABLE cookie_session;
ALTER TABLE cookie_session_next RENAME TO cookie_session;
CREATE INDEX cookie_session_user_id ON cookie_session (user_id);
CREATE INDEX cookie_session_expires_at ON cookie_session (expires_at);
CREATE TABLE cookie_session_user (
    user_id TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL DEFAULT 0
) STRICT;
",
};

const VERSION_TABLE: &str = "
CREATE TABLE IF NOT EXISTS cookie_session_schema (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL,
    oldest_reader INTEGER NOT NULL
) STRICT";

/// The version of SQLite from which on the statements are understood, for `octet_length`.
const OLDEST_LIBRARY: [u32; 2] = [3, 43];

/// The linked SQLite is older than that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OldLibrary {
    pub(super) found: String,
}

/// Brings the file to this release's schema. Does nothing if it has that already, or a newer one
/// that can be shared. An error if its tables don't keep sessions.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), MigrateError<OldLibrary>> {
    let version: String = sqlx::query("SELECT sqlite_version()").fetch_one(&mut *conn).await?.try_get(0)?;
    check_library(version).map_err(MigrateError::Unfit)?;
    // The version is read under the write lock, so that when many processes start at once, one
    // migrates and the others find it done.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(VERSION_TABLE).execute(&mut *tx).await?;
    // SQLite begins even an immediate transaction on a read-only file without an error. A write
    // that changes nothing makes it fail now rather than at the first sign-in.
    sqlx::raw_sql("UPDATE cookie_session_schema SET version = version WHERE FALSE").execute(&mut *tx).await?;
    let row = sqlx::query("SELECT version, oldest_reader FROM cookie_session_schema").fetch_optional(&mut *tx).await?;
    let (found, oldest_reader) = match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (0, 0),
    };

    let pending = migrations::pending(MIGRATIONS, found, oldest_reader)?;
    for migration in pending {
        sqlx::raw_sql(AssertSqlSafe(migration.sql)).execute(&mut *tx).await.map_err(MigrateError::Altered)?;
    }
    if let Some(last) = pending.last() {
        sqlx::query(
            "INSERT OR REPLACE INTO cookie_session_schema (only_row, version, oldest_reader) VALUES (1, ?1, ?2)",
        )
        .bind(MIGRATIONS.len() as i64)
        .bind(last.oldest_reader)
        .execute(&mut *tx)
        .await?;
    }
    rehearse(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Signs in, reads, changes and ends, and undoes it, in a transaction of the caller's.
async fn rehearse(conn: &mut SqliteConnection) -> Result<(), MigrateError<OldLibrary>> {
    let sql = super::statements();
    let rehearsal = Rehearsal::new(sql);
    let mut savepoint = conn.begin().await?;
    for (statement, expected) in rehearsal.sign_in_steps(sql).chain(rehearsal.steps(sql)) {
        let rows =
            query(&statement).persistent(false).fetch_all(&mut *savepoint).await.map_err(MigrateError::Altered)?;
        expected.check(&WriteResult::of(rows)).map_err(MigrateError::Spoiled)?;
    }
    savepoint.rollback().await?;
    Ok(())
}

fn check_library(version: String) -> Result<(), OldLibrary> {
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    let found = [parts.next().unwrap_or(0), parts.next().unwrap_or(0)];
    if found < OLDEST_LIBRARY { Err(OldLibrary { found: version }) } else { Ok(()) }
}

/// The tables as the first schema had them.
#[cfg(test)]
pub(super) fn first() -> String {
    let noted = "INSERT INTO cookie_session_schema (only_row, version, oldest_reader) VALUES (1, 1, 1)";
    [SIGNED_IN.sql, VERSION_TABLE, ";", noted].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_without_a_function_that_the_statements_need_is_refused() {
        for version in ["3.40.1", "3.42.0", "2.99.0"] {
            let old = check_library(version.to_owned()).unwrap_err();
            assert_eq!(old.found, version);
        }
        for version in ["3.43.0", "3.43", "3.50.2", "4.0.0"] {
            assert_eq!(check_library(version.to_owned()), Ok(()));
        }
    }
}
