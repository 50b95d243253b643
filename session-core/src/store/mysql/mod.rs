//! Sessions in MySQL or MariaDB, which any number of app servers share.
//! Leaves opening to `options`, tables to `schema`, signing in to `sign_in`, what an error code means to `fault`, and what it
//! has in common with other databases to `sql`.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{Connection, MySql, MySqlConnection, MySqlPool, MySqlTransaction, Row};

use super::sql::glue::{sql_store, sqlx_glue};
use super::sql::groups::Groups;
use super::sql::server::{Closed, Failed, Names, PATIENCE, Server, ServerOpenError, Work, before_commit};
use super::sql::spares::Spares;
use super::sql::statements::{Dialect, Statements};
use super::sql::{Step, Written};
use crate::user_id::UserId;

mod fault;
mod options;
mod schema;
mod sign_in;
#[cfg(test)]
mod tests;

pub use options::MySqlOptions;

/// Takes the user's turn, until the transaction ends. Tells 1 if the user had a row already.
const TAKE_TURN: &str = "INSERT INTO cookie_session_user (user_id) VALUES (?) ON DUPLICATE KEY UPDATE \
     user_id = if(last_insert_id(1), cookie_session_user.user_id, cookie_session_user.user_id)";

/// Whatever the server's default: each statement must see what was committed while it waited for its turn, and gaps between
/// rows, where other users' rows may go, stay free. Both in one round trip.
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

/// Sessions in MySQL or MariaDB. Clones share the connections. What the database needs is in
/// [`operators`](crate::store::operators).
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use session_core::MySqlStore;
///
/// let store = MySqlStore::open("mysql://app@db.internal/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// A connection belongs to the async runtime that opened it, as sqlx has it. A store that opened its own connections keeps all of
/// them in the runtime in which it was opened, which has to run as long as the store is used: that of `main`, as a rule. In your own
/// pool, where one runtime of a process ends while others go on, its connections fail once and are replaced: Actix has a runtime
/// for each worker, and ends them one by one when it is told to stop.
///
/// Everything is read from the server that the pool connects to: point it at the primary, because a replica that lags
/// behind would let revoked sessions in. Times are kept in whole microseconds. A failure says
/// [`StoreError::NotApplied`](crate::store::StoreError::NotApplied) only if nothing was changed for certain.
#[derive(Clone)]
pub struct MySqlStore {
    pool: MySqlPool,
    /// How long the server may take to answer.
    patience: Duration,
    /// What is asked together, if it opened its own connections.
    groups: Option<Arc<Groups<MySqlRow>>>,
    /// Its spare connections, if it opened its own.
    spares: Option<Arc<Spares<MySql>>>,
}

impl MySqlStore {
    /// Sessions in the database of your own `pool`, whose settings stay as they are; `autocommit` must be on. Call
    /// [`migrate`](Self::migrate) before the first request.
    ///
    /// Let nothing else use the pool, or nothing that may be dropped while it begins a transaction: sqlx then leaves the
    /// transaction open without knowing, and what this store writes on that connection later would not be committed.
    pub const fn new(pool: MySqlPool) -> Self {
        Self { pool, patience: PATIENCE, groups: None, spares: None }
    }

