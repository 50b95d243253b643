//! DATA-9, DATA-15: how many bytes of values a session keeps.

use serde_json::json;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::stored::{data, message, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-9", "data over 64 KiB is refused at set", over_the_default_limit),
    scenario!("DATA-9", "the limit counts all pending values to the byte", the_limit_counts_to_the_byte),
    scenario!("DATA-9", "an update or sign-in over the limit is refused", the_limit_holds_everywhere),
    scenario!("DATA-15", "concurrent keys may together pass the limit up to twice", up_to_twice_the_limit),
    scenario!("DATA-15", "beyond twice the limit the later commit is a 413", beyond_twice_the_limit),
    scenario!("DATA-15", "beyond what the store can keep a set and a sign-in are a 413", beyond_the_store_at_set),
    scenario!("DATA-15", "beyond what the store can keep the later commit is a 413", beyond_the_store_at_commit),
    scenario!("DATA-15", "what the store could keep once can shrink to what it keeps now", shrinking_to_the_store),
];

async fn over_the_default_limit(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let most = "x".repeat(60_000);
    browser.run(json!([{"op": "set", "key": "basket", "value": most}])).await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "basket", "value": "x".repeat(66_000)},
            {"op": "get", "key": "basket"},
            {"op": "set", "key": "second", "value": "x".repeat(10_000)},
            {"op": "set", "key": "small", "value": 1},
        ]))
        .await;
    for (i, key) in [(0, "basket"), (2, "second")] {
        assert_eq!(reply.error_status(i), Some(413), "{key}");
        let message = message(&reply.result(i));
        assert!(message.contains(key) && message.contains("65536"), "{message} names {key} and the limit");
    }
    assert_eq!(reply.result(1), json!({"value": most}));
    assert_eq!(data(&world, "ada").await, json!({"basket": most, "small": 1}));
}

async fn the_limit_counts_to_the_byte(world: World) {
    let world = world.with_config(|config| config.max_data_bytes(64)).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    // `{"k":"…"}` is 8 bytes around the value.
    let reply = browser
        .run(json!([
            {"op": "set", "key": "k", "value": "x".repeat(57)},
            {"op": "set", "key": "k", "value": "x".repeat(56)},
            {"op": "set", "key": "l", "value": 1},
        ]))
        .await;
    assert_eq!(reply.error_status(0), Some(413), "65 bytes of JSON");
    assert_eq!(reply.error_status(1), None, "64 bytes of JSON");
    assert_eq!(reply.error_status(2), Some(413), "a second key on top of what is pending");
    assert_eq!(data(&world, "ada").await, json!({"k": "x".repeat(56)}));
    let reply = browser
        .run(json!([
            {"op": "set", "key": "l", "value": 1},
            {"op": "set", "key": "k", "value": "y".repeat(56)},
            {"op": "remove_key", "key": "k"},
            {"op": "set", "key": "l", "value": "z".repeat(50)},
        ]))
        .await;
    assert_eq!(reply.error_status(0), Some(413), "a second key on top of what is stored");
    assert_eq!(reply.error_status(1), None, "a value in the place of another");
    assert_eq!(reply.error_status(3), None, "what was removed no longer counts");
    assert_eq!(data(&world, "ada").await, json!({"l": "z".repeat(50)}));
}

async fn the_limit_holds_everywhere(world: World) {
    let world = world.with_config(|config| config.max_data_bytes(64)).await;
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"k": "x".repeat(70)}}])).await;
    assert_eq!((reply.error_status(0), reply.sends_cookie()), (Some(413), false));
    assert!(rows(&world, "ada").await.is_empty());
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"k": "x".repeat(50)}}])).await;
    let reply = browser.run(json!([{"op": "increment", "key": "visits"}])).await;
    assert_eq!(reply.error_status(0), Some(413));
    assert!(message(&reply.result(0)).contains("visits"));
    assert_eq!(data(&world, "ada").await, json!({"k": "x".repeat(50)}));
}

