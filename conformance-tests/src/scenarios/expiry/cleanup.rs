//! EXP-4, EXP-5, EXP-8: rows that have expired, and the cleanup that nothing depends on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use session_core::store::Checked;
use session_core::{Clock, CookieSessionService, ManualClock, UserId};
use time::OffsetDateTime;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::expiry::timeouts::{IDLE, SECOND, rows_at, short};
use crate::scenarios::support::sessions::{id, ids, sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXP-4", "an expired row is invisible before anyone deletes it", an_expired_row_is_invisible),
    scenario!("EXP-4", "an expired row doesn't count towards the limit", an_expired_row_does_not_count),
    scenario!("EXP-5", "cleanup deletes only what expired a day ago", cleanup_waits_a_day),
    scenario!("EXP-5", "how long cleanup waits is configurable", cleanup_waits_as_configured),
    scenario!("EXP-5", "a fast clock's cleanup ends no session", a_fast_clock_ends_no_session),
    scenario!("EXP-5", "cleanup deletes in bounded batches until nothing is left", cleanup_goes_in_batches),
    scenario!("EXP-5", "cleanup goes on after a store error", cleanup_goes_on_after_an_error),
    scenario!("EXP-8", "a backlog is gone after one pass, and what isn't due stays", a_backlog_is_gone_after_one_pass),
    scenario!("EXP-8", "a batch that failed is tried again until it works", a_failed_batch_is_tried_again),
    scenario!("EXP-8", "cleanup deletes nothing that the database's clock doesn't call due", the_servers_clock_counts),
    scenario!(
        "EXP-8",
        "on a clock an hour ahead cleanup deletes nothing and says so",
        an_hour_ahead_nothing_is_deleted
    ),
    scenario!("EXP-8", "who signs in while users are forgotten keeps to the limit", forgotten_users_keep_to_the_limit),
];

async fn an_expired_row_is_invisible(world: World) {
    let world = world.with_config(short).await;
    let mut expired = sign_in(&world, "ada").await;
    let expired_id = id(&mut expired).await;
    let signed_in_at = world.clock.now();
    world.clock.advance(Duration::from_mins(30));
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(30));
    let own = id(&mut browser).await;
    assert_eq!(rows_at(&world, "ada", signed_in_at).await, 2, "the row is still there");

    let script = json!([
        {"op": "current"},
        {"op": "get", "key": "a"},
        {"op": "set", "key": "a", "value": 1},
        {"op": "save"},
        {"op": "rotate"},
        {"op": "list_my_sessions"},
        {"op": "revoke", "id": expired_id},
    ]);
    let reply = expired.run(script).await;
    assert_eq!((reply.result(0), reply.result(1)), (json!(null), json!({"absent": true})));
    assert_eq!((reply.error_status(2), reply.error_status(3)), (None, Some(401)), "as anyone who isn't signed in");
    for i in 4..7 {
        assert_eq!(reply.error_status(i), Some(401), "entry {i}");
    }
    assert!(reply.set_cookies().is_empty());

    let script = json!([
        {"op": "list_my_sessions"},
        {"op": "list", "user": "ada"},
        {"op": "revoke", "id": expired_id},
        {"op": "revoke_by_id", "user": "ada", "id": expired_id},
        {"op": "current"},
    ]);
    let reply = browser.run(script).await;
    for i in [0, 1] {
        let listed = reply.result(i);
        assert_eq!((listed.as_array().map(Vec::len), &listed[0]["id"]), (Some(1), &json!(own)), "entry {i}");
    }
    assert_eq!((reply.error_status(2), reply.error_status(3)), (Some(404), Some(404)));
    assert_eq!(reply.result(4)["id"], json!(own));
}

async fn an_expired_row_does_not_count(world: World) {
    let world = world.with_config(|config| short(config).max_sessions_per_user(2)).await;
    let mut busy = sign_in(&world, "ada").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_mins(45));
        assert_eq!(user(&mut busy).await, json!("ada"));
    }
    let mut quiet = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(44));
    assert_eq!(user(&mut busy).await, json!("ada"));
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(user(&mut busy).await, json!(null), "at its absolute end, and more recently active than the other");
    let mut new = sign_in(&world, "ada").await;
    assert_eq!((user(&mut quiet).await, user(&mut new).await), (json!("ada"), json!("ada")));
    assert_eq!(ids(&world, "ada").await.len(), 2);
}

async fn cleanup_waits_a_day(world: World) {
    deletes_after(world.with_config(short).await, Duration::from_hours(24)).await;
}

async fn cleanup_waits_as_configured(world: World) {
    let age = Duration::from_hours(72);
    deletes_after(world.with_config(move |config| short(config).purge_after(age)).await, age).await;
}

