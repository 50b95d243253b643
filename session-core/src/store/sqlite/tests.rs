//! Tests of what only SQLite has: migrating, query plans, and connections after a failure. Not
//! here: opening, see `opening`; and the store's behaviour, which the shared suite tests.

use sqlx::{AssertSqlSafe, Row};
use sqlx_sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::*;
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::token::TokenHash;
use crate::store::sql::batch::look_up;
use crate::store::sql::dialect::Statement;
use crate::store::sql::testing::{self, LIMIT, NOW, dropped_anywhere, each_of_many_gets_its_own, token};
use crate::store::{Checked, SessionStore, StoreError};

mod opening;

fn record(byte: u8, text: &str) -> Arc<Record> {
    Arc::new(Record {
        previous_token_hash: TokenHash::from_slice(&[byte ^ 0xff; 32]),
        token_seen: true,
        data: Data::from_text(text),
        version: 3,
        ..(*testing::record(byte, "ada")).clone()
    })
}

fn file(folder: &TempDir) -> String {
    folder.path().join("sessions.db").to_str().unwrap().to_owned()
}

async fn own_pool(path: &str) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true)).await.unwrap()
}

async fn run(store: &SqliteStore, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **store.connection().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_row_comes_back_exactly_whatever_spelling_opened_the_file() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let new = record(1, r#"{"a":"\u0000","b":1e400}"#);
    SqliteStore::open(&path).await.unwrap().create(&new, &[], LIMIT, NOW).await.unwrap();
    for spelling in
        [path.clone(), format!("sqlite:{path}"), format!("sqlite://{path}"), format!("sqlite:{path}?mode=rw")]
    {
        let store = SqliteStore::open(&spelling).await.unwrap();
        assert_eq!(store.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row), Some(&*new));
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_this_release_may_share_it() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&file(&folder)).await.unwrap();
    run(&store, "UPDATE cookie_session_schema SET version = 9").await;
    SqliteStore::open(&file(&folder)).await.unwrap();
    run(&store, "UPDATE cookie_session_schema SET oldest_reader = 9").await;
    let error = SqliteStore::open(&file(&folder)).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::NewerSchema { found: 9, known: 2, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_migrate_one_new_file_at_once() {
    for _ in 0..10 {
        let folder = TempDir::new().unwrap();
        let path = file(&folder);
        let (a, b) = tokio::join!(own_pool(&path), own_pool(&path));
        let (a, b) = (SqliteStore::new(a), SqliteStore::new(b));
        let (first, second) = tokio::join!(a.migrate(), b.migrate());
        first.unwrap();
        second.unwrap();
        let new = record(1, "{}");
        a.create(&new, &[], LIMIT, NOW).await.unwrap();
        assert!(!b.load(&token(&new), NOW).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn without_tables_it_says_to_migrate() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::new(own_pool(&file(&folder)).await);
    let new = record(1, "{}");
    for error in [
        store.load(&token(&new), NOW).await.unwrap_err(),
        store.create(&new, &[], LIMIT, NOW).await.unwrap_err(),
        store.purge_expired(NOW, LIMIT).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NotApplied(_)) && error.to_string().contains("migrate"), "{error}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_a_sign_in_and_the_connection_recovers() {
    let folder = TempDir::new().unwrap();
    let store = SqliteOptions::new(file(&folder)).max_connections(1).open().await.unwrap();
    run(&store, "PRAGMA max_page_count = 1").await;
    let large = record(1, &format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000)));
    let error = store.create(&large, &[], LIMIT, NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::NotApplied(_)), "{error:?}");
    assert!(error.to_string().contains("full"), "{error}");
    run(&store, "PRAGMA max_page_count = 1000000").await;
    store.create(&large, &[], LIMIT, NOW).await.unwrap();
    assert!(!store.load(&token(&large), NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named_without_its_content() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    let new = record(1, "{}");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for (sql, column) in [
        ("UPDATE cookie_session SET created_at = 9223372036854775807", "created_at"),
        ("UPDATE cookie_session SET user_agent = CAST(x'ff' AS TEXT)", "user_agent"),
        ("UPDATE cookie_session SET previous_token_hash = x'01'", "previous_token_hash"),
        ("UPDATE cookie_session SET user_id = ''", "user_id"),
    ] {
        run(&store, sql).await;
        let error = store.load(&token(&new), NOW).await.unwrap_err();
        let StoreError::Corrupt { id, what } = error else { panic!("{error:?}") };
        assert_eq!((id, what), (Some(new.id), column));
        run(&store, "DELETE FROM cookie_session").await;
        store.create(&new, &[], LIMIT, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn data_that_is_no_text_fails_when_it_is_read() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    let new = record(1, "{}");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    run(&store, "UPDATE cookie_session SET data = CAST(x'ff' AS TEXT)").await;
    let row = store.load(&token(&new), NOW).await.unwrap();
    assert!(row[0].data.values().is_none());
    assert_eq!(store.end(&new.user_id, new.id, None, NOW).await.unwrap(), Checked::Live(true));
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    for sql in store.sql().searches().map(Statement::text) {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&mut **store.connection().await.unwrap())
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        let searches = plan.iter().filter(|step| step.starts_with("SEARCH cookie_session USING")).count();
        assert!(searches > 0 && !plan.iter().any(|step| step.contains("SCAN cookie_session")), "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn what_is_acknowledged_after_a_dropped_operation_is_committed() {
    let folder = TempDir::new().unwrap();
    let store = SqliteOptions::new(file(&folder)).max_connections(1).open().await.unwrap();
    let other = SqliteStore::open(&file(&folder)).await.unwrap();
    dropped_anywhere(&store, &other).await;
}

#[tokio::test]
async fn large_data_is_left_out_of_a_batch() {
    let folder = TempDir::new().unwrap();
    testing::a_batch_leaves_large_data_out(&SqliteStore::open(&file(&folder)).await.unwrap()).await;
}

#[tokio::test]
async fn each_of_many_requests_at_once_gets_its_own() {
    let folder = TempDir::new().unwrap();
    each_of_many_gets_its_own(&SqliteStore::open(&file(&folder)).await.unwrap()).await;
}

#[tokio::test]
async fn a_connection_is_leased_again() {
    let folder = TempDir::new().unwrap();
    let store = SqliteOptions::new(file(&folder)).max_connections(1).open().await.unwrap();
    let new = record(1, "{}");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for _ in 0..3 {
        assert!(!store.load(&token(&new), NOW).await.unwrap().is_empty());
        assert_eq!((store.leases.as_ref().unwrap().idle(), store.pool.num_idle()), (1, 0));
    }
    store.migrate().await.expect("it lends the one connection too");
}

#[test]
fn a_store_can_be_dropped_after_its_runtime() {
    let folder = TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(async {
        let store = SqliteStore::open(&file(&folder)).await.unwrap();
        store.create(&record(1, "{}"), &[], LIMIT, NOW).await.unwrap();
        store
    });
    assert_eq!(store.leases.as_ref().unwrap().idle(), 1);
    drop(runtime);
    drop(store);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_spoils_no_other() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&file(&folder)).await.unwrap();
    let data = Data::from_text("{\n\"\u{e9}\":\"\\u0000\\\"\"}\n");
    let of =
        |byte: u8| Arc::new(Record { data: data.clone(), ..(*testing::record(byte, &format!("user {byte}"))).clone() });
    let (good, bad) = ((10..20).map(of).collect::<Vec<_>>(), of(1));
    for new in good.iter().chain([&bad]) {
        store.create(new, &[], LIMIT, NOW).await.unwrap();
    }
    for sql in [
        "UPDATE cookie_session SET user_agent = CAST(x'ff' AS TEXT) WHERE id = ?",
        "UPDATE cookie_session SET user_agent = '', created_at = 9223372036854775807 WHERE id = ?",
        "UPDATE cookie_session SET created_at = 0, previous_token_hash = x'01' WHERE id = ?",
    ] {
        sqlx::query(sql).bind(&bad.id.as_bytes()[..]).execute(&mut **store.connection().await.unwrap()).await.unwrap();
        let all: Vec<_> = good.iter().chain([&bad]).map(|new| token(new)).collect();
        let looks: Vec<_> = all
            .into_iter()
            .map(|token| {
                tokio::spawn({
                    let store = store.clone();
                    async move { store.load(&token, NOW).await }
                })
            })
            .collect();
        let mut found = Vec::new();
        for look in looks {
            found.push(look.await.unwrap());
        }
        let error = found.pop().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { id: Some(id), .. } if id == bad.id), "{sql}: {error:?}");
        for (found, new) in found.into_iter().zip(&good) {
            assert_eq!(found.unwrap()[..], [Arc::clone(new)], "{sql}");
        }
        // A request may name up to three sessions.
        let tokens = [token(&bad), token(&good[0])].concat();
        assert!(store.load(&tokens, NOW).await.is_err(), "{sql}");
        let tokens = [token(&good[1]), token(&good[0])].concat();
        let both = [1, 0].map(|index| Arc::clone(&good[index]));
        assert_eq!(store.load(&tokens, NOW).await.unwrap()[..], both, "{sql}");
    }
}

#[tokio::test]
async fn a_row_without_an_id_is_never_among_those_looked_up() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    let records: Vec<_> = (1..=4).map(|byte| record(byte, "{}")).collect();
    for new in &records {
        store.create(new, &[], LIMIT.saturating_add(9), NOW).await.unwrap();
    }
    sqlx::query("UPDATE cookie_session SET id = x'' WHERE id = ?")
        .bind(&records[3].id.as_bytes()[..])
        .execute(&mut **store.connection().await.unwrap())
        .await
        .unwrap();
    // By the statement for four.
    let ids = records[..3].iter().map(|new| new.id);
    assert_eq!(look_up(&store, ids, NOW).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_of_the_first_schema_migrates_and_its_sessions_live_on() {
    let folder = TempDir::new().unwrap();
    let pool = own_pool(&file(&folder)).await;
    let store = SqliteStore::new(pool);
    run(&store, &schema::first()).await;
    run(&store, testing::ROW_OF_THE_FIRST_SCHEMA).await;
    store.migrate().await.unwrap();
    testing::the_row_of_the_first_schema_lives_on(&store).await;
    assert!(SqliteStore::open(&file(&folder)).await.is_ok(), "a second time there is nothing to do");
    let index: Option<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NULL AND name LIKE '%_2'")
            .fetch_optional(&mut **store.connection().await.unwrap())
            .await
            .unwrap();
    assert_eq!(index, None, "the index of hashes is gone");
}

#[tokio::test]
async fn what_a_database_says_of_a_row_is_not_shown() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    run(&store, "CREATE TRIGGER refuses BEFORE INSERT ON cookie_session BEGIN SELECT RAISE(ABORT, 'refused'); END")
        .await;
    let error = store.create(&record(1, r#"{"secret":"in the data"}"#), &[], LIMIT, NOW).await.unwrap_err();
    testing::shows_no_row(&error);
    assert!(format!("{error:?} {error}").contains("refused"), "{error:?}");
}

#[tokio::test]
async fn inside_a_transaction_of_the_apps_own_a_session_is_refused_in_the_stores_time() {
    let folder = TempDir::new().unwrap();
    let patient = sqlx_sqlite::SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(86_400));
    let options = SqliteConnectOptions::new().filename(file(&folder)).create_if_missing(true);
    let store = SqliteStore::new(patient.connect_with(options).await.unwrap());
    store.migrate().await.unwrap();
    let held = store.pool.acquire().await.unwrap();
    let (new, other) = (record(1, "{}"), record(2, "{}"));
    // From here on nothing waits for SQLite, so the clock may run ahead.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let tokens = token(&new);
    let (first, second, read) = tokio::join!(
        store.create(&new, &[], LIMIT, NOW),
        store.create(&other, &[], LIMIT, NOW),
        store.load(&tokens, NOW)
    );
    for refused in [first.unwrap_err(), second.unwrap_err(), read.unwrap_err()] {
        assert!(matches!(refused, StoreError::NotApplied(_)), "{refused:?}");
        assert!(refused.to_string().contains("`open` makes a pool of its own"), "{refused}");
    }
    assert_eq!(begun.elapsed().as_secs(), FOREIGN_ACQUIRE_TIMEOUT.as_secs());
    tokio::time::resume();
    drop(held);
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
}
