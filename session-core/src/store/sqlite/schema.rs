//! The tables and their versions. A file may be shared by two neighbouring releases: the schema names the oldest version
//! whose release can still work with it.

use sqlx::sqlite::SqlitePool;
use sqlx::{Acquire, Row};

/// Why the tables couldn't be brought up to date.
#[derive(Debug)]
pub(super) enum MigrateError {
    Newer { found: i64, known: i64 },
    Database(sqlx::Error),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

struct Migration {
    /// The oldest schema version whose release can work with the tables after this migration.
    oldest_reader: i64,
    statements: &'static [&'static str],
}

/// In order: the first makes version 1.
const MIGRATIONS: [Migration; 1] = [Migration {
    oldest_reader: 1,
    statements: &[
        "CREATE TABLE cookie_session (
            id BLOB NOT NULL PRIMARY KEY,
            user_id TEXT NOT NULL COLLATE BINARY,
            token_hash BLOB NOT NULL UNIQUE,
            previous_token_hash BLOB,
            token_issued_at INTEGER NOT NULL,
            token_seen INTEGER NOT NULL,
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
        ) STRICT",
        "CREATE INDEX cookie_session_previous ON cookie_session (previous_token_hash) \
         WHERE previous_token_hash IS NOT NULL",
        "CREATE INDEX cookie_session_user ON cookie_session (user_id)",
        "CREATE INDEX cookie_session_expiry ON cookie_session (expires_at)",
    ],
}];

const LATEST: i64 = MIGRATIONS.len() as i64;

/// Brings the tables to the latest version, under SQLite's write lock from the first look to the last statement.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), MigrateError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let connection = transaction.acquire().await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS cookie_session_schema (\
         only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL, oldest_reader INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query("SELECT version, oldest_reader FROM cookie_session_schema")
        .fetch_optional(&mut *connection)
        .await?;
    let (version, oldest_reader) = match row {
        Some(row) => (row.try_get("version")?, row.try_get("oldest_reader")?),
        None => (0, 0),
    };
    if oldest_reader > LATEST {
        return Err(MigrateError::Newer { found: version, known: LATEST });
    }
    let done = usize::try_from(version).unwrap_or(0).min(MIGRATIONS.len());
    for (number, migration) in (1_i64..).zip(&MIGRATIONS).skip(done) {
        for statement in migration.statements {
            sqlx::query(*statement).execute(&mut *connection).await?;
        }
        sqlx::query("INSERT OR REPLACE INTO cookie_session_schema (only, version, oldest_reader) VALUES (1, ?1, ?2)")
            .bind(number)
            .bind(migration.oldest_reader)
            .execute(&mut *connection)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
