//! Opening a SQLite file with settings that lose no session, and saying clearly why one can't be opened.
//! Not here: the tables, see `schema`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use super::SqliteStore;
use super::fault::{code, primary};
use super::schema;
use crate::store::sql::driver::DriverError;
use crate::store::sql::groups::{Beside, Groups};
use crate::store::sql::migrations::MigrateError;
use crate::store::sql::spares::Spares;

/// Both are faster together from the second on; there is one writer at a time in any case.
const BESIDE: Beside = Beside { reads: 1, writes: 1 };

impl SqliteStore {
    /// On a pool that nothing else uses, whose connections wait so long for other processes.
    fn alone_on(pool: SqlitePool, busy_timeout: Duration) -> Self {
        let spares = Spares::of(&pool, None);
        // A write waits for its turn, for a connection and for other processes.
        let limit = pool.options().get_acquire_timeout() * 2 + busy_timeout;
        let groups = spares.as_ref().map(|spares| Groups::of(spares.home(), &BESIDE, limit));
        Self { groups, spares, ..Self::new(pool) }
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
    /// Options for the file at `path_or_url`: a path, `sqlite:path`, `sqlite://path`, or `sqlite::memory:` for a
    /// database in memory that lives as long as the store.
    ///
    /// A file that isn't there is created, unless the URL says `?mode=rw` or `?mode=ro`. It is opened with a write-ahead
    /// log (which stays set in the file), `synchronous=FULL`, 5 seconds of patience for other writers, and up to 8
    /// connections.
    ///
    /// On Unix a file that is created is for its owner only (mode 0600), and so are SQLite's files beside it, `-wal` and
    /// `-shm`. A file that is there keeps its mode, which SQLite gives to those beside it: to share one between users,
    /// make it first, such as by `install -m 660 /dev/null sessions.db`. Where the URL names a `vfs`, that one decides.
    pub fn new(path_or_url: impl Into<String>) -> Self {
        Self {
            location: path_or_url.into(),
            max_connections: 8,
            busy_timeout: Duration::from_secs(5),
            synchronous: SqliteSynchronous::Full,
        }
    }

    /// At most this many connections, at least one. Each is a thread. A database in memory has always one.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a statement waits for another process that holds the file's write lock; up to 24 days, in whole
    /// milliseconds.
    pub fn busy_timeout(mut self, patience: Duration) -> Self {
        // sqlx panics on what SQLite can't hold.
        self.busy_timeout = patience.min(Duration::from_millis(i32::MAX as u64));
        self
    }

    /// Doesn't wait for the disk at each write: faster, and safe against a crash of the process, but a power cut may
    /// take back the last sign-ins and, worse, the last sign-outs.
    pub fn synchronous_normal_may_lose_writes_on_power_cut(mut self) -> Self {
        self.synchronous = SqliteSynchronous::Normal;
        self
    }

    /// Opens the file and brings its tables to this release's schema.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(self) -> Result<SqliteStore, SqliteOpenError> {
        let Place { options, in_memory, creates } = self.place()?;
        let path = options.get_filename().to_owned();
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(Duration::from_secs(5))
            // A connection to a file doesn't go stale; asking each time would double the trips to its thread.
            .test_before_acquire(false);
        if in_memory {
            // The database is gone with its last connection, so that one is kept.
            let pool = pool.max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options);
            let store = SqliteStore::alone_on(pool, self.busy_timeout);
            store.migrate().await?;
            return Ok(store);
        }

        // The superuser may write all the same; but a file that is marked so isn't meant to be.
        if path.is_file() && is_readonly(&path) {
            return Err(SqliteOpenError::ReadOnly { path });
        }
        #[cfg(unix)]
        let options = if creates {
            private::make_unless_there(&path);
            // SQLite would let everyone read a file that it made itself. Where there is none now, it says why not.
            options.create_if_missing(false)
        } else {
            options
        };
        let first = self.first_connection(&options).await.map_err(|error| SqliteOpenError::of(&path, error))?;
        let pool = pool.max_connections(self.max_connections).connect_lazy_with(options);
        // Only closed once the pool has one of its own: the last one to close removes the log, and the next would have
        // to make it anew.
        let second = pool.acquire().await.map_err(|error| SqliteOpenError::of(&path, error.into()))?;
        first.close().await.map_err(|error| SqliteOpenError::of(&path, error.into()))?;
        drop(second);
        Ok(SqliteStore::alone_on(pool, self.busy_timeout))
    }

    /// What the path or URL means.
    fn place(&self) -> Result<Place, SqliteOpenError> {
        let (is_url, rest) = match self.location.strip_prefix("sqlite:") {
            Some(rest) => (true, rest.strip_prefix("//").unwrap_or(rest)),
            None => (false, self.location.as_str()),
        };
        let (path, query) = rest.split_once('?').filter(|_| is_url).unwrap_or((rest, ""));
        let in_memory = path == ":memory:" || query.contains("mode=memory");
        if (path.is_empty() && !in_memory) || (!is_url && path.contains("://")) {
            return Err(SqliteOpenError::Location);
        }
        let options = if is_url || in_memory {
            let url = format!("sqlite://{rest}");
            SqliteConnectOptions::from_str(&url).map_err(|error| SqliteOpenError::of(Path::new(path), error.into()))?
        } else {
            SqliteConnectOptions::new().filename(path)
        };
        let has = |option: &str| query.split('&').any(|given| given.starts_with(option));
        let by_default = !query.contains("mode=");
        let options = if by_default { options.create_if_missing(true) } else { options };
        // The names of another VFS, and the `file:` URIs that SQLite takes for a path, are no paths of ours to make.
        let is_path = !has("vfs=") && !options.get_filename().to_string_lossy().starts_with("file:");
        Ok(Place {
            options: options.busy_timeout(self.busy_timeout).synchronous(self.synchronous),
            in_memory,
            creates: is_path && (by_default || (has("mode=rwc") && !has("mode=ro"))),
        })
    }

    /// A connection to the file, which now has a write-ahead log and this release's tables.
    async fn first_connection(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection, MigrateError> {
        // SQLite doesn't wait for others while it switches a new file to a write-ahead log, whatever its busy timeout;
        // so where processes start at once, all but one are told that it is busy. The setting stays in the file, and
        // later connections needn't ask for it.
        let with_log = options.clone().journal_mode(SqliteJournalMode::Wal);
        let patience = tokio::time::Instant::now() + self.busy_timeout.max(Duration::from_secs(5));
        loop {
            let opened = async {
                let mut conn = with_log.connect().await?;
                schema::migrate(&mut conn).await?;
                Ok(conn)
            };
            match opened.await {
                Err(MigrateError::Sqlx(error)) if is_busy(&error) && tokio::time::Instant::now() < patience => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                result => return result,
            }
        }
    }
}

