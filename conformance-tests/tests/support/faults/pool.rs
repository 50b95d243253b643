//! The library's stores over pools that trials can look into.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::world::Rows;
use session_core::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore, SessionStore};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Database, Executor, MySql, MySqlPool, PgPool, Postgres};

use super::programs::Kind;
use super::proxy::Proxy;

/// A pool of connections.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Postgres(PgPool),
    MariaDb(MySqlPool),
}

/// A connection taken out of a pool, until it is dropped.
#[expect(dead_code, reason = "only held")]
pub(crate) enum Held {
    Postgres(PoolConnection<Postgres>),
    MariaDb(PoolConnection<MySql>),
}

/// How a pool connects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) connections: u32,
    /// How long a request waits for a free connection.
    pub(crate) patience: Duration,
    /// Said on each new connection.
    pub(crate) first: Option<&'static str>,
}

impl Settings {
    /// With short patience.
    pub(crate) const SHORT: Self = Self { connections: 4, patience: Duration::from_secs(1), first: None };

    fn options<D: Database>(self) -> PoolOptions<D>
    where
        for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    {
        // As the library's own pools have it.
        let options = PoolOptions::new().test_before_acquire(false);
        options.max_connections(self.connections).acquire_timeout(self.patience).after_connect(
            move |conn: &mut D::Connection, _| {
                Box::pin(async move {
                    match self.first {
                        Some(sql) => conn.execute(sql).await.map(drop),
                        None => Ok(()),
                    }
                })
            },
        )
    }
}

/// A store that opens up to so many connections of its own to the database at `url`.
pub(crate) async fn opened(url: &str, connections: u32) -> Arc<dyn SessionStore> {
    opened_for(url, connections, Duration::from_secs(10)).await
}

/// The same, for which the server may take so long.
pub(crate) async fn opened_for(url: &str, connections: u32, patience: Duration) -> Arc<dyn SessionStore> {
    match Kind::of(url) {
        Kind::Postgres => {
            let options = PostgresOptions::new(url).max_connections(connections).query_timeout(patience);
            Arc::new(options.open().await.expect(OPENS))
        }
        Kind::MariaDb => {
            let options = MySqlOptions::new(url).max_connections(connections).query_timeout(patience);
            Arc::new(options.open().await.expect(OPENS))
        }
    }
}

/// The same, through a proxy in front of the database.
pub(crate) async fn opened_through(url: &str, connections: u32) -> (Arc<dyn SessionStore>, Proxy) {
    let kind = Kind::of(url);
    let (address, at): (String, Box<dyn Fn(u16) -> String + Send>) = match kind {
        Kind::Postgres => {
            let options: PgConnectOptions = url.parse().expect("a URL");
            let address = format!("{}:{}", options.get_host(), options.get_port());
            (address, Box::new(move |port| options.clone().host("127.0.0.1").port(port).to_url_lossy().to_string()))
        }
        Kind::MariaDb => {
            let options: MySqlConnectOptions = url.parse().expect("a URL");
            let address = format!("{}:{}", options.get_host(), options.get_port());
            (address, Box::new(move |port| options.clone().host("127.0.0.1").port(port).to_url_lossy().to_string()))
        }
    };
    let proxy = Proxy::start(kind, address).await;
    (opened(&at(proxy.port()), connections).await, proxy)
}

const OPENS: &str = "a server that answers";

impl Pool {
    /// A pool of connections to the database at `url`, whose tables are made.
    pub(crate) async fn open(url: &str, settings: Settings) -> Self {
        match Kind::of(url) {
            Kind::Postgres => Self::postgres(url.parse().expect("a URL"), settings).await,
            Kind::MariaDb => Self::mariadb(url.parse().expect("a URL"), settings).await,
        }
    }

    /// The same, through a proxy in front of it.
    pub(crate) async fn open_through(url: &str, settings: Settings) -> (Self, Proxy) {
        let kind = Kind::of(url);
        match kind {
            Kind::Postgres => {
                let options: PgConnectOptions = url.parse().expect("a URL");
                let proxy = Proxy::start(kind, format!("{}:{}", options.get_host(), options.get_port())).await;
                (Self::postgres(options.host("127.0.0.1").port(proxy.port()), settings).await, proxy)
            }
            Kind::MariaDb => {
                let options: MySqlConnectOptions = url.parse().expect("a URL");
                let proxy = Proxy::start(kind, format!("{}:{}", options.get_host(), options.get_port())).await;
                (Self::mariadb(options.host("127.0.0.1").port(proxy.port()), settings).await, proxy)
            }
        }
    }

    async fn postgres(database: PgConnectOptions, settings: Settings) -> Self {
        let pool = settings.options().connect_with(database).await.expect(OPENS);
        PostgresStore::new(pool.clone()).migrate().await.expect("tables");
        Self::Postgres(pool)
    }

    async fn mariadb(database: MySqlConnectOptions, settings: Settings) -> Self {
        let pool = settings.options().connect_with(database).await.expect(OPENS);
        MySqlStore::new(pool.clone()).migrate().await.expect("tables");
        Self::MariaDb(pool)
    }

    /// The rows behind it, for which the server may take so long.
    pub(crate) fn rows(&self, patience: Duration) -> Rows {
        let store: Arc<dyn SessionStore> = match self.clone() {
            Self::Postgres(pool) => Arc::new(PostgresStore::new(pool).query_timeout(patience)),
            Self::MariaDb(pool) => Arc::new(MySqlStore::new(pool).query_timeout(patience)),
        };
        Rows::shared(store)
    }

    /// All of its connections, taken out; fewer if some never came back.
    pub(crate) async fn hold_all(&self) -> Vec<Held> {
        let mut held = Vec::new();
        while held.len() < self.connections() {
            let conn = match self {
                Self::Postgres(pool) => pool.acquire().await.map(Held::Postgres),
                Self::MariaDb(pool) => pool.acquire().await.map(Held::MariaDb),
            };
            match conn {
                Ok(conn) => held.push(conn),
                Err(_) => break,
            }
        }
        held
    }

    /// How many connections it may have.
    pub(crate) fn connections(&self) -> usize {
        let most = match self {
            Self::Postgres(pool) => pool.options().get_max_connections(),
            Self::MariaDb(pool) => pool.options().get_max_connections(),
        };
        most as usize
    }
}
