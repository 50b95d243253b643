//! Connecting to a database server with settings that fit sessions. Not here: the tables, see each server's `schema`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use sqlx::pool::PoolOptions;

use super::{BESIDE, IDLE_TIMEOUT, PATIENCE, PING_AFTER, Pooling, Server, ServerOpenError, ServerStore};
use crate::store::sql::groups::Groups;
use crate::store::sql::spares::{PING, Spares, lend};

/// How to connect to a database server: see [`new`](Self::new).
#[expect(private_bounds, reason = "there are two servers, and no other can be brought from outside")]
pub struct ServerOptions<D: Server> {
    /// It may hold a password.
    url: String,
    max_connections: u32,
    acquire_timeout: Duration,
    query_timeout: Duration,
    idle_timeout: Duration,
    pub(in crate::store) pooling: Pooling,
    server: PhantomData<fn() -> D>,
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerOptions<D> {
    /// Options for the database at `url`, with parameters after a `?`: up to 16 connections, 5 seconds to wait for a free one, and
    /// 10 seconds for a whole operation, after which a request is a 503.
    ///
    /// PostgreSQL's is `postgres://user:password@host:port/database`, with libpq's parameters; that of MySQL and MariaDB is
    /// `mysql://user:password@host:port/database`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            query_timeout: PATIENCE,
            idle_timeout: IDLE_TIMEOUT,
            pooling: Pooling::Direct,
            server: PhantomData,
        }
    }

    /// At most this many connections, at least one. All nodes together must stay below the server's `max_connections`.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a request waits for a free connection.
    #[must_use]
    pub const fn acquire_timeout(mut self, limit: Duration) -> Self {
        self.acquire_timeout = limit;
        self
    }

    /// How long one operation may take, 10 seconds by default: waiting for other changes of the same user, for a connection, and for
    /// the server, which gets limits of its own a little below. Migrations have none.
    #[must_use]
    pub const fn query_timeout(mut self, limit: Duration) -> Self {
        self.query_timeout = limit;
        self
    }

    /// For how long a connection is kept that nothing is asked on, 100 seconds by default: less than what is between the application
    /// and the server keeps silent connections.
    #[must_use]
    pub const fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Connects, and brings the tables to this release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(self) -> Result<ServerStore<D>, ServerOpenError> {
        // A little less, so that the server has ended what it was asked when its answer is no longer waited for.
        let limit = (self.query_timeout - self.query_timeout / 10).max(Duration::from_millis(100));
        let options = D::options(&self.url, self.pooling, limit).ok_or_else(ServerOpenError::url::<D>)?;
        let pool = PoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout.min(self.query_timeout))
            .idle_timeout(self.idle_timeout)
            // A connection that has died shows at its next use, and asking each time would be one more round trip.
            .test_before_acquire(false);
        // No connection lies in the pool itself, where it would be unknown when the server was heard on it.
        let pool = D::prepare(pool, limit).connect_lazy_with(options);
        let spares = Spares::of(&pool, Some(PING_AFTER));
        let groups = spares.as_ref().map(|spares| Groups::of(spares.home(), &BESIDE, self.query_timeout));
        let store = ServerStore { pooling: self.pooling, groups, spares, ..ServerStore::new(pool) };
        let store = store.query_timeout(self.query_timeout);
        store.migrate().await?;
        let most_data = async {
            let mut conn = lend(store.spares.as_ref(), &store.pool, true).await?;
            let most_data = D::most_data(&mut conn).await?;
            conn.keep(PING);
            Ok::<_, sqlx::Error>(most_data)
        };
        let most_data = most_data.await.map_err(|error| ServerOpenError::of::<D>(error.into()))?;
        Ok(ServerStore { most_data, ..store })
    }
}

/// Not derived: the database itself isn't cloned.
impl<D: Server> Clone for ServerOptions<D> {
    fn clone(&self) -> Self {
        Self { url: self.url.clone(), server: PhantomData, ..*self }
    }
}

impl<D: Server> fmt::Debug for ServerOptions<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("server", &D::NAMES.server)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .finish_non_exhaustive()
    }
}
