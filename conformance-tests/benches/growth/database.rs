//! Databases that are filled by the server itself, and what differs between servers, side by side. The tables are the
//! store's own; what is in them, `sessions` says.

use std::sync::Arc;

use conformance_tests::BoxFuture;
use session_core::{MySqlOptions, PostgresOptions, SessionStore};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use time::Duration;

use crate::sessions::{GROUP, GROUP_SESSIONS, NOW, Sessions, micros, whole};

/// Rows that one statement inserts.
const CHUNK: u64 = 100_000;
const USER_AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

/// Opens a store on a URL.
type Open = fn(&str, Option<u32>) -> BoxFuture<'_, Arc<dyn SessionStore>>;

/// What servers spell differently.
struct Dialect {
    name: &'static str,
    /// A store of at most so many connections, or as many as an application has by default.
    open: Open,
    /// Whole numbers from one to another, and the column they are in.
    series: fn(u64, u64) -> String,
    number: &'static str,
    integer: &'static str,
    hex: &'static str,
    /// Bytes of a hexadecimal text, before and after it.
    unhex: [&'static str; 2],
    /// SHA-256 of a text, as hexadecimal text, before and after it.
    sha256: [&'static str; 2],
    drop: fn(&str) -> String,
    /// Leaves the table as it is some time after it was filled.
    settle: &'static [&'static str],
    /// Bytes of the table and of its indexes.
    bytes: &'static str,
}

const POSTGRES: Dialect = Dialect {
    name: "postgres",
    open: |url, connections| {
        Box::pin(async move {
            let options = PostgresOptions::new(url);
            let options = match connections {
                Some(most) => options.max_connections(most),
                None => options,
            };
            shared(options.open().await.expect("a database that opens"))
        })
    },
    series: |from, to| format!("generate_series(CAST({from} AS bigint), {to}) AS made (number)"),
    number: "number",
    integer: "bigint",
    hex: "to_hex",
    unhex: ["decode(", ", 'hex')"],
    sha256: ["encode(sha256(convert_to(", ", 'UTF8')), 'hex')"],
    drop: |name| format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
    settle: &["VACUUM (ANALYZE) cookie_session, cookie_session_user", "CHECKPOINT"],
    bytes: "SELECT pg_table_size('cookie_session'), pg_indexes_size('cookie_session')",
};

const MYSQL: Dialect = Dialect {
    name: "mysql",
    open: |url, connections| {
        Box::pin(async move {
            let options = MySqlOptions::new(url);
            let options = match connections {
                Some(most) => options.max_connections(most),
                None => options,
            };
            shared(options.open().await.expect("a database that opens"))
        })
    },
    // A table that MariaDB makes up.
    series: |from, to| format!("seq_{from}_to_{to}"),
    number: "seq",
    integer: "signed",
    hex: "hex",
    unhex: ["unhex(", ")"],
    sha256: ["sha2(", ", 256)"],
    drop: |name| format!("DROP DATABASE IF EXISTS {name}"),
    settle: &["ANALYZE TABLE cookie_session, cookie_session_user"],
    bytes: "SELECT CAST(data_length AS signed), CAST(index_length AS signed) FROM information_schema.tables \
         WHERE table_schema = database() AND table_name = 'cookie_session'",
};

fn shared(store: impl SessionStore) -> Arc<dyn SessionStore> {
    Arc::new(store)
}

/// A server of one kind.
pub(crate) struct Server {
    url: String,
    dialect: &'static Dialect,
}

/// One of its databases, which this program made.
pub(crate) struct Database {
    name: String,
    url: String,
    dialect: &'static Dialect,
}

impl Server {
    /// The one at `url`.
    pub(crate) fn at(url: &str) -> Result<Self, String> {
        sqlx::any::install_default_drivers();
        let dialect = match url.split(':').next() {
            Some("postgres" | "postgresql") => &POSTGRES,
            Some("mysql" | "mariadb") => &MYSQL,
            _ => return Err(format!("this is no URL of a server that can be measured: {url}")),
        };
        if !url.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
            return Err(format!("a URL with a `/` after host and port: {url}"));
        }
        Ok(Self { url: url.to_owned(), dialect })
    }

    /// What kind of server it is.
    pub(crate) const fn name(&self) -> &'static str {
        self.dialect.name
    }

    /// The database of this name, made if it isn't there.
    pub(crate) async fn database(&self, name: &str) -> sqlx::Result<Database> {
        let (place, parameters) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let server = place.rsplit_once('/').map_or(place, |(server, _)| server);
        let url = format!("{server}/{name}?{parameters}");
        if AnyConnection::connect(&url).await.is_err() {
            execute(&mut AnyConnection::connect(&self.url).await?, &format!("CREATE DATABASE {name}")).await?;
        }
        Ok(Database { name: name.to_owned(), url, dialect: self.dialect })
    }

    /// Removes it with all that is in it.
    pub(crate) async fn remove(&self, database: &Database) -> sqlx::Result<()> {
        execute(&mut AnyConnection::connect(&self.url).await?, &(self.dialect.drop)(&database.name)).await
    }
}

