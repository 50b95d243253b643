//! DATA-10, DATA-11: the handler's end. Which responses store their changes, and what a failed
//! commit answers. Not here: the headers that it keeps, see `kept_headers`.

use std::time::Duration;

use serde_json::json;
use session_core::Clock;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::in_process::extracted;
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-10", "a 5xx response discards pending changes", a_5xx_discards),
    scenario!("DATA-10", "every other response stores them", other_statuses_store),
    scenario!("DATA-10", "what was saved before a 5xx stays", saved_before_a_5xx),
    scenario!("DATA-10", "a panic discards pending changes", a_panic_discards),
    scenario!("DATA-10", "a dropped handler discards pending changes", a_dropped_handler_discards),
    scenario!("DATA-10", "a request without a commit stores nothing", a_request_without_a_commit),
    scenario!("DATA-10", "a sign-in stays done beside a 5xx, with its cookie", a_sign_in_beside_a_5xx),
    scenario!("DATA-10", "a rotate stays done beside a 5xx, with its cookie", a_rotate_beside_a_5xx),
    scenario!("DATA-10", "a sign-out stays done beside a 5xx, with its cookie", a_sign_out_beside_a_5xx),
    scenario!("DATA-11", "a commit that can't be stored is an empty 503", an_empty_503),
    scenario!("DATA-11", "that 503 keeps the cookie of a sign-in already stored", a_503_after_a_sign_in),
    scenario!("DATA-11", "that 503 keeps the cookie of a rotate already stored", a_503_after_a_rotate),
    scenario!("DATA-11", "that 503 keeps the removal of a sign-out already stored", a_503_before_a_sign_out),
    scenario!("DATA-11", "unrecorded activity is an event and the response stands", unrecorded_activity),
    scenario!("DATA-11", "discarded changes claim nothing and need no store", discarded_changes_need_no_store),
];

async fn a_5xx_discards(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "kept", "value": 1}, {"op": "set", "key": "n", "value": 1}])).await;
    for status in [500, 502, 503, 599] {
        let reply = browser
            .run(json!([
                {"op": "set", "key": "a", "value": 1},
                {"op": "remove_key", "key": "kept"},
                {"op": "increment", "key": "n"},
                {"op": "get", "key": "n"},
                {"op": "status", "code": status},
            ]))
            .await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.result(3), json!({"value": 2}), "the handler saw its own changes");
        assert_eq!(data(&world, "ada").await, json!({"kept": 1, "n": 1}), "{status}");
    }
    let reply = browser.run(json!([{"op": "get", "key": "a"}, {"op": "get", "key": "kept"}])).await;
    assert_eq!((reply.result(0), reply.result(1)), (json!({"absent": true}), json!({"value": 1})));
}

async fn other_statuses_store(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    for status in [201, 204, 303, 304, 400, 401, 404, 413, 422, 499] {
        let reply =
            browser.run(json!([{"op": "set", "key": "last", "value": status}, {"op": "status", "code": status}])).await;
        assert_eq!(reply.status, status);
        assert_eq!(data(&world, "ada").await, json!({"last": status}));
    }
}

async fn saved_before_a_5xx(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "order", "value": 1},
            {"op": "save"},
            {"op": "set", "key": "order", "value": 2},
            {"op": "set", "key": "other", "value": 2},
            {"op": "status", "code": 500},
        ]))
        .await;
    assert_eq!(reply.status, 500);
    assert_eq!(data(&world, "ada").await, json!({"order": 1}));
}

async fn a_panic_discards(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let outcome = browser
        .try_run(json!([
            {"op": "set", "key": "saved", "value": 1},
            {"op": "save"},
            {"op": "set", "key": "a", "value": 1},
            {"op": "panic"},
        ]))
        .await;
    assert!(outcome.is_none_or(|reply| reply.status == 500), "a closed connection, or a 500");
    assert_eq!(data(&world, "ada").await, json!({"saved": 1}));
    let reply = browser.run(json!([{"op": "set", "key": "next", "value": 1}])).await;
    assert_eq!(reply.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"saved": 1, "next": 1}));
}

