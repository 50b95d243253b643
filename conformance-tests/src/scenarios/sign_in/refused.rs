//! AUTH-3, ROT-7: a sign-in or rotation that the store refuses, or whose outcome is unknown.

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
    scenario!("AUTH-3", "a sign-in whose answer was lost is asked again and succeeds", an_unknown_sign_in_that_landed),
    scenario!("AUTH-3", "a sign-in that was lost is asked again and succeeds", an_unknown_sign_in_that_was_lost),
    scenario!(
        "AUTH-3",
        "a sign-in whose outcome stays unknown is a 503 without a cookie",
        a_sign_in_that_stays_unknown
    ),
    scenario!("AUTH-3", "a refused rotate leaves everything as it was", a_refused_rotate_changes_nothing),
    scenario!("ROT-7", "a rotation of unknown outcome is asked again and sends its cookie", an_unknown_rotate),
    scenario!("ROT-7", "a rotation whose outcome stays unknown is a 503 and no sign-out", a_rotate_that_stays_unknown),
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

async fn an_unknown_sign_in_that_landed(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    world.faults.reset_counts();
    world.faults.fail_once(OpKind::Create, Fault::UnknownApplied);
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie());
    assert_eq!(ids(&world, "ada").await, [text(&reply.result(1)["id"])]);
    let counts = (world.faults.count(OpKind::Create), world.faults.total());
    assert_eq!(counts, (2, 3), "asked again under the same id");
    assert_eq!((user(&mut browser).await, user(&mut old).await), (json!("ada"), json!(null)));
}

async fn an_unknown_sign_in_that_was_lost(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    world.faults.fail_once(OpKind::Create, Fault::UnknownLost);
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie());
    assert_eq!(ids(&world, "ada").await, [text(&reply.result(1)["id"])]);
    assert_eq!((user(&mut browser).await, user(&mut old).await), (json!("ada"), json!(null)));
}

async fn a_sign_in_that_stays_unknown(world: World) {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = world.browser();
        world.faults.fail(OpKind::Create, fault);
        let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!(null)));
        assert!(reply.set_cookies().is_empty());
        world.faults.clear();
        assert_eq!(user(&mut browser).await, json!(null));
        // The one that landed is listed until it idles out, as the request could never settle it.
        assert!(ids(&world, "ada").await.len() <= 1);
        world.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn a_refused_rotate_changes_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = rows(&world, "ada").await;
    world.clock.advance(Duration::from_secs(10));
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "rotate"}, {"op": "user_id"}])).await;
    world.faults.clear();
    assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!("ada")));
    assert!(reply.set_cookies().is_empty());
    assert!(rows(&world, "ada").await == before, "neither token nor expiry changed");
    assert_eq!(user(&mut browser).await, json!("ada"), "the old token still lives");
}

async fn an_unknown_rotate(world: World) {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = sign_in(&world, "ada").await;
        let mut old = browser.clone();
        let before = id(&mut browser).await;
        world.faults.reset_counts();
        world.faults.fail_once(OpKind::Update, fault);
        let reply = browser.run(json!([{"op": "rotate"}])).await;
        assert_eq!(reply.error_status(0), None, "{fault:?}");
        assert!(reply.sends_cookie(), "{fault:?}");
        assert_eq!(world.faults.count(OpKind::Update), 2, "{fault:?}: asked again for the same token");
        assert_eq!((user(&mut old).await, id(&mut browser).await), (json!("ada"), before), "{fault:?}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn a_rotate_that_stays_unknown(world: World) {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = sign_in(&world, "ada").await;
        world.faults.fail(OpKind::Update, fault);
        let reply = browser.run(json!([{"op": "rotate"}, {"op": "user_id"}])).await;
        world.faults.clear();
        assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!("ada")), "{fault:?}");
        assert!(reply.set_cookies().is_empty());
        assert_eq!(user(&mut browser).await, json!("ada"), "{fault:?}: the old token works");
        browser.run(json!([{"op": "logout"}])).await;
    }
}
