//! What is particular to MySQL and MariaDB: opening, migrating, plans, statements, and connections that die. The store's
//! behaviour as such is the shared suite's to test. Runs on the server that `SESSION_TEST_MYSQL` names, else on the local one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use super::*;
use crate::session::Data;
use crate::store::sql::testing::{
    LIMIT, NOW, SilentProxy, caller, dropped_anywhere, each_of_many_gets_its_own, other_runtimes_may_end, record, token,
};
use crate::store::{Activity, Created, NewData, Rotation, SessionKey, SessionStore, StoreError, Update};
use crate::token::SealedToken;

/// A database of a test's own, with a collation that takes much for equal.
struct Database {
    url: String,
    options: MySqlConnectOptions,
    name: String,
}

impl Database {
    /// None, said in a line, where no server is; which fails if all must be tested.
    async fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var("SESSION_TEST_MYSQL");
        let url = url.unwrap_or_else(|_| "mysql://root@127.0.0.1:3306".to_owned());
        let options: MySqlConnectOptions = url.parse().expect("SESSION_TEST_MYSQL is a URL");
        let mut conn = match MySqlConnection::connect_with(&options).await {
            Ok(conn) => conn,
            Err(error) => {
                assert!(std::env::var("SESSION_TEST_REQUIRE").is_err(), "no MySQL or MariaDB server: {error}");
                println!("not tested: no MySQL or MariaDB server: {error}");
                return None;
            }
        };
        let name = format!("unit_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute(
            &mut conn,
            &format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} COLLATE latin1_swedish_ci"),
        )
        .await;
        Some(Self { url, options: options.database(&name), name })
    }

    async fn conn(&self) -> MySqlConnection {
        MySqlConnection::connect_with(&self.options).await.unwrap()
    }

    async fn pool(&self, connections: u32, options: MySqlConnectOptions) -> MySqlPool {
        let pool = MySqlPoolOptions::new().max_connections(connections).test_before_acquire(false);
        pool.acquire_timeout(Duration::from_secs(2)).connect_with(options).await.unwrap()
    }

    async fn store(&self, connections: u32) -> MySqlStore {
        let store = MySqlStore::new(self.pool(connections, self.options.clone()).await);
        store.migrate().await.unwrap();
        store
    }

    /// A store that opened its own connections.
    async fn opened(&self) -> MySqlStore {
        self.own().open().await.unwrap()
    }

    /// Options for such a store.
    fn own(&self) -> MySqlOptions {
        MySqlOptions::new(format!("{}/{}", self.url.trim_end_matches('/'), self.name))
    }

    async fn end(self) {
        execute(&mut self.conn().await, &format!("DROP DATABASE {}", self.name)).await;
    }
}

