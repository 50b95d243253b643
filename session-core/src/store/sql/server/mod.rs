//! What the stores on database servers share: one store for all servers, and how it asks them. Each server says how its statements
//! and transactions run, and what its error codes mean.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::error::Error as SqlxError;
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Database};

use super::groups::Beside;
use super::migrations::MigrateError;
use super::row::Columns;
use super::row::Written;
use super::statements::{Statements, UserStatements};
use super::task::{Step, Task};
use super::users::Idle;

mod open_error;
mod options;
mod perform;
mod places;
mod store;
#[cfg(test)]
pub(in crate::store) mod testing;

pub use open_error::ServerOpenError;
pub use options::ServerOptions;
pub(in crate::store) use perform::before_commit;
pub use store::ServerStore;

/// Reads are faster together from the second on; changes wait for the disk, and the first few do so beside each other.
const BESIDE: Beside = Beside { reads: 1, writes: 4 };

/// How long a server may take for one operation, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long a connection may lie unheard before it is asked whether it lives.
const PING_AFTER: Duration = Duration::from_secs(30);

/// For how long an idle connection is kept: less than firewalls and load balancers do, as a rule.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);

/// What a connection is to do.
pub(in crate::store) enum Work<'a> {
    /// A statement that changes nothing.
    Read(Step<'a>),
    /// A statement that is a transaction of its own, and waits for no lock.
    Write(Step<'a>),
    /// A change that may wait for locks, with its statements.
    Change(&'a Task, &'a [Step<'a>]),
    /// Forgetting users, in the turns of all of them: it tells how many.
    Forget(Idle<'a>),
}

/// How the store connects: directly, or through a pooler that gives each transaction another connection of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Pooling {
    Direct,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has such poolers"))]
    ByTransaction,
}

/// A database server: PostgreSQL, or MySQL and MariaDB.
pub(in crate::store) trait Server: Database<Row: Columns> {
    /// What to call it, and what makes its tables.
    const NAMES: Names;

    /// How many bytes of data a row can hold, whatever the server's settings.
    const MOST_DATA: Option<usize>;

    /// Whether a connection is as good as before when the future of a single statement is dropped at any point. Otherwise it is
    /// closed.
    const SURVIVES_CANCELLING: bool;

    fn statements() -> &'static Statements;

    /// How long a change may be without any answer, on a connection of the store's own: longer than the server lets it wait for a lock.
    const UNANSWERED: Duration;

    /// Those that forget users.
    fn user_statements() -> &'static UserStatements {
        Self::statements().users.as_ref().expect("users of a server take turns on rows of their own")
    }

    /// The options that a URL names, and what a store of its own sets besides, with a limit for each statement; none if it is no URL of
    /// this server.
    fn options(url: &str, pooling: Pooling, limit: Duration) -> Option<<Self::Connection as Connection>::Options>;

    /// What a store's own pool does with each new connection, whose statements have a limit.
    fn prepare(pool: PoolOptions<Self>, limit: Duration) -> PoolOptions<Self>;

    /// Host and database, which may be shown.
    fn place(options: &<Self::Connection as Connection>::Options) -> (&str, Option<&str>);

    /// How many bytes of data a row can hold, as this server is set.
    fn most_data(conn: &mut Self::Connection) -> impl Future<Output = sqlx::Result<Option<usize>>> + Send;

    /// Brings the tables to this release's schema.
    fn migrate(conn: &mut Self::Connection) -> impl Future<Output = Result<(), MigrateError>> + Send;

    /// Does the work, once. Notes each answer of the server.
    fn work(
        conn: &mut Self::Connection,
        work: &Work<'_>,
        pooling: Pooling,
        answers: &Answers,
    ) -> impl Future<Output = Result<Written<Self::Row>, Failed>> + Send;

    /// What an error says.
    fn classify(error: &SqlxError) -> ErrorKind;
}

/// How a server is spoken of.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Names {
    pub(in crate::store) server: &'static str,
    /// Of the store's type.
    pub(in crate::store) store: &'static str,
    /// A URL of it.
    pub(in crate::store) url: &'static str,
    /// What makes its tables.
    pub(in crate::store) migrate: &'static str,
}

/// What an error of a server or its driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum ErrorKind {
    /// The server rolled the transaction back because of another one, so that it can be run again.
    RolledBack,
    /// A lock wasn't free in time, and the server has rolled back what waited for it.
    Locked,
    /// The server, or who runs it, ended the connection, and it may be after the commit.
    EndOfConnection,
    /// The tables, or columns of them, are missing.
    NotMigrated,
    /// User or password are wrong.
    Refused,
    NoDatabase,
    MissingRights,
    /// The server refused what it was asked, and nothing was changed.
    Other,
}

/// How a try failed.
pub(in crate::store) enum Failed {
    /// Certainly before its commit.
    Before(SqlxError),
    /// It may be at the commit.
    AtCommit(SqlxError),
}

/// How often the server has answered during a try.
#[derive(Default)]
pub(in crate::store) struct Answers(AtomicU32);

impl Answers {
    pub(in crate::store) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