async fn a_dropped_handler_discards(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let changes = json!([
        {"op": "set", "key": "saved", "value": 1},
        {"op": "save"},
        {"op": "set", "key": "a", "value": 1},
    ]);
    in_flight(&world, &browser, changes, "hung up", json!([])).await.hang_up().await;
    if world.drops_on_hang_up {
        world.gates.left("hung up").await;
        browser.run(json!([{"op": "set", "key": "next", "value": 1}])).await;
        assert_eq!(data(&world, "ada").await, json!({"saved": 1, "next": 1}));
    } else {
        // It runs on, to its commit: until then there is nothing to see.
        world.gates.open("hung up");
        while data(&world, "ada").await == json!({"saved": 1}) {
            tokio::task::yield_now().await;
        }
        assert_eq!(data(&world, "ada").await, json!({"saved": 1, "a": 1}));
    }
}

/// As when a layer ends in an error instead of a response.
async fn a_request_without_a_commit(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let (scope, session) = extracted(&world, &browser).await;
    session.set("saved", &1).unwrap();
    session.save().await.unwrap();
    session.set("a", &1).unwrap();
    drop((scope, session));
    browser.run(json!([{"op": "set", "key": "next", "value": 1}])).await;
    assert_eq!(data(&world, "ada").await, json!({"saved": 1, "next": 1}));
}

async fn a_sign_in_beside_a_5xx(world: World) {
    let mut browser = world.browser();
    let reply = browser
        .run(json!([
            {"op": "authenticate_with", "user": "ada", "data": {"given": 1}},
            {"op": "set", "key": "a", "value": 1},
            {"op": "status", "code": 500},
        ]))
        .await;
    assert_eq!((reply.status, reply.sends_cookie()), (500, true));
    assert_eq!(data(&world, "ada").await, json!({"given": 1}));
    assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"));
}

async fn a_rotate_beside_a_5xx(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let mut old = browser.clone();
    let reply = browser
        .run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "rotate"}, {"op": "status", "code": 503}]))
        .await;
    assert_eq!((reply.status, reply.sends_cookie()), (503, true));
    assert!(rows(&world, "ada").await[0].previous_token_hash.is_some());
    assert_eq!(old.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"), "its successor wasn't presented yet");
    let reply = browser.run(json!([{"op": "user_id"}])).await;
    assert_eq!(reply.result(0), json!("ada"), "who rotated and then failed is not signed out");
}

async fn a_sign_out_beside_a_5xx(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser.run(json!([{"op": "logout"}, {"op": "status", "code": 500}])).await;
    assert_eq!((reply.status, reply.removes_cookie()), (500, true));
    assert!(rows(&world, "ada").await.is_empty());
    assert_eq!(browser.cookie(), None);
}

/// The faults with which a store may answer a write.
const FAULTS: [(&str, Fault); 3] = [
    ("not applied", Fault::NotApplied),
    ("unknown, applied", Fault::UnknownApplied),
    ("unknown, lost", Fault::UnknownLost),
];

async fn an_empty_503(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    for (name, fault) in FAULTS {
        for status in [200, 303, 404] {
            browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "remove_key", "key": "b"}])).await;
            world.faults.fail(OpKind::Update, fault);
            let reply = browser
                .run(json!([
                    {"op": "set", "key": "b", "value": 2},
                    {"op": "header", "name": "x-handler", "value": "done"},
                    {"op": "header", "name": "set-cookie", "value": "flash=saved"},
                    {"op": "header", "name": "location", "value": "/done"},
                    {"op": "header", "name": "content-type", "value": "application/x-handler"},
                    {"op": "status", "code": status},
                ]))
                .await;
            assert_eq!(reply.status, 503, "{name}, instead of {status}");
            assert!(reply.body.is_empty(), "{name}: {:?}", reply.body);
            for header in ["x-handler", "set-cookie", "location", "content-type"] {
                assert!(!reply.headers.contains_key(header), "{name}: {header}");
            }
            assert_eq!(reply.headers["retry-after"], "1", "{name}");
            world.faults.clear();
            let reply = browser.run(json!([{"op": "get", "key": "a"}])).await;
            assert_eq!(reply.result(0), json!({"value": 1}), "{name}: the session lives on");
            let stored = data(&world, "ada").await;
            let applied = matches!(fault, Fault::UnknownApplied);
            assert_eq!(stored, if applied { json!({"a": 1, "b": 2}) } else { json!({"a": 1}) }, "{name}");
        }
    }
}

