//! What the stores on database servers share: one store for all servers, and how it runs its
//! operations. Each server defines how its statements and transactions run, and what its error
//! codes mean.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::error::Error as SqlxError;
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Database};
use url::Url;

use super::batch::SoloLimits;
use super::change::{BoundStatement, Change};
use super::migrations::MigrateError;
use super::row::{Columns, WriteResult};
use super::statements::{Statements, UserStatements};
use super::users::IdleUsers;

mod lock_queues;
mod open_error;
mod options;
mod retry;
mod server_url;
mod store;
#[cfg(test)]
pub(in crate::store) mod testing;

pub use open_error::ServerOpenError;
pub use options::ServerOptions;
pub(in crate::store) use retry::before_commit;
pub use server_url::UrlFault;
pub(in crate::store) use server_url::UrlRules;
pub use store::ServerStore;

/// Reads are faster in a batch as soon as there are two. Changes wait for the disk, and the first
/// few can wait at the same time.
const SOLO_LIMITS: SoloLimits = SoloLimits { reads: 1, writes: 4 };

/// How long one operation may take unless the application sets it.
const DEFAULT_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection may be silent before it is pinged.
const PING_AFTER: Duration = Duration::from_secs(30);

/// How long an idle connection is kept: usually less than firewalls and load balancers keep it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);

/// What to do on a connection.
pub(in crate::store) enum Operation<'a> {
    /// A statement that changes nothing.
    Read(BoundStatement<'a>),
    /// A statement that is a transaction of its own, and waits for no lock.
    Write(BoundStatement<'a>),
    /// A change that may wait for locks, with its statements.
    Change(&'a Change, &'a [BoundStatement<'a>]),
    /// Forgets users, in a transaction that locks them. The result's count is how many.
    Forget(IdleUsers<'a>),
}

/// Whose connections these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Pooling {
    /// The store, which set them up when it opened them.
    Own,
    /// The application, with settings of its own.
    Direct,
    /// A pooler, which may run each transaction on another connection of the server.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has such poolers"))]
    ByTransaction,
}

impl Pooling {
    /// Whether the next transaction runs on the same connection of the server.
    pub(in crate::store) const fn keeps_connection(self) -> bool {
        !matches!(self, Self::ByTransaction)
    }
}

/// A database server: PostgreSQL, or MySQL and MariaDB.
pub(in crate::store) trait Server: Database<Row: Columns> {
    /// What the server and its parts are called in messages.
    const NAMES: Names;

    /// What its URLs may have.
    const URL_RULES: UrlRules;

    /// How many bytes of data a row can hold, whatever the server's settings; none if only those
    /// limit it.
    const MAX_DATA_BYTES: Option<usize>;

    /// Whether a connection stays usable if the future of a single statement is dropped at any
    /// point. If not, the connection is closed.
    const SURVIVES_CANCELLING: bool;

    fn statements() -> &'static Statements;

    /// How long a change on one of the store's own connections waits for the server's next answer,
    /// before it is sent again on another. Longer than the server lets it wait for a lock.
    const ANSWER_TIMEOUT: Duration;

    /// The statements that forget users.
    fn user_statements() -> &'static UserStatements {
        Self::statements().users.as_ref().expect("users of a server take turns on rows of their own")
    }

    /// The connection options from a URL, with those settings of a store's own connections that fit
    /// in them. `limit` is how long the server may run one statement.
    fn options(url: &Url, pooling: Pooling, limit: Duration)
    -> sqlx::Result<<Self::Connection as Connection>::Options>;

    /// Sets up the store's own pool, so that each new connection gets the settings that don't fit
    /// in its options. `limit` is as above.
    fn prepare(pool: PoolOptions<Self>, limit: Duration) -> PoolOptions<Self>;

    /// Host and database, which may be shown.
    fn host_and_database(options: &<Self::Connection as Connection>::Options) -> (&str, Option<&str>);

    /// How many bytes of data a row can hold with this server's settings.
    fn max_data_bytes(conn: &mut Self::Connection) -> impl Future<Output = sqlx::Result<Option<usize>>> + Send;

    /// Brings the tables to this release's schema, unless the database is unfit for sessions or
    /// read-only.
    fn migrate(conn: &mut Self::Connection) -> impl Future<Output = Result<(), MigrateError<Unfit>>> + Send;

    /// Runs the operation once. Of a change of several steps it counts the server's answers, which
    /// show that the server isn't silent.
    fn run_operation(
        conn: &mut Self::Connection,
        operation: &Operation<'_>,
        pooling: Pooling,
        answers: &AnswerCount,
    ) -> impl Future<Output = Result<WriteResult<Self::Row>, Failure>> + Send;

    /// What an error means.
    fn classify(error: &SqlxError) -> ErrorKind;
}

/// What a server is called in messages.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Names {
    pub(in crate::store) server: &'static str,
    /// The name of the store's type.
    pub(in crate::store) store: &'static str,
    /// An example of a URL.
    pub(in crate::store) url: &'static str,
    /// The URL's parameter that asks for encryption.
    pub(in crate::store) tls: &'static str,
    /// The function that makes its tables.
    pub(in crate::store) migrate: &'static str,
}

/// What makes a database unfit for sessions.
#[derive(Debug)]
pub(in crate::store) enum Unfit {
    /// Its encoding, which can't hold every text.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "MySQL's tables have an encoding of their own"))]
    Encoding(String),
    /// A setting of the connection: which one, and what to set.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "PostgreSQL's change nothing of this kind"))]
    Setting(&'static str),
}

/// What an error of a server or its driver means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum ErrorKind {
    /// The server rolled the transaction back because of another one, so that it can be run again.
    RolledBack,
    /// A lock wasn't free in time, and the server has rolled back what waited for it.
    Locked,
    /// The connection ended, or the error leaves open whether the statement was carried out.
    EndOfConnection,
    /// The tables, or some of their columns, are missing.
    NotMigrated,
    /// The user or the password is wrong.
    Refused,
    /// The server takes only encrypted connections.
    NeedsTls,
    NoDatabase,
    /// No schema in which the tables could be.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has schemas in a database"))]
    NoSchema,
    MissingRights,
    /// A policy of row-level security refuses a row.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has such policies"))]
    RowSecurity,
    ReadOnly,
    /// The server takes no more connections, or no more of this user.
    TooMany,
    /// A pooler refuses the settings that a connection begins with.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has such poolers"))]
    PoolerRefuses,
    /// A pooler has no transactions.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has such poolers"))]
    PoolsStatements,
    /// A prepared statement isn't what this connection prepared: the statement ran on another
    /// connection of the server.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has such poolers"))]
    PreparedElsewhere,
    /// The server refused the statement, and nothing was changed.
    Other,
}

/// How an attempt failed.
pub(in crate::store) enum Failure {
    /// Certainly before its commit.
    BeforeCommit(SqlxError),
    /// Perhaps during its commit.
    DuringCommit(SqlxError),
}

/// How often the server has answered during an attempt.
#[derive(Default)]
pub(in crate::store) struct AnswerCount(AtomicU32);

impl AnswerCount {
    pub(in crate::store) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
