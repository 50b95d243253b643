//! Sessions in PostgreSQL, which any number of app servers share: how it is asked. Not here: tables, see `schema`; what an error
//! means, see `error_codes`; and what it has in common with other servers, see `sql`.

use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{Connection, PgConnection, Postgres, Row};

use super::sql::dialect::Dialect;
use super::sql::glue::sqlx_glue;
use super::sql::migrations::MigrateError;
use super::sql::row::Written;
use super::sql::server::{
    Answers, ErrorKind, Failed, Names, Pooling, Server, ServerOptions, ServerStore, Work, before_commit,
};
use super::sql::statements::Statements;
use super::sql::task::{Step, Task};
use super::sql::users::Idle;
use crate::model::user_id::UserId;

mod error_codes;
mod schema;
#[cfg(test)]
mod tests;

/// Sessions in PostgreSQL. What the database needs is in [`operators`](crate::store::operators).
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use session_core::PostgresStore;
///
/// let store = PostgresStore::open("postgres://app@db.internal/app").await?;
/// # Ok(())
/// # }
/// ```
pub type PostgresStore = ServerStore<Postgres>;

/// How to connect to PostgreSQL: see [`ServerOptions::new`].
pub type PostgresOptions = ServerOptions<Postgres>;

/// Takes the user's turn, until the transaction ends. `DO UPDATE` and not `DO NOTHING`, which would lock nothing; the column has no
/// index, so no index changes.
const TAKE_TURN: &str = "INSERT INTO cookie_session_user (user_id) VALUES ($1) \
     ON CONFLICT (user_id) DO UPDATE SET idle_since = NULL";

/// Whatever the database's default: each statement must see what was committed while it waited for its turn. And whoever vanishes
/// in the middle must not keep the turn until the network notices.
///
/// The server ends waits for locks in time to be heard of it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '30s'; \
     SET LOCAL lock_timeout = '700ms'";

impl PostgresStore {
    /// For a pool that connects to PgBouncer, or another pooler, in transaction mode, where each transaction may run on another
    /// connection of the server: no statement is prepared for later, and each runs inside `BEGIN` and `COMMIT`. That takes two
    /// to three more round trips for each read and write.
    #[must_use]
    pub const fn transaction_pooling(mut self) -> Self {
        self.pooling = Pooling::ByTransaction;
        self
    }
}

impl PostgresOptions {
    /// For a URL of PgBouncer, or another pooler, in transaction mode: see [`PostgresStore::transaction_pooling`].
    #[must_use]
    pub const fn transaction_pooling(mut self) -> Self {
        self.pooling = Pooling::ByTransaction;
        self
    }
}

impl Server for Postgres {
    const NAMES: Names = Names {
        server: "PostgreSQL",
        store: "PostgresStore",
        url: "postgres://user:password@host:5432/database",
        migrate: "PostgresStore::migrate",
    };
    /// A message and a field of 1 GiB, less what else is in it.
    const MOST_DATA: Option<usize> = Some((1 << 30) - (1 << 20));
    const SURVIVES_CANCELLING: bool = true;
    const UNANSWERED: Duration = Duration::from_secs(1);

