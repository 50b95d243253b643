//! A table that another program has written to: any value in any column, of any type.

use std::num::NonZeroU32;
use std::sync::Arc;

use http::Response;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use session_core::sqlx::{AssertSqlSafe, query};
use session_core::store::SessionStore;
use session_core::{CookieSessionService, SessionConfig, SqliteStore};
use sqlx_sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use time::OffsetDateTime;

use super::rows::{STEPS, data, step};
use super::{attack, keys, request, runtime, with_cookie};

/// The columns that the store reads.
const COLUMNS: [&str; 20] = [
    "id",
    "token_hash",
    "previous_token_hash",
    "token_issued_at",
    "token_seen",
    "successor",
    "strict_rotated_at",
    "user_id",
    "ip_address",
    "user_agent",
    "device_name",
    "device_type",
    "fingerprint",
    "data",
    "version",
    "persistent",
    "created_at",
    "authenticated_at",
    "last_active_at",
    "expires_at",
];

#[derive(Debug, Clone)]
enum Value {
    Null,
    Whole(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop_oneof![any::<i64>(), select(&[0, 1, -1, i64::MAX, i64::MIN][..])].prop_map(Value::Whole),
        any::<f64>().prop_map(Value::Float),
        prop_oneof![any::<String>(), data()].prop_map(Value::Text),
        prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 16), vec(any::<u8>(), 32)].prop_map(Value::Bytes),
    ]
}

/// A database whose table takes any value in any column.
async fn database() -> SqlitePool {
    let options = SqliteConnectOptions::new().in_memory(true);
    // With a second connection there would be a second database.
    let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    let pool = pool.connect_with(options).await.expect("a database");
    SqliteStore::new(pool.clone()).migrate().await.expect("tables");
    let columns: Vec<_> = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    let typeless = format!("CREATE TABLE typeless ({}, absolute_expires_at, {})", columns.join(", "), LATER.join(", "));
    for statement in [&*typeless, "DROP TABLE cookie_session", "ALTER TABLE typeless RENAME TO cookie_session"] {
        query(AssertSqlSafe(statement.to_owned())).execute(&pool).await.expect(statement);
    }
    pool
}

/// The columns that nothing reads yet.
const LATER: [&str; 9] = [
    "last_ip_address",
    "last_user_agent",
    "label",
    "issuer",
    "issuer_sid",
    "sign_in_level",
    "level",
    "user_epoch",
    "idle_timeout",
];

#[test]
fn rows_of_a_table() {
    let runtime = runtime();
    let pool = runtime.block_on(database());
    let store = Arc::new(SqliteStore::new(pool.clone()));
    let config = SessionConfig::builder().build(keys(7)).expect("a configuration");
    let service = CookieSessionService::new(Arc::clone(&store), config);
    let planted = vec((select(&COLUMNS[..]), value()), 1..4);
    attack("rows of a table", (planted, vec(0..STEPS, 0..4)), |(planted, steps)| {
        runtime.block_on(async {
            query("DELETE FROM cookie_session").execute(&pool).await.expect("deleted");
            let cookie = service.issue("ada").await.expect("signed in");
            for (column, value) in planted {
                let update = query(AssertSqlSafe(format!("UPDATE cookie_session SET {column} = ?")));
                let update = match value {
                    Value::Null => update.bind(None::<i64>),
                    Value::Whole(number) => update.bind(number),
                    Value::Float(number) => update.bind(number),
                    Value::Text(text) => update.bind(text),
                    Value::Bytes(bytes) => update.bind(bytes),
                };
                update.execute(&pool).await.expect("planted");
            }
            let (guard, session) = request(&service, &with_cookie(&cookie)).await;
            if let Ok(session) = session {
                for number in steps {
                    if let Err(error) = step(&session, number).await {
                        prop_assert!([400, 401, 403, 404, 413, 500, 503].contains(&error.status()), "{error}");
                    }
                }
            }
            let mut response = Response::new(());
            guard.commit(200).await.apply(&mut response);
            prop_assert!([200, 413, 500, 503].contains(&response.status().as_u16()), "{}", response.status());
            if let Err(error) = service.list("ada").await {
                prop_assert!([500, 503].contains(&error.status()), "{error}");
            }
            let purged = store.purge_expired(OffsetDateTime::now_utc(), NonZeroU32::MIN).await;
            prop_assert!(purged.is_ok_and(|rows| rows <= 1));
            Ok(())
        })
    });
}
