//! The store on a database server, whichever it is.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sqlx::pool::Pool;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::perform::{deadline, perform, perform_again};
use super::places::{Place, Places};
use super::{PATIENCE, Pooling, Server, ServerOpenError, ServerOptions, Work};
use crate::error::StoreError;
use crate::store::sql::Backend;
use crate::store::sql::gather::{LATE, Undriven};
use crate::store::sql::groups::Groups;
use crate::store::sql::row::Written;
use crate::store::sql::spares::{Spares, lend};
use crate::store::sql::statements::Statements;
use crate::store::sql::task::{Step, Task};
use crate::store::sql::users::Idle;

/// Sessions on a database server: [`PostgresStore`](crate::store::databases) and `MySqlStore` are two names of it. Clones share the
/// connections.
///
/// A connection belongs to the async runtime that opened it, as sqlx has it. A store that opened its own connections keeps all of
/// them in the runtime in which it was opened: that of `main`, as a rule. Where that has ended, as that of a test does, it goes on in
/// the runtime that asks next; one that is there and that nothing runs makes every request a 503. In your own
/// pool, where one runtime of a process ends while others go on, its connections fail once and are replaced: Actix has a runtime
/// for each worker, and ends them one by one when it is told to stop.
///
/// Everything is read from the server that the pool connects to: point it at the primary, because a replica that lags
/// behind would let revoked sessions in. Times are kept in whole microseconds. A failure says
/// [`StoreError::NotApplied`](crate::store::StoreError::NotApplied) only if nothing was changed for certain.
#[expect(private_bounds, reason = "there are two servers, and no other can be brought from outside")]
pub struct ServerStore<D: Server> {
    pub(in crate::store) pool: Pool<D>,
    /// How long the server may take to answer.
    pub(super) query_timeout: Duration,
    pub(in crate::store) pooling: Pooling,
    /// What is asked together, if it opened its own connections.
    pub(super) groups: Option<Arc<Groups<D::Row>>>,
    /// Its spare connections, if it opened its own.
    pub(super) spares: Option<Arc<Spares<D>>>,
    /// Where changes wait before they take a connection.
    pub(super) places: Arc<Places>,
    /// How many bytes of data a row can hold.
    pub(super) most_data: Option<usize>,
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerStore<D> {
    /// Sessions in the database of your own `pool`, whose settings stay as they are; in MySQL and MariaDB `autocommit` must be on.
    /// Call [`migrate`](Self::migrate) before the first request. In PostgreSQL the tables are those of the connections'
    /// `search_path`.
    ///
    /// Let nothing else use the pool, or nothing that may be dropped while it begins a transaction: sqlx then leaves the
    /// transaction open without knowing, and what this store writes on that connection later would not be committed.
    pub fn new(pool: Pool<D>) -> Self {
        Self {
            pool,
            query_timeout: PATIENCE,
            pooling: Pooling::Direct,
            groups: None,
            spares: None,
            places: Places::new(),
            most_data: D::MOST_DATA,
        }
    }

    /// How long one operation may take, 10 seconds by default: waiting for other changes of the same user, for a connection, and for
    /// the server. A request that waits longer is a 503, and its connection is closed. How long to wait for a free connection alone is
    /// the pool's own setting.
    ///
    /// Where the store opened its own connections, the server's limits are those of
    /// [`ServerOptions::query_timeout`]: set it there.
    #[must_use]
    pub const fn query_timeout(mut self, query_timeout: Duration) -> Self {
        self.query_timeout = query_timeout;
        self
    }

    /// Connects to the database at `url` with the settings of [`ServerOptions::new`], and brings its tables to this
    /// release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(url: &str) -> Result<Self, ServerOpenError> {
        ServerOptions::new(url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session`, `cookie_session_user` and `cookie_session_schema`. Does
    /// nothing if they are, and is safe to call from many nodes at once.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do.
    pub async fn migrate(&self) -> Result<(), ServerOpenError> {
        let migrated = async {
            let mut conn = lend(self.spares.as_ref(), &self.pool, false).await?;
            // A transaction whose beginning is dropped would stay open on it, and so would a lock of the migration.
            conn.close_on_drop();
            D::migrate(&mut conn).await
        };
        migrated.await.map_err(ServerOpenError::of::<D>)
    }
}

impl<D: Server> Backend for ServerStore<D> {
    type Row = D::Row;

    fn groups(&self) -> Option<&Groups<D::Row>> {
        self.groups.as_deref()
    }

    fn sql(&self) -> &'static Statements {
        D::statements()
    }

    async fn read(&self, step: Step<'_>) -> Result<Vec<D::Row>, StoreError> {
        Ok(perform(self, Work::Read(step), deadline(self.query_timeout)).await?.rows)
    }

    async fn write(&self, step: Step<'_>) -> Result<Written<D::Row>, StoreError> {
        perform(self, Work::Write(step), deadline(self.query_timeout)).await
    }

    fn most_data(&self) -> Option<usize> {
        self.most_data
    }

    /// In a task of its own. Given up before it has its place, it never begins; after that, place and connection stay with the task
    /// until the server is done: or those that are given up would make room for as many that wait at the server.
    async fn change(&self, task: Task) -> Result<Written<D::Row>, StoreError> {
        let deadline = deadline(self.query_timeout);
        let task = Arc::new(task);
        let (mut answer, outcome) = oneshot::channel();
        let (store, change) = (self.clone(), Arc::clone(&task));
        let work = async move {
            let place = {
                let mut place = pin!(timeout_at(deadline, store.places.wait(&change)));
                let mut given_up = pin!(answer.closed());
                poll_fn(|context| match place.as_mut().poll(context) {
                    Poll::Ready(place) => Poll::Ready(Some(place)),
                    Poll::Pending => given_up.as_mut().poll(context).map(|()| None),
                })
                .await
            };
            let outcome = match place {
                Some(Ok(Ok(place))) => store.change_in(&place, &change, deadline).await,
                Some(Ok(Err(failed))) => Err(StoreError::not_applied(failed)),
                Some(Err(_)) => Err(StoreError::not_applied(Queued)),
                None => return,
            };
            // The caller may have given up.
            drop(answer.send(outcome));
        };
        match &self.spares {
            Some(spares) => spares.home().spawn(work),
            None => drop(tokio::spawn(work)),
        }
        match timeout_at(deadline + LATE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Err(_) => Err(StoreError::unknown(Undriven)),
            // Its runtime ended. It may have been done.
            Ok(Err(_)) => {
                let steps = task.steps(D::statements());
                perform_again(self, Work::Change(&task, &steps), deadline, true).await
            }
        }
    }

    async fn forget(&self, idle: Idle<'_>) -> Result<u64, StoreError> {
        Ok(perform(self, Work::Forget(idle), deadline(self.query_timeout)).await?.count)
    }
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerStore<D> {
    /// Does a change that has its place.
    async fn change_in(&self, place: &Place, task: &Task, deadline: Instant) -> Result<Written<D::Row>, StoreError> {
        let begun = Instant::now();
        let steps = task.steps(D::statements());
        let outcome = perform(self, Work::Change(task, &steps), deadline).await;
        // Those that wait behind a server that doesn't answer needn't find that out one after the other. But where this one had little
        // time left when it began, that says nothing of the server.
        if outcome.is_err() && Instant::now() >= deadline && begun.elapsed() >= self.query_timeout / 2 {
            place.fail();
        }
        outcome
    }
}

/// Other changes of the same user took too long.
#[derive(Debug, thiserror::Error)]
#[error("other changes of the same user's sessions took too long")]
struct Queued;

/// Not derived: the database itself isn't cloned.
impl<D: Server> Clone for ServerStore<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            query_timeout: self.query_timeout,
            pooling: self.pooling,
            groups: self.groups.clone(),
            spares: self.spares.clone(),
            places: Arc::clone(&self.places),
            most_data: self.most_data,
        }
    }
}

/// Names the database, and nothing of what is in it.
impl<D: Server> fmt::Debug for ServerStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.pool.connect_options();
        let (host, database) = D::place(&options);
        f.debug_struct(D::NAMES.store).field("host", &host).field("database", &database).finish_non_exhaustive()
    }
}
