//! Doing an operation on a connection of the pool: how long to wait, what to ask again, and what a failure says about the change that
//! was asked for.
//!
//! One deadline covers all of an operation: its place in a queue, a connection, and every try. Until then asked again is:
//! 1. what the server rolled back because of another transaction, or because a lock wasn't free;
//! 2. what failed with its connection. It may have been done: changes are such that the same done twice is done once;
//! 3. on a store's own connections, what stays unanswered: a read on a connection that was unheard for a while after [`SILENT`], a
//!    change after [`Server::UNANSWERED`], once, and then on a connection that is known to be alive.

use std::time::Duration;

use sqlx::error::Error as SqlxError;
use sqlx::{Connection, Database};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{Answers, ErrorKind, Failed, Pooling, Server, ServerStore, Work};
use crate::error::StoreError;
use crate::store::sql::driver::DriverError;
use crate::store::sql::row::Written;
use crate::store::sql::spares::{HOT, Lent, PING, lend};

/// How often an operation is run again that the database rolled back because it ran into another.
const RETRIES: u32 = 20;

/// How long a read waits on a connection that was unheard for longer than [`HOT`].
const SILENT: Duration = Duration::from_millis(300);

/// A connection that was unheard for longer is asked whether it lives before a change is sent.
const COLD: Duration = Duration::from_secs(5);

/// Longer than anybody waits, and what clocks can still be added to.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The server took too long.
#[derive(Debug, thiserror::Error)]
#[error("the database server did not answer in time")]
struct NoAnswer;

/// The database has no tables for sessions.
#[derive(Debug, thiserror::Error)]
#[error("the database lacks this release's session tables: call `{migrate}` once at start")]
struct NotMigrated {
    migrate: &'static str,
    source: DriverError,
}

/// When an operation that begins now has to end.
pub(super) fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience.min(LONGEST)
}

/// Of whatever can't have changed anything: a read, or a step before the commit.
pub(in crate::store) fn before_commit<D: Server>(error: SqlxError) -> StoreError {
    if D::classify(&error) == ErrorKind::NotMigrated {
        StoreError::not_applied(NotMigrated { migrate: D::NAMES.migrate, source: error.into() })
    } else {
        StoreError::not_applied(DriverError::from(error))
    }
}

/// Whether it is the connection that failed, and not what was asked.
fn is_of_connection<D: Server>(error: &SqlxError) -> bool {
    match error {
        SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed => true,
        SqlxError::Database(_) => D::classify(error) == ErrorKind::EndOfConnection,
        _ => false,
    }
}

/// Whether nothing was sent.
const fn is_unsent(error: &SqlxError) -> bool {
    matches!(error, SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::Encode(_))
}

/// Whether a connection is as good as before when this work is dropped at any point. sqlx loses track of a transaction whose
/// beginning is dropped: what follows on the connection would never be committed.
fn survives_cancelling<D: Server>(work: &Work<'_>, pooling: Pooling) -> bool {
    let is_one_statement = match work {
        Work::Read(_) | Work::Write(_) => true,
        Work::Change(task, _) => !task.is_in_turn(),
        Work::Forget(_) => false,
    };
    D::SURVIVES_CANCELLING && is_one_statement && pooling == Pooling::Direct
}

/// What came of a try.
enum Tried<R> {
    Done(Written<R>),
    Failed(Failed),
    /// No answer, for the longest that this try may wait.
    Silent,
    /// The connection is no longer alive. Nothing was asked on it.
    Dead,
    /// The operation's time is over.
    TooLate,
    /// There was no connection to try it on.
    NoConnection(SqlxError),
}

/// How an operation stands.
struct Progress {
    deadline: Instant,
    /// Whether an earlier try may have changed something.
    may_be_done: bool,
    /// Whether to take only a connection that is known to be alive.
    fresh: bool,
    /// How often the server rolled it back because of another.
    rolled_back: u32,
    /// How often a connection failed.
    broken: u32,
}

