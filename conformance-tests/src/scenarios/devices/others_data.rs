//! LIST-1: a list shows no other session's data.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{id, sign_in};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("LIST-1", "list_my_sessions shows the data of this session alone", own_data_alone),
    scenario!("LIST-1", "list shows the data of the caller's own session alone", to_the_user),
    scenario!("LIST-1", "list shows no data to another user or to nobody", to_anyone_else),
];

/// Three sessions of ada, each with data and its id.
async fn signed_in(world: &World) -> Vec<(Browser, String, Value)> {
    let mut all = Vec::new();
    for i in 0..3 {
        let mut browser = sign_in(world, "ada").await;
        browser.run(json!([{"op": "set", "key": "secret", "value": i}])).await;
        let own = id(&mut browser).await;
        all.push((browser, own, json!({"secret": i})));
    }
    all
}

/// Of ada's three sessions, the list shows the data of `own` and that of no other.
fn shows(list: &Value, own: Option<(&str, &Value)>) {
    let list = list.as_array().unwrap_or_else(|| panic!("a list, not {list}"));
    assert_eq!(list.len(), 3);
    for session in list {
        let expected = own.filter(|(id, _)| session["id"] == json!(id)).map_or(&Value::Null, |(_, data)| data);
        assert_eq!(session.get("data"), Some(expected), "{}", session["id"]);
    }
    assert!(own.is_none_or(|(id, _)| list.iter().any(|session| session["id"] == json!(id))));
}

async fn own_data_alone(world: World) {
    for (mut browser, own, data) in signed_in(&world).await {
        let script = json!([{"op": "list_my_sessions"}, {"op": "rotate"}, {"op": "list_my_sessions"}]);
        let reply = browser.run(script).await;
        shows(&reply.result(0), Some((&own, &data)));
        shows(&reply.result(2), Some((&own, &data)));
    }
}

async fn to_the_user(world: World) {
    let node = world.node().await;
    for (browser, own, data) in signed_in(&world).await {
        for node in [&world, &node] {
            let reply = browser.on(node).run(json!([{"op": "list", "user": "ada"}])).await;
            shows(&reply.result(0), Some((&own, &data)));
        }
    }
}

async fn to_anyone_else(world: World) {
    let mut all = signed_in(&world).await;
    let mut bob = sign_in(&world, "bob").await;
    bob.run(json!([{"op": "set", "key": "secret", "value": "bob's"}])).await;
    let mut signed_out = sign_in(&world, "eve").await;
    let ended = signed_out.clone();
    signed_out.run(json!([{"op": "logout"}])).await;
    for mut browser in [bob, world.browser(), ended] {
        shows(&browser.run(json!([{"op": "list", "user": "ada"}])).await.result(0), None);
    }
    // Once signed out, ada is nobody either.
    let mut extra = sign_in(&world, "ada").await;
    let reply = extra.run(json!([{"op": "logout"}, {"op": "list", "user": "ada"}])).await;
    shows(&reply.result(1), None);
    let (browser, ..) = &mut all[0];
    let reply = browser.run(json!([{"op": "authenticate", "user": "bob"}, {"op": "list", "user": "ada"}])).await;
    let left = reply.result(1);
    let left = left.as_array().expect("a list");
    assert!(left.len() == 2 && left.iter().all(|session| session["data"].is_null()), "{left:?}");
}