async fn deletes_after(world: World, age: Duration) {
    sign_in(&world, "ada").await;
    let start = world.clock.now();
    let purge = async || world.service.purge_expired().await.expect("the store works");
    assert_eq!(purge().await, 0, "a live row");
    world.clock.set(start + IDLE);
    assert_eq!(purge().await, 0, "a row that has just expired");
    world.clock.set(start + IDLE + age - SECOND);
    let mut live = sign_in(&world, "ada").await;
    assert_eq!((purge().await, rows_at(&world, "ada", start).await), (0, 2), "a second early");
    world.clock.set(start + IDLE + age + SECOND);
    assert_eq!((purge().await, purge().await), (1, 0));
    assert_eq!(rows_at(&world, "ada", start).await, 1, "the row is really gone, and no other");
    assert_eq!(user(&mut live).await, json!("ada"));
}

async fn a_fast_clock_ends_no_session(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let start = world.clock.now();
    world.clock.set(start + IDLE + Duration::from_hours(23));
    assert_eq!(world.service.purge_expired().await.expect("the store works"), 0);
    world.clock.set(start);
    assert_eq!(user(&mut browser).await, json!("ada"), "to every other clock it is live");
}

async fn cleanup_goes_in_batches(world: World) {
    const ROWS: u64 = 1100;
    let world = world.with_config(|config| short(config).max_sessions_per_user(1000)).await;
    for i in 0..ROWS {
        sign_in(&world, &format!("ada-{}", i % 11)).await;
    }
    world.clock.advance(IDLE + Duration::from_hours(25));
    let mut live = sign_in(&world, "ada-0").await;
    world.faults.reset_counts();
    assert_eq!(world.service.purge_expired().await.expect("the store works"), ROWS);
    assert!(world.faults.count(OpKind::Purge) >= 2, "not all in one statement");
    assert_eq!(user(&mut live).await, json!("ada-0"));
    assert_eq!(world.service.purge_expired().await.expect("the store works"), 0);
}

async fn cleanup_goes_on_after_an_error(world: World) {
    let world = world.with_config(short).await;
    sign_in(&world, "ada").await;
    let start = world.clock.now();
    world.clock.advance(IDLE + Duration::from_hours(25));
    for fault in [Fault::NotApplied, Fault::UnknownLost] {
        world.faults.fail(OpKind::Purge, fault);
        assert!(world.service.purge_expired().await.is_err());
        world.faults.reset_counts();
        let cleanup = world.service.spawn_cleanup(Duration::from_millis(1));
        batches(&world, 3).await;
        assert_eq!(rows_at(&world, "ada", start).await, 1);
        cleanup.stop().await;
        assert!(world.events().iter().any(|event| event.contains("CleanupFailed")));
    }
    let cleanup = world.service.spawn_cleanup(Duration::from_millis(1));
    world.faults.clear();
    until_left(&world, "ada", start, 0).await;
    cleanup.stop().await;
}

/// Often enough that the next pass begins in this scenario: what it waits for is counted.
const OFTEN: Duration = Duration::from_secs(1);
/// When rows of [`short`] are due, after the sign-in.
const DUE: Duration = Duration::from_secs(IDLE.as_secs() + 24 * 3600);

/// Waits until `is_so`. What never becomes so ends the trial, and says what it was, after a time
/// that no machine needs.
async fn until(awaited: &str, is_so: impl Fn() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(18), waits).await.unwrap_or_else(|_| panic!("never: {awaited}"));
}

