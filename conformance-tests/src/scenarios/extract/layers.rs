//! EXT-8: layers around layers, of one service and of two.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::json;
use session_core::{CookieSessionService, MemoryStore, SessionConfig};

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_process::{committed, lines, loaded};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXT-8", "two layers of one service are one load and one commit", nested_layers_are_one),
    scenario!("EXT-8", "of two services' layers extraction gives the innermost", the_innermost_service_counts),
    scenario!("EXT-8", "two services each commit their own", each_service_commits_its_own),
    scenario!("EXT-8", "what the inner service did stays done when the outer one fails", the_outer_service_fails),
];

async fn nested_layers_are_one(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let reply = browser.run_on("/nested", json!([{"op": "increment", "key": "n"}, {"op": "rotate"}])).await;
    assert_eq!((reply.status, reply.error_status(1)), (200, None));
    assert_eq!((reply.set_cookies().len(), reply.vary().as_str()), (1, "Cookie"));
    assert_eq!(world.faults.count(OpKind::Load), 1);
    assert_eq!(world.faults.count(OpKind::Update), 2, "one rotation and one commit");
    let stored = json!({"from_middleware": 1, "n": 1});
    assert_eq!(data(&world, "ada").await, stored, "what was set between the layers, and inside both");
    assert_eq!(user(&mut browser).await, json!("ada"), "the cookie that was sent is the live one");
    let reply =
        browser.run_on("/nested", json!([{"op": "set", "key": "n", "value": 5}, {"op": "status", "code": 500}])).await;
    assert_eq!(reply.status, 500);
    assert_eq!(data(&world, "ada").await, stored, "neither layer commits beside a 5xx");
}

async fn the_innermost_service_counts(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let reply =
        browser.run_on("/two-services", json!([{"op": "user_id"}, {"op": "authenticate", "user": "root"}])).await;
    assert_eq!(reply.result(0), json!(null), "ada is signed in to the outer service only");
    assert_eq!((reply.set_cookies().len(), reply.set_cookies_named("__Host-other").len()), (0, 1));
    browser.run_on("/two-services", json!([{"op": "set", "key": "a", "value": 1}])).await;
    let reply =
        browser.run_on("/two-services", json!([{"op": "user_id"}, {"op": "get", "key": "a"}, {"op": "logout"}])).await;
    assert_eq!((reply.result(0), reply.result(1)), (json!("root"), json!({"value": 1})));
    assert_eq!((reply.set_cookies().len(), reply.set_cookies_named("__Host-other").len()), (0, 1));
    assert_eq!(data(&world, "ada").await, json!({"from_middleware": 1}), "the middleware's is the outer service's");
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn each_service_commits_its_own(world: World) {
    let config = SessionConfig::builder().cookie_name("__Host-admin").build(world.keys.clone()).unwrap();
    let admin = CookieSessionService::new(MemoryStore::new(), config).with_clock(Arc::clone(&world.clock));
    let outer = world.service.begin(None);
    let inner = admin.begin(Some(outer.scope()));
    let again = world.service.begin(Some(inner.scope()));
    let outside = loaded(outer.scope(), &HeaderMap::new()).await;
    let inside = loaded(inner.scope(), &HeaderMap::new()).await;
    for (session, who) in [(&outside, "ada"), (&inside, "root")] {
        session.authenticate(who).await.unwrap();
        session.set("of", who).unwrap();
    }
    let same = loaded(again.scope(), &HeaderMap::new()).await;
    assert_eq!((same.user_id(), inside.user_id()), (Some("ada".into()), Some("root".into())));
    assert!(lines(&committed(&again).await, "set-cookie").is_empty(), "the outermost layer of a service commits");
    let mut head = committed(&inner).await;
    assert!(rows(&world, "ada").await[0].data.text() == "{}", "the inner service's commit isn't the outer one's");
    outer.commit(200).await.apply(&mut head);
    let sent = lines(&head, "set-cookie");
    assert!(sent.len() == 2 && sent[0].0.starts_with("__Host-admin=") && sent[1].0.starts_with("__Host-session="));
    assert_eq!(lines(&head, "vary").len(), 1);
    assert_eq!(data(&world, "ada").await, json!({"of": "ada"}));
    assert_eq!(admin.list("root").await.unwrap().len(), 1);
    assert_eq!(inside.get::<String>("of").unwrap().as_deref(), Some("root"));
}

async fn the_outer_service_fails(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let reply = browser.run_on("/two-services", json!([{"op": "authenticate", "user": "root"}])).await;
    world.faults.clear();
    assert_eq!((reply.status, reply.body.is_empty()), (503, true), "what the middleware set couldn't be stored");
    assert_eq!((reply.set_cookies().len(), reply.set_cookies_named("__Host-other").len()), (0, 1));
    assert_eq!(data(&world, "ada").await, json!({}));
    let reply = browser.run_on("/two-services", json!([{"op": "user_id"}])).await;
    assert_eq!((reply.status, reply.result(0)), (200, json!("root")));
}
