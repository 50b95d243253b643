//! Sessions in MySQL or MariaDB, which any number of app servers share: how they are asked. Not here: tables, see `schema`; signing
//! in, see `sign_in`; what an error means, see `error_codes`; and what they have in common with other servers, see `sql`.

use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Connection, MySql, MySqlConnection, Row};

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
mod sign_in;
#[cfg(test)]
mod tests;

/// Sessions in MySQL or MariaDB. What the database needs is in [`operators`](crate::store::operators).
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

/// What a server's own defaults could make of a write: one that is never committed, or refused. And it ends waits for locks in time to be
/// heard of it.
const SESSION: &str =
    "SET autocommit = 1, completion_type = 'NO_CHAIN', sql_safe_updates = 0, innodb_lock_wait_timeout = 1";

/// Bytes of a packet that other values than data may take: user id and the client's texts, which are cut.
const BESIDES_DATA: usize = 16 << 10;

/// Takes the user's turn, until the transaction ends. Tells 1 if the user had a row already.
const TAKE_TURN: &str = "INSERT INTO cookie_session_user (user_id) VALUES (?) ON DUPLICATE KEY UPDATE \
     user_id = if(last_insert_id(1), cookie_session_user.user_id, cookie_session_user.user_id), idle_since = NULL";

/// Whatever the server's default: each statement must see what was committed while it waited for its turn, and gaps between
/// rows, where other users' rows may go, stay free. Both in one round trip.
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

impl Server for MySql {
    const NAMES: Names = Names {
        server: "MySQL or MariaDB",
        store: "MySqlStore",
        url: "mysql://user:password@host:3306/database",
        migrate: "MySqlStore::migrate",
    };
    /// The column holds 4 GiB: `max_allowed_packet` decides.
    const MOST_DATA: Option<usize> = None;
    /// sqlx loses track of the server's answer to a statement that it prepares.
    const SURVIVES_CANCELLING: bool = false;
    /// It ends a wait for a lock after a second.
    const UNANSWERED: Duration = Duration::from_millis(1300);

    fn statements() -> &'static Statements {
        static SQL: LazyLock<Statements> = LazyLock::new(|| Statements::of(&Dialect::MYSQL));
        &SQL
    }

    fn options(url: &str, _: Pooling, _: Duration) -> Option<MySqlConnectOptions> {
        let is_mysql = ["mysql://", "mariadb://"].iter().any(|scheme| url.starts_with(scheme));
        MySqlConnectOptions::from_str(url).ok().filter(|_| is_mysql)
    }

    fn prepare(pool: PoolOptions<Self>, limit: Duration) -> PoolOptions<Self> {
        pool.after_connect(move |conn, _| {
            Box::pin(async move {
                // MariaDB's own, in seconds; MySQL has a limit for reads only.
                let limit = limit.as_secs_f64();
                let session = format!("{SESSION} /*M!100101 , max_statement_time = {limit} */");
                sqlx::raw_sql(AssertSqlSafe(session)).execute(conn).await.map(drop)
            })
        })
    }

    fn place(options: &MySqlConnectOptions) -> (&str, Option<&str>) {
        (options.get_host(), options.get_database())
    }

    /// A statement is one packet, and so is a row.
    async fn most_data(conn: &mut MySqlConnection) -> sqlx::Result<Option<usize>> {
        let row = sqlx::raw_sql("SELECT CAST(@@max_allowed_packet AS signed)").fetch_one(conn).await?;
        let packet = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        Ok(Some(packet.saturating_sub(BESIDES_DATA)))
    }

    async fn migrate(conn: &mut MySqlConnection) -> Result<(), MigrateError> {
        schema::migrate(conn).await
    }

    async fn work(
        conn: &mut MySqlConnection,
        work: &Work<'_>,
        _: Pooling,
        answers: &Answers,
    ) -> Result<Written<MySqlRow>, Failed> {
        match work {
            Work::Read(step) => run(conn, step).await.map_err(Failed::Before),
            Work::Write(step) => run(conn, step).await.map_err(Failed::AtCommit),
            Work::Forget(idle) => {
                let mut tx = conn.begin_with(BEGIN).await.map_err(Failed::Before)?;
                answers.note();
                let written = forget(&mut tx, idle).await.map_err(Failed::Before)?;
                tx.commit().await.map_err(Failed::AtCommit)?;
                Ok(written)
            }
            Work::Change(task, [step]) if !task.is_in_turn() => run(conn, step).await.map_err(Failed::AtCommit),
            Work::Change(task, steps) => {
                let mut tx = conn.begin_with(BEGIN).await.map_err(Failed::Before)?;
                answers.note();
                let written = match task {
                    Task::SignIn(sign_in) => sign_in::sign_in(&mut tx, sign_in, answers).await,
                    task => in_turn(&mut tx, task.user(), steps, answers).await,
                };
                let written = written.map_err(Failed::Before)?;
                tx.commit().await.map_err(Failed::AtCommit)?;
                Ok(written)
            }
        }
    }

    fn classify(error: &sqlx::Error) -> ErrorKind {
        error_codes::classify(error)
    }
}

/// Runs the steps while the user's row is locked.
async fn in_turn(
    conn: &mut MySqlConnection,
    user: &UserId,
    steps: &[Step<'_>],
    answers: &Answers,
) -> sqlx::Result<Written<MySqlRow>> {
    sqlx::query(TAKE_TURN).bind(user.as_str()).execute(&mut *conn).await?;
    let mut all = Written { rows: Vec::new(), count: 0, told: 0, is_repeated: false };
    for step in steps {
        answers.note();
        let written = run(conn, step).await?;
        all.rows.extend(written.rows);
        all.count = written.count;
    }
    answers.note();
    Ok(all)
}

/// Forgets those of the users who have had no session for long enough: how many. Each statement sees what was committed before it,
/// and so the last two all sessions of those whom the first one locked.
async fn forget(conn: &mut MySqlConnection, idle: &Idle<'_>) -> sqlx::Result<Written<MySqlRow>> {
    let sql = MySql::user_statements();
    let locked = run(conn, &idle.lock(sql)).await?.rows;
    let locked = locked.iter().map(|row| row.try_get_unchecked(0)).collect::<sqlx::Result<Vec<_>>>()?;
    let [note, forget] = idle.forget(sql, &locked);
    run(conn, &note).await?;
    run(conn, &forget).await
}

async fn run(conn: &mut MySqlConnection, step: &Step<'_>) -> sqlx::Result<Written<MySqlRow>> {
    if step.0.is_search() {
        let rows = query(step).fetch_all(conn).await?;
        return Ok(Written { rows, count: 0, told: 0, is_repeated: false });
    }
    let result = query(step).execute(conn).await?;
    Ok(Written {
        rows: Vec::new(),
        count: result.rows_affected(),
        told: i64::try_from(result.last_insert_id()).unwrap_or(i64::MAX),
        is_repeated: false,
    })
}

sqlx_glue!(MySql, MySqlRow, MySqlArguments, before_commit::<MySql>);
