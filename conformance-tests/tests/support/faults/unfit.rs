//! Databases that can't serve sessions as they are: what `open`, or the first failure, says of them,
//! on servers that really are so.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::world::{Rows, World};
use serde_json::json;
use session_core::{MySqlStore, PostgresStore, ServerOpenError, SessionStore, SqliteOpenError, SqliteStore, UrlFault};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;

use super::client::Client;
use super::pool::opened;
use super::programs::{Kind, Programs};
use super::servers::Server;
use crate::support::axum::Axum;

/// Why a store can't be opened.
async fn refused(url: &str) -> ServerOpenError {
    let opened = match Kind::of(url) {
        Kind::Postgres => PostgresStore::open(url).await.map(drop),
        Kind::MariaDb => MySqlStore::open(url).await.map(drop),
    };
    opened.expect_err("a database that can't serve sessions")
}

/// A server's URL as a user without an administrator's rights.
fn as_app(server: &Server) -> String {
    match server.kind() {
        Kind::Postgres => server.url().replace("postgres@", "app@"),
        Kind::MariaDb => server.url(),
    }
}

/// The same for tables that are there and for those that would have to be made.
pub(super) async fn read_only(programs: Programs) {
    let server = Server::start_new(programs).await;
    let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
    for has_tables in [false, true] {
        if has_tables {
            drop(opened(&server.url(), 1).await);
        }
        turn(&mut admin, &server, true).await;
        let error = refused(&server.url()).await;
        assert!(matches!(error, ServerOpenError::ReadOnly { .. }), "tables: {has_tables}: {error:?}");
        assert!(error.to_string().contains("the primary"), "{error}");
        turn(&mut admin, &server, false).await;
    }
}

/// Turns the server read-only, or back, and returns when new connections have heard of it.
async fn turn(admin: &mut Client, server: &Server, read_only: bool) {
    match server.kind() {
        Kind::Postgres => {
            let set = format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}");
            admin.run(&set).await.expect("an administrator");
            admin.run("SELECT pg_reload_conf()").await.expect("an administrator");
            let is_on = "SELECT (current_setting('transaction_read_only') = 'on')::int::bigint";
            while Client::connect(&server.url()).await.expect("a server that answers").numbers(is_on).await
                != [i64::from(read_only)]
            {}
        }
        Kind::MariaDb => admin.run(&format!("SET GLOBAL read_only = {read_only}")).await.expect("an administrator"),
    }
}

pub(super) async fn encrypted_only(programs: Programs) {
    let server = Server::start_new(programs).await;
    let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
    let demand = match server.kind() {
        Kind::Postgres => {
            "CREATE ROLE app LOGIN; DO $$ BEGIN EXECUTE format('COPY (VALUES (''host all postgres 127.0.0.1/32 trust''), \
             (''hostssl all all 127.0.0.1/32 trust'')) TO %L', current_setting('hba_file')); END $$; SELECT pg_reload_conf()"
        }
        Kind::MariaDb => "SET GLOBAL require_secure_transport = ON",
    };
    admin.run(demand).await.expect("an administrator");
    let url = as_app(&server);
    while Client::connect(&url).await.is_ok() {}
    let error = refused(&url).await;
    match server.kind() {
        Kind::Postgres => assert!(matches!(error, ServerOpenError::NeedsTls { .. }), "{error:?}"),
        // MariaDB refuses such a connection as it does a wrong password.
        Kind::MariaDb => assert!(matches!(error, ServerOpenError::Refused { .. }), "{error:?}"),
    }
    let says = error.to_string();
    let mode = match server.kind() {
        Kind::Postgres => "?sslmode=require",
        Kind::MariaDb => "?ssl-mode=REQUIRED",
    };
    for part in ["sqlx = { version = \"0.9\"", "tls-rustls", mode] {
        assert!(says.contains(part), "{part}: {says}");
    }
}

/// Signing in without a `User-Agent`, which is an empty text in the row.
pub(super) async fn empty_texts_are_null(programs: Programs) {
    let server = Server::start_new(programs).await;
    let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
    admin.run("SET GLOBAL sql_mode = CONCAT(@@sql_mode, ',EMPTY_STRING_IS_NULL')").await.expect("an administrator");
    let url = server.url();
    let rows = Rows::new(move || {
        let url = url.clone();
        async move { opened(&url, 2).await }
    });
    let world = World::new(Arc::new(Axum), rows).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser.run(json!([{"op": "set", "key": "", "value": ""}, {"op": "current"}])).await;
    assert_eq!((reply.status, &reply.result(1)["user_agent"]), (200, &json!("")));
}

