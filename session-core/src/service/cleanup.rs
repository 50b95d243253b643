//! The clean-up of expired rows: a task that deletes them in batches until it is stopped. No read
//! depends on it. Not here: how a batch is deleted, see the stores; how fast batches follow each
//! other, see `pace`.
//!
//! # How fast
//! The first pass begins within a minute of the task's start, later ones after about an interval. A
//! pass ends when no expired row is left that is due. The clean-up should keep up with the
//! sign-ins, and yet leave the database to the requests:
//!
//! 1. After a full batch the task rests nine times as long as the batch took, with its wait for a
//!    connection: so it has a tenth of one connection's time. On an idle database a batch of a few
//!    hundred rows takes a few milliseconds, which makes thousands of rows a second. Requests that
//!    keep the database busy make each batch longer, and with it each rest, up to 30 seconds.
//! 2. A clean-up that yields could fall behind for ever. So while a backlog lasts its share grows:
//!    to a fifth after ten seconds, and to half after a minute. It never has more than that of one
//!    connection. If rows expire faster than half of a connection's time can delete, the backlog
//!    grows.
//! 3. A request may have to wait for a batch: in SQLite for its turn to write, elsewhere for a
//!    processor core. So batches that take long are followed by smaller ones, and short ones by
//!    larger ones. A batch finds its rows by an index, so its cost depends only on its size.
//! 4. A pass that has taken a minute ends, and the next one begins after the usual rest. After five
//!    passes in a row that left rows, an event reports that the clean-up is behind.
//!
//! # Whose clock
//! Deleting can't be undone, and a node's clock may be wrong. So each pass asks the database for
//! its time, if it has a clock of its own, and uses the earlier of the two. If the node's clock is
//! over an hour ahead, the pass deletes nothing, as it can't know which clock is wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::clock::earlier;
use crate::error::{Result, StoreError};
use crate::observe::event::Event;
use crate::service::CookieSessionService;
use pace::{Next, Pace};

mod pace;
#[cfg(test)]
mod tests;

/// The latest time after its start at which a task begins its first pass.
const SOON: Duration = Duration::from_secs(60);
/// How far this node's clock may be ahead of the database's for the clean-up to delete.
const FAR_AHEAD: time::Duration = time::Duration::HOUR;

/// A user without a session is forgotten a day after their last one could have been deleted.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many users are looked at in one go. A look locks none of them, and few have no session.
const USERS: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
/// The task rests this many times as long as a look took, as no look is urgent.
const REST_OF_LOOKS: u32 = 49;
/// How often the task looks at all users.
const LOOKS: Duration = Duration::from_secs(6 * 3600);

