//! GUARD-5: the application's user.

use serde_json::json;

use crate::app::{GONE, NotLoaded, UNLOADABLE};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::sign_in;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("GUARD-5", "two extractions load the application's user once", loaded_once),
    scenario!("GUARD-5", "without a sign-in no user is loaded", without_a_sign_in),
    scenario!("GUARD-5", "a user who is gone is not signed in", a_user_who_is_gone),
    scenario!("GUARD-5", "what the loader fails with is the response", the_loader_fails),
];

async fn loaded_once(world: World) {
    let ada = json!({"name": "ada"});
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    assert_eq!(browser.get("/user").await.json(), json!({"users": [ada, ada], "loads": 1}));
    assert_eq!(world.faults.count(OpKind::Load), 1);
    assert_eq!(browser.get("/user").await.json(), json!({"users": [ada, ada], "loads": 2}), "once in each request");
    assert_eq!(browser.get("/optional-user").await.json(), json!({"users": [ada], "loads": 3}));
    let mut other = sign_in(&world, "bob").await;
    assert_eq!(other.get("/optional-user").await.json(), json!({"users": [{"name": "bob"}], "loads": 4}));
}

async fn without_a_sign_in(world: World) {
    let reply = world.browser().get("/user").await;
    assert_eq!((reply.status, &reply.body[..]), (401, &b"not signed in\n"[..]));
    assert_eq!(world.browser().get("/optional-user").await.json(), json!({"users": [null], "loads": 0}));
}

async fn a_user_who_is_gone(world: World) {
    let mut browser = sign_in(&world, GONE).await;
    let reply = browser.get("/user").await;
    assert_eq!((reply.status, reply.removes_cookie()), (401, false));
    assert_eq!(browser.get("/optional-user").await.json(), json!({"users": [null], "loads": 2}));
}

async fn the_loader_fails(world: World) {
    let mut browser = sign_in(&world, UNLOADABLE).await;
    let reply = browser.get("/user").await;
    assert_eq!((reply.status, reply.removes_cookie()), (NotLoaded::STATUS, false));
    world.faults.fail(OpKind::Load, Fault::NotApplied);
    assert_eq!(browser.get("/user").await.status, 503);
    world.faults.clear();
}
