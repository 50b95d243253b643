//! VISIT-1, VISIT-2: what a visitor's values are, and when there is a row and a cookie.

use serde_json::{Value, json};
use session_core::Visitors;

use super::{on, row_of, visitor, visitor_id, with_visitors};
use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::at_once;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-1", "the first stored value makes a row and sends the cookie once", the_first_value),
    scenario!("VISIT-1", "every operation on values works", every_operation),
    scenario!("VISIT-1", "a request that stores nothing leaves nothing", nothing_is_left),
    scenario!("VISIT-1", "a save in the handler makes the row", a_save),
    scenario!("VISIT-1", "what is removed again leaves nothing", removed_again),
    scenario!("COOK-6", "a visitor's later values send no cookie", later_values),
    scenario!("VISIT-2", "a visitor's data has a limit of its own", a_limit_of_its_own),
    scenario!("VISIT-2", "a store with less room has the lower limit", the_stores_limit),
    scenario!("VISIT-2", "concurrent requests of a visitor that change different keys all take effect", different_keys),
    scenario!("VISIT-2", "concurrent increments of a visitor all count", increments),
    scenario!("VISIT-2", "a slow request keeps what faster ones of the visitor stored", a_slow_request),
];

async fn the_first_value(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = world.browser();
    let reply =
        browser.run(json!([{"op": "set", "key": "cart", "value": ["tea"]}, {"op": "get", "key": "cart"}])).await;
    assert_eq!((reply.status, reply.result(1)), (200, json!({"value": ["tea"]})));
    assert_eq!((reply.set_cookies().len(), reply.sends_cookie()), (1, true));
    assert!(reply.headers["cache-control"].to_str().is_ok_and(|value| value.contains("no-store")));
    let id = visitor_id(&mut browser).await;
    assert_eq!(row_of(&world, &id).await.map(|row| row.data.text().to_owned()).as_deref(), Some(r#"{"cart":["tea"]}"#));

    let other = world.node().await;
    let reply = browser.on(&other).run(json!([{"op": "get", "key": "cart"}, {"op": "visitor_id"}])).await;
    assert_eq!(reply.results(), json!([{"value": ["tea"]}, id]).as_array().cloned().expect("an array"));
    assert!(reply.set_cookies().is_empty());
    assert!(reply.vary().to_ascii_lowercase().contains("cookie"));
}

async fn every_operation(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = world.browser();
    let script = json!([
        {"op": "increment", "key": "visits"},
        {"op": "set", "key": "a", "value": 1},
        {"op": "set", "key": "b", "value": 2},
        {"op": "save"},
        {"op": "remove_key", "key": "a"},
        {"op": "increment", "key": "visits"},
        {"op": "reload"},
    ]);
    let reply = browser.run(script).await;
    assert!((0..7).all(|at| reply.error_status(at).is_none()), "{reply:?}");
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 1));
    let id = visitor_id(&mut browser).await;
    let data: Value = serde_json::from_str(row_of(&world, &id).await.expect("a row").data.text()).expect("JSON");
    assert_eq!(data, json!({"visits": 2, "b": 2}));
}

async fn nothing_is_left(world: World) {
    let world = with_visitors(&world).await;
    world.faults.reset_counts();
    let mut garbage = world.browser();
    garbage.set_cookie("v1.AAAA");
    for mut browser in [world.browser(), garbage] {
        for script in [
            json!([{"op": "get", "key": "cart"}, {"op": "current"}, {"op": "visitor_id"}, {"op": "remove_key", "key": "a"}]),
            json!([]),
            json!([{"op": "set_unserializable", "key": "a"}]),
        ] {
            let reply = browser.run(script).await;
            assert_eq!(reply.status, 200);
            assert!(reply.set_cookies().is_empty());
        }
        let reply = browser.run(json!([{"op": "save"}, {"op": "logout"}, {"op": "save"}])).await;
        assert!((0..3).all(|at| reply.error_status(at).is_none()), "there is nothing to save: {reply:?}");
    }
    assert_eq!(world.faults.total(), 0, "bots cost nothing");
}

async fn a_save(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "visitor_id"}])).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (None, 1));
    assert_eq!(json!(visitor_id(&mut browser).await), reply.result(2));
    assert_eq!(world.faults.count(OpKind::Create), 1);

    // The head has left: no cookie can follow.
    let mut late = world.browser();
    let script = json!([{"op": "head"}, {"op": "set", "key": "a", "value": 1}, {"op": "save"}]);
    let reply = late.run_on("/stream", script).await;
    assert_eq!(reply.error_status(2), Some(500), "{reply:?}");
    assert_eq!(late.cookie(), None);
    assert_eq!(world.faults.count(OpKind::Create), 1);
}

