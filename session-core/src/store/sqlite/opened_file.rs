//! Notices that a store's file, or its write-ahead log, was replaced or removed while it is open.
//! Its connections then still have the former one, which no other process sees any more, and new
//! ones get another.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx_sqlite::SqliteConnection;

use crate::error::StoreError;

/// How long reads trust that the file is the same. Writes always look.
const READS_TRUST_FOR: Duration = Duration::from_secs(1);

/// The file at the store's path isn't the one that it opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path:?} was replaced or removed since it was opened, and nothing is stored any more: put it back, or restart this process to \
     use what is there now"
)]
struct Replaced {
    path: PathBuf,
}

/// A store's file, as it was when it was opened.
pub(super) struct OpenedFile {
    /// The file, and its log if there is one.
    files: Vec<(PathBuf, Identity)>,
    /// As long as one connection is open, SQLite keeps the log.
    _keeps_log: Option<Mutex<SqliteConnection>>,
    opened: Instant,
    /// When it was last the same, in milliseconds after that.
    seen: AtomicU64,
    reads_trust_for: Duration,
}

impl OpenedFile {
    /// None where files can't be told apart, or there is none at the path, as a VFS may have it.
    /// `keeps_log` is a connection that has read, which therefore has the log open.
    pub(super) fn at(path: &Path, keeps_log: Option<SqliteConnection>) -> Option<Self> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let mut files = vec![(path.to_owned(), Identity::of(path)?)];
        if keeps_log.is_some() {
            files.extend(Identity::of(Path::new(&log)).map(|identity| (log.into(), identity)));
        }
        let (opened, seen) = (Instant::now(), AtomicU64::new(0));
        let keeps_log = keeps_log.map(Mutex::new);
        Some(Self { files, _keeps_log: keeps_log, opened, seen, reads_trust_for: READS_TRUST_FOR })
    }

    /// An error if the file or its log isn't there any more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_another = |(path, identity): &&(PathBuf, Identity)| Identity::of(path).as_ref() != Some(identity);
        if let Some((path, _)) = self.files.iter().find(is_another) {
            return Err(StoreError::not_applied(Replaced { path: path.clone() }));
        }
        self.seen.store(self.age(), Ordering::Relaxed);
        Ok(())
    }

    /// The same, unless that was seen a moment ago.
    pub(super) fn check_sometimes(&self) -> Result<(), StoreError> {
        let unseen = self.age().saturating_sub(self.seen.load(Ordering::Relaxed));
        if u128::from(unseen) < self.reads_trust_for.as_millis() { Ok(()) } else { self.check() }
    }

    /// Reads look each time too.
    #[cfg(test)]
    pub(super) fn look_always(mut self) -> Self {
        self.reads_trust_for = Duration::ZERO;
        self
    }

    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What two files never share at the same time.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = path.metadata().ok()?;
        Some(Self { device: file.dev(), inode: file.ino() })
    }

    /// Windows lets no open file be replaced.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }
}