impl Database {
    /// Its store, as an application opens it.
    pub(crate) async fn store(&self) -> Arc<dyn SessionStore> {
        (self.dialect.open)(&self.url, None).await
    }

    /// The same with at most so many connections.
    pub(crate) async fn store_of(&self, connections: u32) -> Arc<dyn SessionStore> {
        (self.dialect.open)(&self.url, Some(connections)).await
    }

    /// How many sessions are in it.
    pub(crate) async fn rows(&self) -> sqlx::Result<u64> {
        let row = row(&mut AnyConnection::connect(&self.url).await?, "SELECT count(*) FROM cookie_session").await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// Puts `sessions` into the store's tables, and their users.
    pub(crate) async fn fill(&self, sessions: Sessions) -> sqlx::Result<()> {
        let mut conn = AnyConnection::connect(&self.url).await?;
        let end = sessions.first + sessions.count;
        for from in (sessions.first..end).step_by(CHUNK as usize) {
            execute(&mut conn, &self.insert(sessions, from, (from + CHUNK).min(end) - 1)).await?;
        }
        if sessions.first == 0 {
            let Dialect { series, number, .. } = self.dialect;
            let users = series(0, sessions.users() - 1);
            let sql =
                format!("INSERT INTO cookie_session_user (user_id) SELECT concat('user-', {number}) FROM {users}");
            execute(&mut conn, &sql).await?;
        }
        conn.close().await
    }

    /// Leaves the table as it is some time after it was filled.
    pub(crate) async fn settle(&self) -> sqlx::Result<()> {
        let mut conn = AnyConnection::connect(&self.url).await?;
        for sql in self.dialect.settle {
            execute(&mut conn, sql).await?;
        }
        conn.close().await
    }

    /// Bytes of the sessions' table and of its indexes.
    pub(crate) async fn bytes(&self) -> sqlx::Result<[i64; 2]> {
        let row = row(&mut AnyConnection::connect(&self.url).await?, self.dialect.bytes).await?;
        Ok([row.try_get(0)?, row.try_get(1)?])
    }

    /// Inserts the sessions of these numbers. From inside out: the number, then what follows from it, then the columns.
    fn insert(&self, sessions: Sessions, from: u64, to: u64) -> String {
        let Dialect { series, number, integer, hex, unhex: [unhex, end_unhex], sha256: [sha256, end_sha256], .. } =
            self.dialect;
        let (stride, count, first, last) =
            (sessions.stride(), sessions.count, sessions.first, micros(NOW - sessions.ago));
        let (start, step) = (sessions.start(), sessions.step());
        let (day, month) = (whole(Duration::DAY), whole(Duration::days(30)));
        let series = series(from, to);
        format!(
            "INSERT INTO cookie_session (id, token_hash, token_issued_at, token_seen, user_id, ip_address, user_agent, \
               device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
               last_active_at, expires_at, absolute_expires_at) \
             SELECT {unhex}concat(lpad({hex}(CAST(floor(created / 1000) AS {integer})), 12, '0'), '7', \
                 substr(random, 1, 3), '8', substr(random, 4, 15)){end_unhex}, \
               {unhex}{sha256}concat('token ', n){end_sha256}{end_unhex}, created, FALSE, \
               concat('user-', CAST(floor(place / {GROUP_SESSIONS}) AS {integer}) * {GROUP} \
                 + CAST(floor((sqrt(8 * (place % {GROUP_SESSIONS}) + 1) - 1) / 2) AS {integer})), \
               concat('192.0.2.', n % 256), '{USER_AGENT}', 'Chrome on Windows', 'desktop', 'windows/chrome', \
               concat('{{\"theme\":\"dark\",\"locale\":\"en-GB\",\"seen\":', n, ',\"cart\":\"', random, '\"}}'), \
               0, TRUE, created, created, active, least(active + 15 * {day}, created + {month}), created + {month} \
             FROM (\
               SELECT n, place, created, substr({sha256}concat('id ', n){end_sha256}, 1, 32) AS random, \
                 created + CAST(floor(({last} - created) * ((n * 7919) % 1000) / 1000) AS {integer}) AS active \
               FROM (\
                 SELECT {number} AS n, ({number} * {stride}) % {count} AS place, \
                   {start} + ({number} - {first}) * {step} AS created FROM {series}\
               ) AS made_at\
             ) AS made_by"
        )
    }
}

async fn execute(conn: &mut AnyConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}

async fn row(conn: &mut AnyConnection, sql: &str) -> sqlx::Result<AnyRow> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(conn).await
}