async fn up_to_twice_the_limit(world: World) {
    let world = world.with_config(|config| config.max_data_bytes(100)).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let large = "x".repeat(80);
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": large}]), "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "b", "value": large}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"a": large, "b": large}));
    let reply = browser.run(json!([{"op": "set", "key": "c", "value": 1}, {"op": "remove_key", "key": "a"}])).await;
    assert_eq!(reply.error_status(0), Some(413), "a set still has the limit itself");
    assert_eq!(data(&world, "ada").await, json!({"b": large}), "and a session over it can still shrink");
}

async fn beyond_twice_the_limit(world: World) {
    let world = world.with_config(|config| config.max_data_bytes(100)).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let large = "x".repeat(80);
    let second =
        in_flight(&world, &browser, json!([{"op": "set", "key": "b", "value": large}]), "second", json!([])).await;
    let third = json!([
        {"op": "header", "name": "x-handler", "value": "done"},
        {"op": "set", "key": "c", "value": large},
    ]);
    let third = in_flight(&world, &browser, third, "third", json!([])).await;
    browser.run(json!([{"op": "set", "key": "a", "value": large}])).await;
    assert_eq!(second.finish(&world).await.1.status, 200);
    let (_, reply) = third.finish(&world).await;
    assert_eq!(reply.status, 413);
    assert!(reply.set_cookies().is_empty());
    assert!(!String::from_utf8_lossy(&reply.body).contains("results"), "a response never claims what wasn't stored");
    assert_eq!(data(&world, "ada").await, json!({"a": large, "b": large}));
}

async fn beyond_the_store_at_set(world: World) {
    world.faults.keep_at_most(100);
    let world = world.with_config(|config| config).await;
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"k": "x".repeat(100)}}])).await;
    assert_eq!((reply.error_status(0), reply.sends_cookie()), (Some(413), false));
    browser.sign_in("ada").await;
    // `{"k":"…"}` is 8 bytes around the value.
    let reply = browser
        .run(json!([
            {"op": "set", "key": "k", "value": "x".repeat(93)},
            {"op": "set", "key": "k", "value": "x".repeat(92)},
        ]))
        .await;
    assert_eq!((reply.error_status(0), reply.error_status(1), reply.status), (Some(413), None, 200));
    assert!(message(&reply.result(0)).contains("100"), "the limit that holds is named");
    assert_eq!(data(&world, "ada").await, json!({"k": "x".repeat(92)}));
}

async fn beyond_the_store_at_commit(world: World) {
    world.faults.keep_at_most(150);
    let world = world.with_config(|config| config.max_data_bytes(100)).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let large = "x".repeat(80);
    let set = |key: &str| json!([{"op": "set", "key": key, "value": large}]);
    let slow = in_flight(&world, &browser, set("b"), "slow", json!([])).await;
    let saving = in_flight(&world, &browser, set("c"), "saving", json!([{"op": "save"}])).await;
    browser.run(set("a")).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.status, 413, "two of them are within twice the limit, and beyond the store");
    assert!(!String::from_utf8_lossy(&reply.body).contains("results"), "a response never claims what wasn't stored");
    let (_, reply) = saving.finish(&world).await;
    assert_eq!(reply.status, 413, "a save");
    assert_eq!(data(&world, "ada").await, json!({"a": large}));
}

async fn shrinking_to_the_store(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let large = "x".repeat(80);
    let set = json!([
        {"op": "set", "key": "a", "value": large},
        {"op": "set", "key": "b", "value": large},
        {"op": "set", "key": "c", "value": large},
    ]);
    browser.run(set).await;
    world.faults.keep_at_most(100);
    let world = world.with_config(|config| config).await;
    let mut browser = browser.on(&world);
    let reply = browser.run(json!([{"op": "remove_key", "key": "a"}])).await;
    assert_eq!(reply.status, 413, "it is less, and still beyond the store");
    let reply = browser.run(json!([{"op": "remove_key", "key": "a"}, {"op": "remove_key", "key": "b"}])).await;
    assert_eq!(reply.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"c": large}));
}
