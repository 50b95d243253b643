//! DATA-6: sessions that end while a request runs, each made on purpose. Left to chance they are in
//! `races`.

use std::time::Duration;

use serde_json::json;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-6", "a write never brings an ended session back", ended_meanwhile),
    scenario!("DATA-6", "a write never brings an expired session back", expired_meanwhile),
    scenario!("DATA-6", "a replaced session's data goes nowhere", replaced_meanwhile),
    scenario!("DATA-6", "a token replaced over a minute ago counts as ended", replaced_token),
];

async fn ended_meanwhile(world: World) {
    let ends = |id: &str| {
        [
            ("logout", json!({"op": "logout"})),
            ("logout_all", json!({"op": "logout_all"})),
            ("revoke", json!({"op": "revoke", "id": id})),
            ("revoke_by_id", json!({"op": "revoke_by_id", "user": "ada", "id": id})),
            ("revoke_all", json!({"op": "revoke_all", "user": "ada"})),
        ]
    };
    for i in 0..ends("").len() {
        let mut browser = world.browser();
        browser.sign_in("ada").await;
        let (end, op) = ends(&rows(&world, "ada").await[0].id.to_string())[i].clone();
        // Activity is due as well, so that there are two reasons to write the row.
        world.clock.advance(Duration::from_secs(3600));
        let changes = json!([
            {"op": "set", "key": "a", "value": 1},
            {"op": "increment", "key": "n"},
            {"op": "header", "name": "x-handler", "value": "done"},
            {"op": "status", "code": 201},
        ]);
        let slow = in_flight(&world, &browser, changes, end, json!([{"op": "get", "key": "a"}])).await;
        let reply = browser.clone().run(json!([op])).await;
        assert_eq!(reply.error_status(0), None, "{end}");
        world.events();
        let (mut late, reply) = slow.finish(&world).await;
        assert_eq!(reply.status, 201, "{end}: the handler's response stands");
        assert_eq!(reply.headers["x-handler"], "done", "{end}");
        assert_eq!(reply.result(5), json!({"value": 1}), "{end}: as the handler saw it");
        assert!(reply.set_cookies().is_empty(), "{end}: only a sign-out asked for here removes the cookie");
        assert!(rows(&world, "ada").await.is_empty(), "{end}: the row stays gone");
        assert_eq!(late.run(json!([{"op": "current"}])).await.result(0), json!(null), "{end}");
        assert!(world.events().iter().any(|event| event.contains("DataDropped")), "{end}: an event tells");
    }
}

async fn expired_meanwhile(world: World) {
    let world = world.with_config(|config| config.idle_timeout(Duration::from_secs(3600))).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "slow", json!([])).await;
    world.clock.advance(Duration::from_secs(3600));
    let (mut late, reply) = slow.finish(&world).await;
    assert_eq!(reply.status, 200);
    assert!(reply.set_cookies().is_empty());
    assert_eq!(late.run(json!([{"op": "current"}])).await.result(0), json!(null));
    assert!(rows(&world, "ada").await.is_empty());
}

async fn replaced_meanwhile(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "slow", json!([])).await;
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"new": true}}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.status, 200);
    assert!(reply.set_cookies().is_empty());
    assert_eq!(data(&world, "ada").await, json!({"new": true}));
    assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"));
}

async fn replaced_token(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let recent = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "recent", json!([])).await;
    let late = in_flight(&world, &browser, json!([{"op": "set", "key": "b", "value": 1}]), "late", json!([])).await;
    world.clock.advance(Duration::from_secs(1));
    browser.run(json!([{"op": "rotate"}])).await;
    browser.run(json!([{"op": "user_id"}])).await;
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(recent.finish(&world).await.1.status, 200);
    world.clock.advance(Duration::from_secs(1));
    let (_, reply) = late.finish(&world).await;
    assert_eq!((reply.status, reply.set_cookies().is_empty()), (200, true));
    assert_eq!(data(&world, "ada").await, json!({"a": 1}));
}
