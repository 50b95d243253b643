//! Sessions in MySQL or MariaDB, which any number of app servers share. Not here: the tables, see
//! `schema`; signing in, see `sign_in`; what an error means, see `error_codes`; and what all
//! servers have in common, see `sql`.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySql, MySqlConnection, Row};
use url::Url;

use super::sql::change::{BoundStatement, Change};
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
mod sign_in;
#[cfg(test)]
mod tests;

/// Sessions in MySQL or MariaDB. What the database needs is in
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
pub type MySqlStore = ServerStore<MySql>;

/// How to connect to MySQL or MariaDB: see [`ServerOptions::new`].
pub type MySqlOptions = ServerOptions<MySql>;

/// With other defaults of the server a write might never be committed, or be refused, an empty text
/// become null, and a look-up of many sessions find only some. The server also ends waits for locks
/// while their answer is still wanted.
const SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET autocommit = 1, completion_type = 'NO_CHAIN', sql_safe_updates = 0, innodb_lock_wait_timeout = 1, \
     sql_select_limit = 18446744073709551615, sql_big_selects = 1, \
     sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', NAMES utf8mb4";

/// Bytes of a packet that values other than data may take: the user id and the client's texts,
/// which are cut.
const OTHER_BYTES: usize = 16 << 10;

/// Locks the user until the transaction ends. Its `last_insert_id` is 1 if the user had a row
/// already, otherwise 0.
const LOCK_USER: &str = "INSERT INTO cookie_session_user (user_id) VALUES (?) ON DUPLICATE KEY UPDATE \
     user_id = if(last_insert_id(1), cookie_session_user.user_id, cookie_session_user.user_id), idle_since = NULL";

/// Read committed, whatever the server's default: each statement must see what was committed while
/// it waited for the lock, and gaps between rows, where other users' rows may go, stay free. Both
/// in one round trip; the store's own connections have the level as a setting.
const fn begin(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Own => "START TRANSACTION",
        Pooling::Direct | Pooling::ByTransaction => BEGIN,
    }
}

const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

impl Server for MySql {
    const NAMES: Names = Names {
        server: "MySQL or MariaDB",
        store: "MySqlStore",
        url: "mysql://user:password@host:3306/database",
        tls: "?ssl-mode=REQUIRED",
        migrate: "MySqlStore::migrate",
    };
    const URL_RULES: UrlRules = UrlRules {
        schemes: &["mysql://", "mariadb://"],
        parameters: &[
            "sslmode",
            "ssl-mode",
            "sslca",
            "ssl-ca",
            "sslcert",
            "ssl-cert",
            "sslkey",
            "ssl-key",
            "charset",
            "collation",
            "statement-cache-capacity",
            "socket",
            "timezone",
            "time-zone",
        ],
        instead: &[
            ("connectTimeout", "`MySqlOptions::acquire_timeout`"),
            ("connect_timeout", "`MySqlOptions::acquire_timeout`"),
            ("timeout", "`MySqlOptions::acquire_timeout`"),
            ("readTimeout", "`MySqlOptions::query_timeout`"),
            ("socketTimeout", "`MySqlOptions::query_timeout`"),
            ("connection_limit", "`MySqlOptions::max_connections`"),
            ("max_connections", "`MySqlOptions::max_connections`"),
            ("serverTimezone", "`timezone`"),
            ("unix_socket", "`socket`"),
            ("useSSL", "`ssl-mode=REQUIRED`"),
            ("useSsl", "`ssl-mode=REQUIRED`"),
            ("ssl", "`ssl-mode=REQUIRED`"),
            ("tls", "`ssl-mode=REQUIRED`"),
        ],
        needs_database: true,
    };
    /// The column holds 4 GiB, so `max_allowed_packet` is the limit.
    const MAX_DATA_BYTES: Option<usize> = None;
    /// sqlx loses track of the server's answer when a statement is dropped while it is being
    /// prepared.
    const SURVIVES_CANCELLING: bool = false;
    /// The server ends a wait for a lock after a second.
    const ANSWER_TIMEOUT: Duration = Duration::from_millis(1300);

