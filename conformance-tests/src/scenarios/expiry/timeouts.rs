//! EXP-1, EXP-2, EXP-6: when sessions end without a sign-out, and clocks that jump.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::store::Checked;
use session_core::{Clock, SessionConfigBuilder, UserId};
use time::OffsetDateTime;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{id, only_row, sign_in, user};
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
    scenario!("EXP-6", "a clock that jumps back ends no session", a_jump_back_ends_nothing),
    scenario!("EXP-6", "a clock that jumps back shortens no session", a_jump_back_shortens_nothing),
];

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const IDLE: Duration = Duration::from_hours(1);
const ABSOLUTE: Duration = Duration::from_hours(3);
pub(super) const TOUCH: Duration = Duration::from_mins(5);

pub(super) fn short(config: SessionConfigBuilder) -> SessionConfigBuilder {
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

/// How many rows of the user would be live at `at`: asked for an early time, it counts what has
/// expired since too.
pub(super) async fn rows_at(world: &World, user: &str, at: OffsetDateTime) -> usize {
    let user = UserId::parse(user).expect("a user id");
    match world.store.list(&user, None, at).await.expect("the store itself has no faults") {
        Checked::Live(rows) => rows.len(),
        Checked::CallerGone => unreachable!("no caller was named"),
    }
}
