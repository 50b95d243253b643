//! EXP: when sessions end by themselves, what keeps them alive, and the cleanup that nothing depends on.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::store::Checked;
use session_core::{Clock, SessionConfigBuilder, UserId};
use time::OffsetDateTime;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{at_once, id, ids, only_row, sign_in, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXP-1", "live one second before the idle timeout, gone at it", the_idle_timeout_to_the_second),
    scenario!("EXP-1", "activity renews the idle timeout", activity_renews_the_idle_timeout),
    scenario!("EXP-1", "the idle timeout counts from the last recorded activity", counts_from_recorded_activity),
    scenario!("EXP-1", "each store call judges by its own time", each_call_judges_by_its_own_time),
    scenario!("EXP-1", "a slow request doesn't bring an expired session back", slow_requests_revive_nothing),
    scenario!("EXP-2", "constant activity doesn't extend the absolute timeout", activity_has_an_absolute_end),
    scenario!("EXP-2", "rotate doesn't extend the absolute timeout", rotation_has_an_absolute_end),
    scenario!("EXP-2", "a new sign-in has an absolute timeout of its own", a_sign_in_starts_afresh),
    scenario!("EXP-3", "activity is written once per touch interval", once_per_touch_interval),
    scenario!("EXP-3", "concurrent requests write activity once per interval", once_by_concurrent_requests),
    scenario!("EXP-3", "a request that extracts nothing is no activity", activity_is_an_extraction),
    scenario!("EXP-3", "however long a request takes, it was active when it came", active_when_it_came),
    scenario!("EXP-3", "due activity and data go in one statement", activity_and_data_in_one_statement),
    scenario!("EXP-4", "an expired row is invisible before anyone deletes it", an_expired_row_is_invisible),
    scenario!("EXP-4", "an expired row doesn't count towards the limit", an_expired_row_does_not_count),
    scenario!("EXP-5", "cleanup deletes only what expired a day ago", cleanup_waits_a_day),
    scenario!("EXP-5", "how long cleanup waits is configurable", cleanup_waits_as_configured),
    scenario!("EXP-5", "a fast clock's cleanup ends no session", a_fast_clock_ends_no_session),
    scenario!("EXP-5", "cleanup deletes in bounded batches until nothing is left", cleanup_goes_in_batches),
    scenario!("EXP-5", "cleanup goes on after a store error", cleanup_goes_on_after_an_error),
    scenario!("EXP-6", "a clock that jumps back ends no session", a_jump_back_ends_nothing),
    scenario!("EXP-6", "a clock that jumps back shortens no session", a_jump_back_shortens_nothing),
];

const SECOND: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_hours(1);
const ABSOLUTE: Duration = Duration::from_hours(3);
const TOUCH: Duration = Duration::from_mins(5);

fn short(config: SessionConfigBuilder) -> SessionConfigBuilder {
    config.idle_timeout(IDLE).absolute_timeout(ABSOLUTE).touch_interval(TOUCH)
}

async fn the_idle_timeout_to_the_second(world: World) {
    let world = world.with_config(short).await;
    let node = world.node().await;
    let (mut active, mut idle) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    world.clock.advance(IDLE - SECOND);
    assert_eq!(user(&mut active.on(&node)).await, json!("ada"));
    assert_eq!(rows(&world, "ada").await.len(), 2);
    world.clock.advance(SECOND);
    let reply = idle.run(json!([{"op": "current"}, {"op": "is_authenticated"}])).await;
    assert_eq!((reply.result(0), reply.result(1)), (json!(null), json!(false)));
    assert!(reply.set_cookies().is_empty(), "the cookie is left alone");
    assert_eq!(user(&mut idle.on(&node)).await, json!(null));
    assert_eq!(user(&mut active).await, json!("ada"));
}

