//! Runs an operation on a connection of the pool: how long to wait, when to try again, and what a
//! failure means for the change.
//!
//! One deadline covers the whole operation: its wait in a queue, its waits for connections, and
//! every attempt. Until then it tries again
//! 1. what the server rolled back because of another transaction, up to [`MAX_ROLLBACKS`] times, or
//!    because a lock wasn't free;
//! 2. what failed with its connection. It may have been carried out, but changes are such that a
//!    second time has no effect;
//! 3. a connection of the store's own that wasn't open in time, see [`OPEN_TIMEOUT`]. But if a
//!    whole wait for a connection exceeds the pool's `acquire_timeout`, that is the end;
//! 4. on a store's own connections, what has no answer in time, or not even begun because the
//!    connection didn't answer a ping. A read that started on a silent connection waits for
//!    [`READ_ANSWER_TIMEOUT`], a change for [`Server::ANSWER_TIMEOUT`], or longer if the store's
//!    `query_timeout` is long. That happens once: the next attempt gets a connection that is known
//!    to be alive, and waits until the deadline.

use std::time::Duration;

use sqlx::error::Error as SqlxError;
use sqlx::{Connection, Database};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{AnswerCount, ErrorKind, Failure, Operation, Pooling, Server, ServerStore};
use crate::error::StoreError;
use crate::store::sql::connection::lease::{Lease, OwnPoolTimeout, PING_TIMEOUT, TRUSTED_FOR, acquire};
use crate::store::sql::driver::{DriverError, is_other_version};
use crate::store::sql::row::WriteResult;

/// How often an operation is tried again that the server rolled back because of another
/// transaction.
const MAX_ROLLBACKS: u32 = 20;

/// How long a read waits on a connection that has been silent for longer than [`TRUSTED_FOR`].
const READ_ANSWER_TIMEOUT: Duration = Duration::from_millis(300);

/// How long an attempt waits for a new connection to open; twice as long each time a connection has
/// failed, up to 64 seconds. If the server falls silent, there is time for another connection; if
/// it is only slow, the connection opens in the end.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// A change waits for at least this part of the store's `query_timeout` before it is asked again.
/// Of the default, 10 seconds, that is less than [`Server::ANSWER_TIMEOUT`].
const PATIENT: u32 = 16;

/// A connection that was silent for longer is pinged before a change is sent.
const PING_WHEN_SILENT_FOR: Duration = Duration::from_secs(5);

/// Longer than any request waits, and short enough to add to the clock.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The server took too long.
#[derive(Debug, thiserror::Error)]
#[error("the database server did not answer in time")]
struct ServerTimeout;

/// The database has no tables for sessions.
#[derive(Debug, thiserror::Error)]
#[error("the database lacks this release's session tables: call `{migrate}` once at start")]
struct NotMigrated {
    migrate: &'static str,
    source: DriverError,
}

/// A pooler runs statements on connections of the server that haven't prepared them.
#[derive(Debug, thiserror::Error)]
#[error(
    "a prepared statement is not on its connection: if a pooler in transaction mode is in between, call \
     `transaction_pooling()` on the store or its options ({source})"
)]
struct PreparedElsewhere {
    source: DriverError,
}

/// When an operation that begins now must end.
pub(super) fn deadline(query_timeout: Duration) -> Instant {
    Instant::now() + query_timeout.min(MAX_TIMEOUT)
}

/// The error of a read, or of a step before the commit, which can't have changed anything.
pub(in crate::store) fn before_commit<D: Server>(error: SqlxError) -> StoreError {
    match D::classify(&error) {
        ErrorKind::NotMigrated => {
            StoreError::not_applied(NotMigrated { migrate: D::NAMES.migrate, source: error.into() })
        }
        ErrorKind::PreparedElsewhere => StoreError::not_applied(PreparedElsewhere { source: error.into() }),
        _ => StoreError::not_applied(DriverError::from(error)),
    }
}

/// Whether the connection failed, rather than the statement.
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

/// Whether a connection stays usable if this operation is dropped at any point. sqlx loses track of
/// a transaction that is dropped while it begins, and whatever follows on the connection would
/// never be committed.
fn survives_cancelling<D: Server>(operation: &Operation<'_>, pooling: Pooling) -> bool {
    let is_one_statement = match operation {
        Operation::Read(_) | Operation::Write(_) => true,
        Operation::Change(change, _) => !change.locks_user(),
        Operation::Forget(_) => false,
    };
    D::SURVIVES_CANCELLING && is_one_statement && pooling.keeps_connection()
}

/// What came of an attempt.
enum Attempt<R> {
    Done(WriteResult<R>),
    Failed(Failure),
    /// No answer within the time that this attempt waits for one.
    Silent,
    /// The connection didn't answer a ping, so the operation wasn't sent.
    Dead,
    /// The operation's time is over.
    TooLate,
    /// No connection was free or could be opened.
    NoConnection(SqlxError),
}