async fn execute(conn: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

#[tokio::test]
async fn a_runtime_that_ends_takes_no_connection_of_an_opened_store_with_it() {
    let Some(database) = Database::new().await else { return };
    let store = database.opened().await;
    other_runtimes_may_end(&store).await;
    drop(store);
    database.end().await;
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_shows_no_password() {
    for nowhere in ["", "sessions.db", "postgres://ada:lovelace@localhost/app", "mysql://ada:lovelace@host:port/app"] {
        let error = MySqlStore::open(nowhere).await.unwrap_err();
        assert!(matches!(error, ServerOpenError::Url { .. }), "{error:?}");
        assert!(!error.to_string().contains("lovelace"));
    }
    let nobody = MySqlOptions::new("mysql://ada:lovelace@127.0.0.1:1/app");
    let error = nobody.patience(Duration::from_millis(300)).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NoServer { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("lovelace"));

    let Some(database) = Database::new().await else { return };
    let refused = async |options: MySqlConnectOptions| {
        let error = MySqlPoolOptions::new().connect_with(options).await.unwrap_err();
        ServerOpenError::of::<MySqlStore>(error.into())
    };
    let error = refused(database.options.clone().database("no_such_database")).await;
    assert!(matches!(error, ServerOpenError::NoDatabase { .. }), "{error:?}");
    let error = refused(database.options.clone().username("nobody").password("lovelace")).await;
    assert!(matches!(error, ServerOpenError::Refused { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("lovelace"));

    // Rights on a table can be given before it is there; on `cookie_session_user` alone they make the database known.
    let mut conn = database.conn().await;
    let user = format!("'{}'@'127.0.0.1'", database.name);
    execute(&mut conn, &format!("CREATE USER {user}; GRANT INSERT, CREATE ON cookie_session_user TO {user}")).await;
    let options = database.options.clone().username(&database.name);
    let reader = MySqlStore::new(database.pool(1, options).await);
    let error = reader.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::MissingRights { .. }), "{error:?}");

    database.store(1).await;
    for table in ["cookie_session", "cookie_session_user", "cookie_session_schema"] {
        execute(&mut conn, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")).await;
    }
    reader.migrate().await.expect("where the tables are there, no right to make them is needed");
    let new = record(1, "ada");
    reader.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(reader.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row), Some(&*new));
    execute(&mut conn, &format!("DROP USER {user}")).await;
    database.end().await;
}

#[tokio::test]
async fn twenty_nodes_may_migrate_at_once() {
    let Some(database) = Database::new().await else { return };
    for round in 0..5 {
        let nodes: Vec<_> = (0..20)
            .map(|_| {
                let options = database.options.clone();
                tokio::spawn(async move {
                    let mut conn = MySqlConnection::connect_with(&options).await.unwrap();
                    schema::migrate(&mut conn).await
                })
            })
            .collect();
        for node in nodes {
            let outcome = node.await.unwrap();
            assert!(outcome.is_ok(), "round {round}: {outcome:?}");
        }
        let store = database.store(1).await;
        assert!(store.load(&token(&record(1, "ada")), NOW).await.unwrap().is_empty());
        let drop = "DROP TABLE cookie_session, cookie_session_user, cookie_session_schema";
        execute(&mut database.conn().await, drop).await;
    }
    database.end().await;
}

#[tokio::test]
async fn a_migration_that_was_cut_off_is_taken_up_again() {
    let Some(database) = Database::new().await else { return };
    database.store(1).await;
    for lost in ["TABLE cookie_session_user", "TABLE cookie_session, cookie_session_user"] {
        execute(&mut database.conn().await, &format!("DROP {lost}; DELETE FROM cookie_session_schema")).await;
        let store = database.store(1).await;
        store.create(&record(1, "ada"), &[], LIMIT, NOW).await.unwrap();
    }
    database.end().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_this_release_may_share_it() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let set = async |version: i64, oldest: i64| {
        let sql = format!("UPDATE cookie_session_schema SET version = {version}, oldest_reader = {oldest}");
        execute(&mut database.conn().await, &sql).await;
    };
    set(99, 99).await;
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NewerSchema { found: 99, known: 2 }), "{error:?}");
    set(99, 1).await;
    store.migrate().await.expect("a neighbouring release may share it");
    database.end().await;
}

