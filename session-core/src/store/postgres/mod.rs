//! Sessions in PostgreSQL, which any number of app servers share. Not here: the tables, see
//! `schema`; what an error means, see `error_codes`; and what all servers have in common, see
//! `sql`.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Row};
use url::Url;

use super::sql::change::{BoundStatement, Change, check_version};
use super::sql::dialect::Dialect;
use super::sql::macros::impl_sqlx_row;
use super::sql::migrations::MigrateError;
use super::sql::row::WriteResult;
use super::sql::server::{
    AnswerCount, ErrorKind, Failure, Names, Operation, Pooling, Server, ServerOptions, ServerStore, Unfit, UrlRules,
    before_commit,
};
use super::sql::statements::Statements;
use super::sql::users::IdleUsers;
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

/// Locks the user until the transaction ends. `DO UPDATE`, because `DO NOTHING` would lock nothing.
/// The column has no index, so no index changes.
const LOCK_USER: &str = "INSERT INTO cookie_session_user (user_id) VALUES ($1) \
     ON CONFLICT (user_id) DO UPDATE SET idle_since = NULL";

/// Read committed, whatever the database's default: each statement must see what was committed
/// while it waited for the lock. A client that vanishes in the middle must not keep the lock until
/// the network notices, and a wait for a lock must end while its answer is still wanted.
///
/// The store's own connections have all that as settings, so their transactions needn't repeat it.
const fn begin(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Own => "BEGIN",
        Pooling::Direct | Pooling::ByTransaction => BEGIN,
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '30s'; \
     SET LOCAL lock_timeout = '700ms'";

impl PostgresStore {
    /// For a pool that connects to PgBouncer, or another pooler, in transaction mode, where each
    /// transaction may run on another connection of the server. No statement stays prepared, and
    /// each runs inside `BEGIN` and `COMMIT`, which takes two to three more round trips for each
    /// read and write.
    #[must_use]
    pub const fn transaction_pooling(mut self) -> Self {
        self.pooling = Pooling::ByTransaction;
        self
    }
}

impl PostgresOptions {
    /// For a URL of PgBouncer, or another pooler, in transaction mode: see
    /// [`PostgresStore::transaction_pooling`].
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
        tls: "?sslmode=require",
        migrate: "PostgresStore::migrate",
    };
    const URL_RULES: UrlRules = UrlRules {
        schemes: &["postgres://", "postgresql://"],
        parameters: &[
            "sslmode",
            "ssl-mode",
            "sslrootcert",
            "ssl-root-cert",
            "ssl-ca",
            "sslcert",
            "ssl-cert",
            "sslkey",
            "ssl-key",
            "statement-cache-capacity",
            "host",
            "hostaddr",
            "port",
            "dbname",
            "user",
            "password",
            "application_name",
            "options",
            "options[",
        ],
        instead: &[
            ("connect_timeout", "`PostgresOptions::acquire_timeout`"),
            ("pool_timeout", "`PostgresOptions::acquire_timeout`"),
            ("statement_timeout", "`PostgresOptions::query_timeout`"),
            ("connection_limit", "`PostgresOptions::max_connections`"),
            ("max_connections", "`PostgresOptions::max_connections`"),
            ("pool_max_conns", "`PostgresOptions::max_connections`"),
            ("pgbouncer", "`PostgresOptions::transaction_pooling`"),
            ("schema", "`options=-csearch_path%3D…`"),
            ("search_path", "`options=-csearch_path%3D…`"),
            ("currentSchema", "`options=-csearch_path%3D…`"),
            ("target_session_attrs", "a host name that leads to the primary"),
            ("database", "`dbname`"),
            ("username", "`user`"),
            ("ssl", "`sslmode=require`"),
            ("tls", "`sslmode=require`"),
        ],
        needs_database: false,
    };
    /// A message and a field can have 1 GiB, less room for the other columns.
    const MAX_DATA_BYTES: Option<usize> = Some((1 << 30) - (1 << 20));
    const SURVIVES_CANCELLING: bool = true;
    const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

    fn statements() -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::POSTGRES));
        &SQL
    }

    fn options(url: &Url, pooling: Pooling, limit: Duration) -> sqlx::Result<PgConnectOptions> {
        let options = PgConnectOptions::from_url(url)?;
        // An IPv6 address, which sqlx would take for a name.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let options = if host == options.get_host() { options } else { options.host(&host) };
        Ok(match pooling {
            Pooling::Own | Pooling::Direct => options.options([
                // So that the server notices clients that are gone, and firewalls don't forget the
                // connection.
                ("tcp_keepalives_idle", "60"),
                ("tcp_keepalives_interval", "10"),
                ("tcp_keepalives_count", "3"),
                ("lock_timeout", "700"),
                ("idle_in_transaction_session_timeout", "30000"),
                ("default_transaction_isolation", "read committed"),
                ("statement_timeout", &limit.as_millis().to_string()),
            ]),
            // Poolers refuse settings of a connection. sqlx's own is about floats, which no column
            // here holds.
            Pooling::ByTransaction => options.extra_float_digits(None),
        })
    }

    fn prepare(pool: PoolOptions<Self>, _: Duration) -> PoolOptions<Self> {
        pool
    }

    fn host_and_database(options: &PgConnectOptions) -> (&str, Option<&str>) {
        (options.get_host(), options.get_database())
    }

    async fn max_data_bytes(_: &mut PgConnection) -> sqlx::Result<Option<usize>> {
        Ok(Self::MAX_DATA_BYTES)
    }

    async fn migrate(conn: &mut PgConnection) -> Result<(), MigrateError<Unfit>> {
        schema::migrate(conn).await
    }

    async fn run_operation(
        conn: &mut PgConnection,
        operation: &Operation<'_>,
        pooling: Pooling,
        answers: &AnswerCount,
    ) -> Result<WriteResult<PgRow>, Failure> {
        let rows = match (operation, pooling) {
            (Operation::Read(statement), Pooling::ByTransaction) => {
                match transaction(conn, None, None, &[statement], pooling, answers).await {
                    Err(Failure::DuringCommit(error)) => Err(Failure::BeforeCommit(error)),
                    rows => rows,
                }
            }
            (Operation::Write(statement), Pooling::ByTransaction) => {
                transaction(conn, None, None, &[statement], pooling, answers).await
            }
            (Operation::Read(statement), _) => query(statement).fetch_all(conn).await.map_err(Failure::BeforeCommit),
            (Operation::Write(statement), _) => query(statement).fetch_all(conn).await.map_err(Failure::DuringCommit),
            (Operation::Change(change, [statement]), Pooling::Own | Pooling::Direct) if !change.locks_user() => {
                query(statement).fetch_all(conn).await.map_err(Failure::DuringCommit)
            }
            (Operation::Change(change, statements), _) => {
                // The insertion of a sign-in locks the user itself.
                let user = (change.locks_user() && !matches!(change, Change::SignIn(_))).then(|| change.user());
                let statements: Vec<_> = statements.iter().collect();
                transaction(conn, Some(change), user, &statements, pooling, answers).await
            }
            (Operation::Forget(idle), _) => forget(conn, idle, pooling).await,
        };
        rows.map(WriteResult::of)
    }

    fn classify(error: &sqlx::Error) -> ErrorKind {
        error_codes::classify(error)
    }
}

