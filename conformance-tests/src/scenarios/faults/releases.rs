//! FLT-5: neighbouring releases, which share one store while a deployment is under way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use session_core::Data;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::faults::outages::signed_in;
use crate::scenarios::support::stored::{data, rewritten, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-5", "a row with words of another release works and is kept", rows_of_another_release),
    scenario!("FLT-5", "releases with other settings share sessions", nodes_with_other_settings),
];

async fn rows_of_another_release(world: World) {
    let mut browser = signed_in(&world, "ada", json!({})).await;
    rewritten(&world, |row| {
        let client = Arc::make_mut(&mut row.client);
        client.device_type = "wristwatch".to_owned();
        client.device_name = "a device of the future".to_owned();
        client.fingerprint = "v2:os=plan9;browser=mothra".to_owned();
        row.version = 41;
        row.token_seen = true;
        row.data = Data::from_text("{ \"z\" : 1.50, \"a\":{\"later\" :[ ]},\n \"__kept\":\"\\u00e9\" }");
    })
    .await;
    let reply = browser.run(json!([{"op": "current"}, {"op": "list_my_sessions"}])).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.result(0)["device_type"], json!("wristwatch"));
    assert_eq!(reply.result(0)["fingerprint"], json!("v2:os=plan9;browser=mothra"));
    assert_eq!(reply.result(0)["data"], json!({"z": 1.5, "a": {"later": []}, "__kept": "é"}));
    assert_eq!(reply.result(1)[0]["id"], reply.result(0)["id"]);
    world.clock.advance(Duration::from_secs(3600));
    browser.run(json!([{"op": "set", "key": "new", "value": 1}, {"op": "rotate"}])).await;
    let row = rows(&world, "ada").await.remove(0);
    assert_eq!(data(&world, "ada").await, json!({"z": 1.5, "a": {"later": []}, "__kept": "é", "new": 1}));
    assert_eq!(row.client.device_type, "wristwatch", "what isn't understood is kept");
    assert_eq!(
        (row.client.device_name.as_str(), row.client.fingerprint.as_str()),
        ("a device of the future", "v2:os=plan9;browser=mothra")
    );
    browser.run(json!([{"op": "logout"}])).await;
    assert!(rows(&world, "ada").await.is_empty());
}

async fn nodes_with_other_settings(world: World) {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let old = world.with_config(|config| config.idle_timeout(hours(2)).absolute_timeout(hours(4))).await;
    let new = world.with_config(|config| config.idle_timeout(hours(3)).absolute_timeout(hours(8))).await;
    let mut browser = old.browser();
    browser.sign_in("ada").await;
    for (i, node) in [&new, &old, &new, &old, &new, &old].into_iter().enumerate() {
        world.clock.advance(Duration::from_secs(600));
        let mut here = browser.on(node);
        let reply = here.run(json!([{"op": "increment", "key": "n"}, {"op": "set", "key": "node", "value": i}])).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.set_cookies().len(), 0);
    }
    assert_eq!(data(&world, "ada").await, json!({"n": 6, "node": 5}));
    let mut there = browser.on(&new);
    assert!(there.run(json!([{"op": "rotate"}])).await.sends_cookie());
    let mut back = there.on(&old);
    assert_eq!(back.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"));
    assert_eq!(back.run(json!([{"op": "logout"}])).await.error_status(0), None);
    assert!(rows(&world, "ada").await.is_empty());
}
