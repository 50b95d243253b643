//! DATA-14: `save`, for changes that must survive and for handlers that outlive the response head.
//! `reload` has files of its own.

use std::time::Duration;

use serde_json::json;
use session_core::Clock;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::{in_flight, in_flight_on};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-14", "save stores pending changes at once", save_stores_at_once),
    scenario!("DATA-14", "save counts an update once", save_counts_an_update_once),
    scenario!("DATA-14", "save without changes asks the store and records due activity", save_is_a_heartbeat),
    scenario!("DATA-14", "save after the session's end is a 401", save_after_the_end),
    scenario!("DATA-14", "a failed save is a 503", a_failed_save),
    scenario!("DATA-14", "a stream can get, set and save", a_stream_saves),
    scenario!("DATA-14", "a stream can't authenticate or rotate", a_stream_sends_no_cookie),
    scenario!("DATA-14", "a stream's logout ends the row", a_stream_signs_out),
    scenario!("DATA-14", "a stream's save after a sign-out elsewhere is a 401", a_stream_that_outlived_its_session),
];

async fn save_stores_at_once(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let before = json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "get", "key": "a"}]);
    let after = json!([{"op": "set", "key": "b", "value": 2}, {"op": "save"}, {"op": "set", "key": "c", "value": 3}]);
    let slow = in_flight(&world, &browser, before, "slow", after).await;
    assert_eq!(browser.run(json!([{"op": "get", "key": "a"}])).await.result(0), json!({"value": 1}));
    browser.run(json!([{"op": "set", "key": "meanwhile", "value": 4}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.result(2)), (200, json!({"value": 1})));
    assert_eq!(data(&world, "ada").await, json!({"a": 1, "b": 2, "c": 3, "meanwhile": 4}));
}

async fn save_counts_an_update_once(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let add = json!({"op": "increment", "key": "n"});
    browser.run(json!([add, {"op": "save"}, {"op": "save"}])).await;
    assert_eq!(data(&world, "ada").await, json!({"n": 1}));
    let slow = in_flight(&world, &browser, json!([add, {"op": "save"}, add]), "slow", json!([add])).await;
    browser.run(json!([{"op": "set", "key": "other", "value": 1}, add])).await;
    assert_eq!(slow.finish(&world).await.1.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"n": 5, "other": 1}));
}

async fn save_is_a_heartbeat(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    world.faults.reset_counts();
    browser.run(json!([{"op": "save"}, {"op": "save"}])).await;
    assert_eq!(world.faults.count(OpKind::Update), 2, "it always asks the store");
    let slow =
        in_flight(&world, &browser, json!([]), "slow", json!([{"op": "save"}, {"op": "list_my_sessions"}])).await;
    world.clock.advance(Duration::from_secs(3600));
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.error_status(1), None);
    let rows = rows(&world, "ada").await;
    assert_eq!(rows[0].last_active_at, world.clock.now());
    assert_eq!(rows[0].version, 0, "no data was written");
}

async fn save_after_the_end(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let after = json!([{"op": "save"}, {"op": "set", "key": "b", "value": 1}, {"op": "save"}]);
    let idle = in_flight(&world, &browser, json!([]), "idle", after).await;
    let after = json!([{"op": "save"}]);
    let busy = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "busy", after).await;
    browser.clone().run(json!([{"op": "logout"}])).await;
    let (_, reply) = idle.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(1)), (200, Some(401)));
    assert!(reply.set_cookies().is_empty());
    let (_, reply) = busy.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(2)), (200, Some(401)));
    assert!(reply.set_cookies().is_empty());
    assert!(rows(&world, "ada").await.is_empty());
}

async fn a_failed_save(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let before = json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}]);
    let slow = in_flight(&world, &browser, before, "slow", json!([{"op": "get", "key": "a"}])).await;
    assert_eq!(data(&world, "ada").await, json!({}));
    world.faults.clear();
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(1)), (200, Some(503)));
    assert_eq!(reply.result(3), json!({"value": 1}), "the change is still pending");
    assert_eq!(data(&world, "ada").await, json!({"a": 1}), "and the commit stored it");
}

async fn a_stream_saves(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let before = json!([{"op": "set", "key": "a", "value": 1}, {"op": "increment", "key": "n"}, {"op": "head"}]);
    let after = json!([
        {"op": "get", "key": "a"},
        {"op": "set", "key": "b", "value": 2},
        {"op": "increment", "key": "n"},
        {"op": "save"},
        {"op": "get", "key": "b"},
        {"op": "set", "key": "unsaved", "value": 3},
        {"op": "current"},
    ]);
    let stream = in_flight_on("/stream", &world, &browser, before, "stream", after).await;
    assert_eq!(data(&world, "ada").await, json!({"a": 1, "n": 1}), "what was pending at the head is stored with it");
    browser.run(json!([{"op": "set", "key": "meanwhile", "value": 4}, {"op": "increment", "key": "n"}])).await;
    let (_, reply) = stream.finish(&world).await;
    let results = reply.results();
    let results = &results[results.len() - 7..];
    assert_eq!((&results[0], &results[4]), (&json!({"value": 1}), &json!({"value": 2})));
    assert!(results[3].get("error").is_none(), "{}", results[3]);
    assert_eq!(results[6]["user_id"], json!("ada"));
    assert_eq!(data(&world, "ada").await, json!({"a": 1, "b": 2, "n": 3, "meanwhile": 4}));
}

async fn a_stream_sends_no_cookie(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let cookie = browser.cookie();
    let reply = browser
        .run_on(
            "/stream",
            json!([
                {"op": "head"},
                {"op": "authenticate", "user": "bob"},
                {"op": "authenticate_with", "user": "bob", "data": {}},
                {"op": "rotate"},
                {"op": "user_id"},
            ]),
        )
        .await;
    let results = reply.results();
    let results = &results[results.len() - 4..];
    for result in &results[..3] {
        assert_eq!(result["error"]["status"], json!(500), "{result}");
    }
    assert_eq!(results[3], json!("ada"));
    assert!(rows(&world, "bob").await.is_empty(), "no session that no browser could have");
    assert_eq!(rows(&world, "ada").await.len(), 1);
    assert_eq!(browser.cookie(), cookie);
    assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"), "the old token still works");
}

async fn a_stream_signs_out(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let ops = json!([{"op": "head"}, {"op": "logout"}, {"op": "current"}, {"op": "set", "key": "a", "value": 1}]);
    let reply = browser.run_on("/stream", ops).await;
    let results = reply.results();
    let results = &results[results.len() - 3..];
    assert_eq!((&results[0], &results[1]), (&json!(null), &json!(null)));
    assert!(reply.set_cookies().is_empty(), "the head had left");
    assert!(rows(&world, "ada").await.is_empty());
    assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!(null));
}

async fn a_stream_that_outlived_its_session(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let after = json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}]);
    let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = stream.finish(&world).await;
    assert_eq!(reply.results().last().unwrap()["error"]["status"], json!(401));
    assert!(rows(&world, "ada").await.is_empty());
}