#[tokio::test]
async fn without_tables_it_says_to_migrate() {
    let Some(database) = Database::new().await else { return };
    let store = MySqlStore::new(database.pool(1, database.options.clone()).await);
    let new = record(1, "ada");
    let error = store.create(&new, &[], LIMIT, NOW).await.unwrap_err().to_string();
    assert!(error.contains("MySqlStore::migrate") && error.contains("nothing was changed"), "{error}");
    let error = store.load(&token(&new), NOW).await.unwrap_err().to_string();
    assert!(error.contains("MySqlStore::migrate"), "{error}");
    database.end().await;
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let mut conn = database.conn().await;
    // Enough rows that the optimizer has a choice: two digits of a number, a hundred times a hundred.
    let fill = "INSERT INTO cookie_session (id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, \
         ip_address, user_agent, device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
         last_active_at, expires_at, absolute_expires_at) SELECT unhex(md5(n)), unhex(sha2(n, 256)), NULL, 0, FALSE, concat('user ', n DIV 5), \
         '', '', '', '', '', '{}', 0, TRUE, 0, 0, n, n, n FROM (WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 \
         FROM numbers WHERE n < 1000) SELECT a.n * 20 + b.n AS n FROM numbers AS a JOIN numbers AS b ON b.n <= 20) AS many";
    execute(
        &mut conn,
        &format!("{fill}; INSERT INTO cookie_session_user (user_id) SELECT DISTINCT user_id FROM cookie_session"),
    )
    .await;
    execute(&mut conn, "ANALYZE TABLE cookie_session, cookie_session_user").await;
    let texts = store_texts();
    for sql in texts {
        // Values of each parameter's kind, as a request has them.
        let mut spelled = String::new();
        for (index, piece) in sql.split('?').enumerate() {
            let before = spelled.trim_end().to_owned();
            let value = match () {
                () if index == 0 => "",
                () if before.ends_with("user_id =") => "'user 8'",
                () if before.ends_with("LIMIT") => "100",
                () if before.ends_with("id =") || before.ends_with("<=>") => "unhex(md5(40))",
                () if sql.contains("token_hash IN") && index <= 3 => "unhex(sha2(40, 256))",
                () if before.ends_with("IN (") || before.ends_with(',') => "unhex(md5(41))",
                () if before.ends_with("token_hash =") => "unhex(sha2(40, 256))",
                () => "10",
            };
            spelled.push_str(value);
            spelled.push_str(piece);
        }
        let plan = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN {spelled}"))).fetch_all(&mut conn).await;
        let plan = plan.unwrap_or_else(|error| panic!("{spelled}: {error}"));
        let mut is_found = false;
        for step in &plan {
            let (table, kind): (Option<String>, Option<String>) = (step.get("table"), step.get("type"));
            let key: Option<String> = step.get("key");
            let table = table.unwrap_or_default();
            // What a sub-query gave is read whole; tables aren't.
            assert!(kind.as_deref() != Some("ALL") || table.starts_with('<'), "{spelled}: {table} is read whole");
            assert!(kind.as_deref() != Some("index"), "{spelled}: the whole index of {table} is read");
            is_found |= key.is_some();
        }
        assert!(is_found, "{spelled}: no index");
    }
    drop(store);
    database.end().await;
}

fn store_texts() -> impl Iterator<Item = &'static str> {
    MySqlStore::statements().searches().map(|statement| statement.text()).chain([sign_in::TAKE_TURN_AND_FIND])
}

