//! What the stores on database servers share: connections of a pool, how long to wait, what to try again, and what a failure
//! says about the change that was asked for. Leaves to each server how its statements and transactions run, and its error codes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::Error as SqlxError;
use sqlx::pool::PoolOptions;
use sqlx::{Database, Pool};
use tokio::time::{Instant, timeout_at};

use super::driver::DriverError;
use super::groups::{Beside, Groups};
use super::home::at_home;
use super::row::Columns;
use super::spares::{Lent, Spares, lend};
use super::statements::Statements;
use super::{Backend, SignIn, Step, Written};
use crate::error::StoreError;
use crate::user_id::UserId;

mod open;

pub use open::ServerOpenError;

/// How often an operation is run again: one that the database rolled back because it ran into another, or one that can't have
/// changed anything, on a connection that died.
const RETRIES: u32 = 20;

/// Reads are faster together from the second on; changes wait for the disk, and the first few do so beside each other.
pub(in crate::store) const BESIDE: Beside = Beside { reads: 1, writes: 4 };

/// How long a server may take for one operation, unless told otherwise.
pub(in crate::store) const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than anybody waits, and what clocks can still be added to.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a connection is to do.
pub(in crate::store) enum Work<'a> {
    /// A statement that changes nothing.
    Read(Step<'a>),
    /// A statement that is a transaction of its own.
    Write(Step<'a>),
    /// A transaction in the user's turn.
    InTurn(&'a UserId, &'a [Step<'a>]),
    /// A sign-in, in its user's turn.
    SignIn(SignIn<'a>),
}

/// A database server.
pub(in crate::store) trait Server: Clone + Send + Sync + 'static {
    type Db: Database<Row: Columns>;

    fn statements() -> &'static Statements;

    fn pool(&self) -> &Pool<Self::Db>;

    /// How long the server may take to answer.
    fn patience(&self) -> Duration;

    /// What is asked together, if it opened its own connections.
    fn groups(&self) -> Option<&Groups<<Self::Db as Database>::Row>>;

    /// Its spare connections, if it opened its own.
    fn spares(&self) -> Option<&Arc<Spares<Self::Db>>>;

    /// Does the work, once.
    fn work(
        &self,
        conn: &mut <Self::Db as Database>::Connection,
        work: &Work<'_>,
    ) -> impl Future<Output = Result<Written<<Self::Db as Database>::Row>, Failed>> + Send;

    /// Whether a connection is as good as before when the future of this work is dropped at any point. Otherwise it is closed.
    fn survives_cancelling(&self, work: &Work<'_>) -> bool;

    /// Whether the server rolled the transaction back because of another one, so that it can be run again.
    fn is_rolled_back(error: &SqlxError) -> bool;

    /// Whether the server, or who runs it, ended the connection, and it may be after the commit.
    fn is_end_of_connection(error: &SqlxError) -> bool;

    /// Whether the tables, or columns of them, are missing.
    fn is_not_migrated(error: &SqlxError) -> bool;

    /// What the server has to say of an opening that failed, if it says more than that it did.
    fn why_not_open(error: &SqlxError) -> Option<Closed>;

    /// What to call this server, and what makes its tables.
    const NAMES: Names;
}

/// How a server is spoken of.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Names {
    pub(in crate::store) server: &'static str,
    /// A URL of it.
    pub(in crate::store) url: &'static str,
    /// What makes its tables.
    pub(in crate::store) migrate: &'static str,
}

/// Why a server lets nobody in.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Closed {
    Refused,
    NoDatabase,
    MissingRights,
}

/// How an operation failed.
pub(in crate::store) enum Failed {
    /// Certainly before its commit.
    Before(SqlxError),
    /// It may be at the commit.
    AtCommit(SqlxError),
    /// Nobody knows.
    NoAnswer,
}

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
pub(in crate::store) fn before_commit<S: Server>(error: SqlxError) -> StoreError {
    if S::is_not_migrated(&error) {
        StoreError::not_applied(NotMigrated { migrate: S::NAMES.migrate, source: error.into() })
    } else {
        StoreError::not_applied(DriverError::from(error))
    }
}

/// Of a statement that is its own transaction, or of a commit.
fn at_commit<S: Server>(error: SqlxError) -> StoreError {
    match &error {
        // Nothing was sent.
        SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::Encode(_) => {
            StoreError::not_applied(DriverError::from(error))
        }
        // The server refused it and has rolled it back; unless it was told to go away, which may be after the commit.
        SqlxError::Database(_) if !S::is_end_of_connection(&error) => before_commit::<S>(error),
        _ => StoreError::unknown(DriverError::from(error)),
    }
}

/// Whether it is the connection that failed, and not what was asked.
fn is_of_connection<S: Server>(error: &SqlxError) -> bool {
    match error {
        SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed => true,
        SqlxError::Database(_) => S::is_end_of_connection(error),
        _ => false,
    }
}

/// Does the work on a connection of the pool. One that failed, or on which nobody answers in time, is closed.
async fn attempt<S: Server>(
    server: &S,
    work: &Work<'_>,
    deadline: &mut Option<Instant>,
) -> Result<Result<Written<<S::Db as Database>::Row>, Failed>, StoreError> {
    let lent = lend(server.spares(), server.pool()).await.map_err(before_commit::<S>)?;
    let then = if server.survives_cancelling(work) { Then::GiveBack } else { Then::Close };
    let mut working = Working { lent: Some(lent), then, patience: server.patience().min(LONGEST) };
    // Waiting for the first connection has its own limit, the pool's.
    let deadline = *deadline.get_or_insert_with(|| Instant::now() + server.patience().min(LONGEST));
    let conn = working.lent.as_mut().expect("lent until it is dropped");
    // The limit is kept by the request's own runtime, which runs for certain; the store's may not.
    let home = server.groups().map(Groups::home);
    let outcome = match timeout_at(deadline, at_home(home, server.work(conn, work))).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failed::NoAnswer),
    };
    working.then = match &outcome {
        Ok(_) => Then::Keep,
        Err(Failed::Before(error) | Failed::AtCommit(error)) if S::is_rolled_back(error) => Then::GiveBack,
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
async fn perform<S: Server>(server: &S, work: Work<'_>) -> Result<Written<<S::Db as Database>::Row>, StoreError> {
    let mut deadline = None;
    let (mut tries, mut dead) = (0, 0);
    while tries < RETRIES {
        match attempt(server, &work, &mut deadline).await? {
            Ok(written) => return Ok(written),
            // All connections of the pool may have died since they were used last. Before the commit nothing is changed,
            // whatever became of it.
            Err(Failed::Before(error)) if is_of_connection::<S>(&error) => {
                dead += 1;
                tries += u32::from(dead > server.pool().options().get_max_connections());
            }
            // What it ran into may take a while to commit, and roll back each try until then: soon again, then less soon.
            Err(Failed::Before(error) | Failed::AtCommit(error)) if S::is_rolled_back(&error) => {
                tokio::time::sleep(Duration::from_millis((1 << tries.min(5)) - 1)).await;
                tries += 1;
            }
            Err(failed) => return Err(given_up::<S>(failed, &work)),
        }
    }
    attempt(server, &work, &mut deadline).await?.map_err(|failed| given_up::<S>(failed, &work))
}

fn given_up<S: Server>(failed: Failed, work: &Work<'_>) -> StoreError {
    match failed {
        Failed::Before(error) => before_commit::<S>(error),
        Failed::AtCommit(error) => at_commit::<S>(error),
        Failed::NoAnswer if matches!(work, Work::Read(_)) => StoreError::not_applied(NoAnswer),
        Failed::NoAnswer => StoreError::unknown(NoAnswer),
    }
}

/// How a store makes a pool of its own.
#[derive(Clone)]
pub(in crate::store) struct PoolSettings {
    /// It may hold a password.
    pub(in crate::store) url: String,
    pub(in crate::store) max_connections: u32,
    pub(in crate::store) patience: Duration,
}

impl PoolSettings {
    pub(in crate::store) const fn new(url: String) -> Self {
        Self { url, max_connections: 16, patience: Duration::from_secs(5) }
    }

    pub(in crate::store) fn pool<D: Database>(&self) -> PoolOptions<D> {
        PoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.patience)
            // A connection that has died shows at its next use, and asking each time would be one more round trip.
            .test_before_acquire(false)
    }
}

impl fmt::Debug for PoolSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolSettings")
            .field("max_connections", &self.max_connections)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl<S: Server> Backend for S {
    type Row = <S::Db as Database>::Row;

    fn groups(&self) -> Option<&Groups<Self::Row>> {
        Server::groups(self)
    }

    fn sql(&self) -> &'static Statements {
        S::statements()
    }

    async fn read(&self, step: Step<'_>) -> Result<Vec<Self::Row>, StoreError> {
        Ok(perform(self, Work::Read(step)).await?.rows)
    }

    async fn write(&self, step: Step<'_>) -> Result<Written<Self::Row>, StoreError> {
        perform(self, Work::Write(step)).await
    }

    async fn in_turn(&self, user: &UserId, steps: &[Step<'_>]) -> Result<Written<Self::Row>, StoreError> {
        perform(self, Work::InTurn(user, steps)).await
    }

    async fn sign_in(&self, sign_in: SignIn<'_>) -> Result<Vec<Self::Row>, StoreError> {
        Ok(perform(self, Work::SignIn(sign_in)).await?.rows)
    }
}
