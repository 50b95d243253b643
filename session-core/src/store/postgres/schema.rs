//! The PostgreSQL tables, and how a database gets them: versioned, in one transaction, safe when
//! many nodes start at once. Not here: connecting, see `options`.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::error_codes::classify;
use super::query;
use crate::store::sql::migrations::{self, MigrateError, Migration};
use crate::store::sql::rehearsal::Rehearsal;
use crate::store::sql::row::WriteResult;
use crate::store::sql::server::{ErrorKind, Server, Unfit};

const MIGRATIONS: &[Migration] = &[SIGNED_IN, ROTATED, IDLE];

const SIGNED_IN: Migration = Migration {
    oldest_reader: 1,
    // Times are microseconds since 1970, ids and hashes raw bytes; texts are compared byte by byte,
    // whatever the database's collation. The index of `user_id` has no other column, and
    // `expires_at` is indexed by slots of 2^32 microseconds, about 72 minutes, so that activity
    // seldom changes an indexed value. Pages keep some room for the new version of a row next to
    // the old one. Together that saves a write all index updates, and most of its log.
    // `cookie_session_user` has a row for each user who has a session or had one lately, which the
    // user's sign-ins lock.
    sql: "
CREATE TABLE cookie_session (
    id BYTEA NOT NULL PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,
    previous_token_hash BYTEA,
    token_issued_at BIGINT NOT NULL,
    token_seen BOOLEAN NOT NULL,
    user_id TEXT COLLATE \"C\" NOT NULL,
    ip_address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    device_name TEXT NOT NULL,
    device_type TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    data TEXT NOT NULL,
    version BIGINT NOT NULL,
    persistent BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    absolute_expires_at BIGINT NOT NULL,
    expires_slot BIGINT NOT NULL GENERATED ALWAYS AS (expires_at >> 32) STORED
) WITH (fillfactor = 90);
CREATE INDEX cookie_session_user_id ON cookie_session (user_id);
CREATE INDEX cookie_session_expires_slot ON cookie_session (expires_slot);
CREATE TABLE cookie_session_user (
    user_id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY
);
",
};

const ROTATED: Migration = Migration {
    oldest_reader: 2,
    // Look-ups use the id now, so there is no index of hashes any more. Besides `successor` and
    // `strict_rotated_at`, the new columns are for features that are known to come: a lifetime for
    // each sign-in, a label, the identity provider's session, the last address and browser, the
    // level at sign-in and now, and the user's epoch. A release that doesn't know `successor` would
    // rotate without it.
    sql: "
ALTER TABLE cookie_session
    DROP CONSTRAINT cookie_session_token_hash_key,
    ADD COLUMN successor BYTEA,
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
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    version BIGINT NOT NULL,
    oldest_reader BIGINT NOT NULL
)";

/// Makes the row if necessary, and locks it.
const LOCK_VERSION: &str = "INSERT INTO cookie_session_schema (only_row, version, oldest_reader) VALUES (1, 0, 0) \
     ON CONFLICT (only_row) DO UPDATE SET version = cookie_session_schema.version RETURNING version, oldest_reader";

/// A migration has no time limit.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0";

/// How often to start over when another node was first.
const RETRIES: u32 = 50;

/// Brings the database to this release's schema. Changes nothing if it has that already, or a newer
/// one that can be shared. An error if the database can't hold every text, can't be written, or has
/// tables that don't keep sessions.
pub(super) async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError<Unfit>> {
    check_encoding(conn).await?;
    let mut tries = 0;
    loop {
        match step(conn).await {
            Err(MigrateError::Sqlx(error))
                if (is_another_nodes(&error) || classify(&error) == ErrorKind::RolledBack) && tries < RETRIES =>
            {
                tries += 1;
            }
            // Tables are there, and no version says that they are sessions'.
            Err(MigrateError::Sqlx(error)) if is_another_nodes(&error) => return Err(MigrateError::Altered(error)),
            outcome => {
                outcome?;
                break;
            }
        }
    }
    check_kind(conn).await?;
    rehearse(conn).await
}