#[tokio::test]
async fn each_operation_takes_few_statements() {
    let Some(database) = Database::new().await else { return };
    // One connection, whose server counts what it is asked to run; that it is asked for the count is one more.
    let store = database.store(1).await;
    let questions = async || -> i64 {
        let row = sqlx::raw_sql("SHOW SESSION STATUS LIKE 'Questions'").fetch_one(&store.pool).await.unwrap();
        row.get::<String, _>(1).parse().unwrap()
    };
    let first = record(1, "ada");
    store.create(&first, &[], LIMIT, NOW).await.unwrap();
    let counted = async |what: &str, most: i64, operation: StoreOperation<'_>| {
        let before = questions().await;
        operation.await;
        let taken = questions().await - before - 1;
        assert!((1..=most).contains(&taken), "{what}: {taken} statements, not {most}");
    };
    let (one, by) = (token(&first), caller(&first));
    counted("a read", 1, Box::pin(async { drop(store.load(&one, NOW).await.unwrap()) })).await;
    let data = NewData { based_on: 0, data: Data::from_text(r#"{"a":1}"#) };
    let at = NOW + time::Duration::MINUTE;
    let activity = Activity { at, expires_at: at + time::Duration::HOUR, unless_after: NOW };
    let update = Update { data: Some(data), activity: Some(activity), ..Update::default() };
    counted("a write", 1, Box::pin(async { drop(store.apply(&by, &update, NOW).await.unwrap()) })).await;
    // Besides the isolation level, the beginning and the commit.
    let around = 3;
    let second = record(2, "ada");
    let sign_in = async { drop(store.create(&second, &[], LIMIT, NOW).await.unwrap()) };
    counted("a sign-in", 2 + around, Box::pin(sign_in)).await;
    let replaced = SessionKey { user_id: first.user_id.clone(), id: first.id };
    let third = record(3, "ada");
    let sign_in = async { drop(store.create(&third, std::slice::from_ref(&replaced), LIMIT, NOW).await.unwrap()) };
    counted("a sign-in that replaces", 3 + around, Box::pin(sign_in)).await;
    let fourth = record(4, "ada");
    let evicts = Created::Inserted { evicted: vec![second.id] };
    let sign_in = async { assert_eq!(store.create(&fourth, &[], LIMIT, NOW).await.unwrap(), evicts) };
    counted("a sign-in beyond the limit", 3 + around, Box::pin(sign_in)).await;
    let other = record(5, "alan");
    let sign_in = async { drop(store.create(&other, &[], LIMIT, NOW).await.unwrap()) };
    counted("a user's first sign-in", 3 + around, Box::pin(sign_in)).await;
    let list = async { drop(store.list(&third.user_id, None, NOW).await.unwrap()) };
    counted("a list", 1, Box::pin(list)).await;
    let end = async { assert!(store.end(&other.user_id, other.id, None, NOW).await.is_ok()) };
    counted("a sign-out", 1, Box::pin(end)).await;
    let end = async { drop(store.end_all(&third.user_id, None, None, NOW).await.unwrap()) };
    counted("a sign-out everywhere", 3 + around, Box::pin(end)).await;
    database.end().await;
}

type StoreOperation<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

#[tokio::test]
async fn more_than_one_statement_ends_are_ended_when_the_limit_was_lowered() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let many = std::num::NonZeroU32::new(100).unwrap();
    for byte in 1..=30 {
        store.create(&record(byte, "ada"), &[], many, NOW).await.unwrap();
    }
    let replaced = SessionKey { user_id: record(7, "ada").user_id.clone(), id: record(7, "ada").id };
    let created = store.create(&record(31, "ada"), std::slice::from_ref(&replaced), LIMIT, NOW).await.unwrap();
    let Created::Inserted { evicted } = created else { panic!("{created:?}") };
    assert_eq!(evicted.len(), 28, "of 30, the replaced one is told apart, and one may stay");
    let left: Vec<_> = match store.list(&record(31, "ada").user_id, None, NOW).await.unwrap() {
        crate::store::Checked::Live(rows) => rows.iter().map(|row| row.id).collect(),
        crate::store::Checked::CallerGone => panic!("no caller"),
    };
    assert_eq!(left, [record(31, "ada").id, record(30, "ada").id]);
    database.end().await;
}

#[tokio::test]
async fn connections_that_died_in_the_pool_cost_no_read_and_no_sign_in() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(4).await;
    let new = record(1, "ada");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for round in 2..12 {
        // As when the server was restarted in between.
        let mut conn = database.conn().await;
        let others = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()";
        let ids = sqlx::raw_sql(others).fetch_all(&mut conn).await.unwrap();
        assert!(!ids.is_empty(), "there were connections to end");
        for id in ids {
            execute(&mut conn, &format!("KILL {}", id.get::<i64, _>(0))).await;
        }
        assert_eq!(
            store.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row).map(|row| row.id),
            Some(new.id),
            "{round}"
        );
        store.create(&record(round, "alan"), &[], LIMIT, NOW).await.unwrap();
    }
    database.end().await;
}

