//! Tests of forgetting users on the database servers, and of the servers' clocks.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::IdleUsers;
use crate::store::micros::micros;
use crate::store::sql::Backend;
use crate::store::sql::server::ServerStore;
use crate::store::sql::server::testing::{TestDatabase, TestServer};
use crate::store::sql::testing::{LIMIT, NOW, record};
use crate::store::{Checked, Forgotten, SessionStore};

const MANY: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");
const HOUR: time::Duration = time::Duration::HOUR;
const DAY: time::Duration = time::Duration::DAY;

/// The tests of users on `$server`.
macro_rules! user_tests {
    ($server:ty: $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            let Some(database) = $crate::store::sql::server::testing::TestDatabase::<$server>::new().await else { return };
            $crate::store::sql::users::tests::$name(&database).await;
            database.end().await;
        })*
    };
    ($server:ty) => {
        $crate::store::sql::users::tests::user_tests! { $server:
            a_user_without_a_session_is_noted_and_then_forgotten
            a_user_who_signs_in_again_is_not_forgotten
            users_are_looked_at_in_bounded_batches
            users_whom_a_sign_in_holds_are_left_out
            a_session_that_came_since_the_look_is_seen_under_the_lock
            sign_ins_keep_to_the_limit_while_their_user_is_forgotten
            the_servers_time_is_that_of_its_clock
        }
    };
}
pub(in crate::store) use user_tests;

/// One look at all users: how many were forgotten.
async fn look<D: TestServer>(store: &ServerStore<D>, since: OffsetDateTime, now: OffsetDateTime) -> u64 {
    let forgotten = store.forget_users(None, since, now, MANY).await.unwrap();
    assert_eq!(forgotten.next, None);
    forgotten.users
}

/// The rows of users for which `condition` holds.
async fn users<D: TestServer>(database: &TestDatabase<D>, condition: &str) -> i64 {
    D::count(&mut database.conn().await, &format!("SELECT count(*) FROM cookie_session_user WHERE {condition}")).await
}

pub(in crate::store) async fn a_user_without_a_session_is_noted_and_then_forgotten<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let store = database.store(2).await;
    let (ada, alan) = (record(1, "ada"), record(2, "alan"));
    store.create(&ada, &[], LIMIT, NOW).await.unwrap();
    store.create(&alan, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(look(&store, NOW, NOW).await, 0);
    assert_eq!(users(database, "idle_since IS NULL").await, 2, "both have a session");

    store.end(&ada.user_id, ada.id, None, NOW).await.unwrap();
    let noted = NOW + HOUR;
    assert_eq!(look(&store, noted - DAY, noted).await, 0, "since when isn't known");
    assert_eq!(users(database, &format!("user_id = 'ada' AND idle_since = {}", micros(noted))).await, 1);
    let later = noted + DAY - HOUR;
    assert_eq!(look(&store, later - DAY, later).await, 0, "an hour early");
    assert_eq!(users(database, &format!("user_id = 'ada' AND idle_since = {}", micros(noted))).await, 1, "noted once");
    assert_eq!(look(&store, noted, noted + DAY).await, 1);
    assert_eq!((users(database, "user_id = 'ada'").await, users(database, "user_id = 'alan'").await), (0, 1));

    // An expired row is a session until it is deleted: otherwise its user would be forgotten and
    // return with each.
    let end = alan.expires_at + DAY;
    assert_eq!(look(&store, end, end).await, 0);
    assert_eq!(store.purge_expired(end, MANY).await.unwrap(), 1);
    assert_eq!((look(&store, end - HOUR, end).await, look(&store, end, end + HOUR).await), (0, 1));
    store.create(&record(3, "ada"), &[], LIMIT, NOW).await.unwrap();
}

pub(in crate::store) async fn a_user_who_signs_in_again_is_not_forgotten<D: TestServer>(database: &TestDatabase<D>) {
    let store = database.store(2).await;
    let (first, second) = (record(1, "ada"), record(2, "ada"));
    store.create(&first, &[], LIMIT, NOW).await.unwrap();
    store.end(&first.user_id, first.id, None, NOW).await.unwrap();
    assert_eq!(look(&store, NOW - DAY, NOW).await, 0);
    let later = NOW + DAY - HOUR;
    store.create(&second, &[], LIMIT, later).await.unwrap();
    assert_eq!(users(database, "idle_since IS NULL").await, 1);
    store.end(&second.user_id, second.id, None, later).await.unwrap();
    assert_eq!(look(&store, NOW + HOUR, NOW + HOUR + DAY).await, 0, "the count begins anew");
    assert_eq!(users(database, "user_id = 'ada'").await, 1);
}

