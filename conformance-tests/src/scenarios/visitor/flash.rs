//! FLASH: messages for the next page, of users and of visitors.

use serde_json::{Value, json};

use super::{visitor_id, with_visitors};
use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{at_once, sign_in};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLASH-1", "messages wait for the page that takes them, in their order", in_their_order),
    scenario!("FLASH-1", "the extractor takes them too", by_the_extractor),
    scenario!("FLASH-1", "a failed request adds no message", a_failed_request_adds_none),
    scenario!("FLASH-1", "without a session no message is kept", without_a_session),
    scenario!("FLASH-2", "of requests at once one gets each message", once),
    scenario!("FLASH-2", "a message is taken out of the row at once", taken_at_once),
    scenario!("FLASH-2", "taking beside other changes loses none of them", beside_other_changes),
    scenario!("FLASH-2", "what a page adds and shows itself removes no other message", shown_at_once),
    scenario!("FLASH-2", "without messages the store isn't asked", nothing_to_take),
    scenario!("FLASH-3", "a failed page puts the messages back", put_back),
    scenario!("FLASH-3", "a page whose commit fails puts the messages back", put_back_after_a_failed_commit),
    scenario!("FLASH-3", "a store that fails while messages are taken loses none", a_store_that_fails),
];

fn push(text: &str) -> Value {
    json!({"op": "flash_push", "level": "success", "text": text})
}

fn message(text: &str) -> Value {
    json!({"level": "success", "text": text})
}

async fn taken(browser: &mut Browser) -> Value {
    browser.run(json!([{"op": "flash_take"}])).await.result(0)
}

/// A signed-in browser and a visitor's.
async fn both(world: &World) -> [Browser; 2] {
    [sign_in(world, "ada").await, world.browser()]
}

fn is_done(reply: &Reply) {
    assert_eq!((reply.status, reply.error_status(0)), (200, None), "{reply:?}");
}

async fn in_their_order(world: World) {
    let world = with_visitors(&world).await;
    for mut browser in both(&world).await {
        let more = json!({"op": "flash_push", "level": "warning", "text": "b", "data": {"undo": 7}});
        is_done(&browser.run(json!([push("a"), more, {"op": "status", "code": 200}])).await);
        // Pages between that don't take them.
        is_done(&browser.run(json!([{"op": "current"}])).await);
        is_done(&browser.run(json!([push("c")])).await);
        let reply = browser.run(json!([push("d"), {"op": "flash_take"}, {"op": "flash_take"}])).await;
        let b = json!({"level": "warning", "text": "b", "data": {"undo": 7}});
        assert_eq!(reply.result(1), json!([message("a"), b, message("c"), message("d")]));
        assert_eq!(reply.result(2), json!([]), "once in a request too");
        assert_eq!(taken(&mut browser).await, json!([]));
    }
    assert_eq!(data(&world, "ada").await, json!({}), "nothing is left in the row");
}

async fn by_the_extractor(world: World) {
    let world = with_visitors(&world).await;
    for mut browser in both(&world).await {
        is_done(&browser.run(json!([push("a")])).await);
        let reply = browser.get("/flash").await;
        assert_eq!((reply.status, reply.json()), (200, json!([message("a")])));
        assert_eq!(browser.get("/flash").await.json(), json!([]));
    }
}

async fn a_failed_request_adds_none(world: World) {
    let world = with_visitors(&world).await;
    for mut browser in both(&world).await {
        browser.run(json!([push("a"), {"op": "status", "code": 500}])).await;
        assert_eq!(taken(&mut browser).await, json!([]));
    }
}

async fn without_a_session(world: World) {
    let mut browser = world.browser();
    is_done(&browser.run(json!([push("a"), {"op": "flash_take"}])).await);
    assert_eq!((taken(&mut browser).await, browser.cookie()), (json!([]), None));
}

async fn once(world: World) {
    let world = with_visitors(&world).await;
    let other = world.node().await;
    for round in 0..world.rounds {
        let mut browser = if round % 2 == 0 { sign_in(&world, "ada").await } else { world.browser() };
        is_done(&browser.run(json!([push("a"), push("b")])).await);
        let take = || json!([{"op": "flash_take"}]);
        let requests = (0..3).map(|n| {
            let node = if n == 1 { &other } else { &world };
            (node, browser.on(node), take())
        });
        let done = at_once(requests.collect()).await;
        let mut shown: Vec<_> =
            done.iter().flat_map(|(_, reply)| reply.result(1).as_array().cloned().expect("messages")).collect();
        shown.sort_by_key(ToString::to_string);
        assert_eq!(shown, [message("a"), message("b")], "round {round}");
        assert!(done.iter().all(|(_, reply)| reply.status == 200), "round {round}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn taken_at_once(world: World) {
    let world = with_visitors(&world).await;
    for (n, mut browser) in both(&world).await.into_iter().enumerate() {
        is_done(&browser.run(json!([push("a")])).await);
        let gate = ["a user", "a visitor"][n];
        let slow = in_flight(&world, &browser, json!([{"op": "flash_take"}]), gate, json!([])).await;
        assert_eq!(taken(&mut browser).await, json!([]), "the slow page has it");
        is_done(&browser.run(json!([push("b")])).await);
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!([message("a")])));
        assert_eq!(taken(&mut browser).await, json!([message("b")]));
    }
}

