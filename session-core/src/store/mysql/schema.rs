//! The MySQL and MariaDB tables, and how a database gets them: versioned, one node at a time, each step such that it can be run
//! again, because these databases commit whatever changes tables at once. Not here: connecting, see `options`.

use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use super::error_codes::number;
use crate::store::sql::migrations::{self, MigrateError, Migration};

const MIGRATIONS: &[Migration] = &[SIGNED_IN, ROTATED, IDLE];

const SIGNED_IN: Migration = Migration {
    oldest_reader: 1,
    // Times are microseconds since 1970, ids and hashes raw bytes. User ids are bytes too, because each collation that both
    // databases know takes some texts for equal. `user_id` alone is indexed, without activity, so that recording activity
    // leaves that index alone. `cookie_session_user` has a row for each user who has a session or had one lately: sign-ins of
    // one user queue on it.
    sql: "
CREATE TABLE IF NOT EXISTS cookie_session (
    id BINARY(16) NOT NULL PRIMARY KEY,
    token_hash BINARY(32) NOT NULL,
    previous_token_hash BINARY(32),
    token_issued_at BIGINT NOT NULL,
    token_seen BOOLEAN NOT NULL,
    user_id VARBINARY(255) NOT NULL,
    ip_address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    device_name TEXT NOT NULL,
    device_type TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    data LONGTEXT NOT NULL,
    version BIGINT NOT NULL,
    persistent BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    absolute_expires_at BIGINT NOT NULL,
    UNIQUE KEY cookie_session_token_hash (token_hash),
    KEY cookie_session_user_id (user_id),
    KEY cookie_session_expires_at (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS cookie_session_user (
    user_id VARBINARY(255) NOT NULL PRIMARY KEY
) ENGINE = InnoDB;
",
};

pub(super) const ROTATED: Migration = Migration {
    oldest_reader: 2,
    // Look-ups go by the id now, so the index of hashes is gone. What the row holds beside `successor` and `strict_rotated_at` is room
    // for what is known to come: a lifetime of each sign-in's own, a label, the identity provider's session, the last address and
    // browser, the level at sign-in and now, and the user's epoch. A release that doesn't know `successor` would rotate without it.
    // Each table changes by one statement, which is done whole or not at all: run again, it finds its columns there.
    sql: "
ALTER TABLE cookie_session
    DROP KEY cookie_session_token_hash,
    ADD COLUMN successor BINARY(32),
    ADD COLUMN strict_rotated_at BIGINT,
    ADD COLUMN last_ip_address TEXT,
    ADD COLUMN last_user_agent TEXT,
    ADD COLUMN label TEXT,
    ADD COLUMN issuer TEXT,
    ADD COLUMN issuer_sid TEXT,
    ADD COLUMN sign_in_level BIGINT,
    ADD COLUMN level BIGINT,
    ADD COLUMN user_epoch BIGINT,
    ADD COLUMN idle_timeout BIGINT;
ALTER TABLE cookie_session_user ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
",
};

const IDLE: Migration = Migration {
    oldest_reader: 2,
    // Since when the clean-up knows a user to have no session; null where it doesn't, as releases before leave it. No index: each
    // sign-in sets it.
    sql: "
ALTER TABLE cookie_session_user ADD COLUMN idle_since BIGINT;
",
};

const VERSION_TABLE: &str = "
CREATE TABLE IF NOT EXISTS cookie_session_schema (
    only_row INT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    oldest_reader BIGINT NOT NULL
) ENGINE = InnoDB";

/// How long one node waits for another that migrates, in seconds.
const LOCK: &str = "SELECT get_lock('cookie_session_schema', 60)";
const UNLOCK: &str = "DO release_lock('cookie_session_schema')";

const NO_SUCH_TABLE: u16 = 1146;
/// The table was changed already, before a migration that was cut off.
const DUPLICATE_COLUMN: u16 = 1060;
const NO_SUCH_KEY: u16 = 1091;

/// Brings the database to this release's schema, or leaves it as it is if it is that or a newer one that can be shared.
pub(super) async fn migrate(conn: &mut MySqlConnection) -> Result<(), MigrateError> {
    let commits: bool = sqlx::query("SELECT @@autocommit").fetch_one(&mut *conn).await?.try_get_unchecked(0)?;
    if !commits {
        return Err(sqlx::Error::Configuration("`autocommit` is off: no write would ever be committed".into()).into());
    }
    // It takes as long as it takes. Of MariaDB: MySQL has no limit for what changes anything.
    sqlx::raw_sql("SET @migrates = 1 /*M!100101 , max_statement_time = 0 */").execute(&mut *conn).await?;
    // Where the tables are as they should be, nothing is written, and no right to make tables is needed.
    if missing(conn).await?.is_empty() {
        return Ok(());
    }
    // Of many nodes that start at once, one migrates and the others then find it done.
    let locked: Option<i64> = sqlx::query(LOCK).fetch_one(&mut *conn).await?.try_get(0)?;
    if locked != Some(1) {
        return Err(sqlx::Error::Protocol("another node has been migrating for a minute".to_owned()).into());
    }
    let outcome = step(conn).await;
    let unlocked = sqlx::raw_sql(UNLOCK).execute(conn).await;
    // Why the step failed says more than that its lock couldn't be given back.
    outcome?;
    unlocked?;
    Ok(())
}

async fn step(conn: &mut MySqlConnection) -> Result<(), MigrateError> {
    let missing = missing(conn).await?;
    let Some(last) = missing.last() else { return Ok(()) };
    sqlx::raw_sql(VERSION_TABLE).execute(&mut *conn).await?;
    for statement in missing.iter().flat_map(|migration| migration.sql.split(';')).filter(|sql| !sql.trim().is_empty())
    {
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *conn).await {
            Err(error) if matches!(number(&error), Some(DUPLICATE_COLUMN | NO_SUCH_KEY)) => {}
            outcome => {
                outcome?;
            }
        }
    }
    sqlx::query("REPLACE INTO cookie_session_schema (only_row, version, oldest_reader) VALUES (1, ?, ?)")
        .bind(MIGRATIONS.len() as i64)
        .bind(last.oldest_reader)
        .execute(conn)
        .await?;
    Ok(())
}

/// The steps that the database lacks.
async fn missing(conn: &mut MySqlConnection) -> Result<&'static [Migration], MigrateError> {
    let made = "SELECT version, oldest_reader FROM cookie_session_schema";
    match sqlx::query(made).fetch_optional(conn).await {
        Ok(Some(row)) => migrations::pending(MIGRATIONS, row.try_get(0)?, row.try_get(1)?),
        Ok(None) => Ok(MIGRATIONS),
        Err(error) if number(&error) == Some(NO_SUCH_TABLE) => Ok(MIGRATIONS),
        Err(error) => Err(error.into()),
    }
}

/// The tables as the first schema had them.
#[cfg(test)]
pub(super) fn first() -> String {
    let noted = "INSERT INTO cookie_session_schema (only_row, version, oldest_reader) VALUES (1, 1, 1)";
    [SIGNED_IN.sql, VERSION_TABLE, ";", noted].concat()
}
