//! Doing an operation on a connection of the pool: how long to wait, what to try again, and what a failure says about the change that
//! was asked for.

use std::time::Duration;

use sqlx::Database;
use sqlx::error::Error as SqlxError;
use tokio::time::{Instant, timeout_at};

use super::{ErrorKind, Failed, Pooling, Server, ServerStore, Work};
use crate::error::StoreError;
use crate::store::sql::Written;
use crate::store::sql::driver::DriverError;
use crate::store::sql::groups::Groups;
use crate::store::sql::home::at_home;
use crate::store::sql::spares::{Lent, lend};

/// How often an operation is run again: one that the database rolled back because it ran into another, or one that can't have
/// changed anything, on a connection that died.
const RETRIES: u32 = 20;

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

/// Of whatever can't have changed anything: a read, or a step before the commit.
pub(in crate::store) fn before_commit<D: Server>(error: SqlxError) -> StoreError {
    if D::classify(&error) == ErrorKind::NotMigrated {
        StoreError::not_applied(NotMigrated { migrate: D::NAMES.migrate, source: error.into() })
    } else {
        StoreError::not_applied(DriverError::from(error))
    }
}

/// Of a statement that is its own transaction, or of a commit.
fn at_commit<D: Server>(error: SqlxError) -> StoreError {
    match &error {
        // Nothing was sent.
        SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::Encode(_) => {
            StoreError::not_applied(DriverError::from(error))
        }
        // The server refused it and has rolled it back; unless it was told to go away, which may be after the commit.
        SqlxError::Database(_) if D::classify(&error) != ErrorKind::EndOfConnection => before_commit::<D>(error),
        _ => StoreError::unknown(DriverError::from(error)),
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

/// Whether a connection is as good as before when this work is dropped at any point. sqlx loses track of a transaction whose
/// beginning is dropped: what follows on the connection would never be committed.
const fn survives_cancelling<D: Server>(work: &Work<'_>, pooling: Pooling) -> bool {
    D::SURVIVES_CANCELLING && matches!((work, pooling), (Work::Read(_) | Work::Write(_), Pooling::Direct))
}

/// Does the work on a connection of the pool. One that failed, or on which nobody answers in time, is closed.
async fn attempt<D: Server>(
    store: &ServerStore<D>,
    work: &Work<'_>,
    deadline: &mut Option<Instant>,
) -> Result<Result<Written<D::Row>, Failed>, StoreError> {
    let lent = lend(store.spares.as_ref(), &store.pool).await.map_err(before_commit::<D>)?;
    let then = if survives_cancelling::<D>(work, store.pooling) { Then::GiveBack } else { Then::Close };
    let patience = store.patience.min(LONGEST);
    let mut working = Working { lent: Some(lent), then, patience };
    // Waiting for the first connection has its own limit, the pool's.
    let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
    let conn = working.lent.as_mut().expect("lent until it is dropped");
    // The limit is kept by the request's own runtime, which runs for certain; the store's may not.
    let home = store.groups.as_deref().map(Groups::home);
    let outcome = match timeout_at(deadline, at_home(home, D::work(conn, work, store.pooling))).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failed::NoAnswer),
    };
    working.then = match &outcome {
        Ok(_) => Then::Keep,
        Err(Failed::Before(error) | Failed::AtCommit(error)) if D::classify(error) == ErrorKind::RolledBack => {
            Then::GiveBack
        }
        // After any other error a new connection is better too: this one may be of a server that is no longer the one to write to.
        Err(Failed::Before(_) | Failed::AtCommit(_) | Failed::NoAnswer) => Then::Close,
    };
    Ok(outcome)
}

/// A connection at work.
struct Working<'a, D: Database> {
    lent: Option<Lent<'a, D>>,
    /// Should the work be dropped now.
    then: Then,
    /// How long the server may take to answer.
    patience: Duration,
}

/// What becomes of a connection.
#[derive(Clone, Copy)]
enum Then {
    Keep,
    /// The pool asks first whether the connection lives. A server that has fallen silent would keep its place in the pool for as long
    /// as the operating system keeps the connection, and in the end every place.
    GiveBack,
    Close,
}

impl<D: Database> Drop for Working<'_, D> {
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        match self.then {
            Then::Keep => lent.keep(self.patience),
            Then::GiveBack => lent.give_back(self.patience),
            Then::Close => lent.close(),
        }
    }
}

/// Does the work, and again where that is safe.
pub(super) async fn perform<D: Server>(store: &ServerStore<D>, work: Work<'_>) -> Result<Written<D::Row>, StoreError> {
    let mut deadline = None;
    let (mut tries, mut dead) = (0, 0);
    while tries < RETRIES {
        match attempt(store, &work, &mut deadline).await? {
            Ok(written) => return Ok(written),
            // All connections of the pool may have died since they were used last. Before the commit nothing is changed,
            // whatever became of it.
            Err(Failed::Before(error)) if is_of_connection::<D>(&error) => {
                dead += 1;
                tries += u32::from(dead > store.pool.options().get_max_connections());
            }
            // What it ran into may take a while to commit, and roll back each try until then: soon again, then less soon.
            Err(Failed::Before(error) | Failed::AtCommit(error)) if D::classify(&error) == ErrorKind::RolledBack => {
                tokio::time::sleep(Duration::from_millis((1 << tries.min(5)) - 1)).await;
                tries += 1;
            }
            Err(failed) => return Err(given_up::<D>(failed, &work)),
        }
    }
    attempt(store, &work, &mut deadline).await?.map_err(|failed| given_up::<D>(failed, &work))
}

fn given_up<D: Server>(failed: Failed, work: &Work<'_>) -> StoreError {
    match failed {
        Failed::Before(error) => before_commit::<D>(error),
        Failed::AtCommit(error) => at_commit::<D>(error),
        Failed::NoAnswer if matches!(work, Work::Read(_)) => StoreError::not_applied(NoAnswer),
        Failed::NoAnswer => StoreError::unknown(NoAnswer),
    }
}