/// Forgets those of the users who have had no session for long enough, and returns their rows. Each
/// statement sees what was committed before it, so the last two see all sessions of the users that
/// the first one locked.
async fn forget(conn: &mut PgConnection, idle: &IdleUsers<'_>, pooling: Pooling) -> Result<Vec<PgRow>, Failure> {
    let sql = Postgres::user_statements();
    let persists = pooling.keeps_connection();
    let mut tx = conn.begin_with(begin(pooling)).await.map_err(Failure::BeforeCommit)?;
    let lock = idle.lock(sql);
    let locked = query(&lock).persistent(persists).fetch_all(&mut *tx).await.map_err(Failure::BeforeCommit)?;
    let locked =
        locked.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<_>>>().map_err(Failure::BeforeCommit)?;
    let mut rows = Vec::new();
    for statement in idle.forget(sql, &locked) {
        rows = query(&statement).persistent(persists).fetch_all(&mut *tx).await.map_err(Failure::BeforeCommit)?;
    }
    tx.commit().await.map_err(Failure::DuringCommit)?;
    Ok(rows)
}

/// Runs the statements in a transaction, which locks the user if there is one, and returns the rows
/// of all of them. If it is dropped before its commit, it is rolled back.
async fn transaction(
    conn: &mut PgConnection,
    change: Option<&Change>,
    user: Option<&UserId>,
    statements: &[&BoundStatement<'_>],
    pooling: Pooling,
    answers: &AnswerCount,
) -> Result<Vec<PgRow>, Failure> {
    // A pooler's next transaction may run on a connection that has none of these statements
    // prepared.
    let persists = pooling.keeps_connection();
    let mut tx = conn.begin_with(begin(pooling)).await.map_err(Failure::BeforeCommit)?;
    answers.note();
    if let Some(user) = user {
        let lock = sqlx::query(LOCK_USER).persistent(persists).bind(user.as_str());
        lock.execute(&mut *tx).await.map_err(Failure::BeforeCommit)?;
        answers.note();
    }
    let mut rows = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let statement = query(statement).persistent(persists);
        let found = statement.fetch_all(&mut *tx).await.map_err(Failure::BeforeCommit)?;
        answers.note();
        match change.and_then(|change| change.expected_version(at)) {
            Some(expected) => check_version(&found, expected).map_err(Failure::BeforeCommit)?,
            None => rows.extend(found),
        }
    }
    tx.commit().await.map_err(Failure::DuringCommit)?;
    Ok(rows)
}

impl_sqlx_row!(Postgres, PgRow, PgArguments, before_commit::<Postgres>);
