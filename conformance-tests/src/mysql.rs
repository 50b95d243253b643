//! A MariaDB or MySQL server, with a database for each trial. With the feature `mysql`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_core::{MySqlOptions, SessionStore};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, Row};

use crate::BoxFuture;
use crate::runs;
use crate::world::{PATIENCE, Rows, StoreKind};

/// Names the server of the tests.
const URL: &str = "SESSION_TEST_MYSQL";
/// Where it is looked for otherwise.
const LOCAL: &str = "mysql://root@127.0.0.1:3306";

/// The store in MariaDB or MySQL.
#[derive(Debug, Clone)]
pub struct MySql {
    server: MySqlConnectOptions,
    /// What the names of this run's databases begin with.
    run: Arc<str>,
}

impl MySql {
    /// The server that `SESSION_TEST_MYSQL` names, else the one on this machine's standard port.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// Inside a runtime.
    pub fn find() -> Result<Self, String> {
        Self::at(&std::env::var(URL).unwrap_or_else(|_| LOCAL.to_owned()))
    }

    /// The server at this URL.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// Inside a runtime.
    pub fn at(url: &str) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let found = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), clean(url)).await });
        match found {
            Ok(Ok(server)) => Ok(Self { server, run: runs::name().into() }),
            Ok(Err(error)) => Err(format!("no MariaDB or MySQL server to test with (set {URL}): {error}")),
            Err(_) => Err(format!("the MariaDB or MySQL server does not answer (set {URL} to another)")),
        }
    }

    /// The URL of a database of its own.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn schema(&self) -> impl Future<Output = String> + Send + 'static + use<> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("{}_{}", self.run, NEXT.fetch_add(1, Ordering::Relaxed));
        let server = self.server.clone();
        async move {
            let mut conn = MySqlConnection::connect_with(&server).await.expect("the server lets this user in");
            // With a collation that could do harm: user ids are compared byte by byte all the same.
            let create = format!("CREATE DATABASE {name} CHARACTER SET latin1 COLLATE latin1_swedish_ci");
            sqlx::query(AssertSqlSafe(create)).execute(&mut conn).await.expect("a database of its own");
            conn.close().await.expect("a connection that closes");
            server.database(&name).to_url_lossy().to_string()
        }
    }
}

/// The server's options, once the databases of runs that are over are dropped.
async fn clean(url: &str) -> sqlx::Result<MySqlConnectOptions> {
    let options: MySqlConnectOptions = url.parse()?;
    let mut conn = MySqlConnection::connect_with(&options).await?;
    let names = sqlx::query("SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata");
    for row in names.fetch_all(&mut conn).await? {
        let name: String = row.try_get(0)?;
        if runs::is_over(&name) {
            sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).execute(&mut conn).await?;
        }
    }
    conn.close().await?;
    Ok(options)
}

impl StoreKind for MySql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let database = self.schema();
        Box::pin(async move {
            let database = Arc::new(Database(database.await));
            Rows::new(move || {
                let database = Arc::clone(&database);
                async move { open(&database.0).await }
            })
        })
    }
}

/// The URL of a database, which goes with its last user: hundreds would fill the server.
struct Database(String);

impl Drop for Database {
    fn drop(&mut self) {
        let url = self.0.clone();
        // A thread of its own, because this may happen inside a runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options: MySqlConnectOptions = url.parse()?;
                let drop = format!("DROP DATABASE {}", options.get_database().expect("a name"));
                sqlx::query(AssertSqlSafe(drop)).execute(&mut MySqlConnection::connect_with(&options).await?).await
            })
        });
        // A server that is gone meanwhile is cleared by a later run.
        drop(dropping.join());
    }
}

/// One more handle on the rows of a database.
///
/// # Panics
/// If it can't be opened.
pub async fn open(url: &str) -> Arc<dyn SessionStore> {
    // As many as races need, and no more: a server has a hundred and fifty for all.
    Arc::new(
        MySqlOptions::new(url)
            .max_connections(8)
            .query_timeout(PATIENCE)
            .acquire_timeout(PATIENCE)
            .open()
            .await
            .expect("a database that opens"),
    )
}
