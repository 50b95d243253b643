//! Why a SQLite file can't be used, and what to do about it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error_codes::{code, is_busy, primary};
use super::schema::OldLibrary;
use crate::store::sql::driver::DriverError;
use crate::store::sql::migrations::MigrateError;

/// Why a SQLite file can't be used. `Debug` shows the same as `Display`, because that is what an
/// error that leaves `main` is printed as.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SqliteOpenError {
    /// It is empty, or another database's URL. It isn't repeated here, because such a URL may hold
    /// a password.
    #[error(
        "this is no place of a SQLite file: {0}; give a path, or a URL such as `sqlite:///var/lib/app/sessions.db`"
    )]
    Location(#[from] LocationFault),
    /// The file's folder doesn't exist.
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
    /// The file can't be opened, and the file system doesn't show why.
    #[error(
        "can't open {path:?}: check that it is there, as `mode=rw` and `mode=ro` create none, and that this process may read and \
         write it, its folder, and `-wal` and `-shm` next to it ({source})"
    )]
    NoAccess {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: DriverError,
    },
    /// Another process keeps the file locked.
    #[error(
        "{path:?} is locked by another process, or by another connection of this one, for longer than the busy timeout: end its \
         transaction ({source})"
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: DriverError,
    },
    /// The file's content is damaged.
    #[error(
        "{path:?} is damaged: put a backup in its place, save what can be read with `sqlite3`'s `.recover`, or remove the file, \
         which signs every user out ({source})"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: DriverError,
    },
    /// A rehearsal of requests, which is undone, failed: the tables refuse what this release's
    /// tables take.
    #[error(
        "the session tables in {path:?} aren't as this release makes them, or a trigger or constraint on them refuses sessions: \
         undo what was changed, or drop all three, which signs every user out ({source})"
    )]
    AlteredTables {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: DriverError,
    },
    /// A rehearsal of requests, which is undone, came to something else: the tables don't keep
    /// sessions.
    #[error("the session tables in {path:?} don't keep sessions: {fault}")]
    SpoiledTables {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        fault: &'static str,
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
    /// The system's SQLite, to which this program is linked, is too old.
    #[error(
        "this program is linked to SQLite {found}, and needs 3.43 or newer: link a newer one, or turn on the feature `sqlite`, which \
         brings its own"
    )]
    OldLibrary {
        /// The version of that SQLite.
        found: String,
    },
    /// Anything else that SQLite reports.
    #[error("can't use {path:?} for sessions: {source}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: DriverError,
    },
}

/// Why a text is no place of a SQLite file. The text isn't repeated, because the URL of another
/// database may hold a password.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use session_core::{LocationFault, SqliteOpenError, SqliteStore};
///
/// let error = SqliteStore::open("jdbc:sqlite:sessions.db").await.unwrap_err();
/// assert!(matches!(error, SqliteOpenError::Location(LocationFault::Scheme)));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationFault {
    /// There is no text, or nothing after `sqlite:`.
    #[error("it is empty")]
    Empty,
    /// It is inside quotes, as some tools keep them.
    #[error("it begins with a quote: leave the quotes out")]
    Quoted,
    /// It begins as a URL of another kind does.
    #[error(
        "it begins as a URL of another kind: begin with `sqlite:`, or with `./` if a file's name has such a beginning"
    )]
    Scheme,
    /// It begins with `~`.
    #[error("only a shell replaces `~`, and this is none: write the path of the home folder")]
    Home,
    /// It is a path with a URL's parameters.
    #[error("a path has no parameters: begin with `sqlite:` to make it a URL")]
    Parameters,
}

impl fmt::Debug for SqliteOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SqliteOpenError {
    pub(super) fn of(path: &Path, error: MigrateError<OldLibrary>) -> Self {
        const ERROR: i32 = 1;
        const READONLY: i32 = 8;
        const CORRUPT: i32 = 11;
        const CANTOPEN: i32 = 14;
        const CONSTRAINT: i32 = 19;
        const MISMATCH: i32 = 20;
        const NOTADB: i32 = 26;

        let file = path.to_owned();
        let source = match error {
            MigrateError::Newer { found, known } => return Self::NewerSchema { path: file, found, known },
            MigrateError::Unfit(OldLibrary { found }) => return Self::OldLibrary { found },
            MigrateError::Spoiled(fault) => return Self::SpoiledTables { path: file, fault },
            MigrateError::Altered(source)
                if matches!(code(&source).map(primary), Some(ERROR | CONSTRAINT | MISMATCH)) =>
            {
                return Self::AlteredTables { path: file, source: source.into() };
            }
            MigrateError::Altered(source) | MigrateError::Sqlx(source) => source,
        };
        match code(&source).map(primary) {
            Some(READONLY) => Self::ReadOnly { path: file },
            Some(NOTADB) => Self::NotADatabase { path: file },
            // A device or a pipe.
            Some(_) if path.exists() && !path.is_file() => Self::NotADatabase { path: file },
            Some(CORRUPT) => Self::Damaged { path: file, source: source.into() },
            _ if is_busy(code(&source)) => Self::Locked { path: file, source: source.into() },
            // SQLite reports only that it can't, so look for the reason.
            Some(CANTOPEN) => {
                let folder = match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                if folder.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                    Self::MissingFolder { path: file }
                } else if [path, folder].iter().any(|path| is_readonly(path)) {
                    Self::ReadOnly { path: file }
                } else {
                    Self::NoAccess { path: file, source: source.into() }
                }
            }
            _ => Self::Other { path: file, source: source.into() },
        }
    }
}

/// Whether the file or folder is marked as read-only.
pub(super) fn is_readonly(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().readonly())
}
