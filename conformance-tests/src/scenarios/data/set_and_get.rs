//! DATA-1, DATA-2, DATA-3, DATA-13: what a value goes through between `set` and the next request's
//! `get`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::data::values::nested;
use crate::scenarios::support::in_process::{committed, extracted, lines};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-1", "what is set is read back, in this request and the next", set_is_read_back),
    scenario!("DATA-1", "an absent key is none, and so is a removed one", absent_keys_are_none),
    scenario!("DATA-1", "an update is read back, in this request and the next", an_update_is_read_back),
    scenario!("DATA-2", "without a session changes do nothing and succeed", without_a_session_nothing_happens),
    scenario!("DATA-2", "without a session an update's function isn't run", without_a_session_no_update_is_run),
    scenario!("DATA-2", "after the session's end changes do nothing and succeed", after_the_end_nothing_happens),
    scenario!("DATA-3", "values set after authenticate are stored", set_after_authenticate),
    scenario!("DATA-3", "values set after authenticate_with join its data", set_after_authenticate_with),
    scenario!("DATA-3", "values set around a rotate are stored", set_around_a_rotate),
    scenario!("DATA-3", "values set before a sign-in belong to the session before", set_before_a_sign_in),
    scenario!("DATA-13", "a read is one store call and a write two", a_read_is_one_call_and_a_write_two),
    scenario!("DATA-13", "reads and removing an absent key write no data", reads_write_no_data),
];

async fn set_is_read_back(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "theme", "value": "dark"},
            {"op": "get", "key": "theme"},
            {"op": "current"},
            {"op": "set", "key": "theme", "value": "light"},
            {"op": "get", "key": "theme"},
        ]))
        .await;
    assert_eq!(reply.result(1), json!({"value": "dark"}));
    assert_eq!(reply.result(2)["data"], json!({"theme": "dark"}));
    assert_eq!(reply.result(4), json!({"value": "light"}));
    let reply = browser.run(json!([{"op": "get", "key": "theme"}, {"op": "current"}])).await;
    assert_eq!(reply.result(0), json!({"value": "light"}));
    assert_eq!(reply.result(1)["data"], json!({"theme": "light"}));
}

async fn absent_keys_are_none(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser
        .run(json!([
            {"op": "get", "key": "theme"},
            {"op": "get_u64", "key": "theme"},
            {"op": "set", "key": "theme", "value": "dark"},
            {"op": "remove_key", "key": "theme"},
            {"op": "get", "key": "theme"},
            {"op": "set", "key": "kept", "value": 1},
        ]))
        .await;
    for i in [0, 1, 4] {
        assert_eq!(reply.result(i), json!({"absent": true}), "entry {i}");
    }
    browser.run(json!([{"op": "set", "key": "theme", "value": "dark"}])).await;
    let reply = browser.run(json!([{"op": "remove_key", "key": "theme"}, {"op": "get", "key": "theme"}])).await;
    assert_eq!(reply.result(1), json!({"absent": true}));
    assert_eq!(data(&world, "ada").await, json!({"kept": 1}));
}

async fn an_update_is_read_back(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let get = json!({"op": "get", "key": "n"});
    let add = json!({"op": "increment", "key": "n"});
    let reply = browser.run(json!([add, get, add, get])).await;
    assert_eq!((reply.result(1), reply.result(3)), (json!({"value": 1}), json!({"value": 2})));
    let reply = browser.run(json!([get, {"op": "set", "key": "n", "value": 40}, add, add, get])).await;
    assert_eq!((reply.result(0), reply.result(4)), (json!({"value": 2}), json!({"value": 42})));
    browser.run(json!([{"op": "remove_key", "key": "n"}, add])).await;
    assert_eq!(data(&world, "ada").await, json!({"n": 1}), "an update after a removal starts from none");
}

/// Changes of every kind, of values that a session would refuse too.
fn changes_of_every_kind() -> Value {
    json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "set", "key": "large", "value": "x".repeat(70_000)},
        {"op": "set", "key": "deep", "value": nested(101)},
        {"op": "set_unserializable", "key": "a"},
        {"op": "increment", "key": "n"},
        {"op": "remove_key", "key": "a"},
        {"op": "save"},
        {"op": "get", "key": "a"},
        {"op": "get", "key": "n"},
    ])
}

async fn without_a_session_nothing_happens(world: World) {
    let mut browser = world.browser();
    world.faults.reset_counts();
    let reply = browser.run(changes_of_every_kind()).await;
    assert_eq!(reply.status, 200);
    for i in 0..6 {
        assert_eq!(reply.error_status(i), None, "entry {i}");
    }
    assert_eq!(reply.error_status(6), Some(401), "there is nothing to save, and no session to save it in");
    assert_eq!((reply.result(7), reply.result(8)), (json!({"absent": true}), json!({"absent": true})));
    assert!(reply.set_cookies().is_empty());
    assert_eq!(world.faults.total(), 0, "nobody is signed in, so there is nothing to ask the store");
}

