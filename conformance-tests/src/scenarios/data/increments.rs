//! DATA-5: updates of one key at once, on one node and across two, and what becomes of those that
//! can't be replayed.

use serde_json::json;

use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::data::races::at_once;
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-5", "a slow increment adds to what faster ones stored", a_slow_increment),
    scenario!("DATA-5", "increments at once count once each", increments_at_once),
    scenario!("DATA-5", "increments across two nodes count once each", increments_across_nodes),
    scenario!("DATA-5", "of many increments at once none is refused, or tried over and over", many_increments_at_once),
    scenario!("DATA-5", "a replay on another type is a 500 that stores nothing", a_replay_on_another_type),
    scenario!("DATA-5", "a replay that panics is a 500 that stores nothing", a_replay_that_panics),
];

async fn a_slow_increment(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let add = json!({"op": "increment", "key": "n"});
    let slow = in_flight(&world, &browser, json!([add, add]), "slow", json!([{"op": "get", "key": "n"}])).await;
    browser.run(json!([add])).await;
    browser.run(json!([add])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.result(3)), (200, json!({"value": 2})), "as this request saw it");
    assert_eq!(data(&world, "ada").await, json!({"n": 4}));
    let slow =
        in_flight(&world, &browser, json!([{"op": "set", "key": "n", "value": 10}, add]), "set", json!([])).await;
    browser.run(json!([add])).await;
    slow.finish(&world).await;
    assert_eq!(data(&world, "ada").await, json!({"n": 11}), "what was set first needs no replay");
    let slow = in_flight(&world, &browser, json!([add]), "removed", json!([])).await;
    browser.run(json!([{"op": "remove_key", "key": "n"}])).await;
    slow.finish(&world).await;
    assert_eq!(data(&world, "ada").await, json!({"n": 1}), "a replay on an absent key starts from none");
}

async fn increments_at_once(world: World) {
    increments(&world, &world).await;
}

async fn increments_across_nodes(world: World) {
    increments(&world, &world.node().await).await;
}

async fn increments(world: &World, other: &World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let mut answered = 0_u64;
    let mut unexpected = Vec::new();
    let mut violations = Vec::new();
    for round in 0..world.rounds {
        let add = json!([{"op": "increment", "key": "n"}]);
        let nodes = [world, other, world, other, world, other];
        let replies = at_once(world, round, nodes.map(|node| (browser.on(node), add.clone()))).await;
        for reply in replies {
            match reply.status {
                200 => answered += 1,
                503 => {}
                status => unexpected.push(status),
            }
        }
        let counted = data(world, "ada").await["n"].as_u64().unwrap_or(0);
        if counted != answered {
            violations.push((round, counted, answered));
            answered = counted;
        }
    }
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert!(violations.is_empty(), "{} of {} rounds: {violations:?}", violations.len(), world.rounds);
    assert!(answered > 0, "an outage is no proof");
}

async fn many_increments_at_once(world: World) {
    const REQUESTS: u64 = 48;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    world.faults.reset_counts();
    for round in 1..=4 {
        let requests = [(); REQUESTS as usize].map(|()| (browser.on(&world), json!([{"op": "increment", "key": "n"}])));
        let replies = at_once(&world, round, requests).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert_eq!(data(&world, "ada").await["n"], REQUESTS * round as u64);
    }
    // Each is too late once, or twice before its turn, and then stored, but for those that overtake
    // the first in the queue.
    let tries = world.faults.count(OpKind::Update);
    assert!(tries <= 4 * 4 * REQUESTS, "{tries}");
}

async fn a_replay_on_another_type(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "n", "value": 1}])).await;
    let changes = json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "increment", "key": "n"},
        {"op": "set", "key": "z", "value": 1},
        {"op": "header", "name": "x-handler", "value": "done"},
    ]);
    let slow = in_flight(&world, &browser, changes, "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "n", "value": "s3cret"}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.status, 500);
    assert!(reply.set_cookies().is_empty());
    let body = String::from_utf8_lossy(&reply.body);
    assert!(!body.contains("results") && !body.contains("s3cret"), "{body}");
    assert_eq!(data(&world, "ada").await, json!({"n": "s3cret"}));
    assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"));
}

async fn a_replay_that_panics(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let changes = json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "increment_panicking_on_replay", "key": "n"},
        {"op": "set", "key": "z", "value": 1},
    ]);
    let slow = in_flight(&world, &browser, changes.clone(), "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "n", "value": 5}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.status, 500);
    assert!(!String::from_utf8_lossy(&reply.body).contains("results"), "{:?}", reply.body);
    assert_eq!(data(&world, "ada").await, json!({"n": 5}));
    let reply = browser.run(changes).await;
    assert_eq!(reply.status, 200, "without a conflict nothing is replayed");
    assert_eq!(data(&world, "ada").await, json!({"a": 1, "n": 6, "z": 1}));
}