/// What a path or URL means.
struct Place {
    options: SqliteConnectOptions,
    in_memory: bool,
    /// Whether a file at this path is made if there is none.
    #[cfg_attr(not(unix), expect(dead_code, reason = "SQLite makes it"))]
    creates: bool,
}

/// Why a SQLite file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteOpenError {
    /// It is empty, or another database's URL. It isn't repeated here, because such a URL may hold a password.
    #[error("this is no place of a SQLite file: give a path, or a URL such as `sqlite:///var/lib/app/sessions.db`")]
    Location,
    /// The file's folder isn't there.
    #[error("can't open {path:?}: its folder doesn't exist, create it first")]
    MissingFolder {
        /// The file.
        path: PathBuf,
    },
    /// The file, or its folder, can't be written or is marked as read-only.
    #[error("can't write to {path:?}: give this process the right to write the file and its folder")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path:?} is not a SQLite database: point to another file")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A newer release changed the tables in a way that this one doesn't understand.
    #[error("{path:?} has session tables of version {found}, this release knows {known}: use a newer release")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// Anything else that SQLite has to say.
    #[error("can't use {path:?} for sessions: {source}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: DriverError,
    },
}

impl SqliteOpenError {
    pub(super) fn of(path: &Path, error: MigrateError) -> Self {
        const READONLY: i32 = 8;
        const CANTOPEN: i32 = 14;
        const NOTADB: i32 = 26;

        let file = path.to_owned();
        let source = match error {
            MigrateError::Newer { found, known } => return Self::NewerSchema { path: file, found, known },
            MigrateError::Sqlx(source) => source,
        };
        match code(&source).map(primary) {
            Some(READONLY) => Self::ReadOnly { path: file },
            Some(NOTADB) => Self::NotADatabase { path: file },
            // SQLite says no more than that it can't; look for the reason.
            Some(CANTOPEN) => {
                let folder = match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                if !folder.is_dir() {
                    Self::MissingFolder { path: file }
                } else if path.is_dir() {
                    Self::NotADatabase { path: file }
                } else if [path, folder].iter().any(|path| is_readonly(path)) {
                    Self::ReadOnly { path: file }
                } else {
                    Self::Other { path: file, source: source.into() }
                }
            }
            _ => Self::Other { path: file, source: source.into() },
        }
    }
}

/// The file of the user's own pool, to name it in errors.
pub(super) fn path_of(pool: &SqlitePool) -> PathBuf {
    pool.connect_options().get_filename().to_owned()
}

fn is_readonly(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().readonly())
}

fn is_busy(error: &sqlx::Error) -> bool {
    super::fault::is_busy(code(error))
}

/// Files for their owner only. Left to SQLite they would be made as the umask says, which is mostly for all to read.
#[cfg(unix)]
mod private {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    /// Closing a file gives up all locks that this process has on it, SQLite's too. So none that is there is opened
    /// here, and nobody goes on to SQLite while another in this process has yet to close what it made.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Makes an empty file, which is a new database. Leaves it to SQLite to say why there is none afterwards.
    pub(super) fn make_unless_there(path: &Path) {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(behind_links(path)));
    }

    /// The file that SQLite opens: a link may lead to one that isn't there yet.
    fn behind_links(path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        // As many as Linux follows, then it is a circle.
        for _ in 0..40 {
            let Ok(target) = fs::read_link(&path) else { break };
            path = path.parent().unwrap_or(Path::new("")).join(target);
        }
        path
    }
}