async fn without_a_session_no_update_is_run(world: World) {
    let (scope, session) = extracted(&world, &world.browser()).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let update = move |old: Option<u64>| {
        counted.fetch_add(1, Ordering::Relaxed);
        old.unwrap_or(0) + 1
    };
    session.update("n", update.clone()).unwrap();
    assert!(lines(&committed(&scope).await, "set-cookie").is_empty());
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let (scope, session) = extracted(&world, &browser).await;
    session.update("n", update).unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1, "with a session it runs at once");
    committed(&scope).await;
    assert_eq!(runs.load(Ordering::Relaxed), 1, "and without a conflict never again");
    assert_eq!(data(&world, "ada").await, json!({"n": 1}));
}

async fn after_the_end_nothing_happens(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let Value::Array(changes) = changes_of_every_kind() else { unreachable!() };
    let reply = browser.run(Value::Array([vec![json!({"op": "logout"})], changes].concat())).await;
    assert_eq!(reply.status, 200);
    for i in 0..7 {
        assert_eq!(reply.error_status(i), None, "entry {i}");
    }
    assert_eq!(reply.error_status(7), Some(401), "save");
    assert_eq!(reply.result(8), json!({"absent": true}));
    assert!(reply.removes_cookie());
    assert!(rows(&world, "ada").await.is_empty());
}

async fn set_after_authenticate(world: World) {
    let mut browser = world.browser();
    let reply = browser
        .run(json!([
            {"op": "authenticate", "user": "ada"},
            {"op": "set", "key": "a", "value": 1},
            {"op": "increment", "key": "n"},
            {"op": "current"},
        ]))
        .await;
    assert_eq!(reply.result(3)["data"], json!({"a": 1, "n": 1}));
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!(reply.result(0)["data"], json!({"a": 1, "n": 1}));
}

async fn set_after_authenticate_with(world: World) {
    let mut browser = world.browser();
    browser
        .run(json!([
            {"op": "authenticate_with", "user": "ada", "data": {"given": 1, "changed": 1, "removed": 1}},
            {"op": "set", "key": "changed", "value": 2},
            {"op": "set", "key": "added", "value": 3},
            {"op": "remove_key", "key": "removed"},
        ]))
        .await;
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!(reply.result(0)["data"], json!({"given": 1, "changed": 2, "added": 3}));
}

async fn set_around_a_rotate(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "before", "value": 1},
            {"op": "rotate"},
            {"op": "set", "key": "after", "value": 2},
        ]))
        .await;
    assert!(reply.sends_cookie());
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!(reply.result(0)["data"], json!({"before": 1, "after": 2}));
}

async fn set_before_a_sign_in(world: World) {
    let mut browser = world.browser();
    browser
        .run(json!([
            {"op": "set", "key": "nobody's", "value": 1},
            {"op": "authenticate", "user": "ada"},
            {"op": "set", "key": "first", "value": 1},
        ]))
        .await;
    assert_eq!(data(&world, "ada").await, json!({"first": 1}));
    browser
        .run(json!([
            {"op": "set", "key": "old", "value": 1},
            {"op": "authenticate", "user": "ada"},
            {"op": "set", "key": "new", "value": 2},
        ]))
        .await;
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!(reply.result(0)["data"], json!({"new": 2}));
}

async fn a_read_is_one_call_and_a_write_two(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    world.faults.reset_counts();
    browser.run(json!([{"op": "current"}, {"op": "get", "key": "a"}, {"op": "current"}])).await;
    assert_eq!((world.faults.count(OpKind::Load), world.faults.total()), (1, 1));
    world.faults.reset_counts();
    browser
        .run(json!([
            {"op": "set", "key": "a", "value": 1},
            {"op": "increment", "key": "n"},
            {"op": "get", "key": "n"},
            {"op": "set", "key": "b", "value": 2},
            {"op": "remove_key", "key": "b"},
        ]))
        .await;
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Update), world.faults.total());
    assert_eq!(counts, (1, 1, 2), "however many changes, and with the activity that is due");
    world.clock.advance(Duration::from_secs(3600));
    world.faults.reset_counts();
    browser.run(json!([{"op": "set", "key": "a", "value": 2}])).await;
    assert_eq!(world.faults.total(), 2, "activity and data go in one call");
}

async fn reads_write_no_data(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let before = rows(&world, "ada").await;
    world.faults.reset_counts();
    let reply = browser
        .run(json!([
            {"op": "get", "key": "a"},
            {"op": "get", "key": "absent"},
            {"op": "get_u64", "key": "a"},
            {"op": "current"},
            {"op": "is_authenticated"},
            {"op": "user_id"},
            {"op": "remove_key", "key": "absent"},
            {"op": "set_unserializable", "key": "a"},
        ]))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(world.faults.count(OpKind::Update), 0);
    assert_eq!(rows(&world, "ada").await, before);
}