    /// How long the server may take for one operation, 10 seconds by default: a request that waits longer is a 503, and its
    /// connection is closed. How long to wait for a free connection is the pool's own setting.
    #[must_use]
    pub const fn answer_within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects to the database at `url` with the settings of [`MySqlOptions::new`], and brings its tables to this
    /// release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(url: &str) -> Result<Self, ServerOpenError> {
        MySqlOptions::new(url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session`, `cookie_session_user` and `cookie_session_schema`. Does
    /// nothing if they are, and is safe to call from many nodes at once.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do.
    pub async fn migrate(&self) -> Result<(), ServerOpenError> {
        let migrated = async {
            let mut conn = self.pool.acquire().await?;
            // A lock of the migration would stay with the connection, if this future is dropped.
            conn.close_on_drop();
            schema::migrate(&mut conn).await
        };
        migrated.await.map_err(ServerOpenError::of::<Self>)
    }
}

impl Server for MySqlStore {
    type Db = MySql;
    const NAMES: Names = Names {
        server: "MySQL or MariaDB",
        url: "mysql://user:password@host:3306/database",
        migrate: "MySqlStore::migrate",
    };

    fn statements() -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::MYSQL));
        &SQL
    }

    fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn groups(&self) -> Option<&Groups<MySqlRow>> {
        self.groups.as_deref()
    }

    fn spares(&self) -> Option<&Arc<Spares<MySql>>> {
        self.spares.as_ref()
    }

    async fn work(&self, conn: &mut MySqlConnection, work: &Work<'_>) -> Result<Written<MySqlRow>, Failed> {
        match work {
            Work::Read(step) => run(conn, step).await.map_err(Failed::Before),
            Work::Write(step) => run(conn, step).await.map_err(Failed::AtCommit),
            Work::InTurn(user, steps) => {
                let mut tx = begin(conn).await.map_err(Failed::Before)?;
                let written = in_turn(&mut tx, user, steps).await.map_err(Failed::Before)?;
                tx.commit().await.map_err(Failed::AtCommit)?;
                Ok(written)
            }
            Work::SignIn(sign_in) => {
                let mut tx = begin(conn).await.map_err(Failed::Before)?;
                let written = sign_in::sign_in(&mut tx, sign_in).await.map_err(Failed::Before)?;
                tx.commit().await.map_err(Failed::AtCommit)?;
                Ok(written)
            }
        }
    }

    /// sqlx loses track of a transaction whose beginning is dropped, so that what follows on the connection would never be
    /// committed, and of the server's answer to a statement that it prepares.
    fn survives_cancelling(&self, _: &Work<'_>) -> bool {
        false
    }

    fn is_rolled_back(error: &sqlx::Error) -> bool {
        fault::is_rolled_back(error)
    }

    fn is_end_of_connection(error: &sqlx::Error) -> bool {
        fault::is_end_of_connection(error)
    }

    fn is_not_migrated(error: &sqlx::Error) -> bool {
        fault::is_not_migrated(error)
    }

    fn why_not_open(error: &sqlx::Error) -> Option<Closed> {
        fault::why_not_open(error)
    }
}

/// Dropped before its commit it is rolled back.
async fn begin(conn: &mut MySqlConnection) -> sqlx::Result<MySqlTransaction<'_>> {
    conn.begin_with(BEGIN).await
}

/// Runs the steps while the user's row is locked.
async fn in_turn(conn: &mut MySqlConnection, user: &UserId, steps: &[Step<'_>]) -> sqlx::Result<Written<MySqlRow>> {
    sqlx::query(TAKE_TURN).bind(user.as_str()).execute(&mut *conn).await?;
    let mut all = Written { rows: Vec::new(), count: 0, told: 0 };
    for step in steps {
        let written = run(conn, step).await?;
        all.rows.extend(written.rows);
        all.count = written.count;
    }
    Ok(all)
}

async fn run(conn: &mut MySqlConnection, step: &Step<'_>) -> sqlx::Result<Written<MySqlRow>> {
    if step.0.is_search() {
        let rows = query(step).fetch_all(conn).await?;
        return Ok(Written { rows, count: 0, told: 0 });
    }
    let result = query(step).execute(conn).await?;
    Ok(Written {
        rows: Vec::new(),
        count: result.rows_affected(),
        told: i64::try_from(result.last_insert_id()).unwrap_or(i64::MAX),
    })
}

/// Names the database, and nothing of what is in it.
impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.pool.connect_options();
        f.debug_struct("MySqlStore")
            .field("host", &options.get_host())
            .field("database", &options.get_database())
            .finish_non_exhaustive()
    }
}

sqlx_glue!(MySql, MySqlRow, MySqlArguments, before_commit::<MySqlStore>);
sql_store!(MySqlStore);
