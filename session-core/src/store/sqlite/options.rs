//! Opens a SQLite file with settings that lose no session. Not here: what a path or URL means, see
//! `location`; the tables, see `schema`; and why a file can't be opened, see `open_error`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx_sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::SqliteStore;
use super::error_codes::code;
use super::location::FileLocation;
use super::open_error::{SqliteOpenError, is_readonly};
use super::opened_file::OpenedFile;
use super::schema::{self, OldLibrary};
use crate::store::sql::batch::{Batchers, SoloLimits};
use crate::store::sql::connection::lease::LeasePool;
use crate::store::sql::migrations::MigrateError;

/// Reads and writes are faster in a batch as soon as there are two; there is one writer at a time
/// in any case.
const SOLO_LIMITS: SoloLimits = SoloLimits { reads: 1, writes: 1 };

impl SqliteStore {
    /// A store on a pool that nothing else uses, whose connections wait for `busy_timeout` for
    /// other processes.
    fn alone_on(pool: SqlitePool, busy_timeout: Duration) -> Self {
        let leases = LeasePool::of(&pool, None);
        // A write may wait for other writes of this process, for a connection, and for other
        // processes.
        let limit = pool.options().get_acquire_timeout() * 2 + busy_timeout;
        let batchers = leases.as_ref().map(|leases| Batchers::of(leases.owner(), &SOLO_LIMITS, limit));
        Self { batchers, leases, ..Self::new(pool) }
    }
}

/// How to open a SQLite file: see [`SqliteOptions::new`].
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    location: String,
    max_connections: u32,
    busy_timeout: Duration,
    synchronous: SqliteSynchronous,
}

impl SqliteOptions {
    /// Options for the file at `path_or_url`: a path, `sqlite:path`, `sqlite://path`, or
    /// `sqlite::memory:` for a database in memory that lives as long as the store. A URI of SQLite,
    /// `file:path`, means the same as `sqlite:path`.
    ///
    /// A missing file is created, unless the URL has `?mode=rw` or `?mode=ro`. Unless you set it
    /// otherwise, the file is opened with a write-ahead log (which stays set in the file),
    /// `synchronous=FULL`, a busy timeout of 5 seconds, and up to 8 connections.
    ///
    /// On Unix only the owner can read a file that is created (mode 0600), and likewise the files
    /// that SQLite keeps next to it, `-wal` and `-shm`. An existing file keeps its mode, which
    /// SQLite gives to the other two as well. To share a file between users, create it first, for
    /// example by `install -m 660 /dev/null sessions.db`. If the URL names a `vfs`, that VFS
    /// decides.
    pub fn new(path_or_url: impl Into<String>) -> Self {
        Self {
            location: path_or_url.into(),
            max_connections: 8,
            busy_timeout: Duration::from_secs(5),
            synchronous: SqliteSynchronous::Full,
        }
    }

    /// At most this many connections, at least one. Each is a thread, and one more keeps the
    /// write-ahead log. A database in memory always has one.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a statement waits for another process that holds the file's write lock; up to 24
    /// days, in whole milliseconds.
    pub fn busy_timeout(mut self, limit: Duration) -> Self {
        // sqlx panics if SQLite can't hold the value.
        self.busy_timeout = limit.min(Duration::from_millis(i32::MAX as u64));
        self
    }

    /// Doesn't wait for the disk at each write. This is faster, and safe if the process crashes,
    /// but a power cut may undo the last sign-ins and, worse, the last sign-outs.
    pub fn synchronous_normal_may_lose_writes_on_power_cut(mut self) -> Self {
        self.synchronous = SqliteSynchronous::Normal;
        self
    }

    /// Opens the file and brings its tables to this release's schema.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(self) -> Result<SqliteStore, SqliteOpenError> {
        let FileLocation { options, in_memory, creates } = FileLocation::parse(&self.location)?;
        let options = options.busy_timeout(self.busy_timeout).synchronous(self.synchronous);
        let path = options.get_filename().to_owned();
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(Duration::from_secs(5))
            // A connection to a file doesn't go stale, and a ping before each use would double the
            // messages to its thread.
            .test_before_acquire(false);
        if in_memory {
            // The database is gone with its last connection, so the one connection is kept.
            let pool = pool.max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options);
            let store = SqliteStore::alone_on(pool, self.busy_timeout);
            store.migrate().await?;
            return Ok(store);
        }

        // The superuser could write a read-only file, but it isn't meant to be written.
        if path.is_file() && is_readonly(&path) {
            return Err(SqliteOpenError::ReadOnly { path });
        }
        #[cfg(unix)]
        let options = if creates {
            private::make_unless_there(&path);
            // A file that SQLite itself made would be readable by everyone. If the file is missing
            // now, SQLite reports why.
            options.create_if_missing(false)
        } else {
            options
        };
        let first = self.first_connection(&options).await.map_err(|error| SqliteOpenError::of(&path, error))?;
        let pool = pool.max_connections(self.max_connections).connect_lazy_with(options);
        drop(pool.acquire().await.map_err(|error| SqliteOpenError::of(&path, error.into()))?);
        // Not closed: the last connection to close removes the log.
        let file = OpenedFile::at(&path, Some(first)).map(Arc::new);
        Ok(SqliteStore { file, ..SqliteStore::alone_on(pool, self.busy_timeout) })
    }

    /// A connection to the file, which now has a write-ahead log and this release's tables.
    async fn first_connection(
        &self,
        options: &SqliteConnectOptions,
    ) -> Result<SqliteConnection, MigrateError<OldLibrary>> {
        // SQLite doesn't wait for other processes while it switches a new file to a write-ahead
        // log, whatever the busy timeout. When processes start at once, all but one get an error
        // that the file is busy. The setting stays in the file, so later connections needn't set
        // it.
        let with_log = options.clone().journal_mode(SqliteJournalMode::Wal);
        let deadline = tokio::time::Instant::now() + self.busy_timeout.max(Duration::from_secs(5));
        loop {
            let opened = async {
                let mut conn = with_log.connect().await?;
                schema::migrate(&mut conn).await?;
                Ok(conn)
            };
            match opened.await {
                Err(MigrateError::Sqlx(error)) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                result => return result,
            }
        }
    }
}

/// The pool's file, to name it in errors.
pub(super) fn path_of(pool: &SqlitePool) -> PathBuf {
    pool.connect_options().get_filename().to_owned()
}

fn is_busy(error: &sqlx::Error) -> bool {
    super::error_codes::is_busy(code(error))
}

/// Creates files for their owner only. SQLite would create them as the umask says, usually readable
/// by everyone.
#[cfg(unix)]
mod private {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    /// Closing a file releases all locks that this process has on it, SQLite's too. So no existing
    /// file is opened here, and no other thread continues to SQLite before this one has closed what
    /// it created.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Creates an empty file, which is a new database. If it can't, SQLite's own error will say
    /// why.
    pub(super) fn make_unless_there(path: &Path) {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(behind_links(path)));
    }

    /// The file that SQLite opens: a link may lead to one that doesn't exist yet.
    fn behind_links(path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        // Linux follows this many; more links are a circle.
        for _ in 0..40 {
            let Ok(target) = fs::read_link(&path) else { break };
            path = path.parent().unwrap_or(Path::new("")).join(target);
        }
        path
    }
}
