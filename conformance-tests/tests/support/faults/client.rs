//! A plain client of a database server, which sees what is stored without the library in between.

use serde_json::Value;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::programs::Kind;

/// A connection.
pub(crate) enum Client {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) token: Vec<u8>,
    pub(crate) data: Value,
    pub(crate) last_active: i64,
}

/// What sees the stored sessions without the library in between.
pub(crate) trait Inspect {
    /// The sessions of a user, by id.
    fn sessions(&mut self, user: &str) -> impl Future<Output = Vec<Stored>> + Send;
}

impl Client {
    pub(crate) async fn connect(url: &str) -> sqlx::Result<Self> {
        match Kind::of(url) {
            Kind::Postgres => Ok(Self::Postgres(PgConnection::connect(url).await?)),
            Kind::MariaDb => Ok(Self::MariaDb(MySqlConnection::connect(url).await?)),
        }
    }

    /// Runs statements as they are.
    pub(crate) async fn run(&mut self, sql: &str) -> sqlx::Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(conn) => sql.execute(conn).await.map(drop),
            Self::MariaDb(conn) => sql.execute(conn).await.map(drop),
        }
    }

    /// What the server calls this connection.
    pub(crate) async fn id(&mut self) -> i64 {
        let own = match self {
            Self::Postgres(_) => "SELECT pg_backend_pid()",
            Self::MariaDb(_) => "SELECT CONNECTION_ID()",
        };
        self.numbers(own).await[0]
    }

    /// The first column of a statement's rows.
    pub(crate) async fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let numbers: sqlx::Result<Vec<i64>> = match self {
            Self::Postgres(conn) => {
                sql.fetch_all(conn).await.expect(SELECTED).iter().map(|row| row.try_get_unchecked(0)).collect()
            }
            Self::MariaDb(conn) => {
                sql.fetch_all(conn).await.expect(SELECTED).iter().map(|row| row.try_get_unchecked(0)).collect()
            }
        };
        numbers.expect("whole numbers")
    }

    /// Connections to the same database that wait for a lock: on PostgreSQL only `holders`, and
    /// those that wait for one of them.
    pub(crate) async fn waiting(&mut self, holders: &[i64]) -> Vec<i64> {
        if let Self::Postgres(_) = self {
            let holders: Vec<_> = holders.iter().map(ToString::to_string).collect();
            let holders = format!("ARRAY[{}]", holders.join(", "));
            let waits =
                format!("pg_blocking_pids(pid) && {holders} OR (pid = ANY ({holders}) AND wait_event_type = 'Lock')");
            return self.numbers(&format!("SELECT pid FROM pg_stat_activity WHERE {waits}")).await;
        }
        // Not from `information_schema.innodb_trx`, which shows a frequent reader the same for
        // ever.
        let Self::MariaDb(conn) = self else { unreachable!("PostgreSQL is done") };
        let status = sqlx::raw_sql("SHOW ENGINE INNODB STATUS").fetch_one(&mut *conn).await.expect(SELECTED);
        let status: String = status.try_get_unchecked(2).expect("text");
        let transactions = status.split("---TRANSACTION").filter(|of| of.contains("LOCK WAIT"));
        let number = |of: &str| of.split("thread id ").nth(1)?.split(',').next()?.parse().ok();
        let mut waiting: Vec<i64> = transactions.filter_map(number).collect();
        let here = self.numbers("SELECT id FROM information_schema.processlist WHERE db = DATABASE()").await;
        waiting.retain(|id| here.contains(id));
        waiting
    }
}

impl Inspect for Client {
    async fn sessions(&mut self, user: &str) -> Vec<Stored> {
        let sql = format!(
            "SELECT id, token_hash, data, last_active_at FROM cookie_session WHERE user_id = '{user}' ORDER BY id"
        );
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Postgres(conn) => sql.fetch_all(conn).await.expect(SELECTED).iter().map(of_postgres).collect(),
            Self::MariaDb(conn) => sql.fetch_all(conn).await.expect(SELECTED).iter().map(of_mariadb).collect(),
        }
    }
}

const SELECTED: &str = "a server that answers";

fn of_postgres(row: &PgRow) -> Stored {
    Stored {
        id: written(&row.get::<Vec<u8>, _>(0)),
        token: row.get(1),
        data: serde_json::from_str(&row.get::<String, _>(2)).expect("JSON"),
        last_active: row.get(3),
    }
}

fn of_mariadb(row: &MySqlRow) -> Stored {
    let bytes = |column| row.try_get_unchecked::<Vec<u8>, _>(column).expect("bytes");
    Stored {
        id: written(&bytes(0)),
        token: bytes(1),
        data: serde_json::from_slice(&bytes(2)).expect("JSON"),
        last_active: row.get(3),
    }
}

/// As the library writes ids.
pub(super) fn written(id: &[u8]) -> String {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
