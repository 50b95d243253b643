//! Sessions in PostgreSQL, which any number of app servers share.
//! Leaves opening to `options`, tables to `schema`, what a failure means to `fault`, and what it has in common with other
//! databases to `sql`.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Row};

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
#[cfg(test)]
mod tests;

pub use options::PostgresOptions;

/// Takes the user's turn, until the transaction ends. `DO UPDATE` and not `DO NOTHING`, which would lock nothing.
const TAKE_TURN: &str = "INSERT INTO cookie_session_user (user_id) VALUES ($1) \
     ON CONFLICT (user_id) DO UPDATE SET user_id = EXCLUDED.user_id";

/// Whatever the database's default: each statement must see what was committed while it waited for its turn. And whoever vanishes
/// in the middle must not keep the turn until the network notices.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Sessions in PostgreSQL. Clones share the connections. What the database needs is in
/// [`operators`](crate::store::operators).
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use session_core::PostgresStore;
///
/// let store = PostgresStore::open("postgres://app@db.internal/app").await?;
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
pub struct PostgresStore {
    pool: PgPool,
    /// How long the server may take to answer.
    patience: Duration,
    /// Whether each transaction may run on another connection of the server.
    is_pooled: bool,
    /// What is asked together, if it opened its own connections.
    groups: Option<Arc<Groups<PgRow>>>,
    /// Its spare connections, if it opened its own.
    spares: Option<Arc<Spares<Postgres>>>,
}

impl PostgresStore {
    /// Sessions in the database of your own `pool`, whose settings stay as they are. Call [`migrate`](Self::migrate)
    /// before the first request. The tables are those of the connections' `search_path`.
    ///
    /// Let nothing else use the pool, or nothing that may be dropped while it begins a transaction: sqlx then leaves the
    /// transaction open without knowing, and what this store writes on that connection later would not be committed.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool, patience: PATIENCE, is_pooled: false, groups: None, spares: None }
    }

    /// How long the server may take for one operation, 10 seconds by default: a request that waits longer is a 503, and its
    /// connection is closed. How long to wait for a free connection is the pool's own setting.
    #[must_use]
    pub const fn answer_within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// For a pool that connects to PgBouncer, or another pooler, in transaction mode, where each transaction may run on another
    /// connection of the server: no statement is prepared for later, and each runs inside `BEGIN` and `COMMIT`. That takes two
    /// to three more round trips for each read and write.
    #[must_use]
    pub const fn transaction_pooling(mut self) -> Self {
        self.is_pooled = true;
        self
    }

    /// Connects to the database at `url` with the settings of [`PostgresOptions::new`], and brings its tables to this
    /// release's schema.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(url: &str) -> Result<Self, ServerOpenError> {
        PostgresOptions::new(url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session`, `cookie_session_user` and `cookie_session_schema`. Does
    /// nothing if they are, and is safe to call from many nodes at once.
    ///
    /// # Errors
    /// [`ServerOpenError`], which says what to do.
    pub async fn migrate(&self) -> Result<(), ServerOpenError> {
        let migrated = async {
            let mut conn = self.pool.acquire().await?;
            // A transaction whose beginning is dropped would stay open on it.
            conn.close_on_drop();
            schema::migrate(&mut conn).await
        };
        migrated.await.map_err(ServerOpenError::of::<Self>)
    }
}

impl Server for PostgresStore {
    type Db = Postgres;
    const NAMES: Names = Names {
        server: "PostgreSQL",
        url: "postgres://user:password@host:5432/database",
        migrate: "PostgresStore::migrate",
    };

    fn statements() -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::POSTGRES));
        &SQL
    }

    fn pool(&self) -> &PgPool {
        &self.pool
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn groups(&self) -> Option<&Groups<PgRow>> {
        self.groups.as_deref()
    }

    fn spares(&self) -> Option<&Arc<Spares<Postgres>>> {
        self.spares.as_ref()
    }

    async fn work(&self, conn: &mut PgConnection, work: &Work<'_>) -> Result<Written<PgRow>, Failed> {
        let rows = match work {
            Work::Read(step) if self.is_pooled => match self.transaction(conn, None, &[step]).await {
                Err(Failed::AtCommit(error)) => Err(Failed::Before(error)),
                rows => rows,
            },
            Work::Write(step) if self.is_pooled => self.transaction(conn, None, &[step]).await,
            Work::Read(step) => query(step).fetch_all(conn).await.map_err(Failed::Before),
            Work::Write(step) => query(step).fetch_all(conn).await.map_err(Failed::AtCommit),
            Work::InTurn(user, steps) => {
                let steps: Vec<_> = steps.iter().collect();
                self.transaction(conn, Some(user), &steps).await
            }
            Work::SignIn(sign_in) => {
                // The insertion takes the user's turn.
                let [insert, evict] = sign_in.steps(Self::statements());
                self.transaction(conn, None, &[&insert, &evict]).await
            }
        };
        rows.map(Written::of)
    }

    /// sqlx loses track of a transaction whose beginning is dropped: what follows on the connection would never be committed.
    fn survives_cancelling(&self, work: &Work<'_>) -> bool {
        !self.is_pooled && matches!(work, Work::Read(_) | Work::Write(_))
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

impl PostgresStore {
    /// Runs the steps, if a user is named while the user's row is locked: the rows of all of them. Dropped before its commit it
    /// is rolled back.
    async fn transaction(
        &self,
        conn: &mut PgConnection,
        user: Option<&UserId>,
        steps: &[&Step<'_>],
    ) -> Result<Vec<PgRow>, Failed> {
        let begin = conn.begin_with(BEGIN);
        let mut tx = begin.await.map_err(Failed::Before)?;
        if let Some(user) = user {
            let turn = sqlx::query(TAKE_TURN).persistent(!self.is_pooled).bind(user.as_str());
            turn.execute(&mut *tx).await.map_err(Failed::Before)?;
        }
        let mut rows = Vec::new();
        for step in steps {
            let step = query(step).persistent(!self.is_pooled);
            rows.extend(step.fetch_all(&mut *tx).await.map_err(Failed::Before)?);
        }
        tx.commit().await.map_err(Failed::AtCommit)?;
        Ok(rows)
    }
}

/// Names the database, and nothing of what is in it.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.pool.connect_options();
        f.debug_struct("PostgresStore")
            .field("host", &options.get_host())
            .field("database", &options.get_database())
            .finish_non_exhaustive()
    }
}

sqlx_glue!(Postgres, PgRow, PgArguments, before_commit::<PostgresStore>);
sql_store!(PostgresStore);
