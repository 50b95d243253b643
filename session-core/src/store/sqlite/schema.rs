//! The SQLite tables, and how a file gets them: versioned, in one transaction, safe when many processes start at once.
//! Leaves opening the file to `options` and the statements that use the tables to `statements`.

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::store::sql::migrations::{self, MigrateError, Migration};

const MIGRATIONS: &[Migration] = &[Migration {
    oldest_reader: 1,
    // Times are microseconds since 1970, ids and hashes raw bytes. `user_id` alone is indexed, without activity, so
    // that recording activity leaves that index alone.
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
}];

const VERSION_TABLE: &str = "
CREATE TABLE IF NOT EXISTS cookie_session_schema (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL,
    oldest_reader INTEGER NOT NULL
) STRICT";

/// Brings the file to this release's schema, or leaves it as it is if it is that or a newer one that can be shared.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), MigrateError> {
    // The version is read under the write lock: of many processes that start at once, one migrates and the others
    // then find it done.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(VERSION_TABLE).execute(&mut *tx).await?;
    // SQLite begins even an immediate transaction on a read-only file without complaint. A write that changes nothing
    // makes it say so now rather than at the first sign-in.
    sqlx::raw_sql("UPDATE cookie_session_schema SET version = version WHERE FALSE").execute(&mut *tx).await?;
    let row = sqlx::query("SELECT version, oldest_reader FROM cookie_session_schema").fetch_optional(&mut *tx).await?;
    let (found, oldest_reader) = match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (0, 0),
    };

    let pending = migrations::pending(MIGRATIONS, found, oldest_reader)?;
    for migration in pending {
        sqlx::raw_sql(AssertSqlSafe(migration.sql)).execute(&mut *tx).await?;
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
    tx.commit().await?;
    Ok(())
}
