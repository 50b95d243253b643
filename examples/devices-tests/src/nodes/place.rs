//! Where the nodes of a trial keep their sessions: each database, with each isolation level that it
//! may have as its default.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use conformance_tests::BoxFuture;
use conformance_tests::postgres::Postgres;
use sqlx::{Connection, MySqlConnection, PgConnection, Row};
use tokio::task::spawn_blocking;

use super::mariadb::{MariaDb, Programs};
use super::redis::{self, Redis};
use crate::program::Database;

/// Names as the databases spell them.
const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// A kind of database.
#[derive(Clone)]
pub(super) struct Place {
    /// Its name, as a part of a trial's: the database, and the isolation level where there are
    /// several.
    pub(super) name: String,
    /// Whether nodes are restarted on it too: once for each database.
    pub(super) is_for_restarts: bool,
    fresh: Arc<dyn Fn() -> BoxFuture<'static, Database> + Send + Sync>,
}

impl Place {
    fn new<F>(name: String, is_for_restarts: bool, fresh: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Database> + Send + 'static,
    {
        Self { name, is_for_restarts, fresh: Arc::new(move || Box::pin(fresh())) }
    }

    /// A database that nobody else has.
    pub(super) async fn fresh(&self) -> Database {
        (self.fresh)().await
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// All that there are here, and why others can't be tested.
pub(super) fn all() -> (Vec<Place>, Vec<String>) {
    let mut untested = Vec::new();
    let mut places = vec![Place::new("sqlite".to_owned(), true, || std::future::ready(Database::file()))];
    match Postgres::find() {
        Ok(server) => places.extend(LEVELS.map(|level| {
            let server = server.clone();
            let is_default = level == LEVELS[0];
            Place::new(named("postgres", level), is_default, move || on_postgres(server.schema(), level))
        })),
        Err(why) => untested.push(why),
    }
    match Programs::find() {
        Ok(programs) => places.extend(LEVELS.map(|level| {
            // Started by the first trial that needs it, and stopped after the last.
            let server = Arc::new(OnceLock::new());
            let programs = programs.clone();
            let is_default = level == LEVELS[1];
            let fresh = move || on_mariadb(Arc::clone(&server), programs.clone(), level);
            Place::new(named("mariadb", level), is_default, fresh)
        })),
        Err(why) => untested.push(why),
    }
    match redis::find_program() {
        Ok(program) => {
            let server = Arc::new(OnceLock::new());
            let fresh = move || on_redis(Arc::clone(&server), program.clone());
            places.push(Place::new("redis".to_owned(), true, fresh));
        }
        Err(why) => untested.push(why),
    }
    (places, untested)
}

fn named(database: &str, level: &str) -> String {
    format!("{database}-{}", level.replace(' ', "-"))
}

async fn on_postgres(schema: impl Future<Output = String>, level: &str) -> Database {
    let url = schema.await;
    // In libpq's options a space within a value has a backslash before it.
    let value = level.replace(' ', "%5C%20");
    let url = format!("{url}&options=-cdefault_transaction_isolation%3D{value}");
    let mut conn = PgConnection::connect(&url).await.expect("the run's database");
    let row = sqlx::query("SHOW transaction_isolation").fetch_one(&mut conn).await.expect("a setting");
    assert_eq!(row.get::<String, _>(0), level, "what the nodes get");
    conn.close().await.expect("a connection that closes");
    Database::Server { url }
}

async fn on_mariadb(server: Arc<OnceLock<MariaDb>>, programs: Programs, level: &'static str) -> Database {
    let starting = spawn_blocking(move || server.get_or_init(|| MariaDb::start(&programs, level)).databases.schema());
    let url = starting.await.expect("a server that starts").await;
    let mut conn = MySqlConnection::connect(&url).await.expect("the trial's database");
    let row = sqlx::query("SELECT @@tx_isolation").fetch_one(&mut conn).await.expect("a setting");
    assert_eq!(row.get::<String, _>(0).replace('-', " ").to_lowercase(), level, "what the nodes get");
    conn.close().await.expect("a connection that closes");
    Database::Server { url }
}

async fn on_redis(server: Arc<OnceLock<Redis>>, program: PathBuf) -> Database {
    let starting = spawn_blocking(move || server.get_or_init(|| Redis::start(program)).database());
    Database::Server { url: starting.await.expect("a server that starts") }
}