async fn beside_other_changes(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    is_done(&browser.run(json!([push("a"), {"op": "set", "key": "n", "value": 1}])).await);
    let before = json!([{"op": "increment", "key": "n"}, {"op": "set", "key": "mine", "value": 1}]);
    let after = json!([{"op": "flash_take"}, {"op": "get", "key": "theirs"}, {"op": "increment", "key": "n"}]);
    let slow = in_flight(&world, &browser, before, "slow", after).await;
    browser.run(json!([{"op": "increment", "key": "n"}, {"op": "set", "key": "theirs", "value": 1}, push("b")])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.result(3), json!([message("a"), message("b")]), "what came since the look-up is taken too");
    assert_eq!(reply.result(4), json!({"value": 1}), "the session is as it is now");
    assert_eq!(data(&world, "ada").await, json!({"n": 4, "mine": 1, "theirs": 1}));

    // What the request has changed is still its own to lose.
    is_done(&browser.run(json!([push("c")])).await);
    let script = json!([{"op": "set", "key": "mine", "value": 2}, {"op": "flash_take"}, {"op": "status", "code": 500}]);
    assert_eq!(browser.run(script).await.result(1), json!([message("c")]));
    assert_eq!(data(&world, "ada").await["mine"], json!(1));
}

async fn shown_at_once(world: World) {
    let world = with_visitors(&world).await;
    for (n, mut browser) in both(&world).await.into_iter().enumerate() {
        is_done(&browser.run(json!([{"op": "set", "key": "n", "value": 1}])).await);
        let gate = ["a user", "a visitor"][n];
        let before = json!([push("mine"), {"op": "flash_take"}, {"op": "increment", "key": "n"}]);
        let slow = in_flight(&world, &browser, before, gate, json!([push("more")])).await;
        is_done(&browser.run(json!([push("theirs")])).await);
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.status, reply.result(1)), (200, json!([message("mine")])));
        assert_eq!(taken(&mut browser).await, json!([message("theirs"), message("more")]));
    }
}

async fn nothing_to_take(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut nobody = world.browser();
    world.faults.reset_counts();
    assert_eq!(taken(&mut browser).await, json!([]));
    assert_eq!(taken(&mut nobody).await, json!([]));
    assert_eq!((world.faults.count(OpKind::Load), world.faults.total()), (1, 1), "the look-up");
}

async fn put_back(world: World) {
    let world = with_visitors(&world).await;
    for (n, mut browser) in both(&world).await.into_iter().enumerate() {
        is_done(&browser.run(json!([push("a"), push("b")])).await);
        let reply = browser.run(json!([{"op": "flash_take"}, {"op": "status", "code": 503}])).await;
        assert_eq!((reply.status, reply.result(0)), (503, json!([message("a"), message("b")])));
        let waiting = browser.run(json!([{"op": "get", "key": "~flash"}])).await.result(0);
        assert_eq!(waiting, json!({"value": [message("a"), message("b")]}));
        if let Some(reply) = browser.try_run(json!([{"op": "flash_take"}, {"op": "panic"}])).await {
            assert_eq!(reply.status, 500);
        }
        // A panic's request puts them back after its connection was closed.
        while browser.run(json!([{"op": "get", "key": "~flash"}])).await.result(0) == json!({"absent": true}) {}
        let gate = ["a user", "a visitor"][n];
        let ends = json!([{"op": "status", "code": 500}]);
        let slow = in_flight(&world, &browser, json!([{"op": "flash_take"}]), gate, ends).await;
        is_done(&browser.run(json!([push("c")])).await);
        assert_eq!(slow.finish(&world).await.1.status, 500);
        let waiting = taken(&mut browser).await;
        assert_eq!(waiting, json!([message("a"), message("b"), message("c")]));
    }
}

async fn put_back_after_a_failed_commit(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    is_done(&browser.run(json!([push("a")])).await);
    let before = json!([{"op": "flash_take"}, {"op": "set", "key": "mine", "value": 1}]);
    let slow = in_flight(&world, &browser, before, "slow", json!([])).await;
    world.faults.fail_once(OpKind::Update, Fault::NotApplied);
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.body.len()), (503, 0));
    assert_eq!(taken(&mut browser).await, json!([message("a")]));
    assert_eq!(data(&world, "ada").await, json!({}));
}

async fn a_store_that_fails(world: World) {
    let world = with_visitors(&world).await;
    for (n, mut browser) in both(&world).await.into_iter().enumerate() {
        is_done(&browser.run(json!([push("a")])).await);
        world.faults.fail(OpKind::Update, Fault::NotApplied);
        let reply = browser.run(json!([{"op": "flash_take"}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, Some(503)));
        world.faults.clear();
        world.faults.fail_once(OpKind::Update, [Fault::UnknownApplied, Fault::UnknownLost][n]);
        assert_eq!(taken(&mut browser).await, json!([message("a")]), "asked again");
        assert_eq!(taken(&mut browser).await, json!([]));
    }
    let mut browser = world.browser();
    is_done(&browser.run(json!([push("a")])).await);
    let id = visitor_id(&mut browser).await;
    let ends = json!([{"op": "flash_take"}]);
    let slow = in_flight(&world, &browser, json!([]), "the visitor ends", ends).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.result(1)), (200, json!([])), "{id} has ended, and its messages with it");
}
