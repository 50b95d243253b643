//! ROT-9: tokens that are rotated by the way.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::Visitors;

use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{at_once, id, only_row, sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ROT-9", "a token is rotated once it is old enough, and not before", once_it_is_old_enough),
    scenario!("ROT-9", "it takes one write, which stores the data too", one_write),
    scenario!("ROT-9", "without the setting no token is rotated", off_by_default),
    scenario!("ROT-9", "a token that its browser may not have isn't replaced yet", once_it_was_seen),
    scenario!("ROT-9", "of requests at once one sends the successor", one_of_many),
    scenario!("ROT-9", "requests at once that write lose nothing by it", writes_at_once),
    scenario!("ROT-9", "a failure rotates nothing", failures),
    scenario!("ROT-9", "a request's own rotation, sign-in or sign-out counts instead", own_changes),
    scenario!("ROT-9", "an answer that is lost signs nobody out", a_lost_answer),
    scenario!("ROT-9", "a write whose answer the store lost sends the token that it made", lost_by_the_store),
    scenario!("ROT-9", "a visitor's token isn't rotated", visitors),
];

const EVERY: Duration = Duration::from_mins(10);
const SECOND: Duration = Duration::from_secs(1);

async fn rotating(world: &World) -> World {
    world.with_config(|config| config.rotate_every(EVERY)).await
}

async fn read(browser: &mut Browser) -> Reply {
    let reply = browser.run(json!([{"op": "user_id"}])).await;
    assert_eq!((reply.status, reply.result(0)), (200, json!("ada")));
    reply
}

fn set(value: &str) -> Value {
    json!([{"op": "set", "key": "a", "value": value}])
}

async fn once_it_is_old_enough(world: World) {
    let node = rotating(&world).await;
    let mut browser = sign_in(&node, "ada").await;
    let (first, before) = (browser.cookie(), id(&mut browser).await);
    world.clock.advance(EVERY - SECOND);
    assert_eq!(read(&mut browser).await.set_cookies().len(), 0);
    let absolute = only_row(&world, "ada").await.absolute_expires_at;
    for round in 0..4 {
        world.clock.advance(if round == 0 { SECOND } else { EVERY - SECOND });
        assert_eq!(read(&mut browser).await.set_cookies().len(), 1, "round {round}");
        assert_ne!(browser.cookie(), first);
        world.clock.advance(SECOND);
        assert_eq!(read(&mut browser).await.set_cookies().len(), 0, "the new one is young");
        let row = only_row(&world, "ada").await;
        assert!(row.token_seen && row.absolute_expires_at == absolute);
    }
    assert_eq!(id(&mut browser).await, before);
}