#[tokio::test]
async fn what_is_acknowledged_after_a_dropped_operation_is_committed() {
    let Some(database) = Database::new().await else { return };
    let other = database.store(1).await;
    dropped_anywhere(&database.store(1).await, &other).await;
    sqlx::raw_sql("DELETE FROM cookie_session").execute(&other.pool).await.unwrap();
    dropped_anywhere(&database.own().max_connections(1).open().await.unwrap(), &other).await;
    database.end().await;
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_waited_for_no_longer_than_told() {
    let Some(database) = Database::new().await else { return };
    let direct = database.store(1).await;
    let server = format!("{}:{}", database.options.get_host(), database.options.get_port());
    let proxy = SilentProxy::start(server).await;
    let through = database.options.clone().host("127.0.0.1").port(proxy.port);
    let store = MySqlStore::new(database.pool(2, through).await);
    let (new, by) = (record(1, "ada"), caller(&record(1, "ada")));
    store.create(&new, &[], LIMIT, NOW).await.unwrap();

    proxy.keep_silent(true);
    let hasty = store.clone().answer_within(Duration::from_millis(200));
    let update = Update { data: Some(NewData { based_on: 0, data: Data::from_text("{}") }), ..Update::default() };
    for _ in 0..3 {
        let read = hasty.load(&token(&new), NOW).await.unwrap_err();
        assert!(matches!(read, StoreError::NotApplied(_)), "{read:?}");
        let other = hasty.create(&record(2, "alan"), &[], LIMIT, NOW).await.unwrap_err();
        assert!(matches!(other, StoreError::NotApplied(_) | StoreError::Unknown(_)), "{other:?}");
        let write = hasty.apply(&by, &update, NOW).await.unwrap_err();
        assert!(matches!(write, StoreError::NotApplied(_) | StoreError::Unknown(_)), "{write:?}");
    }
    proxy.keep_silent(false);
    assert_eq!(store.load(&token(&new), NOW).await.unwrap(), direct.load(&token(&new), NOW).await.unwrap());
    database.end().await;
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_a_bounded_wait() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let held = store.pool.acquire().await.unwrap();
    let new = record(1, "ada");
    let refused = store.create(&new, &[], LIMIT, NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotApplied(_)), "{refused:?}");
    assert!(matches!(store.load(&token(&new), NOW).await.unwrap_err(), StoreError::NotApplied(_)));
    drop(held);
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    database.end().await;
}

#[tokio::test]
async fn deadlocks_are_tried_again_until_they_are_over_and_no_longer() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(8).await;
    let new: Vec<_> = (1..=8).map(|byte| record(byte, "ada")).collect();
    // The server says what it says when it chose this transaction to give way.
    let deadlock = "CREATE TRIGGER deadlock BEFORE INSERT ON cookie_session FOR EACH ROW BEGIN \
         SET @tries = ifnull(@tries, 0) + 1; IF @tries % 4 <> 0 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF; END";
    execute(&mut database.conn().await, deadlock).await;
    for new in &new {
        store.create(new, &[], LIMIT, NOW).await.expect("the fourth try");
    }
    let always = "CREATE OR REPLACE TRIGGER deadlock BEFORE INSERT ON cookie_session FOR EACH ROW \
         SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213";
    execute(&mut database.conn().await, always).await;
    let refused = store.create(&record(9, "ada"), &[], LIMIT, NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotApplied(_)), "{refused:?}");
    database.end().await;
}

