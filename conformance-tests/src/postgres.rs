//! A PostgreSQL server, with a database for each run and a schema for each trial. With the feature
//! `postgres`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_core::{PostgresOptions, SessionStore};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

use crate::BoxFuture;
use crate::runs;
use crate::world::{PATIENCE, Rows, StoreKind};

/// Names the server of the tests.
const URL: &str = "SESSION_TEST_POSTGRES";
/// Where it is looked for otherwise.
const LOCAL: &str = "postgres://postgres@127.0.0.1:5432/postgres";

/// The store in PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// The URL of this run's database, without a schema.
    url: Arc<str>,
}

impl Postgres {
    /// The server that `SESSION_TEST_POSTGRES` names, else the one on this machine's standard port.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// Inside a runtime.
    pub fn find() -> Result<Self, String> {
        let url = std::env::var(URL).unwrap_or_else(|_| LOCAL.to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let made = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), make_database(&url)).await });
        match made {
            Ok(Ok(url)) => Ok(Self { url: url.into() }),
            Ok(Err(error)) => Err(format!("no PostgreSQL server to test with (set {URL}): {error}")),
            Err(_) => Err(format!("the PostgreSQL server does not answer (set {URL} to another)")),
        }
    }
}

impl Postgres {
    /// This run's database.
    ///
    /// # Panics
    /// If its URL, which was made here, is none.
    #[must_use]
    pub fn database(&self) -> PgConnectOptions {
        self.url.parse().expect("a URL of its own")
    }

    /// The URL of a schema that no other process has.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn schema(&self) -> impl Future<Output = String> + Send + 'static + use<> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (url, schema) = (Arc::clone(&self.url), format!("trial_{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        async move {
            let mut conn = PgConnection::connect(&url).await.expect("the run's database");
            let create = format!("CREATE SCHEMA {schema}");
            sqlx::query(AssertSqlSafe(create)).execute(&mut conn).await.expect("a schema of its own");
            conn.close().await.expect("a connection that closes");
            let separator = if url.contains('?') { '&' } else { '?' };
            format!("{url}{separator}options=-csearch_path%3D{schema}")
        }
    }
}

/// Makes this run's database, and drops those of runs that are over.
async fn make_database(url: &str) -> sqlx::Result<String> {
    let options: PgConnectOptions = url.parse()?;
    let mut conn = PgConnection::connect_with(&options).await?;
    for row in sqlx::query("SELECT datname FROM pg_database").fetch_all(&mut conn).await? {
        let name: String = row.try_get(0)?;
        if runs::is_over(&name) {
            sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
                .execute(&mut conn)
                .await?;
        }
    }
    let name = runs::name();
    // Without a collation that could help: user ids are compared byte by byte all the same.
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut conn).await?;
    conn.close().await?;
    Ok(options.database(&name).to_url_lossy().to_string())
}

impl StoreKind for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let schema = self.schema();
        Box::pin(async move {
            let url = schema.await;
            Rows::new(move || {
                let url = url.clone();
                async move { open(&url).await }
            })
        })
    }
}

/// One more handle on the rows of a database.
///
/// # Panics
/// If it can't be opened.
pub async fn open(url: &str) -> Arc<dyn SessionStore> {
    // As many as races need, and no more: a server has a hundred for all.
    Arc::new(
        PostgresOptions::new(url)
            .max_connections(8)
            .query_timeout(PATIENCE)
            .acquire_timeout(PATIENCE)
            .open()
            .await
            .expect("a database that opens"),
    )
}