    fn statements() -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::POSTGRES));
        &SQL
    }

    fn options(url: &str, pooling: Pooling, limit: Duration) -> Option<PgConnectOptions> {
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        let options = PgConnectOptions::from_str(url).ok().filter(|_| is_postgres)?;
        Some(match pooling {
            Pooling::Direct => options.options([
                // The server notices clients that are gone, and what is in between is kept from forgetting the connection.
                ("tcp_keepalives_idle", "60"),
                ("tcp_keepalives_interval", "10"),
                ("tcp_keepalives_count", "3"),
                ("lock_timeout", "700"),
                ("statement_timeout", &limit.as_millis().to_string()),
            ]),
            // Settings of the connection, which poolers refuse; no column here holds a float.
            Pooling::ByTransaction => options.extra_float_digits(None),
        })
    }

    fn prepare(pool: PoolOptions<Self>, _: Duration) -> PoolOptions<Self> {
        pool
    }

    fn place(options: &PgConnectOptions) -> (&str, Option<&str>) {
        (options.get_host(), options.get_database())
    }

    async fn most_data(_: &mut PgConnection) -> sqlx::Result<Option<usize>> {
        Ok(Self::MOST_DATA)
    }

    async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError> {
        schema::migrate(conn).await
    }

    async fn work(
        conn: &mut PgConnection,
        work: &Work<'_>,
        pooling: Pooling,
        answers: &Answers,
    ) -> Result<Written<PgRow>, Failed> {
        let rows = match (work, pooling) {
            (Work::Read(step), Pooling::ByTransaction) => {
                match transaction(conn, None, &[step], pooling, answers).await {
                    Err(Failed::AtCommit(error)) => Err(Failed::Before(error)),
                    rows => rows,
                }
            }
            (Work::Write(step), Pooling::ByTransaction) => transaction(conn, None, &[step], pooling, answers).await,
            (Work::Read(step), Pooling::Direct) => query(step).fetch_all(conn).await.map_err(Failed::Before),
            (Work::Write(step), Pooling::Direct) => query(step).fetch_all(conn).await.map_err(Failed::AtCommit),
            (Work::Change(task, [step]), Pooling::Direct) if !task.is_in_turn() => {
                query(step).fetch_all(conn).await.map_err(Failed::AtCommit)
            }
            (Work::Change(task, steps), _) => {
                // The insertion of a sign-in takes the user's turn.
                let user = (task.is_in_turn() && !matches!(task, Task::SignIn(_))).then(|| task.user());
                let steps: Vec<_> = steps.iter().collect();
                transaction(conn, user, &steps, pooling, answers).await
            }
            (Work::Forget(idle), _) => forget(conn, idle, pooling).await,
        };
        rows.map(Written::of)
    }

    fn classify(error: &sqlx::Error) -> ErrorKind {
        error_codes::classify(error)
    }
}

/// Forgets those of the users who have had no session for long enough: their rows. Each statement sees what was committed before
/// it, and so the last two all sessions of those whom the first one locked.
async fn forget(conn: &mut PgConnection, idle: &Idle<'_>, pooling: Pooling) -> Result<Vec<PgRow>, Failed> {
    let sql = Postgres::user_statements();
    let persists = pooling == Pooling::Direct;
    let mut tx = conn.begin_with(BEGIN).await.map_err(Failed::Before)?;
    let lock = idle.lock(sql);
    let locked = query(&lock).persistent(persists).fetch_all(&mut *tx).await.map_err(Failed::Before)?;
    let locked = locked.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<_>>>().map_err(Failed::Before)?;
    let mut rows = Vec::new();
    for step in idle.forget(sql, &locked) {
        rows = query(&step).persistent(persists).fetch_all(&mut *tx).await.map_err(Failed::Before)?;
    }
    tx.commit().await.map_err(Failed::AtCommit)?;
    Ok(rows)
}

/// Runs the steps, if a user is named while the user's row is locked: the rows of all of them. Dropped before its commit it is
/// rolled back.
async fn transaction(
    conn: &mut PgConnection,
    user: Option<&UserId>,
    steps: &[&Step<'_>],
    pooling: Pooling,
    answers: &Answers,
) -> Result<Vec<PgRow>, Failed> {
    // A pooler's next transaction may run on a connection where nothing of this is prepared.
    let persists = pooling == Pooling::Direct;
    let mut tx = conn.begin_with(BEGIN).await.map_err(Failed::Before)?;
    answers.note();
    if let Some(user) = user {
        let turn = sqlx::query(TAKE_TURN).persistent(persists).bind(user.as_str());
        turn.execute(&mut *tx).await.map_err(Failed::Before)?;
        answers.note();
    }
    let mut rows = Vec::new();
    for step in steps {
        let step = query(step).persistent(persists);
        rows.extend(step.fetch_all(&mut *tx).await.map_err(Failed::Before)?);
        answers.note();
    }
    tx.commit().await.map_err(Failed::AtCommit)?;
    Ok(rows)
}

sqlx_glue!(Postgres, PgRow, PgArguments, before_commit::<Postgres>);