async fn activity_renews_the_idle_timeout(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    for _ in 0..2 {
        world.clock.advance(IDLE - SECOND);
        assert_eq!(user(&mut browser).await, json!("ada"));
        let row = only_row(&world, "ada").await;
        let now = world.clock.now();
        assert_eq!((row.last_active_at, row.expires_at), (now, now + IDLE));
    }
    world.clock.advance(IDLE);
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn counts_from_recorded_activity(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let end = world.clock.now() + IDLE;
    world.clock.advance(TOUCH - SECOND);
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    assert_eq!(only_row(&world, "ada").await.expires_at, end, "this activity is too early to be recorded");
    world.clock.set(end - SECOND);
    assert_eq!(rows(&world, "ada").await.len(), 1);
    world.clock.set(end);
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn each_call_judges_by_its_own_time(world: World) {
    let world = world.with_config(short).await;
    let others = id(&mut sign_in(&world, "ada").await).await;
    for (gate, op) in [
        ("list", json!({"op": "list_my_sessions"})),
        ("rotate", json!({"op": "rotate"})),
        ("save", json!({"op": "save"})),
        ("logout_other", json!({"op": "logout_other"})),
        ("revoke", json!({"op": "revoke", "id": others})),
    ] {
        let browser = sign_in(&world, "ada").await;
        let slow = in_flight(&world, &browser, json!([{"op": "user_id"}]), gate, json!([op])).await;
        world.clock.advance(IDLE - SECOND);
        let mut fresh = sign_in(&world, "ada").await;
        world.clock.advance(SECOND);
        let (_, reply) = slow.finish(&world).await;
        assert_eq!(reply.result(0), json!("ada"), "{gate}: live when the request came");
        assert_eq!((reply.error_status(2), reply.set_cookies().len()), (Some(401), 0), "{gate}: expired since");
        assert_eq!(user(&mut fresh).await, json!("ada"), "{gate}");
    }
}

async fn slow_requests_revive_nothing(world: World) {
    let world = world.with_config(short).await;
    for (gate, before) in [("data", json!([{"op": "set", "key": "a", "value": 1}])), ("activity", json!([]))] {
        let mut browser = sign_in(&world, "ada").await;
        world.clock.advance(TOUCH);
        let slow = in_flight(&world, &browser, before, gate, json!([])).await;
        world.clock.advance(IDLE - TOUCH);
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (200, 0), "the handler's response stands");
        assert!(rows(&world, "ada").await.is_empty(), "{gate}");
        assert_eq!(user(&mut browser).await, json!(null), "{gate}");
    }
}

async fn activity_has_an_absolute_end(world: World) {
    ends_at_the_absolute_timeout(world, json!([{"op": "increment", "key": "n"}])).await;
}

async fn rotation_has_an_absolute_end(world: World) {
    ends_at_the_absolute_timeout(world, json!([{"op": "rotate"}])).await;
}

async fn ends_at_the_absolute_timeout(world: World, script: Value) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let end = world.clock.now() + ABSOLUTE;
    for _ in 0..17 {
        world.clock.advance(Duration::from_mins(10));
        let reply = browser.run(script.clone()).await;
        assert_eq!(reply.error_status(0), None);
        let row = only_row(&world, "ada").await;
        assert_eq!(row.absolute_expires_at, end);
        assert_eq!(row.expires_at, end.min(world.clock.now() + IDLE));
    }
    world.clock.set(end - SECOND);
    assert_eq!(browser.run(script.clone()).await.error_status(0), None);
    assert_eq!(user(&mut browser).await, json!("ada"));
    world.clock.set(end);
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn a_sign_in_starts_afresh(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_mins(50));
        assert_eq!(user(&mut browser).await, json!("ada"));
    }
    browser.sign_in("ada").await;
    let row = only_row(&world, "ada").await;
    let now = world.clock.now();
    assert_eq!((row.expires_at, row.absolute_expires_at), (now + IDLE, now + ABSOLUTE));
}

async fn once_per_touch_interval(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let mut last = world.clock.now();
    for _ in 0..3 {
        world.faults.reset_counts();
        for step in [Duration::ZERO, SECOND, TOUCH - 2 * SECOND] {
            world.clock.advance(step);
            assert_eq!(user(&mut browser).await, json!("ada"));
        }
        assert_eq!(world.faults.count(OpKind::Apply), 0, "a second before the interval has passed");
        assert_eq!(only_row(&world, "ada").await.last_active_at, last);
        world.clock.advance(SECOND);
        for _ in 0..3 {
            assert_eq!(user(&mut browser).await, json!("ada"));
        }
        assert_eq!(world.faults.count(OpKind::Apply), 1);
        last = world.clock.now();
        let row = only_row(&world, "ada").await;
        assert_eq!((row.last_active_at, row.expires_at), (last, last + IDLE));
    }
}

async fn once_by_concurrent_requests(world: World) {
    let world = world.with_config(short).await;
    let node = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(TOUCH);
    let first = in_flight(&world, &browser, json!([]), "first", json!([])).await;
    let second = in_flight(&world, &browser.on(&node), json!([]), "second", json!([])).await;
    first.finish(&world).await;
    let before = only_row(&world, "ada").await;
    assert_eq!(before.last_active_at, world.clock.now());
    world.clock.advance(TOUCH - SECOND);
    second.finish(&node).await;
    assert!(only_row(&world, "ada").await == before, "recorded less than an interval ago");
    world.clock.advance(SECOND);
    let racers = (0..8).map(|i| if i % 2 == 0 { &world } else { &node });
    let done = at_once(racers.map(|node| (node, browser.on(node), json!([]))).collect()).await;
    assert!(done.iter().all(|(_, reply)| reply.status == 200));
    let row = only_row(&world, "ada").await;
    assert_eq!((row.last_active_at, row.version), (world.clock.now(), before.version));
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn activity_is_an_extraction(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let before = only_row(&world, "ada").await;
    world.clock.advance(IDLE - SECOND);
    browser.get("/plain").await;
    assert!(only_row(&world, "ada").await == before);
    browser.get("/session").await;
    assert_eq!(only_row(&world, "ada").await.last_active_at, world.clock.now(), "reading is activity");
    world.clock.advance(IDLE - SECOND);
    browser.run(json!([])).await;
    assert_eq!(only_row(&world, "ada").await.last_active_at, world.clock.now(), "and so is the extraction alone");
    world.clock.advance(IDLE - SECOND);
    browser.run(json!([{"op": "status", "code": 500}])).await;
    assert_eq!(only_row(&world, "ada").await.last_active_at, world.clock.now(), "whatever the response");
}

async fn active_when_it_came(world: World) {
    let world = world.with_config(short).await;
    let browser = sign_in(&world, "ada").await;
    let before = only_row(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([{"op": "user_id"}]), "slow", json!([])).await;
    world.clock.advance(TOUCH);
    world.faults.reset_counts();
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.result(0), json!("ada"));
    assert_eq!(world.faults.total(), 0, "it came too early to be worth a write");
    assert!(only_row(&world, "ada").await == before);
}

