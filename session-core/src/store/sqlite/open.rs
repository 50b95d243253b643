//! Opening an SQLite file with settings that keep what was acknowledged, and errors that name the file.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::SqliteStore;
use super::schema::{self, MigrateError};

/// How often opening is tried while other processes make the same new file.
const OPEN_TRIES: u32 = 50;

/// Why a database can't be used for sessions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteOpenError {
    /// The URL isn't one of SQLite.
    #[error("{url:?} is no SQLite path or URL: write it like `sessions.db` or `sqlite:///var/lib/app/sessions.db`")]
    Url {
        /// The URL.
        url: String,
    },
    /// The file's folder doesn't exist.
    #[error("the folder of {file:?} doesn't exist: make it first")]
    MissingFolder {
        /// The file.
        file: String,
    },
    /// The file, or its folder, can't be written to.
    #[error("{file:?} can't be written to: give this process the right to write to it and to its folder")]
    ReadOnly {
        /// The file.
        file: String,
    },
    /// The file is something else.
    #[error("{file:?} is not an SQLite database: name another file")]
    NotADatabase {
        /// The file.
        file: String,
    },
    /// A newer release made the tables, and says that this one can't work with them.
    #[error("the session tables in {file:?} have version {found}, this release knows {known}: upgrade the library")]
    NewerSchema {
        /// The file.
        file: String,
        /// The version that is there.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// Anything else.
    #[error("{file:?} can't be opened: {source}")]
    Other {
        /// The file.
        file: String,
        /// Why.
        source: sqlx::Error,
    },
}

/// How to open an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    path_or_url: String,
    max_connections: u32,
    busy_timeout: Duration,
    synchronous: SqliteSynchronous,
}

impl SqliteOptions {
    /// 8 connections, 5 seconds of waiting for other writers, `synchronous=FULL`.
    pub fn new(path_or_url: impl Into<String>) -> Self {
        Self {
            path_or_url: path_or_url.into(),
            max_connections: 8,
            busy_timeout: Duration::from_secs(5),
            synchronous: SqliteSynchronous::Full,
        }
    }

    /// The most connections to the file.
    #[must_use]
    pub const fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long to wait for another writer, and for a free connection.
    #[must_use]
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Syncs less often (`synchronous=NORMAL`): faster, and safe if the process dies, but a power cut can take back what
    /// was acknowledged, a sign-out too.
    #[must_use]
    pub const fn synchronous_normal_may_lose_writes_on_power_cut(mut self) -> Self {
        self.synchronous = SqliteSynchronous::Normal;
        self
    }

    /// Opens the file, making it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(self) -> Result<SqliteStore, SqliteOpenError> {
        let url_error = || SqliteOpenError::Url { url: self.path_or_url.clone() };
        let in_memory = self.path_or_url.contains(":memory:") || self.path_or_url.contains("mode=memory");
        let options = if self.path_or_url.starts_with("sqlite:") {
            SqliteConnectOptions::from_str(&self.path_or_url).map_err(|_| url_error())?
        } else if self.path_or_url.is_empty() || self.path_or_url.contains("://") {
            return Err(url_error());
        } else if in_memory {
            SqliteConnectOptions::from_str("sqlite::memory:").map_err(|_| url_error())?
        } else {
            SqliteConnectOptions::new().filename(&self.path_or_url)
        };
        let file = if in_memory { ":memory:".to_owned() } else { options.get_filename().display().to_string() };
        if !in_memory {
            check_folder(options.get_filename(), &file)?;
        }
        let options = options
            .create_if_missing(true)
            .busy_timeout(self.busy_timeout)
            .synchronous(self.synchronous)
            .journal_mode(if in_memory { SqliteJournalMode::Memory } else { SqliteJournalMode::Wal });
        let pool = SqlitePoolOptions::new().test_before_acquire(false).acquire_timeout(self.busy_timeout);
        // A database in memory lives as long as its one connection.
        let pool = if in_memory {
            pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None)
        } else {
            pool.max_connections(self.max_connections)
        };
        let mut tries = 1;
        loop {
            match open(&pool, &options).await {
                Ok(pool) => return Ok(SqliteStore::new(pool)),
                // Switching a new file to WAL doesn't wait for others that do the same.
                Err(error) if tries < OPEN_TRIES && is_busy(&error) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    tries += 1;
                }
                Err(error) => return Err(explain(error, &file)),
            }
        }
    }
}

async fn open(pool: &SqlitePoolOptions, options: &SqliteConnectOptions) -> Result<SqlitePool, MigrateError> {
    let pool = pool.clone().connect_with(options.clone()).await?;
    if let Err(error) = schema::migrate(&pool).await {
        pool.close().await;
        return Err(error);
    }
    Ok(pool)
}

fn check_folder(path: &Path, file: &str) -> Result<(), SqliteOpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !folder.is_dir() {
        return Err(SqliteOpenError::MissingFolder { file: file.to_owned() });
    }
    // The superuser may write where the file says no; a file that is marked so isn't meant for it.
    if path.metadata().is_ok_and(|metadata| metadata.permissions().readonly()) {
        return Err(SqliteOpenError::ReadOnly { file: file.to_owned() });
    }
    Ok(())
}

/// The error's meaning for whoever named the file.
pub(super) fn explain(error: MigrateError, file: &str) -> SqliteOpenError {
    const READ_ONLY: i32 = 8;
    const CANT_OPEN: i32 = 14;
    const NOT_A_DATABASE: i32 = 26;
    let file = file.to_owned();
    match error {
        MigrateError::Newer { found, known } => SqliteOpenError::NewerSchema { file, found, known },
        MigrateError::Database(source) => match primary_code(&source) {
            Some(READ_ONLY | CANT_OPEN) => SqliteOpenError::ReadOnly { file },
            Some(NOT_A_DATABASE) => SqliteOpenError::NotADatabase { file },
            Some(_) | None => SqliteOpenError::Other { file, source },
        },
    }
}

fn is_busy(error: &MigrateError) -> bool {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    match error {
        MigrateError::Database(error) => matches!(primary_code(error), Some(BUSY | LOCKED)),
        MigrateError::Newer { .. } => false,
    }
}

/// SQLite's primary result code, without the extension in its upper bytes.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}
