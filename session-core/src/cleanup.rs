//! The clean-up of expired rows: in batches, at moments of its own, until it is told to stop. Leaves to the store how a batch
//! is deleted, and no read depends on any of it.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::error::{Result, StoreError};
use crate::event::Event;
use crate::expiry::earlier;
use crate::service::CookieSessionService;

#[cfg(test)]
mod tests;

/// Rows that one statement deletes at most: few, because a request that meets one may wait for as long as it takes.
const BATCH: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
/// How many times as long as a batch took the task rests after it: it has a two-hundredth of one connection's time, so that few
/// requests meet one, also where several nodes clean up at once.
const REST: u32 = 199;

impl CookieSessionService {
    /// Deletes what expired longer ago than `purge_after`, in batches of 50 rows, until nothing is left: how many.
    /// No read depends on it.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store); what was deleted before stays deleted.
    pub async fn purge_expired(&self) -> Result<u64> {
        let mut total = 0;
        loop {
            let batch = self.purge_batch().await?;
            total += batch.deleted;
            if !batch.is_full() {
                return Ok(total);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Starts a task that deletes what [`purge_expired`](Self::purge_expired) does, about every `interval`: at a random moment
    /// of its second half, so that many nodes don't all start at once. Between two batches it rests for nineteen times as
    /// long as the first one took, which leaves the database to the requests. It goes on after a store error. An interval under
    /// a second counts as a second.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn_cleanup(&self, interval: Duration) -> CleanupTask {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(clean_up(self.clone(), interval.max(Duration::from_secs(1)), stopped));
        CleanupTask { stop, task }
    }

    async fn purge_batch(&self) -> std::result::Result<Batch, StoreError> {
        let before = earlier(self.0.now(), self.0.config.purge_after);
        Ok(Batch { deleted: self.0.store.purge_expired(before, BATCH).await? })
    }
}

/// The cleanup task; dropping it stops the task too.
#[derive(Debug)]
#[must_use = "dropping it stops the cleanup"]
pub struct CleanupTask {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl CleanupTask {
    /// Stops the task: at once if it waits, else after the batch that it is at.
    ///
    /// # Panics
    /// If the store panicked in the task.
    pub async fn stop(self) {
        drop(self.stop);
        // Where its runtime has ended, so has the task.
        if let Err(error) = self.task.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What one statement did.
struct Batch {
    deleted: u64,
}

impl Batch {
    /// Whether there may be more to delete.
    const fn is_full(&self) -> bool {
        self.deleted >= BATCH.get() as u64
    }
}

/// Ends when told to stop, or when the task's handle is dropped.
async fn clean_up(service: CookieSessionService, interval: Duration, mut stopped: oneshot::Receiver<()>) {
    let mut rest = jittered(interval);
    while timeout(rest, &mut stopped).await.is_err() {
        let start = Instant::now();
        rest = match service.purge_batch().await {
            Ok(batch) if batch.is_full() => start.elapsed() * REST,
            Ok(_) => jittered(interval),
            Err(error) => {
                service.0.tell(&Event::CleanupFailed { error });
                jittered(interval)
            }
        };
    }
}

/// A random moment in the second half of `interval`.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the whole interval is as good.
    if rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut byte).is_err() {
        return interval;
    }
    interval / 2 + interval / 510 * u32::from(byte[0])
}
