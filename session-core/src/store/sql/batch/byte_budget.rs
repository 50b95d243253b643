//! Limits how many bytes of large data one store moves at once. A request with more than
//! [`MAX_BATCHED_BYTES`] waits for its share before it takes a connection: so those that wait hold
//! nothing, and their time limits start when the wait is over. Not here: smaller requests, which
//! never wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::StoreError;

/// A request with more bytes of data is never batched, and waits for its share of the budget.
pub(in crate::store::sql) const MAX_BATCHED_BYTES: usize = 256 << 10;

/// The budget in bytes. A request for more than all of it gets all of it.
const TOTAL: u32 = 16 << 20;

/// How long requests wait while none of those before them completes.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The budget for large data.
pub(in crate::store::sql) struct ByteBudget {
    bytes: Semaphore,
    /// How many reservations have completed.
    complete: AtomicU64,
}

/// A share of the budget, until this is dropped.
pub(in crate::store::sql) struct Reservation<'a> {
    budget: &'a ByteBudget,
    _bytes: SemaphorePermit<'a>,
}

impl ByteBudget {
    pub(in crate::store::sql) const fn new() -> Self {
        Self { bytes: Semaphore::const_new(TOTAL as usize), complete: AtomicU64::new(0) }
    }

    /// Waits for this many bytes of the budget, in the order of arrival, for as long as earlier
    /// requests complete.
    pub(in crate::store::sql) async fn reserve(&self, bytes: usize) -> Result<Reservation<'_>, StoreError> {
        let mut reservation =
            std::pin::pin!(self.bytes.acquire_many(u32::try_from(bytes).map_or(TOTAL, |bytes| bytes.min(TOTAL))));
        loop {
            let complete = self.complete.load(Ordering::Relaxed);
            match timeout(STALL_TIMEOUT, &mut reservation).await {
                Ok(Ok(permit)) => return Ok(Reservation { budget: self, _bytes: permit }),
                Err(_) if self.complete.load(Ordering::Relaxed) != complete => {}
                Ok(Err(_)) | Err(_) => {
                    return Err(StoreError::not_applied("no other large session's turn ended in time"));
                }
            }
        }
    }
}

impl Reservation<'_> {
    /// Notes that the work is complete, which lets others wait on.
    pub(in crate::store::sql) fn complete(self) {
        self.budget.complete.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: usize = TOTAL as usize / 2;

    #[tokio::test(start_paused = true)]
    async fn no_more_bytes_move_at_once_than_the_budget_has() {
        let budget = ByteBudget::new();
        let first = budget.reserve(HALF).await.unwrap();
        let second = budget.reserve(HALF).await.unwrap();
        assert!(timeout(Duration::from_secs(1), budget.reserve(1)).await.is_err());
        first.complete();
        assert!(timeout(Duration::from_secs(1), budget.reserve(usize::MAX)).await.is_err());
        drop(second);
        budget.reserve(usize::MAX).await.expect("a request for more than the budget gets all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_as_long_as_others_complete_and_no_longer() {
        for completes in [true, false] {
            let budget = ByteBudget::new();
            let mut reservation = Vec::new();
            for _ in 0..8 {
                reservation.push(budget.reserve(HALF / 4).await.unwrap());
            }
            let others = async {
                for next in reservation {
                    tokio::time::sleep(STALL_TIMEOUT * 2 / 3).await;
                    if completes { next.complete() } else { drop(next) }
                }
            };
            let (waited, ()) = tokio::join!(budget.reserve(HALF * 2), others);
            match waited {
                Ok(_) => assert!(completes, "what failed is no reason to wait on"),
                Err(error) => assert!(!completes && matches!(error, StoreError::NotApplied(_)), "{error:?}"),
            }
        }
    }
}