/// Does the work, and again where that is safe, until the deadline.
pub(super) async fn perform<D: Server>(
    store: &ServerStore<D>,
    work: Work<'_>,
    deadline: Instant,
) -> Result<Written<D::Row>, StoreError> {
    perform_again(store, work, deadline, false).await
}

/// The same of what was tried before, and may be done, if `may_be_done`.
pub(super) async fn perform_again<D: Server>(
    store: &ServerStore<D>,
    work: Work<'_>,
    deadline: Instant,
    may_be_done: bool,
) -> Result<Written<D::Row>, StoreError> {
    let is_read = matches!(work, Work::Read(_));
    let mut progress = Progress { deadline, may_be_done, fresh: false, rolled_back: 0, broken: 0 };
    loop {
        let error = match attempt(store, &work, &progress).await {
            Tried::Done(written) => return Ok(Written { is_repeated: progress.may_be_done, ..written }),
            Tried::Silent => {
                progress.fresh = true;
                progress.may_be_done |= !is_read;
                continue;
            }
            Tried::Dead => {
                progress.fresh = true;
                continue;
            }
            Tried::TooLate => {
                return Err(match is_read {
                    true => StoreError::not_applied(NoAnswer),
                    false => StoreError::unknown(NoAnswer),
                });
            }
            Tried::NoConnection(error) if !is_of_connection::<D>(&error) => {
                return Err(progress.failed::<D>(error));
            }
            Tried::NoConnection(error) => error,
            Tried::Failed(Failed::Before(error) | Failed::AtCommit(error))
                if matches!(D::classify(&error), ErrorKind::RolledBack | ErrorKind::Locked) =>
            {
                progress.rolled_back += u32::from(D::classify(&error) == ErrorKind::RolledBack);
                // What it ran into may take a while to commit, and roll back each try until then: soon again, then less soon.
                let pause = Duration::from_millis((1 << progress.rolled_back.min(5)) - 1);
                if progress.rolled_back > RETRIES || !progress.pause(pause).await {
                    return Err(progress.failed::<D>(error));
                }
                continue;
            }
            Tried::Failed(Failed::Before(error)) if is_of_connection::<D>(&error) => error,
            Tried::Failed(Failed::AtCommit(error)) if is_of_connection::<D>(&error) => {
                progress.may_be_done |= !is_read;
                error
            }
            Tried::Failed(Failed::Before(error) | Failed::AtCommit(error)) => return Err(progress.failed::<D>(error)),
        };
        // All connections of the pool may have died since they were used last, and the server may be starting.
        progress.broken += 1;
        let known = store.pool.options().get_max_connections();
        let pause = match progress.broken.checked_sub(known.max(1)) {
            None | Some(0) => Duration::ZERO,
            Some(more) => Duration::from_millis(10 << more.min(5)),
        };
        progress.fresh |= store.spares.is_some() && progress.broken > 1;
        if !progress.pause(pause).await {
            return Err(progress.failed::<D>(error));
        }
    }
}

impl Progress {
    /// Waits; false if the operation's time is over then.
    async fn pause(&self, pause: Duration) -> bool {
        let then = Instant::now() + pause;
        if then >= self.deadline {
            return false;
        }
        if !pause.is_zero() {
            sleep_until(then).await;
        }
        true
    }

    fn failed<D: Server>(&self, error: SqlxError) -> StoreError {
        if self.may_be_done { StoreError::unknown(DriverError::from(error)) } else { before_commit::<D>(error) }
    }
}