/// The state of an operation.
struct Progress {
    deadline: Instant,
    /// Whether an earlier attempt may have changed something.
    may_be_done: bool,
    /// Whether to take only a connection that is known to be alive.
    fresh: bool,
    /// How often the server rolled it back because of another transaction.
    rolled_back: u32,
    /// How often a connection failed, or wasn't open in time.
    broken: u32,
}

/// Runs the operation, and runs it again where that is safe, until the deadline.
pub(super) async fn run_with_retries<D: Server>(
    store: &ServerStore<D>,
    operation: Operation<'_>,
    deadline: Instant,
) -> Result<WriteResult<D::Row>, StoreError> {
    resume_with_retries(store, operation, deadline, false).await
}

/// Does the same for an operation that an earlier attempt may have carried out, if `may_be_done`.
pub(super) async fn resume_with_retries<D: Server>(
    store: &ServerStore<D>,
    operation: Operation<'_>,
    deadline: Instant,
    may_be_done: bool,
) -> Result<WriteResult<D::Row>, StoreError> {
    let is_read = matches!(operation, Operation::Read(_));
    let mut progress = Progress { deadline, may_be_done, fresh: false, rolled_back: 0, broken: 0 };
    loop {
        let error = match attempt(store, &operation, &progress).await {
            Attempt::Done(written) => return Ok(WriteResult { is_repeated: progress.may_be_done, ..written }),
            Attempt::Silent => {
                progress.fresh = true;
                progress.may_be_done |= !is_read;
                continue;
            }
            Attempt::Dead => {
                progress.fresh = true;
                continue;
            }
            Attempt::TooLate => {
                return Err(match is_read {
                    true => StoreError::not_applied(ServerTimeout),
                    false => StoreError::unknown(ServerTimeout),
                });
            }
            Attempt::NoConnection(SqlxError::PoolTimedOut) if store.leases.is_none() && !progress.may_be_done => {
                return Err(StoreError::not_applied(OwnPoolTimeout));
            }
            Attempt::NoConnection(error) if !is_of_connection::<D>(&error) => {
                return Err(progress.failed::<D>(error));
            }
            Attempt::NoConnection(error) => error,
            Attempt::Failed(Failure::BeforeCommit(error) | Failure::DuringCommit(error))
                if matches!(D::classify(&error), ErrorKind::RolledBack | ErrorKind::Locked) =>
            {
                progress.rolled_back += u32::from(D::classify(&error) == ErrorKind::RolledBack);
                // The other transaction may take a while to commit, and cause a roll-back each time
                // until then. So the pauses start short and grow.
                let pause = Duration::from_millis((1 << progress.rolled_back.min(5)) - 1);
                if progress.rolled_back > MAX_ROLLBACKS || !progress.pause(pause).await {
                    return Err(progress.failed::<D>(error));
                }
                continue;
            }
            Attempt::Failed(Failure::BeforeCommit(error)) if is_of_connection::<D>(&error) => error,
            Attempt::Failed(Failure::DuringCommit(error)) if is_of_connection::<D>(&error) => {
                progress.may_be_done |= !is_read;
                error
            }
            Attempt::Failed(Failure::BeforeCommit(error) | Failure::DuringCommit(error)) => {
                return Err(progress.failed::<D>(error));
            }
        };
        // All connections of the pool may have died since they were used last, so for as many
        // failures there is no pause. After that the server may be starting, and the pauses grow.
        progress.broken += 1;
        let known = store.pool.options().get_max_connections();
        let pause = match progress.broken.checked_sub(known.max(1)) {
            None | Some(0) => Duration::ZERO,
            Some(more) => Duration::from_millis(10 << more.min(5)),
        };
        progress.fresh |= store.leases.is_some() && progress.broken > 1;
        if !progress.pause(pause).await {
            return Err(progress.failed::<D>(error));
        }
    }
}

impl Progress {
    /// Waits. False if the operation has no time left for it.
    async fn pause(&self, pause: Duration) -> bool {
        let wake = Instant::now() + pause;
        if wake >= self.deadline {
            return false;
        }
        if !pause.is_zero() {
            sleep_until(wake).await;
        }
        true
    }

    fn failed<D: Server>(&self, error: SqlxError) -> StoreError {
        if self.may_be_done { StoreError::unknown(DriverError::from(error)) } else { before_commit::<D>(error) }
    }
}

