//! Tests of what only MySQL and MariaDB have: rights, migrating, query plans, statements and modes.
//! Not here: what all servers have in common, see `sql::server::testing`. They run on the server
//! that `SESSION_TEST_MYSQL` names, or on the local one.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use super::*;
use crate::model::data::Data;
use crate::model::token::SealedToken;
use crate::store::sql::server::ServerOpenError;
use crate::store::sql::server::testing::{TestDatabase, TestServer, server_tests};
use crate::store::sql::testing::{LIMIT, NOW, ROW_OF_THE_FIRST_SCHEMA, caller, record, token};
use crate::store::sql::users::tests::user_tests;
use crate::store::{Activity, Created, NewData, Replaced, Rotation, SessionKey, SessionStore, StoreError, Update};

mod opening;

server_tests!(MySql);

/// With a collation that takes many texts for equal.
impl TestServer for MySql {
    const SERVER: (&'static str, &'static str) = ("SESSION_TEST_MYSQL", "mysql://root@127.0.0.1:3306");
    const OTHER_URLS: [&'static str; 4] =
        ["", "sessions.db", "postgres://ada:lovelace@localhost/app", "mysql://ada:lovelace@host:port/app"];
    const READ_ONLY: &'static str = "SET SESSION TRANSACTION READ ONLY";
    const INDEXES: [&'static str; 3] = ["PRIMARY", "cookie_session_expires_at", "cookie_session_user_id"];

    fn make(name: &str) -> String {
        format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} COLLATE latin1_swedish_ci")
    }

    fn remove(name: &str) -> String {
        format!("DROP DATABASE {name}")
    }

    fn within(options: MySqlConnectOptions, name: &str) -> MySqlConnectOptions {
        options.database(name)
    }

    fn url(server: &str, name: &str) -> String {
        format!("{}/{name}", server.trim_end_matches('/'))
    }

    fn address(options: &MySqlConnectOptions) -> String {
        format!("{}:{}", options.get_host(), options.get_port())
    }

    fn through(options: MySqlConnectOptions, port: u16) -> MySqlConnectOptions {
        options.host("127.0.0.1").port(port)
    }

    fn elsewhere(options: MySqlConnectOptions, database: &str) -> MySqlConnectOptions {
        options.database(database)
    }

    async fn run(conn: &mut MySqlConnection, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
    }

    async fn end_others(conn: &mut MySqlConnection, _: &str) -> usize {
        let others = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()";
        let ids = sqlx::raw_sql(others).fetch_all(&mut *conn).await.unwrap();
        for id in &ids {
            Self::run(conn, &format!("KILL {}", id.get::<i64, _>(0))).await;
        }
        ids.len()
    }

    fn first_schema() -> String {
        schema::first() + ";" + ROW_OF_THE_FIRST_SCHEMA
    }

    async fn count(conn: &mut MySqlConnection, sql: &str) -> i64 {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
    }

    fn zone(zone: &str) -> String {
        format!("SET time_zone = '{zone}'")
    }

    async fn indexes(conn: &mut MySqlConnection) -> Vec<String> {
        let indexes = sqlx::raw_sql("SHOW INDEX FROM cookie_session").fetch_all(conn).await.unwrap();
        let names: std::collections::BTreeSet<String> = indexes.iter().map(|row| row.get_unchecked(2)).collect();
        names.into_iter().collect()
    }
}

type Database = TestDatabase<MySql>;

async fn execute(conn: &mut MySqlConnection, sql: &str) {
    MySql::run(conn, sql).await;
}

#[tokio::test]
async fn where_the_tables_are_there_no_right_to_make_them_is_needed() {
    let Some(database) = Database::new().await else { return };
    let nobody = MySqlPoolOptions::new().connect_with(database.options.clone().username("nobody").password("lovelace"));
    let error = ServerOpenError::of::<MySql>(nobody.await.unwrap_err().into());
    assert!(matches!(error, ServerOpenError::Refused { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("lovelace"));

    // Rights on a table can be granted before it exists; those on `cookie_session_user` alone make
    // the database visible.
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
    reader.migrate().await.unwrap();
    let new = record(1, "ada");
    reader.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(reader.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row), Some(&*new));
    execute(&mut conn, &format!("DROP USER {user}")).await;
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
async fn every_statement_finds_its_rows_by_an_index() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let mut conn = database.conn().await;
    // Enough rows that the optimizer has a choice: two digits of a number, a hundred times a
    // hundred.
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
                () if before.ends_with("user_id =") || before.ends_with("user_id >") => "'user 8'",
                () if sql.contains("cookie_session_user WHERE")
                    && !before.ends_with("LIMIT")
                    && !before.ends_with("<=") =>
                {
                    ["'user 8'", "'user 9'", "'user 10'"][index % 3]
                }
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
            // The result of a sub-query is read completely; tables aren't.
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
    MySql::statements().searches().map(|statement| statement.text()).chain([sign_in::LOCK_USER_AND_FIND])
}

#[tokio::test]
async fn each_operation_takes_few_statements() {
    let Some(database) = Database::new().await else { return };
    // One connection, and how many statements its server has counted. Reading the count is one
    // more.
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
    let data = NewData::new(0, Data::from_text(r#"{"a":1}"#));
    let at = NOW + time::Duration::MINUTE;
    let activity = Activity { at, expires_at: at + time::Duration::HOUR, unless_after: NOW };
    let update = Update { data: Some(data), activity: Some(activity), ..Update::default() };
    counted("a write", 1, Box::pin(async { drop(store.update(&by, &update, NOW).await.unwrap()) })).await;
    // Besides the isolation level, the beginning and the commit.
    let around = 3;
    let second = record(2, "ada");
    let sign_in = async { drop(store.create(&second, &[], LIMIT, NOW).await.unwrap()) };
    counted("a sign-in", 2 + around, Box::pin(sign_in)).await;
    let replaced = Replaced::from(SessionKey { user_id: first.user_id.clone(), id: first.id });
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
    execute(&mut database.conn().await, "UPDATE cookie_session_user SET idle_since = 0 WHERE user_id = 'alan'").await;
    let sixth = record(6, "alan");
    let sign_in = async { drop(store.create(&sixth, &[], LIMIT, NOW).await.unwrap()) };
    counted("the first sign-in of a user without sessions", 3 + around, Box::pin(sign_in)).await;
    counted("a list", 1, Box::pin(list)).await;
    let end = async { assert!(store.end(&other.user_id, other.id, None, NOW).await.is_ok()) };
    counted("a sign-out", 1, Box::pin(end)).await;
    let end = async { drop(store.end_all(&third.user_id, None, None, NOW).await.unwrap()) };
    counted("a sign-out everywhere", 3 + around, Box::pin(end)).await;
    database.end().await;
}

user_tests!(MySql);

type StoreOperation<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

#[tokio::test]
async fn more_than_one_statement_ends_are_ended_when_the_limit_was_lowered() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    let many = std::num::NonZeroU32::new(100).unwrap();
    for byte in 1..=30 {
        store.create(&record(byte, "ada"), &[], many, NOW).await.unwrap();
    }
    let replaced = Replaced::from(SessionKey { user_id: record(7, "ada").user_id.clone(), id: record(7, "ada").id });
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
async fn deadlocks_are_tried_again_until_they_are_over_and_no_longer() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(8).await;
    let new: Vec<_> = (1..=8).map(|byte| record(byte, "ada")).collect();
    // As the server's error is when it chose this transaction to give way.
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
        let new = Arc::new(crate::model::record::Record {
            data: Data::from_text(r#"{"\u0000 \\ ' \" 😀":"ä"}"#),
            ..(*record(1, "ada ")).clone()
        });
        store.create(&new, &[], LIMIT, NOW).await.unwrap();
        assert_eq!(store.load(&token(&new), NOW).await.unwrap()[..], [Arc::clone(&new)], "{mode}");
        let to = record(2, "ada").token_hash;
        let update = Update {
            data: Some(NewData { becomes: 1 << 32, ..NewData::new(0, Data::from_text("{}")) }),
            rotation: Some(Rotation { to, successor: SealedToken::from_slice(&[7; 32]) }),
            ..Update::default()
        };
        store.update(&caller(&new), &update, NOW).await.unwrap();
        let rows = store.load(&token(&new), NOW).await.unwrap();
        let row = &rows[0];
        assert_eq!((row.token_hash, row.successor), (to, SealedToken::from_slice(&[7; 32])), "{mode}");
        assert_eq!(
            (row.previous_token_hash, row.version, row.token_seen),
            (Some(new.token_hash), 1 << 32, false),
            "{mode}"
        );
        store.end_all(&new.user_id, None, None, NOW).await.unwrap();
    }
    database.end().await;
}

#[tokio::test]
async fn tables_of_the_first_schema_of_which_some_were_changed_migrate() {
    for changed in 1..=2 {
        let Some(database) = Database::new().await else { return };
        database.run(&MySql::first_schema()).await;
        for statement in schema::ROTATED.sql.split(';').take(changed) {
            database.run(statement).await;
        }
        let store = database.store(1).await;
        crate::store::sql::testing::the_row_of_the_first_schema_lives_on(&store).await;
        assert_eq!(MySql::indexes(&mut database.conn().await).await, MySql::INDEXES);
        database.end().await;
    }
}

#[tokio::test]
async fn what_a_database_says_of_a_value_is_not_shown() {
    let Some(database) = Database::new().await else { return };
    let store = database.store(1).await;
    database.run("ALTER TABLE cookie_session MODIFY data VARCHAR(3) NOT NULL").await;
    let new = crate::store::sql::testing::record(1, "ada");
    let long = crate::model::record::Record { data: Data::from_text(r#"{"secret":"in the data"}"#), ..(*new).clone() };
    let error = store.create(&Arc::new(long), &[], LIMIT, NOW).await.unwrap_err();
    crate::store::sql::testing::shows_no_row(&error);
    database.end().await;
}