/// Does the work on a connection, once. One that failed, or on which the server doesn't answer, is closed.
async fn attempt<D: Server>(store: &ServerStore<D>, work: &Work<'_>, progress: &Progress) -> Tried<D::Row> {
    let deadline = progress.deadline;
    let lent = match timeout_at(deadline, lend(store.spares.as_ref(), &store.pool, progress.fresh)).await {
        Ok(Ok(lent)) => lent,
        Ok(Err(error)) => return Tried::NoConnection(error),
        Err(_) => return Tried::NoConnection(SqlxError::PoolTimedOut),
    };
    let then = if survives_cancelling::<D>(work, store.pooling) { Then::GiveBack } else { Then::Close };
    let mut working = Working { lent: Some(lent), then, ping: PING.min(store.query_timeout) };
    let conn = working.lent.as_mut().expect("lent until it is dropped");
    let (place, unheard_for) = (conn.place(), conn.unheard_for());
    let is_read = matches!(work, Work::Read(_));
    if !is_read && unheard_for.is_some_and(|time| time > COLD) {
        let ping = within(place.as_deref(), conn.ping());
        if !matches!(timeout(PING.min(D::UNANSWERED), ping).await, Ok(Ok(()))) {
            working.then = Then::Suspect;
            return Tried::Dead;
        }
    }
    let silence = match unheard_for {
        // Once: a server that is slow needn't do everything twice.
        _ if progress.fresh => None,
        None => None,
        Some(time) if is_read => (time > HOT).then_some(SILENT),
        Some(_) => Some(D::UNANSWERED),
    };
    let answers = Answers::default();
    // The limit is kept by the request's own runtime, which runs for certain; the store's may not.
    let doing = within(place.as_deref(), D::work(conn, work, store.pooling, &answers));
    let outcome = match silence {
        None => timeout_at(deadline, doing).await.map_err(|_| Tried::TooLate),
        Some(silence) => watched(doing, &answers, silence, deadline).await,
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(silent) => {
            working.then = Then::Suspect;
            return silent;
        }
    };
    working.then = match &outcome {
        Ok(_) => Then::Keep,
        Err(Failed::Before(error) | Failed::AtCommit(error))
            if matches!(D::classify(error), ErrorKind::RolledBack | ErrorKind::Locked) =>
        {
            Then::GiveBack
        }
        // After any other error a new connection is better too: this one may be of a server that is no longer the one to write to.
        Err(_) => Then::Close,
    };
    match outcome {
        Ok(written) => Tried::Done(written),
        Err(Failed::AtCommit(error)) if is_unsent(&error) => Tried::Failed(Failed::Before(error)),
        Err(failed) => Tried::Failed(failed),
    }
}

/// Polls `future` in the runtime of its connection, if that is known.
async fn within<F: Future>(place: Option<&crate::store::sql::home::Place>, future: F) -> F::Output {
    match place {
        Some(place) => place.run(future).await,
        None => future.await,
    }
}

/// Waits for `doing` as long as the server goes on answering.
async fn watched<T, R>(
    doing: impl Future<Output = T>,
    answers: &Answers,
    silence: Duration,
    deadline: Instant,
) -> Result<T, Tried<R>> {
    let mut doing = std::pin::pin!(doing);
    loop {
        let answered = answers.count();
        let limit = (Instant::now() + silence).min(deadline);
        if let Ok(done) = timeout_at(limit, &mut doing).await {
            return Ok(done);
        }
        if Instant::now() >= deadline {
            return Err(Tried::TooLate);
        }
        if answers.count() == answered {
            return Err(Tried::Silent);
        }
    }
}

/// A connection at work.
struct Working<'a, D: Database> {
    lent: Option<Lent<'a, D>>,
    /// Should the work be dropped now.
    then: Then,
    /// How long the server may take to say that it is there.
    ping: Duration,
}

/// What becomes of a connection.
#[derive(Clone, Copy)]
enum Then {
    Keep,
    /// It is asked first whether it lives.
    GiveBack,
    Close,
    /// It is closed, and so are all on which the server wasn't heard lately either.
    Suspect,
}

impl<D: Database> Drop for Working<'_, D> {
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        match self.then {
            Then::Keep => lent.keep(self.ping),
            Then::GiveBack => lent.give_back(self.ping),
            Then::Close => lent.close(),
            Then::Suspect => lent.suspect(),
        }
    }
}