impl CookieSessionService {
    /// Deletes, in batches, all rows that expired longer ago than `purge_after`, and returns how
    /// many those were. Then it forgets the users who have had no session for a day and
    /// `purge_after`. No read depends on it. It uses only this service's clock.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store). What was deleted before the failure stays deleted.
    pub async fn purge_expired(&self) -> Result<u64> {
        let mut total = 0;
        loop {
            let deleted = self.purge_batch(self.0.now(), pace::FIRST).await?;
            total += deleted;
            if deleted < u64::from(pace::FIRST.get()) {
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut after = None;
        loop {
            after = self.forget_some(after.as_deref(), self.0.now()).await?;
            if after.is_none() {
                return Ok(total);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Starts a task that deletes what [`purge_expired`](Self::purge_expired) deletes: first at a
    /// random moment of the next minute, then after each `interval`, at a random moment of its
    /// second half, so that nodes don't all start at once. An interval under a second counts as a
    /// second.
    ///
    /// While rows are left the task has a tenth of one connection's time, which on an idle database
    /// is thousands of rows a second. While a backlog lasts it has up to half, and after about five
    /// minutes [`Event::CleanupBehind`] reports it. A batch that failed is tried again after at
    /// most a second, then after longer and longer rests of up to a minute, and
    /// [`Event::CleanupFailed`] reports each failure.
    ///
    /// With the operating system's clock, each pass uses the earlier of that clock and the
    /// database's. If the system's is over an hour ahead, the pass deletes nothing, and
    /// [`Event::CleanupClockAhead`] reports it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn_cleanup(&self, interval: Duration) -> CleanupTask {
        let (stop, stopped) = oneshot::channel();
        let interval = interval.max(Duration::from_secs(1));
        let task = tokio::spawn(clean_up(Cleaner::new(self.clone(), interval), stopped));
        CleanupTask { stop, task }
    }

    async fn purge_batch(&self, now: OffsetDateTime, limit: NonZeroU32) -> std::result::Result<u64, StoreError> {
        self.0.store.purge_expired(earlier(now, self.0.config.purge_after), limit).await
    }

    /// Looks at some users. Returns where to go on, or none once all were looked at.
    async fn forget_some(
        &self,
        after: Option<&str>,
        now: OffsetDateTime,
    ) -> std::result::Result<Option<String>, StoreError> {
        let since = earlier(earlier(now, self.0.config.purge_after), DAY);
        Ok(self.0.store.forget_users(after, since, now, USERS).await?.next)
    }
}

/// The clean-up task. Dropping it stops the task too.
#[derive(Debug)]
#[must_use = "dropping it stops the cleanup"]
pub struct CleanupTask {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl CleanupTask {
    /// Stops the task: at once if it rests, otherwise after its present batch.
    ///
    /// # Panics
    /// If the store panicked in the task.
    pub async fn stop(self) {
        drop(self.stop);
        // If its runtime has ended, so has the task.
        if let Err(error) = self.task.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Runs until the task is stopped or its handle is dropped.
async fn clean_up(mut cleaner: Cleaner, mut stopped: oneshot::Receiver<()>) {
    let mut rest = part(cleaner.interval.min(SOON));
    while timeout(rest, &mut stopped).await.is_err() {
        rest = cleaner.step().await;
    }
}

/// What the task does, one batch at a time.
struct Cleaner {
    service: CookieSessionService,
    interval: Duration,
    pace: Pace,
    doing: Doing,
    look: Look,
}

/// What the task does next.
enum Doing {
    /// Begins a pass.
    Begin,
    /// Deletes expired sessions, by a clock that is this far ahead of the database's.
    Sessions { ahead: time::Duration },
    /// Looks for users without sessions, until the next pass.
    Users { ahead: time::Duration, pass: Instant },
}

/// A round of all users, which may take many passes.
enum Look {
    /// None is under way; the last one began then, if there was one.
    Over(Option<Instant>),
    /// One began then and has come up to this user.
    At { began: Instant, after: Option<String> },
}

impl Cleaner {
    const fn new(service: CookieSessionService, interval: Duration) -> Self {
        Self { service, interval, pace: Pace::new(), doing: Doing::Begin, look: Look::Over(None) }
    }

    /// One batch. Returns how long to rest after it.
    async fn step(&mut self) -> Duration {
        let rest = match std::mem::replace(&mut self.doing, Doing::Begin) {
            Doing::Begin => self.begin().await,
            Doing::Sessions { ahead } => self.sessions(ahead).await,
            Doing::Users { ahead, pass } => return self.users(ahead, pass).await,
        };
        rest.unwrap_or_else(|error| {
            self.service.0.emit(&Event::CleanupFailed { error });
            // Soon, as a batch may be done twice; and from the beginning, as another server may
            // answer now.
            second_half(self.pace.after_failure().min(self.interval))
        })
    }

    async fn begin(&mut self) -> std::result::Result<Duration, StoreError> {
        let ahead = self.ahead().await?;
        if ahead > FAR_AHEAD {
            self.service.0.emit(&Event::CleanupClockAhead { by: ahead.unsigned_abs() });
            return Ok(second_half(self.interval));
        }
        self.sessions(ahead).await
    }

    /// How far this node's clock is ahead of the database's. Zero if the database has no clock of
    /// its own, or if this clock isn't the operating system's.
    async fn ahead(&self) -> std::result::Result<time::Duration, StoreError> {
        let inner = &self.service.0;
        if !inner.has_system_clock() {
            return Ok(time::Duration::ZERO);
        }
        // Read before asking, so that the time until the answer doesn't count as being ahead.
        let own = inner.now();
        let servers = inner.store.server_time().await?;
        Ok(servers.map_or(time::Duration::ZERO, |servers| (own - servers).max(time::Duration::ZERO)))
    }

    async fn sessions(&mut self, ahead: time::Duration) -> std::result::Result<Duration, StoreError> {
        let start = Instant::now();
        let deleted = self.service.purge_batch(self.service.0.now() - ahead, self.pace.batch()).await?;
        Ok(match self.pace.after(deleted, start.elapsed()) {
            Next::Batch(rest) => {
                self.doing = Doing::Sessions { ahead };
                rest
            }
            Next::Pass(rest) => rest,
            Next::Behind { rest, at_it, deleted } => {
                self.service.0.emit(&Event::CleanupBehind { at_it, deleted });
                rest
            }
            Next::Done => {
                self.doing = Doing::Users { ahead, pass: Instant::now() + second_half(self.interval) };
                Duration::ZERO
            }
        })
    }

    /// Looks at some users, if it is time for that.
    async fn users(&mut self, ahead: time::Duration, pass: Instant) -> Duration {
        let start = Instant::now();
        let until_pass = |now| pass.saturating_duration_since(now);
        let (began, after) = match &self.look {
            Look::Over(Some(began)) if began.elapsed() < LOOKS => return until_pass(start),
            Look::Over(_) => (start, None),
            Look::At { began, after } => (*began, after.clone()),
        };
        match self.service.forget_some(after.as_deref(), self.service.0.now() - ahead).await {
            Ok(None) => {
                self.look = Look::Over(Some(began));
                until_pass(Instant::now())
            }
            Ok(after) => {
                self.look = Look::At { began, after };
                let (now, rest) = (Instant::now(), start.elapsed() * REST_OF_LOOKS);
                if rest >= until_pass(now) {
                    return until_pass(now);
                }
                self.doing = Doing::Users { ahead, pass };
                rest
            }
            Err(error) => {
                self.service.0.emit(&Event::CleanupFailed { error });
                until_pass(Instant::now())
            }
        }
    }
}

/// A random part of `most`, up to all of it.
fn part(most: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness, all of it will do.
    if rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut byte).is_err() {
        return most;
    }
    most / 255 * u32::from(byte[0])
}

/// A random moment in the second half of `interval`.
fn second_half(interval: Duration) -> Duration {
    interval / 2 + part(interval / 2)
}