async fn removed_again(world: World) {
    let world = with_visitors(&world).await;
    world.faults.reset_counts();
    for status in [500, 200] {
        let script = json!([
            {"op": "set", "key": "a", "value": 1},
            {"op": "remove_key", "key": "a"},
            {"op": "visitor_id"},
            {"op": "save"},
            {"op": "status", "code": status},
        ]);
        let reply = world.browser().run(script).await;
        assert_eq!((reply.status, reply.set_cookies().len(), world.faults.total()), (status, 0, 0));
        assert_eq!((reply.result(2), reply.error_status(3)), (json!(null), None), "there is nothing to save");
    }
    assert!(world.events().is_empty());
}

async fn later_values(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let before = browser.cookie();
    for value in 2..5 {
        let reply = browser.run(json!([{"op": "set", "key": "a", "value": value}])).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (200, 0));
    }
    assert_eq!(browser.cookie(), before);
    assert_eq!(browser.run(json!([{"op": "get", "key": "a"}])).await.result(0), json!({"value": 4}));
}

async fn a_limit_of_its_own(world: World) {
    let world = world.with_config(|config| config.visitors(Visitors::new().max_data_bytes(100))).await;
    let mut browser = visitor(&world, "a", 1).await;
    let reply = browser.run(json!([{"op": "set_long", "key": "b", "bytes": 100}, {"op": "get", "key": "a"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1)), (Some(413), json!({"value": 1})));
    let reply = world.browser().run(json!([{"op": "set_long", "key": "b", "bytes": 100}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(413), 0));
    browser.sign_in("ada").await;
    let reply = browser.run(json!([{"op": "set_long", "key": "b", "bytes": 1000}])).await;
    assert_eq!(reply.error_status(0), None, "a user has more");
}

async fn the_stores_limit(world: World) {
    world.faults.keep_at_most(1000);
    let world = with_visitors(&world).await;
    let script = json!([{"op": "set_long", "key": "a", "bytes": 2000}, {"op": "set_long", "key": "a", "bytes": 900}]);
    let reply = world.browser().run(script).await;
    assert_eq!((reply.status, reply.error_status(0), reply.error_status(1)), (200, Some(413), None));
}

async fn different_keys(world: World) {
    let world = with_visitors(&world).await;
    let other = world.node().await;
    for round in 0..world.rounds {
        let mut browser = visitor(&world, "a", round).await;
        let requests = (0..4).map(|n| {
            let node = if n % 2 == 0 { &world } else { &other };
            (node, browser.on(node), json!([{"op": "set", "key": n.to_string(), "value": round}]))
        });
        for (_, reply) in at_once(requests.collect()).await {
            assert_eq!(reply.status, 200);
        }
        let row = row_of(&world, &visitor_id(&mut browser).await).await.expect("a row");
        let data: Value = serde_json::from_str(row.data.text()).expect("JSON");
        assert_eq!(data, json!({"a": round, "0": round, "1": round, "2": round, "3": round}), "round {round}");
    }
}

async fn increments(world: World) {
    let world = world.with_config(on).await;
    let other = world.node().await;
    for round in 0..world.rounds {
        let browser = visitor(&world, "n", 0).await;
        let requests = (0..4).map(|n| {
            let node = if n % 2 == 0 { &world } else { &other };
            (node, browser.on(node), json!([{"op": "increment", "key": "n"}]))
        });
        let counted = at_once(requests.collect()).await.iter().filter(|(_, reply)| reply.status == 200).count();
        let reply = browser.clone().run(json!([{"op": "get", "key": "n"}])).await;
        assert_eq!((counted, reply.result(0)), (4, json!({"value": 4})), "round {round}");
    }
}

async fn a_slow_request(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "old", 0).await;
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "slow", json!([])).await;
    browser.run(json!([{"op": "set", "key": "b", "value": 2}, {"op": "remove_key", "key": "old"}])).await;
    assert_eq!(slow.finish(&world).await.1.status, 200);
    let row = row_of(&world, &visitor_id(&mut browser).await).await.expect("a row");
    assert_eq!(row.data.text(), r#"{"a":1,"b":2}"#);
}
