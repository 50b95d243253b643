//! AUTH-3: a sign-in or rotation that the store refuses, or whose outcome is unknown.

use std::time::Duration;

use serde_json::json;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{id, ids, sign_in, text, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("AUTH-3", "a refused sign-in leaves everything as it was", a_refused_sign_in_changes_nothing),
    scenario!("AUTH-3", "a sign-in of unknown outcome that is found is a success", an_unknown_sign_in_that_is_found),
    scenario!("AUTH-3", "a sign-in of unknown outcome that isn't found is a 503", an_unknown_sign_in_that_is_lost),
    scenario!("AUTH-3", "a sign-in that can't be looked up is a 503", an_unknown_sign_in_without_lookup),
    scenario!("AUTH-3", "a refused rotate leaves everything as it was", a_refused_rotate_changes_nothing),
    scenario!("AUTH-3", "a rotate of unknown outcome that is found is a success", an_unknown_rotate_that_is_found),
    scenario!("AUTH-3", "a rotate of unknown outcome that isn't found is a 503", an_unknown_rotate_that_is_lost),
];

async fn a_refused_sign_in_changes_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let before = rows(&world, "ada").await;
    let script = json!([
        {"op": "authenticate", "user": "bob"},
        {"op": "current"},
        {"op": "authenticate", "user": "ada"},
        {"op": "current"},
    ]);
    world.faults.fail(OpKind::Create, Fault::NotApplied);
    let signed_in = browser.run(script.clone()).await;
    let anonymous = world.browser().run(script).await;
    world.faults.clear();
    for reply in [&signed_in, &anonymous] {
        assert_eq!((reply.error_status(0), reply.error_status(2)), (Some(503), Some(503)));
        assert!(reply.set_cookies().is_empty());
    }
    for i in [1, 3] {
        assert_eq!(signed_in.result(i)["user_id"], json!("ada"), "the old session is still the current one");
        assert_eq!(signed_in.result(i)["data"], json!({"a": 1}));
        assert_eq!(anonymous.result(i), json!(null));
    }
    assert!(rows(&world, "ada").await == before);
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn an_unknown_sign_in_that_is_found(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    world.faults.reset_counts();
    world.faults.fail(OpKind::Create, Fault::UnknownApplied);
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
    world.faults.clear();
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie());
    assert_eq!(ids(&world, "ada").await, [text(&reply.result(1)["id"])]);
    let counts = (world.faults.count(OpKind::Create), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    assert_eq!((user(&mut browser).await, user(&mut old).await), (json!("ada"), json!(null)));
}

async fn an_unknown_sign_in_that_is_lost(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = ids(&world, "ada").await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Create, Fault::UnknownLost);
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    assert_eq!(reply.error_status(0), Some(503));
    assert!(reply.set_cookies().is_empty());
    let counts = (world.faults.count(OpKind::Create), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    let reply = world.browser().run(json!([{"op": "authenticate", "user": "bob"}, {"op": "current"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!(null)));
    assert!(reply.set_cookies().is_empty());
    world.faults.clear();
    assert_eq!(ids(&world, "ada").await, before);
    assert_eq!(user(&mut browser).await, json!("ada"), "the old session still lives");
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
}

async fn an_unknown_sign_in_without_lookup(world: World) {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        world.faults.fail(OpKind::Create, fault);
        world.faults.fail(OpKind::Load, Fault::NotApplied);
        let mut browser = world.browser();
        let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
        world.faults.clear();
        assert_eq!(reply.error_status(0), Some(503));
        assert!(reply.set_cookies().is_empty());
        assert_eq!(user(&mut browser).await, json!(null));
    }
}

async fn a_refused_rotate_changes_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = rows(&world, "ada").await;
    world.clock.advance(Duration::from_secs(10));
    world.faults.fail(OpKind::Apply, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "rotate"}, {"op": "user_id"}])).await;
    world.faults.clear();
    assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!("ada")));
    assert!(reply.set_cookies().is_empty());
    assert!(rows(&world, "ada").await == before, "neither token nor expiry changed");
    assert_eq!(user(&mut browser).await, json!("ada"), "the old token still lives");
}

async fn an_unknown_rotate_that_is_found(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    let before = id(&mut browser).await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Apply, Fault::UnknownApplied);
    let reply = browser.run(json!([{"op": "rotate"}])).await;
    world.faults.clear();
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie());
    let counts = (world.faults.count(OpKind::Apply), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    assert_eq!(id(&mut browser).await, before);
    assert_eq!(user(&mut old).await, json!(null));
}

async fn an_unknown_rotate_that_is_lost(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Apply, Fault::UnknownLost);
    let reply = browser.run(json!([{"op": "rotate"}])).await;
    world.faults.clear();
    assert_eq!(reply.error_status(0), Some(503));
    assert!(reply.set_cookies().is_empty());
    let counts = (world.faults.count(OpKind::Apply), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    assert_eq!(user(&mut browser).await, json!("ada"), "the old token still lives");
}
