//! Notices that a store's file was replaced or removed while it is open. Its connections then still
//! have the former file, which no other process sees any more, and new ones get another.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    path: PathBuf,
    identity: Identity,
    opened: Instant,
    /// When it was last the same, in milliseconds after that.
    seen: AtomicU64,
    reads_trust_for: Duration,
}

impl OpenedFile {
    /// None where files can't be told apart, or there is none at the path, as a VFS may have it.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let identity = Identity::of(path)?;
        let (opened, seen) = (Instant::now(), AtomicU64::new(0));
        Some(Self { path: path.to_owned(), identity, opened, seen, reads_trust_for: READS_TRUST_FOR })
    }

    /// An error if the file isn't there any more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if Identity::of(&self.path).as_ref() != Some(&self.identity) {
            return Err(StoreError::not_applied(Replaced { path: self.path.clone() }));
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
