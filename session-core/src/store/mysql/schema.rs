//! The MySQL and MariaDB tables, and how a database gets them: versioned, one node at a time. Each
//! step can be run again, because these databases commit each change of a table at once. Not here:
//! connecting, see `options`.

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, Row};

use super::error_codes::{classify, number};
use super::{BEGIN, run, sign_in};
use crate::store::sql::change::Change;
use crate::store::sql::migrations::{self, MigrateError, Migration};
use crate::store::sql::rehearsal::Rehearsal;
use crate::store::sql::server::{AnswerCount, ErrorKind, Server, Unfit};

const MIGRATIONS: &[Migration] = &[SIGNED_IN, ROTATED, IDLE];

const SIGNED_IN: Migration = Migration {
    oldest_reader: 1,
    // Times are microseconds since 1970, ids and hashes raw bytes. User ids are bytes too, because
    // each collation that both databases know takes some texts for equal. The index of `user_id`
    // has no other column, so that recording activity doesn't change it. `cookie_session_user` has
    // a row for each user who has a session or had one lately, which the user's sign-ins lock.
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
    // Look-ups use the id now, so there is no index of hashes any more. Besides `successor` and
    // `strict_rotated_at`, the new columns are for features that are known to come: a lifetime for
    // each sign-in, a label, the identity provider's session, the last address and browser, the
    // level at sign-in and now, and the user's epoch. A release that doesn't know `successor` would
    // rotate without it. Each table changes by one statement, which takes effect completely or not
    // at all; run again, it finds its columns there.
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
    // The time since when the clean-up knows the user to have no session. Null if it doesn't know
    // that, and in rows of older releases. Not indexed, because each sign-in sets it.
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

/// How often to rehearse again when another transaction was in the way.
const RETRIES: u32 = 20;

const NO_SUCH_TABLE: u16 = 1146;
/// The table was changed already, by a migration that was cut off.
const DUPLICATE_COLUMN: u16 = 1060;
const NO_SUCH_KEY: u16 = 1091;

/// Brings the database to this release's schema. Changes nothing if it has that already, or a newer
/// one that can be shared. An error if the connection's settings don't fit, nothing can be written,
/// or the tables don't keep sessions.
pub(super) async fn migrate(conn: &mut MySqlConnection) -> Result<(), MigrateError<Unfit>> {
    check_settings(conn).await?;
    // A migration has no time limit. MariaDB's setting; MySQL limits reads only.
    sqlx::raw_sql("SET @migrates = 1 /*M!100101 , max_statement_time = 0 */").execute(&mut *conn).await?;
    // If the tables are up to date, nothing is changed, and no right to make tables is needed.
    if !missing(conn).await?.is_empty() {
        // When many nodes start at once, one migrates and the others find it done.
        let locked: Option<i64> = sqlx::query(LOCK).fetch_one(&mut *conn).await?.try_get(0)?;
        if locked != Some(1) {
            return Err(sqlx::Error::Protocol("another node has been migrating for a minute".to_owned()).into());
        }
        let outcome = step(conn).await;
        let unlocked = sqlx::raw_sql(UNLOCK).execute(&mut *conn).await;
        // The step's error is more useful than one about releasing its lock.
        outcome?;
        unlocked?;
    }
    check_engine(conn).await?;
    let mut tries = 0;
    loop {
        match rehearse(conn).await {
            Err(MigrateError::Altered(error))
                if matches!(classify(&error), ErrorKind::RolledBack | ErrorKind::Locked) && tries < RETRIES =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// In other engines nothing is rolled back.
async fn check_engine(conn: &mut MySqlConnection) -> Result<(), MigrateError<Unfit>> {
    let others = "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND engine <> 'InnoDB' \
         AND table_name IN ('cookie_session', 'cookie_session_user', 'cookie_session_schema') LIMIT 1";
    match sqlx::raw_sql(others).fetch_optional(conn).await? {
        Some(_) => Err(MigrateError::Spoiled(
            "they aren't InnoDB, so what fails in the middle stays half done: `ALTER TABLE … ENGINE = InnoDB` for all three",
        )),
        None => Ok(()),
    }
}

/// Signs in, reads, changes and ends, and undoes it.
async fn rehearse(conn: &mut MySqlConnection) -> Result<(), MigrateError<Unfit>> {
    let sql = sqlx::MySql::statements();
    let rehearsal = Rehearsal::new(sql);
    let mut tx = conn.begin_with(BEGIN).await?;
    if let Change::SignIn(new) = rehearsal.sign_in() {
        sign_in::sign_in(&mut tx, new, &AnswerCount::default()).await.map_err(MigrateError::Altered)?;
    }
    for (statement, expected) in rehearsal.steps(sql) {
        let written = run(&mut tx, &statement).await.map_err(MigrateError::Altered)?;
        expected.check(&written).map_err(MigrateError::Spoiled)?;
    }
    tx.rollback().await?;
    Ok(())
}

/// The store's own connections have settings that fit.
async fn check_settings(conn: &mut MySqlConnection) -> Result<(), MigrateError<Unfit>> {
    let settings = "SELECT CAST(@@autocommit AS signed), find_in_set('EMPTY_STRING_IS_NULL', @@sql_mode) = 0, \
         @@character_set_client = 'utf8mb4' AND @@character_set_connection = 'utf8mb4' AND @@character_set_results = 'utf8mb4', \
         @@completion_type IN ('NO_CHAIN', '0'), CAST(@@sql_safe_updates = 0 AS signed), \
         @@sql_select_limit = 18446744073709551615";
    let row = sqlx::raw_sql(settings).fetch_optional(conn).await?;
    let faults = [
        "`autocommit` off, so no write would ever be committed: set `autocommit = 1`",
        "`EMPTY_STRING_IS_NULL` in their `sql_mode`, so a session without a `User-Agent` could not be stored: take it out",
        "another character set than `utf8mb4`, which can't hold every text: take `charset` out of the URL, or set `utf8mb4`",
        "another `completion_type` than `NO_CHAIN`, so the write after a sign-in would not be committed: set `NO_CHAIN`",
        "`sql_safe_updates` on, so expired sessions could not be deleted: set `sql_safe_updates = 0`",
        "a `sql_select_limit`, so live sessions would not be found: set `sql_select_limit = 18446744073709551615`",
    ];
    let Some(row) = row else { return Err(MigrateError::Unfit(Unfit::Setting(faults[faults.len() - 1]))) };
    for (column, fault) in faults.into_iter().enumerate() {
        if row.try_get_unchecked::<Option<i64>, _>(column)? != Some(1) {
            return Err(MigrateError::Unfit(Unfit::Setting(fault)));
        }
    }
    Ok(())
}

async fn step(conn: &mut MySqlConnection) -> Result<(), MigrateError<Unfit>> {
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
async fn missing(conn: &mut MySqlConnection) -> Result<&'static [Migration], MigrateError<Unfit>> {
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