pub(super) async fn pooler_at_open(url: String) {
    let error = refused(&url).await;
    assert!(matches!(error, ServerOpenError::Pooler { .. }), "{error:?}");
    assert!(error.to_string().contains("transaction_pooling()"), "{error}");
}

/// On the application's own pool, which connects.
pub(super) async fn pooler_at_a_statement(url: String) {
    let options: PgConnectOptions = url.parse().expect("a URL of its own");
    let options = options.extra_float_digits(None);
    let one = async || {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(60));
        pool.connect_with(options.clone()).await.expect("a pooler that answers")
    };
    let pool = one().await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.expect("which prepares nothing");
    let rows = Rows::shared(Arc::new(store));
    let world = World::new(Arc::new(Axum), rows).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    // As many transactions as it takes to leave this client another connection of the server.
    let mut others = Vec::new();
    let failed = loop {
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        if reply.status == 503 {
            break world.events();
        }
        assert!(others.len() < 2, "the pooler has three connections");
        let other = one().await;
        let mut transaction = other.begin().await.expect("a transaction");
        sqlx::raw_sql("SELECT 1").execute(&mut *transaction).await.expect("a connection of the server");
        others.push(transaction);
    };
    let named = failed.iter().filter(|event| event.contains("StoreFailed") && event.contains("transaction_pooling()"));
    assert!(named.count() > 0, "{failed:?}");
    drop((others, pool));
}

pub(super) async fn in_memory() {
    for location in ["file::memory:", "file:sessions?mode=memory", "file:sessions?mode=memory&cache=shared"] {
        let store: Arc<dyn SessionStore> = Arc::new(SqliteStore::open(location).await.expect("a database in memory"));
        let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
        let mut browser = world.browser();
        browser.sign_in("ada").await;
        // At once, so that one connection isn't enough by chance.
        let reads = (0..8).map(|_| {
            let mut tab = browser.clone();
            async move { tab.run(json!([{"op": "increment", "key": "n"}])).await.status }
        });
        assert_eq!(futures_util::future::join_all(reads).await, [200; 8], "{location}");
    }
}

pub(super) async fn no_place_of_a_file() {
    let folder = TempDir::new().expect("a temporary folder");
    for beginning in ["mysql:", "jdbc:sqlite:", "sqlite3:"] {
        let error = SqliteStore::open(&format!("{beginning}{}/x", folder.path().display())).await.unwrap_err();
        assert!(matches!(error, SqliteOpenError::Location(_)) && error.to_string().contains("`sqlite:`"), "{error:?}");
    }
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);
    let error = MySqlStore::open("mysql://app@127.0.0.1").await.unwrap_err();
    assert!(matches!(error, ServerOpenError::Url { fault: UrlFault::NoDatabase, .. }), "{error:?}");
}

pub(super) async fn replaced_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let (path, aside) = (folder.path().join("sessions.db"), folder.path().join("aside.db"));
    let store = SqliteStore::open(path.to_str().expect("a path in UTF-8")).await.expect("a file that opens");
    let world = World::new(Arc::new(Axum), Rows::shared(Arc::new(store))).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let increment = json!([{"op": "increment", "key": "n"}]);
    assert_eq!(browser.run(increment.clone()).await.status, 200);
    for replaced in [false, true] {
        std::fs::rename(&path, &aside).expect("a file that can be renamed");
        if replaced {
            std::fs::write(&path, "").expect("another file");
        }
        world.events();
        assert_eq!(browser.run(increment.clone()).await.status, 503);
        let mut other = world.browser();
        other.run(json!([{"op": "authenticate", "user": "alan"}])).await;
        assert_eq!(other.cookie(), None, "no sign-in into a file that is gone");
        let events = world.events();
        let named = |event: &&String| event.contains("restart") && event.contains("sessions.db");
        assert!(events.iter().filter(named).count() >= 2, "{events:?}");
        std::fs::rename(&aside, &path).expect("the file is back");
        assert_eq!(browser.run(increment.clone()).await.status, 200);
    }
    let reply = browser.run(json!([{"op": "get", "key": "n"}])).await;
    assert_eq!(reply.result(0), json!({"value": 3}), "what was refused isn't stored");
}
