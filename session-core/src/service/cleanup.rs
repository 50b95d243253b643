//! The clean-up of expired rows: in batches, at moments of its own, until it is told to stop. Leaves to the store how a batch
//! is deleted, to `pace` how fast it goes, and no read depends on any of it.
//!
//! # How fast
//! A pass begins within a minute of the task, then about every interval, and ends when no expired row is left. It must keep up with
//! any number of sign-ins, and yet leave the database to the requests. So:
//!
//! 1. After a full batch it rests nine times as long as that took, waiting for a connection included: it has a tenth of one
//!    connection's time. On an idle database, where a batch of some hundred rows takes some milliseconds, that is thousands of rows a
//!    second. Where requests keep the database busy each batch takes longer, and so does each rest: it yields.
//! 2. A yielding clean-up could fall behind for ever. So its share grows for as long as no end of the backlog is seen: to a fifth after
//!    ten seconds, and to half after a minute. Never more, so requests find a connection that isn't the clean-up's.
//! 3. A batch grows while it stays short, and shrinks where it gets long, as a request may have to wait for one: in SQLite for the turn
//!    to write, elsewhere for a core. It finds its rows by an index, so its size is all that it costs.
//! 4. A pass of over a minute gives way to the next one, which begins at once. After five in a row that left rows an event says that
//!    the clean-up is behind.
//!
//! # Whose clock
//! Deleting can't be undone, and a node's clock may be wrong. So each pass asks the database for its time, if that has a clock of its
//! own, and goes by the earlier of both. Where its own is ahead by over an hour it deletes nothing, as it can't be known which one is
//! wrong.

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

/// How long after its start a task begins at the latest.
const SOON: Duration = Duration::from_secs(60);
/// How far this node's clock may be ahead of the database's.
const FAR_AHEAD: time::Duration = time::Duration::HOUR;

/// A user without a session is forgotten a day after the last one could have been deleted.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many users one look is at: none of them is locked by it, and few have no session.
const USERS: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
/// How many times as long as a look took the task rests after it, as no look is urgent.
const REST_OF_LOOKS: u32 = 49;
/// How often all users are looked at.
const LOOKS: Duration = Duration::from_secs(6 * 3600);

impl CookieSessionService {
    /// Deletes what expired longer ago than `purge_after`, in batches, until nothing is left: how many. Then forgets the users who
    /// have had no session for a day and `purge_after`. No read depends on it. It goes by this service's clock alone.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store); what was deleted before stays deleted.
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

    /// Starts a task that deletes what [`purge_expired`](Self::purge_expired) does: first at a random moment of the next minute, then
    /// about every `interval`, at a random moment of its second half, so that many nodes don't all start at once. An interval under a
    /// second counts as a second.
    ///
    /// While rows are left it has a tenth of one connection's time, which on an idle database is thousands of rows a second. If they
    /// don't get fewer it has up to half, and after five minutes [`Event::CleanupBehind`] tells. A batch that failed is tried again
    /// after a second, then less and less soon, up to a minute; [`Event::CleanupFailed`] tells each time.
    ///
    /// With the operating system's clock, each pass goes by the earlier of that and the database's own, and deletes nothing if its own is
    /// over an hour ahead: [`Event::CleanupClockAhead`] tells.
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

    /// Where to go on, unless all users were looked at.
    async fn forget_some(
        &self,
        after: Option<&str>,
        now: OffsetDateTime,
    ) -> std::result::Result<Option<String>, StoreError> {
        let since = earlier(earlier(now, self.0.config.purge_after), DAY);
        Ok(self.0.store.forget_users(after, since, now, USERS).await?.next)
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

/// Ends when told to stop, or when the task's handle is dropped.
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

/// What it is at.
enum Doing {
    /// Nothing: a pass begins.
    Begin,
    /// Expired sessions, by a clock that is this far ahead of the database's.
    Sessions { ahead: time::Duration },
    /// Users without sessions, until the next pass.
    Users { ahead: time::Duration, pass: Instant },
}

/// A look at all users, which may go on for many passes.
enum Look {
    /// None yet, or none since then.
    Over(Option<Instant>),
    /// Since then, up to this one.
    At { began: Instant, after: Option<String> },
}

impl Cleaner {
    const fn new(service: CookieSessionService, interval: Duration) -> Self {
        Self { service, interval, pace: Pace::new(), doing: Doing::Begin, look: Look::Over(None) }
    }

    /// One batch: how long to rest after it.
    async fn step(&mut self) -> Duration {
        let rest = match std::mem::replace(&mut self.doing, Doing::Begin) {
            Doing::Begin => self.begin().await,
            Doing::Sessions { ahead } => self.sessions(ahead).await,
            Doing::Users { ahead, pass } => return self.users(ahead, pass).await,
        };
        rest.unwrap_or_else(|error| {
            self.service.0.tell(&Event::CleanupFailed { error });
            // Soon, as what failed can be done twice; and from the beginning, as it may be another server now.
            second_half(self.pace.after_failure().min(self.interval))
        })
    }

    async fn begin(&mut self) -> std::result::Result<Duration, StoreError> {
        let ahead = self.ahead().await?;
        if ahead > FAR_AHEAD {
            self.service.0.tell(&Event::CleanupClockAhead { by: ahead.unsigned_abs() });
            return Ok(second_half(self.interval));
        }
        self.sessions(ahead).await
    }

    /// How far this node's clock is ahead of the database's; not at all if that has none, or this is none to compare it with.
    async fn ahead(&self) -> std::result::Result<time::Duration, StoreError> {
        let inner = &self.service.0;
        if !inner.has_system_clock() {
            return Ok(time::Duration::ZERO);
        }
        // Before the question, so that the time until the answer doesn't count as being ahead.
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
                self.service.0.tell(&Event::CleanupBehind { at_it, deleted });
                rest
            }
            Next::Done => {
                self.doing = Doing::Users { ahead, pass: Instant::now() + second_half(self.interval) };
                Duration::ZERO
            }
        })
    }

    /// Looks at some users, if it is time to.
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
                self.service.0.tell(&Event::CleanupFailed { error });
                until_pass(Instant::now())
            }
        }
    }
}

/// A random part of `most`.
fn part(most: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness all of it is as good.
    if rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut byte).is_err() {
        return most;
    }
    most / 255 * u32::from(byte[0])
}

/// A random moment in the second half of `interval`.
fn second_half(interval: Duration) -> Duration {
    interval / 2 + part(interval / 2)
}
