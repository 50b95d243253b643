//! The store on a database server, the same for all servers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::Connection;
use sqlx::error::Error as SqlxError;
use sqlx::pool::Pool;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use super::lock_queues::{LockQueueGuard, LockQueues};
use super::retry::{deadline, resume_with_retries, run_with_retries};
use super::{DEFAULT_QUERY_TIMEOUT, Operation, Pooling, Server, ServerOpenError, ServerOptions};
use crate::error::StoreError;
use crate::store::sql::Backend;
use crate::store::sql::batch::Batchers;
use crate::store::sql::batch::batcher::{REPLY_GRACE, RuntimeIdle};
use crate::store::sql::change::{BoundStatement, Change};
use crate::store::sql::connection::lease::{LeasePool, acquire};
use crate::store::sql::connection::runtime::Ended;
use crate::store::sql::migrations::MigrateError;
use crate::store::sql::row::WriteResult;
use crate::store::sql::statements::Statements;
use crate::store::sql::users::IdleUsers;

/// How long to wait for the reason why a pool has no connection.
const WHY_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions on a database server: [`PostgresStore`](crate::store::databases) and `MySqlStore` are
/// two names for it. Clones share the connections.
///
/// In sqlx, a connection belongs to the async runtime that opened it. A store that opened its own
/// connections keeps all of them in the runtime in which it was opened, usually that of `main`. If
/// that runtime has ended, as a test's does, the store continues in the runtime of the next
/// operation. If that runtime exists but nothing drives it, every request is a 503. In a pool of
/// your own, connections fail once when their runtime ends while others continue, and are replaced:
/// Actix has a runtime for each worker, and ends them one by one when it stops.
///
/// Everything is read from the server that the pool connects to. Point it at the primary, because a
/// replica that lags behind would let revoked sessions in. Times are stored in whole microseconds.
/// A failure is [`StoreError::NotApplied`] only if it is certain that nothing was changed.
#[expect(private_bounds, reason = "there are two servers, and no other can be brought from outside")]
pub struct ServerStore<D: Server> {
    pub(in crate::store) pool: Pool<D>,
    /// How long one operation may take.
    pub(super) query_timeout: Duration,
    pub(in crate::store) pooling: Pooling,
    /// Its batchers, if it opened its own connections.
    pub(super) batchers: Option<Arc<Batchers<D::Row>>>,
    /// Its own connections, if it opened them.
    pub(super) leases: Option<Arc<LeasePool<D>>>,
    /// Where changes wait before they take a connection.
    pub(super) lock_queues: Arc<LockQueues>,
    /// How many bytes of data a row can hold.
    pub(super) max_data_bytes: Option<usize>,
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerStore<D> {
    /// Sessions in the database of your own `pool`, whose settings stay as they are; in MySQL and
    /// MariaDB `autocommit` must be on. Call [`migrate`](Self::migrate) before the first request.
    /// In PostgreSQL the tables are those of the connections' `search_path`.
    ///
    /// The pool is one of sqlx 0.9, which this crate re-exports as `session_core::sqlx`.
    ///
    /// `open` makes a pool of its own, and that is the one to use. On a pool that the application
    /// uses too, a session that is called inside the application's own transaction may find no free
    /// connection, and is a 503 after 10 seconds at most, like the requests that wait with it. And
    /// let nothing else use the pool that may be dropped while it begins a transaction: sqlx then
    /// leaves the transaction open without knowing, and what this store writes on that connection
    /// later is not committed.
    pub fn new(pool: Pool<D>) -> Self {
        Self {
            pool,
            query_timeout: DEFAULT_QUERY_TIMEOUT,
            pooling: Pooling::Direct,
            batchers: None,
            leases: None,
            lock_queues: LockQueues::new(),
            max_data_bytes: D::MAX_DATA_BYTES,
        }
    }

    /// How long one operation may take: 10 seconds unless you set it. That includes waiting for
    /// other changes of the same user, for connections, and for the server. If it takes longer, the
    /// request is a 503 and the connection is closed.
    ///
    /// How long to wait for a connection is the pool's own setting, `acquire_timeout`; in a pool of
    /// your own the store waits for 10 seconds at most.
    ///
    /// If the store opened its own connections, the server's time limits come from
    /// [`ServerOptions::query_timeout`]: set it there.
    #[must_use]
    pub const fn query_timeout(mut self, query_timeout: Duration) -> Self {
        self.query_timeout = query_timeout;
        self
    }

    /// Connects to the database at `url` with the settings of [`ServerOptions::new`], and brings
    /// its tables to this release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(url: &str) -> Result<Self, ServerOpenError> {
        ServerOptions::new(url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session`, `cookie_session_user` and
    /// `cookie_session_schema`. Does nothing if they have it already, and is safe to call from many
    /// nodes at once.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do.
    pub async fn migrate(&self) -> Result<(), ServerOpenError> {
        let migrated = async {
            let mut conn = acquire(self.leases.as_ref(), &self.pool, false, Duration::MAX).await?;
            // If this is dropped while a transaction begins, the transaction stays open on the
            // connection, and so does the migration's lock.
            conn.close_on_drop();
            D::migrate(&mut conn).await
        };
        let error = match migrated.await {
            // The pool tries again until its time is over, and forgets why.
            Err(MigrateError::Sqlx(SqlxError::PoolTimedOut)) => self.why_no_connection().await.into(),
            migrated => return migrated.map_err(ServerOpenError::of::<D>),
        };
        Err(ServerOpenError::of::<D>(error))
    }

    /// What the server says to one more connection, if that shows why the pool has none.
    async fn why_no_connection(&self) -> SqlxError {
        let options = self.pool.connect_options();
        let opened = timeout(WHY_TIMEOUT, D::Connection::connect_with(&options)).await;
        match opened {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => SqlxError::PoolTimedOut,
        }
    }
}

impl<D: Server> Backend for ServerStore<D> {
    type Row = D::Row;

    fn batchers(&self) -> Option<&Batchers<D::Row>> {
        self.batchers.as_deref()
    }

    fn sql(&self) -> &'static Statements {
        D::statements()
    }

    async fn read(&self, statement: BoundStatement<'_>) -> Result<Vec<D::Row>, StoreError> {
        Ok(run_with_retries(self, Operation::Read(statement), deadline(self.query_timeout)).await?.rows)
    }

    async fn write(&self, statement: BoundStatement<'_>) -> Result<WriteResult<D::Row>, StoreError> {
        run_with_retries(self, Operation::Write(statement), deadline(self.query_timeout)).await
    }

    fn max_data_bytes(&self) -> Option<usize> {
        self.max_data_bytes
    }

    /// Runs in the runtime of the store's own connections, and on a pool of your own in that of the
    /// caller. If this is dropped before its turn, the change never begins. If it is dropped after
    /// that, a task of that runtime keeps the turn and the connection until the server is done:
    /// otherwise each dropped change would let another one wait at the server.
    async fn change(&self, change: Change) -> Result<WriteResult<D::Row>, StoreError> {
        let deadline = deadline(self.query_timeout);
        let change = Arc::new(change);
        let has_turn = Arc::new(AtomicBool::new(false));
        let (store, own, noted) = (self.clone(), Arc::clone(&change), Arc::clone(&has_turn));
        let operation = async move {
            match timeout_at(deadline, store.lock_queues.wait(&own)).await {
                Ok(Ok(guard)) => {
                    noted.store(true, Ordering::Relaxed);
                    store.run_change(&guard, &own, deadline).await
                }
                Ok(Err(failed)) => Err(StoreError::not_applied(failed)),
                Err(_) => Err(StoreError::not_applied(QueueTimeout)),
            }
        };
        let Some(owner) = self.leases.as_ref().map(|leases| leases.owner()).filter(|owner| !owner.is_current()) else {
            return SpawnOnDrop::new(operation, has_turn, Handle::current()).await;
        };
        let runtime = owner.live();
        let operation = SpawnOnDrop::new(operation, has_turn, runtime.runtime().clone());
        match timeout_at(deadline + REPLY_GRACE, runtime.spawn_and_wait(operation)).await {
            Ok(Ok(outcome)) => outcome,
            Err(_) => Err(StoreError::unknown(RuntimeIdle)),
            // The runtime ended, perhaps after the change was carried out.
            Ok(Err(Ended)) => {
                let statements = change.statements(D::statements());
                resume_with_retries(self, Operation::Change(&change, &statements), deadline, true).await
            }
        }
    }

    async fn forget(&self, idle: IdleUsers<'_>) -> Result<u64, StoreError> {
        Ok(run_with_retries(self, Operation::Forget(idle), deadline(self.query_timeout)).await?.count)
    }
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerStore<D> {
    /// Runs a change when it is its turn.
    async fn run_change(
        &self,
        guard: &LockQueueGuard,
        change: &Change,
        deadline: Instant,
    ) -> Result<WriteResult<D::Row>, StoreError> {
        let begun = Instant::now();
        let statements = change.statements(D::statements());
        let outcome = run_with_retries(self, Operation::Change(change, &statements), deadline).await;
        // When a server doesn't answer, the waiters needn't find that out one after the other. But
        // a change with little time left when it began shows nothing about the server.
        if outcome.is_err() && Instant::now() >= deadline && begun.elapsed() >= self.query_timeout / 2 {
            guard.dismiss_waiters();
        }
        outcome
    }
}

/// Runs a change. If this is dropped after its turn has begun, a task runs the rest.
struct SpawnOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// None while it is polled, so that it isn't polled again after a panic, and when it is done.
    operation: Option<Pin<Box<F>>>,
    has_turn: Arc<AtomicBool>,
    runtime: Handle,
}

impl<F> SpawnOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn new(operation: F, has_turn: Arc<AtomicBool>, runtime: Handle) -> Self {
        Self { operation: Some(Box::pin(operation)), has_turn, runtime }
    }
}

impl<F> Future for SpawnOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(mut operation) = self.operation.take() else { return Poll::Pending };
        let polled = operation.as_mut().poll(context);
        if polled.is_pending() {
            self.operation = Some(operation);
        }
        polled
    }
}

impl<F> Drop for SpawnOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take()
            && self.has_turn.load(Ordering::Relaxed)
        {
            self.runtime.spawn(operation);
        }
    }
}

/// Other changes of the same user took too long.
#[derive(Debug, thiserror::Error)]
#[error("other changes of the same user's sessions took too long")]
struct QueueTimeout;

/// Not derived, because the database type isn't cloned.
impl<D: Server> Clone for ServerStore<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            query_timeout: self.query_timeout,
            pooling: self.pooling,
            batchers: self.batchers.clone(),
            leases: self.leases.clone(),
            lock_queues: Arc::clone(&self.lock_queues),
            max_data_bytes: self.max_data_bytes,
        }
    }
}

/// Shows which database it is, and nothing of its content.
impl<D: Server> fmt::Debug for ServerStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.pool.connect_options();
        let (host, database) = D::host_and_database(&options);
        f.debug_struct(D::NAMES.store).field("host", &host).field("database", &database).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
