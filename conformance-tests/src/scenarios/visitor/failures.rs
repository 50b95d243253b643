//! VISIT-8: requests that fail, and stores that do.

use serde_json::json;

use super::{row_of, visitor, visitor_id, with_visitors};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-8", "a visitor's row that can't be made is an empty 503 without a cookie", not_made),
    scenario!("VISIT-8", "a failed request makes no visitor", a_failed_request),
    scenario!("VISIT-8", "a visitor's row whose answer was lost is made once", a_lost_answer),
    scenario!("VISIT-8", "a save that failed can be tried again", a_failed_save),
    scenario!("VISIT-8", "a visitor's row of which nothing is known is no loss", a_silent_store),
    scenario!("OUT-5", "a visitor's row that may have been made ends with a sign-out", signed_out_of),
    scenario!("VISIT-8", "a visitor's data that can't be stored is an empty 503", not_stored),
];

async fn not_made(world: World) {
    let world = with_visitors(&world).await;
    for fault in [Fault::NotApplied, Fault::UnknownLost] {
        world.faults.fail(OpKind::Create, fault);
        let mut browser = world.browser();
        let script = json!([
            {"op": "set", "key": "a", "value": 1},
            {"op": "header", "name": "x-handler", "value": "done"},
        ]);
        let reply = browser.run(script).await;
        assert_eq!((reply.status, reply.body.len(), reply.set_cookies().len()), (503, 0, 0), "{fault:?}");
        assert!(reply.headers.get("x-handler").is_none());
        world.faults.clear();
    }
}

async fn a_failed_request(world: World) {
    let world = with_visitors(&world).await;
    world.faults.reset_counts();
    for last in [json!({"op": "status", "code": 500}), json!({"op": "panic"})] {
        let mut browser = world.browser();
        let reply = browser.try_run(json!([{"op": "set", "key": "a", "value": 1}, last])).await;
        assert!(reply.is_none_or(|reply| reply.status == 500 && reply.set_cookies().is_empty()));
        assert_eq!(browser.cookie(), None);
    }
    assert_eq!(world.faults.count(OpKind::Create), 0);
    // Nor where a save before has failed.
    for _ in 0..3 {
        world.faults.fail_once(OpKind::Create, Fault::UnknownLost);
    }
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "fail"}])).await;
    assert_eq!((reply.status, reply.set_cookies().len(), world.faults.count(OpKind::Create)), (503, 0, 3));
    // What was saved stays, and its cookie is sent with any response.
    let mut browser = world.browser();
    let script = json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "save"},
        {"op": "set", "key": "a", "value": 2},
        {"op": "status", "code": 500},
    ]);
    let reply = browser.run(script).await;
    assert_eq!((reply.status, reply.sends_cookie()), (500, true));
    assert_eq!(browser.run(json!([{"op": "get", "key": "a"}])).await.result(0), json!({"value": 1}));
}

async fn a_lost_answer(world: World) {
    let world = with_visitors(&world).await;
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        for saves in [false, true] {
            world.faults.fail_once(OpKind::Create, fault);
            let mut browser = world.browser();
            let mut script = json!([{"op": "increment", "key": "n"}]);
            if saves {
                let more = [json!({"op": "save"}), json!({"op": "increment", "key": "n"})];
                script.as_array_mut().expect("an array").extend(more);
            }
            let reply = browser.run(script).await;
            assert_eq!((reply.status, reply.set_cookies().len()), (200, 1), "{fault:?}");
            let row = row_of(&world, &visitor_id(&mut browser).await).await.expect("a row");
            assert_eq!(row.data.text(), if saves { r#"{"n":2}"# } else { r#"{"n":1}"# }, "{fault:?}");
        }
    }
}

async fn a_failed_save(world: World) {
    let world = with_visitors(&world).await;
    for fault in [Fault::NotApplied, Fault::UnknownApplied, Fault::UnknownLost] {
        for _ in 0..3 {
            world.faults.fail_once(OpKind::Create, fault);
        }
        let mut browser = world.browser();
        let script = json!([
            {"op": "increment", "key": "n"},
            {"op": "save"},
            {"op": "increment", "key": "n"},
            {"op": "save"},
            {"op": "save"},
            {"op": "save"},
        ]);
        let reply = browser.run(script).await;
        assert_eq!((reply.status, reply.error_status(1), reply.error_status(5)), (200, Some(503), None), "{fault:?}");
        let row = row_of(&world, &visitor_id(&mut browser).await).await.expect("a row");
        assert_eq!(row.data.text(), r#"{"n":2}"#, "{fault:?}");
        world.faults.clear();
    }
}

async fn a_silent_store(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = world.browser();
    // The row is made, and neither that nor its look-up is answered.
    world.faults.fail_once(OpKind::Create, Fault::UnknownApplied);
    world.faults.fail_once(OpKind::Load, Fault::NotApplied);
    let script = json!([
        {"op": "increment", "key": "n"},
        {"op": "save"},
        {"op": "increment", "key": "n"},
        {"op": "save"},
    ]);
    let reply = browser.run(script).await;
    assert_eq!((reply.status, reply.error_status(1), reply.error_status(3)), (200, Some(503), None));
    assert_eq!(browser.run(json!([{"op": "get", "key": "n"}])).await.result(0), json!({"value": 2}));
}

async fn signed_out_of(world: World) {
    let world = with_visitors(&world).await;
    for _ in 0..3 {
        world.faults.fail_once(OpKind::Create, Fault::UnknownApplied);
    }
    let script = json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "save"},
        {"op": "visitor_id"},
        {"op": "logout"},
        {"op": "visitor_id"},
    ]);
    let reply = world.browser().run(script).await;
    assert_eq!((reply.status, reply.error_status(1), reply.error_status(3)), (200, Some(503), None));
    assert_eq!((reply.set_cookies().len(), reply.result(4)), (0, json!(null)));
    let id = reply.result(2);
    assert!(row_of(&world, id.as_str().expect("an id")).await.is_none());
}

async fn not_stored(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 2}])).await;
    assert_eq!((reply.status, reply.body.len(), reply.set_cookies().len()), (503, 0, 0));
    world.faults.clear();
    assert_eq!(browser.run(json!([{"op": "get", "key": "a"}])).await.result(0), json!({"value": 1}));
    world.faults.fail(OpKind::Load, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 2}])).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (503, 0), "an outage is no reason for another visitor");
}
