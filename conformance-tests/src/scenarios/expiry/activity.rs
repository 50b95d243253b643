//! EXP-3: what counts as activity, and when it is written.

use std::time::Duration;

use serde_json::json;
use session_core::Clock;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::expiry::timeouts::{IDLE, SECOND, TOUCH, short};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{at_once, only_row, sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXP-3", "activity is written once per touch interval", once_per_touch_interval),
    scenario!("EXP-3", "concurrent requests write activity once per interval", once_by_concurrent_requests),
    scenario!("EXP-3", "a request that extracts nothing is no activity", activity_is_an_extraction),
    scenario!("EXP-3", "however long a request takes, it was active when it came", active_when_it_came),
    scenario!("EXP-3", "due activity and data go in one statement", activity_and_data_in_one_statement),
];

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
        assert_eq!(world.faults.count(OpKind::Update), 0, "a second before the interval has passed");
        assert_eq!(only_row(&world, "ada").await.last_active_at, last);
        world.clock.advance(SECOND);
        for _ in 0..3 {
            assert_eq!(user(&mut browser).await, json!("ada"));
        }
        assert_eq!(world.faults.count(OpKind::Update), 1);
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
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Update), world.faults.total());
    assert_eq!(counts, (1, 1, 2));
    let before = only_row(&world, "ada").await;
    assert_eq!((before.data.text(), before.last_active_at), (r#"{"a":1}"#, world.clock.now()));

    world.clock.advance(TOUCH);
    world.faults.fail(OpKind::Update, Fault::NotApplied);
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