#[tokio::test]
async fn values_come_back_whatever_the_mode_of_the_server() {
    let Some(database) = Database::new().await else { return };
    database.store(1).await;
    for mode in ["", "ANSI", "TRADITIONAL", "SIMULTANEOUS_ASSIGNMENT", "PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES"] {
        let after = MySqlPoolOptions::new().max_connections(1).after_connect(move |conn, _| {
            Box::pin(async move {
                execute(conn, &format!("SET sql_mode = '{mode}'")).await;
                Ok(())
            })
        });
        let store = MySqlStore::new(after.connect_with(database.options.clone()).await.unwrap());
        let new = Arc::new(crate::session::Record {
            data: Data::from_text(r#"{"\u0000 \\ ' \" 😀":"ä"}"#),
            ..(*record(1, "ada ")).clone()
        });
        store.create(&new, &[], LIMIT, NOW).await.unwrap();
        assert_eq!(store.load(&token(&new), NOW).await.unwrap()[..], [Arc::clone(&new)], "{mode}");
        let to = record(2, "ada").token_hash;
        let update = Update {
            data: Some(NewData { based_on: 0, data: Data::from_text("{}") }),
            rotation: Some(Rotation { to, successor: SealedToken::from_slice(&[7; 32]) }),
            ..Update::default()
        };
        store.apply(&caller(&new), &update, NOW).await.unwrap();
        let rows = store.load(&token(&new), NOW).await.unwrap();
        let row = &rows[0];
        assert_eq!((row.token_hash, row.successor), (to, SealedToken::from_slice(&[7; 32])), "{mode}");
        assert_eq!((row.previous_token_hash, row.version, row.token_seen), (Some(new.token_hash), 1, false), "{mode}");
        store.end_all(&new.user_id, None, None, NOW).await.unwrap();
    }
    database.end().await;
}

#[tokio::test]
async fn a_pool_that_never_commits_is_refused() {
    let Some(database) = Database::new().await else { return };
    let pool = MySqlPoolOptions::new().max_connections(1).after_connect(|conn, _| {
        Box::pin(async move {
            execute(conn, "SET autocommit = 0").await;
            Ok(())
        })
    });
    let store = MySqlStore::new(pool.connect_with(database.options.clone()).await.unwrap());
    let error = store.migrate().await.unwrap_err().to_string();
    assert!(error.contains("autocommit"), "{error}");
    database.end().await;
}

#[tokio::test]
async fn a_store_outlives_the_runtime_that_opened_it() {
    let Some(database) = Database::new().await else { return };
    let url = format!("{}/{}", database.url.trim_end_matches('/'), database.name);
    let opening = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(MySqlStore::open(&url)).unwrap()
    });
    let (store, new) = (opening.await.unwrap(), record(1, "ada"));
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert!(!store.load(&token(&new), NOW).await.unwrap().is_empty());
    database.end().await;
}

#[tokio::test]
async fn each_of_many_requests_at_once_gets_its_own() {
    let Some(database) = Database::new().await else { return };
    let store = database.opened().await;
    each_of_many_gets_its_own(&store).await;
    drop(store);
    database.end().await;
}

#[tokio::test]
async fn tables_of_the_first_schema_migrate_and_their_sessions_live_on() {
    // Where a migration was cut off before, none of its tables was changed, one, or both.
    for changed in 0..=2 {
        let Some(database) = Database::new().await else { return };
        let mut conn = database.conn().await;
        execute(&mut conn, &schema::first()).await;
        execute(&mut conn, crate::store::sql::testing::ROW_OF_THE_FIRST_SCHEMA).await;
        for statement in schema::ROTATED.sql.split(';').take(changed) {
            execute(&mut conn, statement).await;
        }
        let store = database.store(1).await;
        crate::store::sql::testing::the_row_of_the_first_schema_lives_on(&store).await;
        let indexes = sqlx::raw_sql("SHOW INDEX FROM cookie_session").fetch_all(&mut conn).await.unwrap();
        let names: std::collections::BTreeSet<String> = indexes.iter().map(|row| row.get_unchecked(2)).collect();
        assert_eq!(Vec::from_iter(names), ["PRIMARY", "cookie_session_expires_at", "cookie_session_user_id"]);
        database.end().await;
    }
}

#[tokio::test]
async fn what_a_database_says_of_a_row_is_not_shown() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let narrow = "ALTER TABLE cookie_session MODIFY data VARCHAR(3) NOT NULL, ADD CONSTRAINT no_carol CHECK (user_agent <> 'agent')";
    execute(&mut database.conn().await, narrow).await;
    let new = crate::store::sql::testing::record(1, "ada");
    let long = crate::session::Record { data: Data::from_text(r#"{"secret":"in the data"}"#), ..(*new).clone() };
    for new in [Arc::new(long), new] {
        let error = store.create(&new, &[], LIMIT, NOW).await.unwrap_err();
        crate::store::sql::testing::shows_no_row(&error);
    }
    database.end().await;
}
