//! DATA-7, DATA-8: values of another type than the one asked for, and sign-in data that isn't an
//! object.

use serde_json::json;

use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::stored::{data, message, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-7", "a wrong type is an error that names the key", a_wrong_type_names_the_key),
    scenario!("DATA-7", "an update of a wrong type is an error that changes nothing", an_update_of_a_wrong_type),
    scenario!("DATA-8", "sign-in data that isn't an object changes nothing", only_objects_are_data),
];

async fn a_wrong_type_names_the_key(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let stored = json!({"text": "s3cret", "negative": -731, "null": null, "list": ["s3cret"], "float": 731.5});
    for (key, value) in stored.as_object().unwrap() {
        browser.run(json!([{"op": "set", "key": key, "value": value}])).await;
    }
    for (key, value) in stored.as_object().unwrap() {
        let reply = browser.run(json!([{"op": "get_u64", "key": key}, {"op": "get", "key": key}])).await;
        assert_eq!(reply.error_status(0), Some(500), "{key}");
        let message = message(&reply.result(0));
        assert!(message.contains(key.as_str()), "{message} names {key}");
        assert!(!message.contains("s3cret") && !message.contains("731"), "{message} shows no value");
        assert_eq!(reply.result(1), json!({"value": value}), "what is stored stays");
        assert_eq!(reply.status, 200, "the handler decides what to make of it");
    }
    assert_eq!(data(&world, "ada").await, stored);
}

async fn an_update_of_a_wrong_type(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "n", "value": "s3cret"}])).await;
    let reply = browser.run(json!([{"op": "increment", "key": "n"}, {"op": "set", "key": "b", "value": 1}])).await;
    assert_eq!(reply.error_status(0), Some(500));
    let message = message(&reply.result(0));
    assert!(message.contains('n') && !message.contains("s3cret"), "{message}");
    assert_eq!(data(&world, "ada").await, json!({"n": "s3cret", "b": 1}));
}

async fn only_objects_are_data(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let cookie = browser.cookie();
    world.faults.reset_counts();
    for bad in [json!(null), json!(1), json!("{}"), json!(true), json!([]), json!([{"a": 1}])] {
        let reply = browser
            .run(json!([
                {"op": "authenticate_with", "user": "bob", "data": bad},
                {"op": "user_id"},
                {"op": "current"},
            ]))
            .await;
        assert_eq!(reply.error_status(0), Some(400), "{bad}");
        assert_eq!(reply.result(1), json!("ada"), "{bad}");
        assert_eq!(reply.result(2)["data"], json!({"a": 1}), "{bad}");
        assert!(reply.set_cookies().is_empty(), "{bad}");
        let reply = world.browser().run(json!([{"op": "authenticate_with", "user": "bob", "data": bad}])).await;
        assert_eq!((reply.error_status(0), reply.sends_cookie()), (Some(400), false), "{bad}");
    }
    assert_eq!(world.faults.count(OpKind::Create), 0);
    assert_eq!(browser.cookie(), cookie);
    assert!(rows(&world, "bob").await.is_empty());
    assert_eq!(data(&world, "ada").await, json!({"a": 1}));
}
