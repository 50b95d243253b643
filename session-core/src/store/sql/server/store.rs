//! The store on a database server, whichever it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::Pool;

use super::perform::perform;
use super::{PATIENCE, Pooling, Server, ServerOpenError, ServerOptions, Work};
use crate::error::StoreError;
use crate::store::sql::groups::Groups;
use crate::store::sql::spares::Spares;
use crate::store::sql::statements::Statements;
use crate::store::sql::users::Idle;
use crate::store::sql::{Backend, SignIn, Step, Written};
use crate::user_id::UserId;

/// Sessions on a database server: [`PostgresStore`](crate::store::databases) and `MySqlStore` are two names of it. Clones share the
/// connections.
///
/// A connection belongs to the async runtime that opened it, as sqlx has it. A store that opened its own connections keeps all of
/// them in the runtime in which it was opened, which has to run as long as the store is used: that of `main`, as a rule. In your own
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
    pub(super) patience: Duration,
    pub(in crate::store) pooling: Pooling,
    /// What is asked together, if it opened its own connections.
    pub(super) groups: Option<Arc<Groups<D::Row>>>,
    /// Its spare connections, if it opened its own.
    pub(super) spares: Option<Arc<Spares<D>>>,
}

#[expect(private_bounds, reason = "as above")]
impl<D: Server> ServerStore<D> {
    /// Sessions in the database of your own `pool`, whose settings stay as they are; in MySQL and MariaDB `autocommit` must be on.
    /// Call [`migrate`](Self::migrate) before the first request. In PostgreSQL the tables are those of the connections'
    /// `search_path`.
    ///
    /// Let nothing else use the pool, or nothing that may be dropped while it begins a transaction: sqlx then leaves the
    /// transaction open without knowing, and what this store writes on that connection later would not be committed.
    pub const fn new(pool: Pool<D>) -> Self {
        Self { pool, patience: PATIENCE, pooling: Pooling::Direct, groups: None, spares: None }
    }

    /// How long the server may take for one operation, 10 seconds by default: a request that waits longer is a 503, and its
    /// connection is closed. How long to wait for a free connection is the pool's own setting.
    #[must_use]
    pub const fn answer_within(mut self, patience: Duration) -> Self {
        self.patience = patience;
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
            let mut conn = self.pool.acquire().await?;
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
        Ok(perform(self, Work::Read(step)).await?.rows)
    }

    async fn write(&self, step: Step<'_>) -> Result<Written<D::Row>, StoreError> {
        perform(self, Work::Write(step)).await
    }

    async fn in_turn(&self, user: &UserId, steps: &[Step<'_>]) -> Result<Written<D::Row>, StoreError> {
        perform(self, Work::InTurn(user, steps)).await
    }

    async fn sign_in(&self, sign_in: SignIn<'_>) -> Result<Vec<D::Row>, StoreError> {
        Ok(perform(self, Work::SignIn(sign_in)).await?.rows)
    }

    async fn forget(&self, idle: Idle<'_>) -> Result<u64, StoreError> {
        Ok(perform(self, Work::Forget(idle)).await?.count)
    }
}

/// Not derived: the database itself isn't cloned.
impl<D: Server> Clone for ServerStore<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            patience: self.patience,
            pooling: self.pooling,
            groups: self.groups.clone(),
            spares: self.spares.clone(),
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