    fn statements() -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::MYSQL));
        &SQL
    }

    fn options(url: &Url, _: Pooling, _: Duration) -> sqlx::Result<MySqlConnectOptions> {
        let options = MySqlConnectOptions::from_url(url)?;
        // An IPv6 address, which sqlx would take for a name.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        Ok(options.host(&host))
    }

    fn prepare(pool: PoolOptions<Self>, limit: Duration) -> PoolOptions<Self> {
        pool.after_connect(move |conn, _| {
            Box::pin(async move {
                // MariaDB's setting, in seconds; MySQL has a limit for reads only.
                let limit = limit.as_secs_f64();
                let session = format!("{SESSION} /*M!100101 , max_statement_time = {limit} */");
                sqlx::raw_sql(AssertSqlSafe(session)).execute(conn).await.map(drop)
            })
        })
    }

    fn host_and_database(options: &MySqlConnectOptions) -> (&str, Option<&str>) {
        (options.get_host(), options.get_database())
    }

    /// A statement is one packet, and so is a row.
    async fn max_data_bytes(conn: &mut MySqlConnection) -> sqlx::Result<Option<usize>> {
        let row = sqlx::raw_sql("SELECT CAST(@@max_allowed_packet AS signed)").fetch_one(conn).await?;
        let packet = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        Ok(Some(packet.saturating_sub(OTHER_BYTES)))
    }

    async fn migrate(conn: &mut MySqlConnection) -> Result<(), MigrateError<Unfit>> {
        schema::migrate(conn).await
    }

    async fn run_operation(
        conn: &mut MySqlConnection,
        operation: &Operation<'_>,
        pooling: Pooling,
        answers: &AnswerCount,
    ) -> Result<WriteResult<MySqlRow>, Failure> {
        match operation {
            Operation::Read(statement) => run(conn, statement).await.map_err(Failure::BeforeCommit),
            Operation::Write(statement) => run(conn, statement).await.map_err(Failure::DuringCommit),
            Operation::Forget(idle) => {
                let mut tx = conn.begin_with(begin(pooling)).await.map_err(Failure::BeforeCommit)?;
                answers.note();
                let written = forget(&mut tx, idle).await.map_err(Failure::BeforeCommit)?;
                tx.commit().await.map_err(Failure::DuringCommit)?;
                Ok(written)
            }
            Operation::Change(change, [statement]) if !change.locks_user() => {
                run(conn, statement).await.map_err(Failure::DuringCommit)
            }
            Operation::Change(change, statements) => {
                let mut tx = conn.begin_with(begin(pooling)).await.map_err(Failure::BeforeCommit)?;
                answers.note();
                let written = match change {
                    Change::SignIn(sign_in) => sign_in::sign_in(&mut tx, sign_in, answers).await,
                    change => with_user_lock(&mut tx, change.user(), statements, answers).await,
                };
                let written = written.map_err(Failure::BeforeCommit)?;
                tx.commit().await.map_err(Failure::DuringCommit)?;
                Ok(written)
            }
        }
    }

    fn classify(error: &sqlx::Error) -> ErrorKind {
        error_codes::classify(error)
    }
}

/// Locks the user, then runs the statements.
async fn with_user_lock(
    conn: &mut MySqlConnection,
    user: &UserId,
    statements: &[BoundStatement<'_>],
    answers: &AnswerCount,
) -> sqlx::Result<WriteResult<MySqlRow>> {
    sqlx::query(LOCK_USER).bind(user.as_str()).execute(&mut *conn).await?;
    let mut all = WriteResult { rows: Vec::new(), count: 0, last_insert_id: 0, is_repeated: false };
    for statement in statements {
        answers.note();
        let written = run(conn, statement).await?;
        all.rows.extend(written.rows);
        all.count = written.count;
    }
    answers.note();
    Ok(all)
}

/// Forgets those of the users who have had no session for long enough, and returns how many. Each
/// statement sees what was committed before it, so the last two see all sessions of the users that
/// the first one locked.
async fn forget(conn: &mut MySqlConnection, idle: &IdleUsers<'_>) -> sqlx::Result<WriteResult<MySqlRow>> {
    let sql = MySql::user_statements();
    let locked = run(conn, &idle.lock(sql)).await?.rows;
    let locked = locked.iter().map(|row| row.try_get_unchecked(0)).collect::<sqlx::Result<Vec<_>>>()?;
    let [note, forget] = idle.forget(sql, &locked);
    run(conn, &note).await?;
    run(conn, &forget).await
}

async fn run(conn: &mut MySqlConnection, statement: &BoundStatement<'_>) -> sqlx::Result<WriteResult<MySqlRow>> {
    if statement.0.is_search() {
        let rows = query(statement).fetch_all(conn).await?;
        return Ok(WriteResult { rows, count: 0, last_insert_id: 0, is_repeated: false });
    }
    let result = query(statement).execute(conn).await?;
    Ok(WriteResult {
        rows: Vec::new(),
        count: result.rows_affected(),
        last_insert_id: i64::try_from(result.last_insert_id()).unwrap_or(i64::MAX),
        is_repeated: false,
    })
}

impl_sqlx_row!(MySql, MySqlRow, MySqlArguments, before_commit::<MySql>);
