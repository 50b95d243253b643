//! How many bytes of large data one store has under way at once. Whatever is larger than [`LARGE`] waits for room before it takes a
//! connection: so a few are under way and the others hold nothing, and time limits count from when it is their turn. Leaves what is
//! smaller to `gather`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::StoreError;

/// Data of more bytes goes alone and waits for room.
pub(super) const LARGE: usize = 256 << 10;

/// The bytes for which there is room. One that is larger goes when it is the only one.
const ALL: u32 = 16 << 20;

/// For how long nothing may get done, before those who wait give up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for large data.
pub(super) struct Room {
    bytes: Semaphore,
    /// Counts what got done.
    done: AtomicU64,
}

/// What takes room, until it is dropped.
pub(super) struct Taken<'a> {
    room: &'a Room,
    _bytes: SemaphorePermit<'a>,
}

impl Room {
    pub(super) const fn new() -> Self {
        Self { bytes: Semaphore::const_new(ALL as usize), done: AtomicU64::new(0) }
    }

    /// Waits for room for so many bytes: in the order of arrival, and as long as those before get done.
    pub(super) async fn take(&self, bytes: usize) -> Result<Taken<'_>, StoreError> {
        let mut taken =
            std::pin::pin!(self.bytes.acquire_many(u32::try_from(bytes).map_or(ALL, |bytes| bytes.min(ALL))));
        loop {
            let done = self.done.load(Ordering::Relaxed);
            match timeout(PATIENCE, &mut taken).await {
                Ok(Ok(permit)) => return Ok(Taken { room: self, _bytes: permit }),
                Err(_) if self.done.load(Ordering::Relaxed) != done => {}
                Ok(Err(_)) | Err(_) => {
                    return Err(StoreError::not_applied("no other large session's turn ended in time"));
                }
            }
        }
    }
}

impl Taken<'_> {
    /// What took the room got done.
    pub(super) fn done(self) {
        self.room.done.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: usize = ALL as usize / 2;

    #[tokio::test(start_paused = true)]
    async fn so_many_bytes_are_under_way_at_once_and_no_more() {
        let room = Room::new();
        let first = room.take(HALF).await.unwrap();
        let second = room.take(HALF).await.unwrap();
        assert!(timeout(Duration::from_secs(1), room.take(1)).await.is_err());
        first.done();
        assert!(timeout(Duration::from_secs(1), room.take(usize::MAX)).await.is_err());
        drop(second);
        room.take(usize::MAX).await.expect("what is larger than all room goes alone");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_for_as_long_as_others_get_done_and_no_longer() {
        for gets_done in [true, false] {
            let room = Room::new();
            let mut taken = Vec::new();
            for _ in 0..8 {
                taken.push(room.take(HALF / 4).await.unwrap());
            }
            let others = async {
                for next in taken {
                    tokio::time::sleep(PATIENCE * 2 / 3).await;
                    if gets_done { next.done() } else { drop(next) }
                }
            };
            let (waited, ()) = tokio::join!(room.take(HALF * 2), others);
            match waited {
                Ok(_) => assert!(gets_done, "what failed is no reason to wait on"),
                Err(error) => assert!(!gets_done && matches!(error, StoreError::NotApplied(_)), "{error:?}"),
            }
        }
    }
}
