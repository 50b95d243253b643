//! EXT-10, EXT-11: requests that are answered without their handler.

use http::Request;
use serde_json::json;

use crate::app::{ASKED, BANNED, FROM_GUARD, REFUSE};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXT-10", "a request that isn't admitted is answered without its handler", the_handler_never_runs),
    scenario!("EXT-10", "a policy sees method, target, authority and headers", a_policy_sees_the_head),
    scenario!(
        "EXT-10",
        "inside a nested router a policy sees the target that was asked for",
        a_policy_sees_all_of_the_target
    ),
    scenario!("EXT-10", "nothing is loaded for a policy, in an outage neither", nothing_is_loaded),
    scenario!("EXT-11", "a guard answers after the look-up, and the handler never runs", a_guard_answers),
    scenario!("EXT-11", "guard and handler have one session, and its look-up once", one_session),
    scenario!("EXT-11", "behind a guard an outage is a 503, and no sign-out", an_outage_behind_a_guard),
];

async fn the_handler_never_runs(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for path in ["/do", "/nested", "/two-services", "/guarded", "/plain"] {
        browser.header(REFUSE, "418");
        let reply = browser.run_on(path, json!([{"op": "set", "key": "a", "value": 1}, {"op": "logout"}])).await;
        assert_eq!((reply.status, reply.body.is_empty()), (418, true), "{path}");
        assert_eq!((reply.headers["cache-control"].to_str().ok(), reply.vary().as_str()), (Some("no-store"), ""));
        assert!(!reply.headers.contains_key("set-cookie"), "{path}");
        browser.forget_headers();
        assert_eq!(user(&mut browser).await, json!("ada"), "{path}: without the header it is admitted");
    }
    assert_eq!(data(&world, "ada").await, json!({}));
}

async fn a_policy_sees_the_head(world: World) {
    let mut browser = world.browser();
    browser.header(REFUSE, "403");
    browser.header("x-more", "one");
    let request = Request::delete("/do?a=b%20c").body("").expect("a request");
    let reply = browser.send(request).await;
    let asked = reply.headers[ASKED].to_str().expect("text").to_owned();
    assert_eq!(reply.status, 403);
    assert_eq!(asked, "DELETE localhost /do?a=b%20c /do one");
}

async fn a_policy_sees_all_of_the_target(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    assert_eq!(browser.run_on("/within/do", json!([{"op": "user_id"}])).await.result(0), json!("ada"));
    browser.header(REFUSE, "403");
    let reply = browser.get("/within/do?a=b").await;
    assert_eq!(reply.headers[ASKED].to_str().ok(), Some("GET localhost /within/do?a=b /within/do"));
}

async fn nothing_is_loaded(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Load, Fault::NotApplied);
    browser.header(REFUSE, "403");
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!((reply.status, world.faults.count(OpKind::Load)), (403, 0));
    assert!(world.events().is_empty());
    world.faults.clear();
}

async fn a_guard_answers(world: World) {
    let mut browser = world.browser();
    let set = json!([{"op": "set", "key": "a", "value": 1}]);
    let reply = browser.run_on("/guarded", set.clone()).await;
    assert_eq!((reply.status, reply.body.is_empty()), (303, true));
    assert_eq!(reply.headers["location"].to_str().ok(), Some("/sign-in?next=/guarded"));
    assert_eq!((reply.headers["cache-control"].to_str().ok(), reply.vary().as_str()), (Some("no-store"), "Cookie"));
    assert!(reply.set_cookies().is_empty());

    let mut banned = sign_in(&world, BANNED).await;
    assert_eq!(banned.run_on("/guarded", set.clone()).await.status, 403);
    assert_eq!(data(&world, BANNED).await, json!({FROM_GUARD: 1}), "what the check sets is stored, and no more");

    browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    assert_eq!(browser.run_on("/guarded", set).await.status, 200);
    assert_eq!(data(&world, "ada").await, json!({FROM_GUARD: 1, "a": 1}));
}

async fn one_session(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let reply = browser.run_on("/guarded", json!([{"op": "get", "key": FROM_GUARD}])).await;
    assert_eq!((reply.status, reply.result(0)), (200, json!({"value": 1})));
    assert_eq!(world.faults.count(OpKind::Load), 1);
}

async fn an_outage_behind_a_guard(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.fail(OpKind::Load, Fault::NotApplied);
    let reply = browser.run_on("/guarded", json!([{"op": "logout"}])).await;
    assert_eq!((reply.status, reply.removes_cookie()), (503, false));
    assert_eq!(world.events().len(), 1, "once");
    world.faults.clear();
    assert_eq!(user(&mut browser).await, json!("ada"));
}