async fn one_write(world: World) {
    let node = rotating(&world).await;
    let mut browser = sign_in(&node, "ada").await;
    world.clock.advance(EVERY);
    world.faults.reset_counts();
    assert_eq!(browser.run(set("one")).await.set_cookies().len(), 1);
    assert_eq!((world.faults.count(OpKind::Update), world.faults.total()), (1, 2), "a look-up and a write");
    let row = only_row(&world, "ada").await;
    assert!(row.previous_token_hash.is_some() && row.successor.is_some() && !row.token_seen);
    assert_eq!(data(&world, "ada").await, json!({"a": "one"}));
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn off_by_default(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for _ in 0..5 {
        world.clock.advance(Duration::from_hours(24));
        assert_eq!(read(&mut browser).await.set_cookies().len(), 0);
    }
}

async fn once_it_was_seen(world: World) {
    let node = rotating(&world).await;
    let mut browser = sign_in(&node, "ada").await;
    world.clock.advance(SECOND);
    browser.run(json!([{"op": "rotate"}])).await;
    world.clock.advance(EVERY);
    assert_eq!(read(&mut browser).await.set_cookies().len(), 0, "presented for the first time");
    assert_eq!(read(&mut browser).await.set_cookies().len(), 1);
}

async fn one_of_many(world: World) {
    let node = rotating(&world).await;
    let other = node.node().await;
    for round in 0..world.rounds.min(20) {
        let browser = sign_in(&node, "ada").await;
        world.clock.advance(EVERY);
        let nodes = [&node, &other];
        let requests =
            (0..4).map(|at| (nodes[at % 2], browser.on(nodes[at % 2]), json!([{"op": "user_id"}]))).collect();
        let mut sent = Vec::new();
        for (mut browser, reply) in at_once(requests).await {
            assert_eq!((reply.status, reply.result(1)), (200, json!("ada")), "round {round}");
            sent.extend(reply.set_cookies());
            assert_eq!(user(&mut browser).await, json!("ada"), "round {round}");
        }
        assert_eq!(sent.len(), 1, "round {round}");
        node.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn writes_at_once(world: World) {
    let node = rotating(&world).await;
    let other = node.node().await;
    let mut browser = sign_in(&node, "ada").await;
    let rounds = world.rounds.min(10);
    for _ in 0..rounds {
        world.clock.advance(EVERY);
        let nodes = [&node, &other];
        let requests = (0..4)
            .map(|at| (nodes[at % 2], browser.on(nodes[at % 2]), json!([{"op": "increment", "key": "n"}])))
            .collect();
        let before = browser.cookie();
        for (after, reply) in at_once(requests).await {
            assert_eq!(reply.status, 200);
            if after.cookie() != before {
                browser = after.on(&node);
            }
        }
        assert_ne!(browser.cookie(), before);
        assert_eq!(user(&mut browser).await, json!("ada"));
    }
    assert_eq!(data(&world, "ada").await, json!({"n": 4 * rounds}));
}

async fn failures(world: World) {
    let node = rotating(&world).await;
    let mut browser = sign_in(&node, "ada").await;
    world.clock.advance(EVERY);
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "status", "code": 500}])).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (500, 0));
    assert_eq!(only_row(&world, "ada").await.previous_token_hash, None);
    for fault in [Fault::NotApplied, Fault::UnknownLost, Fault::UnknownApplied] {
        world.faults.fail(OpKind::Update, fault);
        let reply = browser.run(set("b")).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (503, 0), "{fault:?}");
        world.faults.clear();
    }
    // What was made without an answer counts: the browser's token is its predecessor.
    world.clock.advance(EVERY);
    assert_eq!(read(&mut browser).await.set_cookies().len(), 1);
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn own_changes(world: World) {
    let node = rotating(&world).await;
    for (ops, cookies, signed_in) in [
        (json!([{"op": "rotate"}]), 1, true),
        (json!([{"op": "rotate_strict"}]), 1, true),
        (json!([{"op": "authenticate", "user": "ada"}]), 1, true),
        (json!([{"op": "logout"}]), 1, false),
    ] {
        let mut browser = sign_in(&node, "ada").await;
        world.clock.advance(EVERY);
        let reply = browser.run(ops.clone()).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (200, cookies), "{ops}");
        assert_eq!(user(&mut browser).await, if signed_in { json!("ada") } else { Value::Null }, "{ops}");
        node.service.revoke_all("ada").await.expect("the store works");
    }
    // A stream's `save`, and a reload, rotate nothing by themselves.
    let mut browser = sign_in(&node, "ada").await;
    world.clock.advance(EVERY);
    world.faults.reset_counts();
    let ops = json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "reload"}]);
    assert_eq!(browser.run(ops).await.set_cookies().len(), 1, "the commit does");
    assert_eq!(world.faults.count(OpKind::Update), 2);
}

async fn a_lost_answer(world: World) {
    let node = rotating(&world).await;
    let old = sign_in(&node, "ada").await;
    for _ in 0..3 {
        world.clock.advance(EVERY);
        // Each answer is lost: the browser keeps what it had.
        let mut lost = old.clone();
        assert_eq!(read(&mut lost).await.set_cookies().len(), 1);
    }
    let mut browser = old.clone();
    assert_eq!(read(&mut browser).await.set_cookies().len(), 1);
    assert_ne!(browser.cookie(), old.cookie());
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn lost_by_the_store(world: World) {
    let node = rotating(&world).await;
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = sign_in(&node, "ada").await;
        world.clock.advance(EVERY);
        world.faults.fail_once(OpKind::Update, fault);
        let reply = browser.run(set("kept")).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (200, 1), "{fault:?}");
        assert_eq!(read(&mut browser).await.set_cookies().len(), 0);
        let row = only_row(&world, "ada").await;
        assert!(row.token_seen, "{fault:?}: the browser has the row's own token");
        assert_eq!(data(&world, "ada").await, json!({"a": "kept"}));
        node.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn visitors(world: World) {
    let node = world.with_config(|config| config.rotate_every(EVERY).visitors(Visitors::new())).await;
    let mut browser = node.browser();
    assert_eq!(browser.run(set("cart")).await.set_cookies().len(), 1);
    world.clock.advance(EVERY * 2);
    assert_eq!(browser.run(set("more")).await.set_cookies().len(), 0);
    let read = browser.run(json!([{"op": "get", "key": "a"}])).await;
    assert_eq!((read.result(0), read.set_cookies().len()), (json!({"value": "more"}), 0));
}
