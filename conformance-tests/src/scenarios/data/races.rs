//! DATA-4, DATA-6: requests of one session at once, on one node and across two. Each conflict is
//! made once on purpose, with a request that waits inside its handler, and then left to chance for
//! many rounds from a barrier.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::browser::{Browser, Reply};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-4", "a slow request keeps what faster ones stored", slow_keeps_what_faster_ones_stored),
    scenario!("DATA-4", "a slow removal takes one key only", a_slow_removal),
    scenario!("DATA-4", "for one key the last commit wins, whole", the_last_commit_wins_whole),
    scenario!("DATA-4", "requests at once that change different keys all take effect", different_keys_at_once),
    scenario!("DATA-4", "across two nodes they all take effect too", different_keys_across_nodes),
    scenario!("DATA-4", "requests at once that set one key leave one value whole", one_key_at_once),
    scenario!("DATA-6", "a sign-out beside writes at once is final", a_sign_out_beside_writes),
    scenario!("DATA-6", "a sign-out beside writes on another node is final", a_sign_out_beside_writes_across_nodes),
    scenario!("DATA-6", "a new sign-in beside writes at once leaves the new session only", a_sign_in_beside_writes),
];

async fn slow_keeps_what_faster_ones_stored(world: World) {
    let other = world.node().await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "old", "value": 0}])).await;
    let changes = json!([{"op": "set", "key": "a", "value": 1}, {"op": "set", "key": "b", "value": 1}]);
    let slow = in_flight(&world, &browser, changes, "slow", json!([{"op": "get", "key": "c"}])).await;
    browser.run(json!([{"op": "set", "key": "c", "value": 2}, {"op": "remove_key", "key": "old"}])).await;
    browser.on(&other).run(json!([{"op": "set", "key": "d", "value": 3}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.result(3)), (200, json!({"absent": true})), "it sees the data it began with");
    assert_eq!(data(&world, "ada").await, json!({"a": 1, "b": 1, "c": 2, "d": 3}));
}

async fn a_slow_removal(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "old", "value": 0}, {"op": "set", "key": "kept", "value": 0}])).await;
    let slow = in_flight(&world, &browser, json!([{"op": "remove_key", "key": "old"}]), "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "new", "value": 1}, {"op": "set", "key": "kept", "value": 1}])).await;
    assert_eq!(slow.finish(&world).await.1.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"kept": 1, "new": 1}));
}