async fn activity_and_data_in_one_statement(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let set = |value: u64| json!([{"op": "set", "key": "a", "value": value}]);
    world.clock.advance(TOUCH);
    world.faults.reset_counts();
    browser.run(set(1)).await;
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Apply), world.faults.total());
    assert_eq!(counts, (1, 1, 2));
    let before = only_row(&world, "ada").await;
    assert_eq!((before.data.text(), before.last_active_at), (r#"{"a":1}"#, world.clock.now()));

    world.clock.advance(TOUCH);
    world.faults.fail(OpKind::Apply, Fault::NotApplied);
    assert_eq!(browser.run(set(2)).await.status, 503);
    world.faults.clear();
    assert!(only_row(&world, "ada").await == before, "a failure leaves both");

    let slow = in_flight(&world, &browser, set(3), "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "b", "value": 1}])).await;
    world.clock.advance(TOUCH);
    assert_eq!(slow.finish(&world).await.1.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"a": 3, "b": 1}));
    assert_eq!(only_row(&world, "ada").await.last_active_at, world.clock.now(), "also where the data met a conflict");
}

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
    assert_eq!((reply.error_status(2), reply.error_status(3)), (None, None), "as anyone who isn't signed in");
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
        while world.faults.count(OpKind::Purge) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rows_at(&world, "ada", start).await, 1);
        cleanup.stop().await;
        assert!(world.events().iter().any(|event| event.contains("CleanupFailed")));
    }
    let cleanup = world.service.spawn_cleanup(Duration::from_millis(1));
    world.faults.clear();
    while rows_at(&world, "ada", start).await > 0 {
        tokio::task::yield_now().await;
    }
    cleanup.stop().await;
}

async fn a_jump_back_ends_nothing(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let start = world.clock.now();
    for back in [SECOND, Duration::from_hours(1), Duration::from_hours(24 * 400)] {
        world.clock.set(start - back);
        let reply = browser
            .run(json!([
                {"op": "user_id"},
                {"op": "increment", "key": "n"},
                {"op": "rotate"},
                {"op": "list_my_sessions"},
                {"op": "save"},
            ]))
            .await;
        assert_eq!(reply.result(0), json!("ada"), "{back:?} back");
        for i in 1..5 {
            assert_eq!(reply.error_status(i), None, "{back:?} back, entry {i}");
        }
        let mut other = sign_in(&world, "ada").await;
        assert_eq!(world.service.purge_expired().await.expect("the store works"), 0);
        assert_eq!((user(&mut browser).await, user(&mut other).await), (json!("ada"), json!("ada")), "{back:?} back");
        other.run(json!([{"op": "logout"}])).await;
    }
    world.clock.set(start);
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert_eq!(data(&world, "ada").await, json!({"n": 3}));
}

async fn a_jump_back_shortens_nothing(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(30));
    assert_eq!(user(&mut browser).await, json!("ada"));
    let (now, before) = (world.clock.now(), only_row(&world, "ada").await);
    world.clock.set(now - Duration::from_hours(24));
    for script in
        [json!([]), json!([{"op": "set", "key": "a", "value": 1}]), json!([{"op": "save"}]), json!([{"op": "rotate"}])]
    {
        browser.run(script.clone()).await;
        let after = only_row(&world, "ada").await;
        assert_eq!(after.expires_at, before.expires_at, "{script}");
        assert_eq!(after.absolute_expires_at, before.absolute_expires_at, "{script}");
        assert_eq!(after.last_active_at, before.last_active_at, "{script}");
    }
    world.clock.set(now + IDLE - SECOND);
    assert_eq!(user(&mut browser).await, json!("ada"), "until the end that it had before the jump");
}

/// How many rows of the user would be live at `at`: asked for an early time, it counts what has expired since too.
async fn rows_at(world: &World, user: &str, at: OffsetDateTime) -> usize {
    let user = UserId::parse(user).expect("a user id");
    match world.store.list(&user, None, at).await.expect("the store itself has no faults") {
        Checked::Live(rows) => rows.len(),
        Checked::CallerGone => unreachable!("no caller was named"),
    }
}
