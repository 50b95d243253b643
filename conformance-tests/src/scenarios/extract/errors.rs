//! ERR-1: what errors look like as responses.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::faulty::Fault;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::id;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[scenario!("ERR-1", "each error has its status", each_error_has_its_status)];

async fn each_error_has_its_status(world: World) {
    let mut nobody = world.browser();
    let mut ada = world.browser();
    ada.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"secret-key": "text"}}])).await;
    let mine = id(&mut ada).await;
    let mut bodies = BTreeMap::new();
    for op in ["rotate", "list_my_sessions", "logout_other"] {
        check(&mut nobody, json!({"op": op}), 401, &mut bodies).await;
    }
    check(&mut nobody, json!({"op": "revoke", "id": mine}), 401, &mut bodies).await;
    check(&mut ada, json!({"op": "verify_csrf_token", "text": "secret-key"}), 403, &mut bodies).await;
    check(&mut ada, json!({"op": "revoke", "id": "secret-key"}), 404, &mut bodies).await;
    check(&mut ada, json!({"op": "revoke_by_id", "user": "bob", "id": mine}), 404, &mut bodies).await;
    check(&mut ada, json!({"op": "authenticate", "user": ""}), 400, &mut bodies).await;
    check(&mut ada, json!({"op": "list", "user": "secret-key\u{0}"}), 400, &mut bodies).await;
    check(&mut ada, json!({"op": "authenticate_with", "user": "ada", "data": ["secret-key"]}), 400, &mut bodies).await;
    check(&mut ada, json!({"op": "set_unserializable", "key": "secret-key"}), 500, &mut bodies).await;
    check(&mut ada, json!({"op": "set", "key": "secret-key", "value": "x".repeat(70_000)}), 413, &mut bodies).await;
    check(&mut ada, json!({"op": "get_u64", "key": "secret-key"}), 500, &mut bodies).await;
    world.faults.fail_all(Fault::NotApplied);
    check(&mut nobody, json!({"op": "list", "user": "secret-key"}), 503, &mut bodies).await;
    world.faults.fail_all(Fault::UnknownLost);
    check(&mut nobody, json!({"op": "authenticate", "user": "secret-key"}), 503, &mut bodies).await;
    world.faults.fail_all(Fault::Corrupt);
    check(&mut nobody, json!({"op": "list", "user": "secret-key"}), 500, &mut bodies).await;
    assert_eq!(bodies.keys().copied().collect::<Vec<_>>(), [400, 401, 403, 404, 413, 500, 503]);
    let reply = nobody.get("/session").await;
    assert_eq!((reply.status, &reply.body), (401, &bodies[&401]), "an extractor's refusal is the same response");
    assert_eq!(reply.headers["cache-control"], "no-store");
}

/// The operation's error as a response has this status, and the one body that this status has.
async fn check(browser: &mut Browser, op: Value, status: u16, bodies: &mut BTreeMap<u16, bytes::Bytes>) {
    let reply = browser.run(json!([op, {"op": "fail"}])).await;
    assert_eq!(reply.status, status, "{op}");
    assert_eq!(reply.headers["cache-control"], "no-store", "{op}");
    assert_eq!(reply.set_cookies().len(), 0, "{op}");
    let retry = reply.headers.get("retry-after").map(|seconds| seconds.to_str().unwrap());
    assert_eq!(retry, (status == 503).then_some("1"), "{op}");
    let text = String::from_utf8(reply.body.to_vec()).expect("text");
    assert!((1..80).contains(&text.len()), "{op}: {text}");
    assert!(!text.contains("secret-key") && !text.contains("ada") && !text.contains("70000"), "{op}: {text}");
    assert_eq!(bodies.entry(status).or_insert(reply.body.clone()), &reply.body, "{op}");
}