async fn the_last_commit_wins_whole(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let set = json!([{"op": "set", "key": "k", "value": {"slow": 1, "both": "slow"}}]);
    let slow = in_flight(&world, &browser, set, "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "k", "value": {"fast": 1, "both": "fast"}}])).await;
    slow.finish(&world).await;
    assert_eq!(data(&world, "ada").await, json!({"k": {"slow": 1, "both": "slow"}}));
    let set = json!([{"op": "set", "key": "k", "value": "set"}]);
    let slow = in_flight(&world, &browser, set, "set after removal", json!([])).await;
    browser.run(json!([{"op": "remove_key", "key": "k"}])).await;
    slow.finish(&world).await;
    assert_eq!(data(&world, "ada").await, json!({"k": "set"}));
    let slow =
        in_flight(&world, &browser, json!([{"op": "remove_key", "key": "k"}]), "removal after set", json!([])).await;
    browser.run(json!([{"op": "set", "key": "k", "value": "newer"}])).await;
    slow.finish(&world).await;
    assert_eq!(data(&world, "ada").await, json!({}));
}

async fn different_keys_at_once(world: World) {
    different_keys(&world, &world).await;
}

async fn different_keys_across_nodes(world: World) {
    different_keys(&world, &world.node().await).await;
}

async fn different_keys(world: &World, other: &World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let mut violations = Vec::new();
    for round in 0..world.rounds {
        browser.run(json!([{"op": "set", "key": "removed", "value": round}])).await;
        let set = |key: &str| json!([{"op": "set", "key": key, "value": round}]);
        let replies = at_once(
            world,
            round,
            [
                (browser.clone(), set("a")),
                (browser.on(other), set("b")),
                (browser.clone(), set("c")),
                (browser.on(other), json!([{"op": "remove_key", "key": "removed"}])),
            ],
        )
        .await;
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        let stored = data(world, "ada").await;
        if statuses != [200; 4] || stored != json!({"a": round, "b": round, "c": round}) {
            violations.push((round, statuses, stored));
        }
    }
    assert!(violations.is_empty(), "{} of {} rounds: {violations:?}", violations.len(), world.rounds);
}

async fn one_key_at_once(world: World) {
    let other = world.node().await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let mut violations = Vec::new();
    for round in 0..world.rounds {
        let value = |i: usize| json!({format!("only {i}"): round, "both": [round, i]});
        let set = |i: usize| json!([{"op": "set", "key": "k", "value": value(i)}]);
        let nodes = [&world, &other, &world];
        let replies =
            at_once(&world, round, nodes.iter().enumerate().map(|(i, &node)| (browser.on(node), set(i)))).await;
        let stored = data(&world, "ada").await;
        if replies.iter().any(|reply| reply.status != 200) || !(0..3).any(|i| stored == json!({"k": value(i)})) {
            violations.push((round, stored));
        }
    }
    assert!(violations.is_empty(), "{} of {} rounds: {violations:?}", violations.len(), world.rounds);
}

async fn a_sign_out_beside_writes(world: World) {
    sign_out_beside_writes(&world, &world).await;
}

async fn a_sign_out_beside_writes_across_nodes(world: World) {
    sign_out_beside_writes(&world, &world.node().await).await;
}

async fn sign_out_beside_writes(world: &World, other: &World) {
    let mut violations = Vec::new();
    for round in 0..world.rounds {
        let mut browser = world.browser();
        browser.sign_in("ada").await;
        let mut late = browser.clone();
        let set = json!([{"op": "set", "key": "a", "value": round}, {"op": "increment", "key": "n"}]);
        let replies = at_once(
            world,
            round,
            [(browser.clone(), set.clone()), (browser.clone(), json!([{"op": "logout"}])), (browser.on(other), set)],
        )
        .await;
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        let live = rows(world, "ada").await.len();
        let seen = late.run(json!([{"op": "user_id"}])).await.result(0);
        let cookies = replies[0].set_cookies().len() + replies[2].set_cookies().len();
        if statuses != [200; 3] || live != 0 || seen != json!(null) || cookies != 0 {
            violations.push((round, statuses, live, seen, cookies));
        }
    }
    assert!(violations.is_empty(), "{} of {} rounds: {violations:?}", violations.len(), world.rounds);
}

async fn a_sign_in_beside_writes(world: World) {
    let other = world.node().await;
    let mut violations = Vec::new();
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    for round in 0..world.rounds {
        let set = json!([{"op": "set", "key": "late", "value": round}]);
        let mut signing_in = browser.clone();
        let barrier = Arc::new(Barrier::new(2));
        let sign_in = tokio::spawn({
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                let ops = json!([{"op": "authenticate_with", "user": "ada", "data": {"new": round}}]);
                let reply = signing_in.run(ops).await;
                (signing_in, reply.status)
            }
        });
        let mut writing = browser.on(&other);
        barrier.wait().await;
        let written = writing.run(set).await.status;
        let (next, signed_in) = sign_in.await.expect("the sign-in runs to its end");
        browser = next;
        let stored: Vec<_> = rows(&world, "ada").await.iter().map(|row| row.data.text().to_owned()).collect();
        if (written, signed_in) != (200, 200) || stored != [json!({"new": round}).to_string()] {
            violations.push((round, written, signed_in, stored));
        }
    }
    assert!(violations.is_empty(), "{} of {} rounds: {violations:?}", violations.len(), world.rounds);
}

/// Sends these requests at once, each from a task of its own, and returns the responses in order.
/// In every other round they also wait for each other inside their handlers, so that all have read
/// the row before any of them writes it.
pub(super) async fn at_once(
    world: &World,
    round: usize,
    requests: impl IntoIterator<Item = (Browser, Value)>,
) -> Vec<Reply> {
    let requests: Vec<_> = requests.into_iter().collect();
    let count = requests.len();
    let gate = round.is_multiple_of(2).then(|| format!("round {round}"));
    let barrier = Arc::new(Barrier::new(count));
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|(mut browser, mut ops)| {
            let barrier = Arc::clone(&barrier);
            if let (Some(gate), Value::Array(ops)) = (&gate, &mut ops) {
                ops.insert(0, json!({"op": "gate", "name": gate}));
            }
            tokio::spawn(async move {
                barrier.wait().await;
                browser.run(ops).await
            })
        })
        .collect();
    if let Some(gate) = gate {
        for _ in 0..count {
            world.gates.arrived(&gate).await;
        }
        world.gates.open(&gate);
    }
    let mut replies = Vec::with_capacity(count);
    for task in tasks {
        replies.push(task.await.expect("the request runs to its end"));
    }
    replies
}