/// Temporary tables are there for one connection only; unlogged ones are empty after a crash.
async fn check_kind(conn: &mut PgConnection) -> Result<(), MigrateError<Unfit>> {
    let kinds = "SELECT coalesce(bool_or(relpersistence = 't'), FALSE), coalesce(bool_or(relpersistence = 'u'), FALSE) \
         FROM pg_class WHERE oid IN (to_regclass('cookie_session'), to_regclass('cookie_session_user'))";
    let row = sqlx::raw_sql(kinds).fetch_one(conn).await?;
    if row.try_get(0)? {
        return Err(MigrateError::Spoiled(
            "they are temporary: take `pg_temp` out of the `search_path`, or put it last",
        ));
    }
    if row.try_get(1)? {
        tracing::warn!(
            "the session tables are UNLOGGED, so a crash of the server signs every user out: `ALTER TABLE … SET LOGGED` keeps them"
        );
    }
    Ok(())
}

/// Signs in, reads, changes and ends, and undoes it.
async fn rehearse(conn: &mut PgConnection) -> Result<(), MigrateError<Unfit>> {
    let sql = sqlx::Postgres::statements();
    let rehearsal = Rehearsal::new(sql);
    let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    for (statement, expected) in rehearsal.sign_in_steps(sql).chain(rehearsal.steps(sql)) {
        let rows = query(&statement).persistent(false).fetch_all(&mut *tx).await.map_err(MigrateError::Altered)?;
        expected.check(&WriteResult::of(rows)).map_err(MigrateError::Spoiled)?;
    }
    tx.rollback().await?;
    Ok(())
}

/// Texts are sent in UTF-8. SQL_ASCII keeps the bytes of any encoding as they are.
async fn check_encoding(conn: &mut PgConnection) -> Result<(), MigrateError<Unfit>> {
    let encoding: String = sqlx::raw_sql("SHOW server_encoding").fetch_one(conn).await?.try_get(0)?;
    match encoding.as_str() {
        "UTF8" => Ok(()),
        "SQL_ASCII" => {
            tracing::warn!(
                "the database's encoding is SQL_ASCII, which checks no text: what another client writes in another encoding makes \
                 a session unreadable; `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0` makes one that does"
            );
            Ok(())
        }
        _ => Err(MigrateError::Unfit(Unfit::Encoding(encoding))),
    }
}

async fn step(conn: &mut PgConnection) -> Result<(), MigrateError<Unfit>> {
    // If the tables are up to date, nothing is changed, and no right to make tables is needed.
    let made = "SELECT version, oldest_reader FROM cookie_session_schema";
    match sqlx::raw_sql(made).fetch_optional(&mut *conn).await {
        Ok(Some(row)) if migrations::pending(MIGRATIONS, row.try_get(0)?, row.try_get(1)?)?.is_empty() => return Ok(()),
        Ok(_) => {}
        Err(error) if classify(&error) == ErrorKind::NotMigrated => {
            sqlx::raw_sql(VERSION_TABLE).execute(&mut *conn).await?;
        }
        Err(error) => return Err(error.into()),
    }
    // No statement is prepared, so that it works through poolers too. The version is read under the
    // row's lock, so that when many nodes start at once, one migrates and the others find it done.
    let mut tx = conn.begin_with(BEGIN).await?;
    let row = sqlx::raw_sql(LOCK_VERSION).fetch_one(&mut *tx).await?;
    let pending = migrations::pending(MIGRATIONS, row.try_get(0)?, row.try_get(1)?)?;
    for migration in pending {
        sqlx::raw_sql(AssertSqlSafe(migration.sql)).execute(&mut *tx).await?;
    }
    if let Some(last) = pending.last() {
        let (version, oldest_reader) = (MIGRATIONS.len(), last.oldest_reader);
        let update = format!("UPDATE cookie_session_schema SET version = {version}, oldest_reader = {oldest_reader}");
        sqlx::raw_sql(AssertSqlSafe(update)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Whether another node made the same table at the same moment: `IF NOT EXISTS` doesn't wait for
/// that.
fn is_another_nodes(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("23505" | "42P07" | "42710"))
}

/// The tables as the first schema had them.
#[cfg(test)]
pub(super) fn first() -> String {
    let noted = "INSERT INTO cookie_session_schema (only_row, version, oldest_reader) VALUES (1, 1, 1)";
    [SIGNED_IN.sql, VERSION_TABLE, ";", noted].concat()
}
