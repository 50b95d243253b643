//! Connects to a database server with settings that fit sessions. Not here: the tables, see each
//! server's `schema`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use sqlx::Connection;
use sqlx::pool::PoolOptions;
use url::Url;

use super::server_url::ServerUrl;
use super::{
    DEFAULT_QUERY_TIMEOUT, IDLE_TIMEOUT, PING_AFTER, Pooling, SOLO_LIMITS, Server, ServerOpenError, ServerStore,
};
use crate::store::sql::batch::Batchers;
use crate::store::sql::connection::lease::{LeasePool, PING_TIMEOUT, acquire};

/// How to connect to a database server: see [`new`](Self::new).
#[expect(private_bounds, reason = "there are two servers, and no other can be brought from outside")]
pub struct ServerOptions<D: Server> {
    /// May hold a password.
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
    /// Options for the database at `url`, which may have parameters after a `?`. Unless you set
    /// them: up to 16 connections, 5 seconds to wait for one, and 10 seconds for a whole operation.
    /// A request that exceeds a limit is a 503.
    ///
    /// For PostgreSQL the URL is `postgres://user:password@host:port/database`, with libpq's
    /// parameters as far as sqlx reads them; for MySQL and MariaDB it is
    /// `mysql://user:password@host:port/database`. It names one host. In the user and the password
    /// `#`, `/`, `?` and `%` are written as `%23`, `%2F`, `%3F` and `%25`. A parameter that has no
    /// effect is a warning in the log.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            query_timeout: DEFAULT_QUERY_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            pooling: Pooling::Own,
            server: PhantomData,
        }
    }

    /// At most this many connections, at least one. All nodes together must stay below the server's
    /// `max_connections`.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long one wait for a connection may take, until one is free or a new one is open: 5
    /// seconds unless you set it, and no longer than [`query_timeout`](Self::query_timeout). After
    /// that the request is a 503.
    ///
    /// Opening a connection has a limit of its own: 2 seconds, and twice as long each time a
    /// connection has failed. One that isn't open by then is given up, and the request waits for
    /// another, with a new `acquire_timeout`, until `query_timeout`. Once the limit has grown
    /// beyond `acquire_timeout`, that one ends the operation.
    #[must_use]
    pub const fn acquire_timeout(mut self, limit: Duration) -> Self {
        self.acquire_timeout = limit;
        self
    }

    /// How long one operation may take: 10 seconds unless you set it. That includes waiting for
    /// other changes of the same user, for connections, and for the server. The server gets a time
    /// limit for each statement that is a little lower, where it has such a limit: see
    /// [`operators`](crate::store::operators#connections). Migrations have none.
    #[must_use]
    pub const fn query_timeout(mut self, limit: Duration) -> Self {
        self.query_timeout = limit;
        self
    }

    /// How long an idle connection is kept: 100 seconds unless you set it. It should be less than
    /// firewalls and load balancers between the application and the server keep silent connections.
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
        // A little less, so that the server has ended a statement when its answer is no longer
        // waited for.
        let limit = (self.query_timeout - self.query_timeout / 10).max(Duration::from_millis(100));
        let options = self.connect_options(limit)?;
        let pool = PoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout.min(self.query_timeout))
            .idle_timeout(self.idle_timeout)
            // A dead connection is noticed at its next use, and a ping before each use would be one
            // more round trip.
            .test_before_acquire(false);
        // Lazily, so that no connection is idle in the pool itself, which doesn't know when the
        // server last answered on it.
        let pool = D::prepare(pool, limit).connect_lazy_with(options);
        let leases = LeasePool::of(&pool, Some(PING_AFTER));
        let batchers = leases.as_ref().map(|leases| Batchers::of(leases.owner(), &SOLO_LIMITS, self.query_timeout));
        let store = ServerStore { pooling: self.pooling, batchers, leases, ..ServerStore::new(pool) };
        let store = store.query_timeout(self.query_timeout);
        store.migrate().await?;
        let max_data_bytes = async {
            let mut conn = acquire(store.leases.as_ref(), &store.pool, true, Duration::MAX).await?;
            let max_data_bytes = D::max_data_bytes(&mut conn).await?;
            conn.release(PING_TIMEOUT);
            Ok::<_, sqlx::Error>(max_data_bytes)
        };
        let max_data_bytes = max_data_bytes.await.map_err(|error| ServerOpenError::of::<D>(error.into()))?;
        Ok(ServerStore { max_data_bytes, ..store })
    }
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerOptions<D> {
    /// What the URL means. Its parameters that have no effect are reported.
    pub(super) fn connect_options(
        &self,
        limit: Duration,
    ) -> Result<<D::Connection as Connection>::Options, ServerOpenError> {
        let url = ServerUrl::parse(&self.url, &D::URL_RULES).map_err(ServerOpenError::url::<D>)?;
        let options = D::options(&url.url, self.pooling, limit).map_err(|_| {
            let accepts = |url: &Url| D::options(url, self.pooling, limit).is_ok();
            ServerOpenError::url::<D>(url.fault(&D::URL_RULES, accepts))
        })?;
        if let Some(ignored) = url.ignored {
            tracing::warn!("parameters of the {} URL have no effect: {ignored}", D::NAMES.server);
        }
        Ok(options)
    }
}

/// Not derived, because the database type isn't cloned.
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