async fn a_503_after_a_sign_in(world: World) {
    let mut browser = world.browser();
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let reply = browser
        .run(json!([
            {"op": "authenticate", "user": "ada"},
            {"op": "set", "key": "a", "value": 1},
            {"op": "header", "name": "set-cookie", "value": "flash=saved"},
        ]))
        .await;
    world.faults.clear();
    assert_eq!((reply.status, reply.body.is_empty(), reply.sends_cookie()), (503, true, true));
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 1, "only the session's own");
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!((&reply.result(0)["user_id"], &reply.result(0)["data"]), (&json!("ada"), &json!({})));
}

async fn a_503_after_a_rotate(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let before = browser.cookie();
    let slow =
        in_flight(&world, &browser, json!([{"op": "rotate"}]), "slow", json!([{"op": "set", "key": "a", "value": 1}]))
            .await;
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let (mut browser, reply) = slow.finish(&world).await;
    world.faults.clear();
    assert_eq!((reply.status, reply.body.is_empty(), reply.sends_cookie()), (503, true, true));
    assert_ne!(browser.cookie(), before);
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!((&reply.result(0)["user_id"], &reply.result(0)["data"]), (&json!("ada"), &json!({})));
}

async fn a_503_before_a_sign_out(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    world.faults.fail(OpKind::Update, Fault::UnknownLost);
    let change = json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}]);
    let slow = in_flight(&world, &browser, change, "slow", json!([{"op": "save"}, {"op": "logout"}])).await;
    world.faults.clear();
    // After two others it is unknown whether it was stored.
    for n in 0..2 {
        assert_eq!(browser.run(json!([{"op": "set", "key": "b", "value": n}])).await.status, 200);
    }
    let (browser, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.body.is_empty(), reply.removes_cookie()), (503, true, true));
    assert!(rows(&world, "ada").await.is_empty());
    assert_eq!(browser.cookie(), None);
}

async fn unrecorded_activity(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    for (name, fault) in FAULTS {
        world.clock.advance(Duration::from_secs(3600));
        world.events();
        world.faults.fail(OpKind::Update, fault);
        let reply = browser
            .run(json!([
                {"op": "user_id"},
                {"op": "header", "name": "x-handler", "value": "done"},
                {"op": "status", "code": 201},
            ]))
            .await;
        world.faults.clear();
        assert_eq!((reply.status, reply.result(0)), (201, json!("ada")), "{name}");
        assert_eq!(reply.headers["x-handler"], "done", "{name}");
        assert!(reply.set_cookies().is_empty(), "{name}");
        assert!(world.events().iter().any(|event| event.contains("ActivityNotRecorded")), "{name}: an event tells");
        assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"), "{name}");
        assert_eq!(
            rows(&world, "ada").await[0].last_active_at,
            world.clock.now(),
            "{name}: the next request records it"
        );
    }
}

async fn discarded_changes_need_no_store(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    world.faults.reset_counts();
    let reply = browser
        .run(json!([
            {"op": "set", "key": "a", "value": 1},
            {"op": "header", "name": "x-handler", "value": "failed"},
            {"op": "status", "code": 500},
        ]))
        .await;
    assert_eq!((reply.status, reply.body.is_empty()), (500, false));
    assert_eq!(reply.headers["x-handler"], "failed");
    assert_eq!(world.faults.count(OpKind::Update), 0);
}