pub(in crate::store) async fn users_are_looked_at_in_bounded_batches<D: TestServer>(database: &TestDatabase<D>) {
    let store = database.store(2).await;
    for user in 0..100 {
        database
            .run(&format!("INSERT INTO cookie_session_user (user_id, idle_since) VALUES ('user {user:02}', 0)"))
            .await;
    }
    for number in [1, 2] {
        store.create(&record(number, &format!("user 0{number}")), &[], LIMIT, NOW).await.unwrap();
    }
    let forty = NonZeroU32::new(40).unwrap();
    let mut after: Option<String> = None;
    for (users, next) in [(38, Some("user 39")), (40, Some("user 79")), (20, None)] {
        let forgotten = store.forget_users(after.as_deref(), NOW, NOW, forty).await.unwrap();
        assert_eq!(forgotten, Forgotten { users, next: next.map(str::to_owned) });
        after = forgotten.next;
    }
    assert_eq!(users(database, "user_id IN ('user 01', 'user 02')").await, 2);
    assert_eq!(users(database, "TRUE").await, 2);
}

pub(in crate::store) async fn users_whom_a_sign_in_holds_are_left_out<D: TestServer>(database: &TestDatabase<D>) {
    let store = database.store(2).await;
    database.run("INSERT INTO cookie_session_user (user_id, idle_since) VALUES ('ada', 0), ('alan', 0)").await;
    let mut other = database.conn().await;
    D::run(&mut other, "BEGIN").await;
    D::run(&mut other, "UPDATE cookie_session_user SET idle_since = NULL WHERE user_id = 'ada'").await;
    let looked = tokio::time::timeout(Duration::from_secs(5), look(&store, NOW, NOW)).await;
    assert_eq!(looked.expect("it waits for nobody"), 1);
    D::run(&mut other, "ROLLBACK").await;
    assert_eq!((users(database, "user_id = 'ada'").await, users(database, "user_id = 'alan'").await), (1, 0));
}

pub(in crate::store) async fn a_session_that_came_since_the_look_is_seen_under_the_lock<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let store = database.store(2).await;
    let new = record(1, "ada");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    // As a node that doesn't know the column leaves it.
    database.run("UPDATE cookie_session_user SET idle_since = 0").await;
    let found = ["ada".to_owned()];
    assert_eq!(store.forget(IdleUsers { users: &found, since: NOW, now: NOW }).await.unwrap(), 0);
    database.run("UPDATE cookie_session_user SET idle_since = NULL").await;
    assert_eq!(store.forget(IdleUsers { users: &found, since: NOW, now: NOW }).await.unwrap(), 0);
    assert_eq!(users(database, "idle_since IS NULL").await, 1);
}

pub(in crate::store) async fn sign_ins_keep_to_the_limit_while_their_user_is_forgotten<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let store = database.store(8).await;
    for round in 0..25 {
        // Nodes that know of no other date forget this user as soon as there is no session.
        database.run("DELETE FROM cookie_session; DELETE FROM cookie_session_user").await;
        database.run("INSERT INTO cookie_session_user (user_id, idle_since) VALUES ('ada', 0)").await;
        let start = Arc::new(Barrier::new(7));
        let mut tasks = JoinSet::new();
        for number in 1..=4 {
            let (store, start) = (store.clone(), Arc::clone(&start));
            tasks.spawn(async move {
                start.wait().await;
                store.create(&record(number, "ada"), &[], LIMIT, NOW).await.unwrap();
            });
        }
        for _ in 0..3 {
            let (store, start) = (store.clone(), Arc::clone(&start));
            tasks.spawn(async move {
                start.wait().await;
                for _ in 0..3 {
                    store.forget_users(None, NOW + DAY, NOW, MANY).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let Checked::Live(listed) = store.list(&record(1, "ada").user_id, None, NOW).await.unwrap() else {
            panic!("no caller")
        };
        assert_eq!(listed.len(), LIMIT.get() as usize, "round {round}");
        assert_eq!(users(database, "user_id = 'ada'").await, 1, "round {round}: who has sessions has a row");
    }
}

pub(in crate::store) async fn the_servers_time_is_that_of_its_clock<D: TestServer>(database: &TestDatabase<D>) {
    let store = database.store(1).await;
    // Whatever the time zone of the database session.
    for zone in ["+00:00", "-08:00"] {
        D::run(&mut store.pool.acquire().await.unwrap(), &D::zone(zone)).await;
        let before = OffsetDateTime::now_utc();
        let server = store.server_time().await.unwrap().expect("it has a clock");
        let after = OffsetDateTime::now_utc();
        // The tests' server is on this machine, or near.
        let minute = time::Duration::MINUTE;
        assert!((before - minute..after + minute).contains(&server), "{server}, not {before}");
        assert!(store.server_time().await.unwrap().unwrap() > server, "it goes on");
    }
}