/// Runs the operation on a connection, once. A connection that failed, or on which the server
/// doesn't answer, is closed.
async fn attempt<D: Server>(store: &ServerStore<D>, operation: &Operation<'_>, progress: &Progress) -> Attempt<D::Row> {
    let deadline = progress.deadline;
    let open_timeout = OPEN_TIMEOUT * (1 << progress.broken.min(5));
    let lease =
        match timeout_at(deadline, acquire(store.leases.as_ref(), &store.pool, progress.fresh, open_timeout)).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => return Attempt::NoConnection(error),
            Err(_) => return Attempt::NoConnection(SqlxError::PoolTimedOut),
        };
    let on_release =
        if survives_cancelling::<D>(operation, store.pooling) { OnRelease::PingFirst } else { OnRelease::Close };
    let mut in_use = LeaseInUse { lease: Some(lease), on_release, ping: PING_TIMEOUT.min(store.query_timeout) };
    let conn = in_use.lease.as_mut().expect("leased until this is dropped");
    let (runtime, unheard_for) = (conn.runtime(), conn.unheard_for());
    let is_read = matches!(operation, Operation::Read(_));
    if !is_read && unheard_for.is_some_and(|time| time > PING_WHEN_SILENT_FOR) {
        let ping = within(runtime.as_deref(), conn.ping());
        let limit = (Instant::now() + PING_TIMEOUT.min(D::ANSWER_TIMEOUT)).min(deadline);
        if !matches!(timeout_at(limit, ping).await, Ok(Ok(()))) {
            in_use.on_release = OnRelease::Suspect;
            return Attempt::Dead;
        }
    }
    let silence = match unheard_for {
        // Only once, or a slow server would get everything again and again.
        _ if progress.fresh => None,
        None => None,
        Some(time) if is_read => (time > TRUSTED_FOR).then_some(READ_ANSWER_TIMEOUT),
        // A store that is told to be patient isn't quick to ask again.
        Some(_) => Some(D::ANSWER_TIMEOUT.max(store.query_timeout / PATIENT)),
    };
    let answers = AnswerCount::default();
    // The timer is in the runtime that polls this, which is certainly running; the store's may not
    // be.
    let running = within(runtime.as_deref(), D::run_operation(conn, operation, store.pooling, &answers));
    let outcome = match silence {
        None => timeout_at(deadline, running).await.map_err(|_| Attempt::TooLate),
        Some(silence) => watched(running, &answers, silence, deadline).await,
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(silent) => {
            in_use.on_release = OnRelease::Suspect;
            return silent;
        }
    };
    in_use.on_release = match &outcome {
        Ok(_) => OnRelease::Reuse,
        Err(Failure::BeforeCommit(error) | Failure::DuringCommit(error))
            if matches!(D::classify(error), ErrorKind::RolledBack | ErrorKind::Locked) =>
        {
            OnRelease::PingFirst
        }
        // Nothing is wrong with the connection, whose transaction is rolled back.
        Err(Failure::BeforeCommit(error)) if is_other_version(error) => OnRelease::PingFirst,
        // After any other error a new connection is better, because this one may be to a server
        // that is no longer the primary.
        Err(_) => OnRelease::Close,
    };
    match outcome {
        Ok(written) => Attempt::Done(written),
        Err(Failure::DuringCommit(error)) if is_unsent(&error) => Attempt::Failed(Failure::BeforeCommit(error)),
        Err(failed) => Attempt::Failed(failed),
    }
}

/// Polls `future` in the runtime of its connection, if that is known.
async fn within<F: Future>(
    runtime: Option<&crate::store::sql::connection::runtime::RuntimeHandle>,
    future: F,
) -> F::Output {
    match runtime {
        Some(runtime) => runtime.enter(future).await,
        None => future.await,
    }
}

/// Waits for `running` until the deadline, for as long as the server keeps answering.
async fn watched<T, R>(
    running: impl Future<Output = T>,
    answers: &AnswerCount,
    silence: Duration,
    deadline: Instant,
) -> Result<T, Attempt<R>> {
    let mut running = std::pin::pin!(running);
    loop {
        let answered = answers.count();
        let limit = (Instant::now() + silence).min(deadline);
        if let Ok(done) = timeout_at(limit, &mut running).await {
            return Ok(done);
        }
        if Instant::now() >= deadline {
            return Err(Attempt::TooLate);
        }
        if answers.count() == answered {
            return Err(Attempt::Silent);
        }
    }
}

/// A connection in use.
struct LeaseInUse<'a, D: Database> {
    lease: Option<Lease<'a, D>>,
    /// What to do if this is dropped now.
    on_release: OnRelease,
    /// How long the server may take to answer a ping.
    ping: Duration,
}

/// What to do with a connection.
#[derive(Clone, Copy)]
enum OnRelease {
    Reuse,
    /// Ping it first.
    PingFirst,
    Close,
    /// Close it, and all others that may have died unnoticed.
    Suspect,
}

impl<D: Database> Drop for LeaseInUse<'_, D> {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        match self.on_release {
            OnRelease::Reuse => lease.release(self.ping),
            OnRelease::PingFirst => lease.release_after_ping(self.ping),
            OnRelease::Close => lease.close(),
            OnRelease::Suspect => lease.suspect(),
        }
    }
}
