//! How much the store in memory may hold. Not here: what is done about it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::StoreError;
use crate::model::record::Record;

/// By default 1 GiB: far more than a server's users need, and less than most servers have.
pub(super) const DEFAULT_BYTES: usize = 1 << 30;
/// What a row takes besides its texts, with its places in the tables.
const ROW_BYTES: usize = 1024;

/// The bytes that all rows take, and the most that they may.
#[derive(Debug)]
pub(super) struct Room {
    held: AtomicUsize,
    most: usize,
}

/// What a row takes.
pub(super) fn bytes_of(row: &Record) -> usize {
    let client = &*row.client;
    let texts = [
        row.user_id.as_str(),
        row.data.text(),
        &client.ip_address,
        &client.user_agent,
        &client.device_name,
        &client.device_type,
        &client.fingerprint,
    ];
    ROW_BYTES + texts.map(str::len).iter().sum::<usize>()
}

impl Room {
    pub(super) const fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most }
    }

    /// Takes the bytes for `row`, of which `before` are counted already.
    pub(super) fn take(&self, row: &Record, before: usize) -> Result<(), StoreError> {
        let more = bytes_of(row).saturating_sub(before);
        // Anyone can make visitors, and users must be able to sign in all the same.
        let most = if row.user_id.is_visitor() { self.most / 2 } else { self.most };
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(more).filter(|held| more == 0 || *held <= most)
        });
        let full = |_| {
            StoreError::not_applied(
                "the sessions in memory have reached the limit of bytes: keep sessions in a database, or raise \
                 `MemoryStore::max_bytes`",
            )
        };
        taken.map(drop).map_err(full)
    }

    /// Counts bytes that are given back later, or that nothing is refused for.
    pub(super) fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}