/// Waits until no more than so many rows of the user are left. How many were deleted doesn't tell:
/// a store that lost its database's answer and asked again deletes none the second time.
async fn until_left(world: &World, user: &str, at: OffsetDateTime, left: usize) {
    let waits = async {
        while rows_at(world, user, at).await > left {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(18), waits).await.expect("a row that is due goes");
}

/// Waits until so many batches were asked for.
async fn batches(world: &World, count: u64) {
    until(&format!("{count} batches"), || world.faults.count(OpKind::Purge) >= count).await;
}

/// The world's clock, which says that it is the operating system's.
#[derive(Debug)]
struct AsSystem(Arc<ManualClock>);

impl Clock for AsSystem {
    fn now(&self) -> OffsetDateTime {
        self.0.now()
    }

    fn is_system(&self) -> bool {
        true
    }
}

fn with_system_clock(world: &World) -> CookieSessionService {
    world.service.clone().with_clock(AsSystem(Arc::clone(&world.clock)))
}

async fn a_backlog_is_gone_after_one_pass(world: World) {
    const ROWS: u64 = 1000;
    let world = world.with_config(|config| short(config).max_sessions_per_user(1000)).await;
    let start = world.clock.now();
    for i in 0..ROWS {
        sign_in(&world, &format!("ada-{}", i % 10)).await;
    }
    world.clock.advance(IDLE);
    sign_in(&world, "ada-0").await;
    world.clock.set(start + DUE + SECOND);
    let mut live = sign_in(&world, "ada-0").await;
    world.faults.reset_counts();
    // Each pass asks for the time.
    world.faults.set_server_time(world.clock.now());
    let cleanup = with_system_clock(&world).spawn_cleanup(Duration::from_secs(4));
    // One that expired, and one that lives.
    until_left(&world, "ada-0", start, 2).await;
    for i in 1..10 {
        until_left(&world, &format!("ada-{i}"), start, 0).await;
    }
    assert_eq!(world.faults.count(OpKind::ServerTime), 1, "one pass");
    cleanup.stop().await;
    assert!(world.faults.purged() <= ROWS, "none that isn't due");
    assert_eq!(rows_at(&world, "ada-0", start).await, 2);
    assert_eq!(user(&mut live).await, json!("ada-0"));
    assert!(world.faults.count(OpKind::Purge) >= 4, "a few rows at a time");
    assert!(world.events().is_empty());
}

async fn a_failed_batch_is_tried_again(world: World) {
    let world = world.with_config(short).await;
    sign_in(&world, "ada").await;
    let start = world.clock.now();
    world.clock.set(start + DUE + SECOND);
    world.faults.reset_counts();
    for fault in [Fault::NotApplied, Fault::UnknownLost, Fault::UnknownApplied] {
        world.faults.fail_once(OpKind::Purge, fault);
    }
    let cleanup = world.service.spawn_cleanup(OFTEN);
    batches(&world, 4).await;
    cleanup.stop().await;
    assert_eq!(rows_at(&world, "ada", start).await, 0);
    let failed = world.events().iter().filter(|event| event.contains("CleanupFailed")).count();
    assert_eq!((failed, world.faults.count(OpKind::Purge)), (3, 4), "each failure is told");
}

async fn the_servers_clock_counts(world: World) {
    let world = world.with_config(short).await;
    sign_in(&world, "ada").await;
    let start = world.clock.now();
    // Due by this node's clock, and in half an hour by the server's.
    world.clock.set(start + DUE + Duration::from_mins(30));
    world.faults.set_server_time(start + DUE - SECOND);
    world.faults.reset_counts();
    let cleanup = with_system_clock(&world).spawn_cleanup(OFTEN);
    batches(&world, 2).await;
    assert_eq!((world.faults.purged(), rows_at(&world, "ada", start).await), (0, 1), "a second early");
    world.faults.set_server_time(start + DUE);
    until_left(&world, "ada", start, 0).await;
    cleanup.stop().await;

    // And not by the server's alone.
    sign_in(&world, "ada").await;
    let start = world.clock.now();
    world.clock.set(start + DUE - SECOND);
    world.faults.set_server_time(start + DUE * 2);
    world.faults.reset_counts();
    let cleanup = with_system_clock(&world).spawn_cleanup(OFTEN);
    batches(&world, 1).await;
    cleanup.stop().await;
    assert_eq!(rows_at(&world, "ada", start).await, 1);
    assert!(world.events().is_empty());
}

async fn an_hour_ahead_nothing_is_deleted(world: World) {
    let world = world.with_config(short).await;
    sign_in(&world, "ada").await;
    let start = world.clock.now();
    // Due for a month, by both.
    world.clock.set(start + DUE * 30);
    world.faults.set_server_time(start + DUE * 30 - Duration::from_hours(1) - SECOND);
    world.faults.reset_counts();
    let cleanup = with_system_clock(&world).spawn_cleanup(OFTEN);
    until("two passes", || world.faults.count(OpKind::ServerTime) >= 2).await;
    assert_eq!((world.faults.count(OpKind::Purge), rows_at(&world, "ada", start).await), (0, 1));
    assert!(world.events().iter().any(|event| event == "CleanupClockAhead { by: 3601s }"));
    world.faults.set_server_time(start + DUE * 30 - Duration::from_hours(1));
    until_left(&world, "ada", start, 0).await;
    cleanup.stop().await;
}

async fn forgotten_users_keep_to_the_limit(world: World) {
    let world = world.with_config(|config| short(config).max_sessions_per_user(2)).await;
    for _ in 0..3 {
        // Gone with all sessions, noted, and forgotten.
        for _ in 0..2 {
            world.clock.advance(DUE + Duration::from_hours(49));
            world.service.purge_expired().await.expect("the store works");
        }
        let now = world.clock.now();
        let forgotten = world.store.forget_users(None, now, now, World::LIMIT).await.expect("the store works");
        assert_eq!(forgotten.users, 0, "all users who could be were forgotten");
        tokio::join!(sign_in(&world, "ada"), sign_in(&world, "ada"), sign_in(&world, "ada"));
        assert_eq!(ids(&world, "ada").await.len(), 2);
        let user = UserId::parse("ada").expect("a valid user id");
        let rows = world.store.list(&user, None, now).await.expect("the store works");
        assert!(matches!(rows, Checked::Live(rows) if rows.len() == 2));
    }
}
