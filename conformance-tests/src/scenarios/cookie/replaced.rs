//! COOK-11: requests whose token another request has replaced, in flight or late.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-11", "a token replaced less than the grace ago still stores data", replaced_a_moment_ago),
    scenario!("COOK-11", "a token replaced a grace ago counts as an ended session", replaced_a_minute_ago),
    scenario!("COOK-11", "a token replaced twice counts as ended, however recently", replaced_twice),
    scenario!(
        "COOK-11",
        "a request that comes late is signed in for the grace, then anonymous, and sent nothing",
        a_late_request
    ),
];

/// A request of ada's that was extracted before her token was replaced `times` times and the last
/// one was presented, `ago` before it goes on with `ops`.
async fn under_a_replaced_token(
    world: &World,
    gate: &'static str,
    times: u8,
    ago: Duration,
    ops: Value,
) -> (Browser, Reply) {
    let mut browser = sign_in(world, "ada").await;
    let slow = in_flight(world, &browser, json!([{"op": "user_id"}]), gate, ops).await;
    for _ in 0..times {
        world.clock.advance(Duration::from_secs(1));
        assert!(browser.run(json!([{"op": "rotate"}])).await.sends_cookie());
    }
    assert_eq!(user(&mut browser).await, json!("ada"));
    world.clock.advance(ago);
    let (_, reply) = slow.finish(world).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers.get("set-cookie"), None);
    (browser, reply)
}

async fn replaced_a_moment_ago(world: World) {
    let ops = json!([{"op": "set", "key": "a", "value": 1}]);
    let ago = Duration::from_millis(59_999);
    let (mut browser, _) = under_a_replaced_token(&world, "a moment", 1, ago, ops).await;
    assert_eq!(data(&world, "ada").await, json!({"a": 1}));
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert_eq!(world.events(), Vec::<String>::new());
}

async fn replaced_a_minute_ago(world: World) {
    let minute = Duration::from_secs(60);
    let set = json!({"op": "set", "key": "a", "value": 1});
    let (mut browser, _) = under_a_replaced_token(&world, "a minute", 1, minute, json!([set])).await;
    assert_eq!(data(&world, "ada").await, json!({}), "dropped, as if the session had ended");
    assert!(world.events().concat().contains("DataDropped"));
    assert_eq!(user(&mut browser).await, json!("ada"), "under its new token the session lives on");
    browser.run(json!([{"op": "logout"}])).await;
    let ops = json!([{"op": "rotate"}, {"op": "is_authenticated"}, set]);
    let (mut browser, reply) = under_a_replaced_token(&world, "a minute, rotate", 1, minute, ops).await;
    assert_eq!((reply.error_status(2), reply.result(3)), (Some(401), json!(false)));
    assert_eq!((data(&world, "ada").await, user(&mut browser).await), (json!({}), json!("ada")));
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = under_a_replaced_token(&world, "a minute, save", 1, minute, json!([set, {"op": "save"}])).await;
    assert_eq!((reply.error_status(3), data(&world, "ada").await), (Some(401), json!({})));
}

async fn replaced_twice(world: World) {
    let ops = json!([{"op": "set", "key": "a", "value": 1}]);
    let (mut browser, _) = under_a_replaced_token(&world, "twice", 2, Duration::from_secs(1), ops).await;
    assert_eq!(data(&world, "ada").await, json!({}), "dropped: a row knows one replaced token, not a history of them");
    assert!(world.events().concat().contains("DataDropped"));
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn a_late_request(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut late = browser.clone();
    world.clock.advance(Duration::from_secs(1));
    browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    let ops = json!([{"op": "user_id"}, {"op": "set", "key": "a", "value": 1}, {"op": "save"}]);
    let reply = late.run(ops.clone()).await;
    assert_eq!((reply.result(0), reply.error_status(2), reply.headers.get("set-cookie")), (json!("ada"), None, None));
    world.clock.advance(Duration::from_mins(1));
    let reply = late.run(ops).await;
    assert_eq!((reply.result(0), reply.error_status(2)), (Value::Null, Some(401)));
    assert_eq!(reply.headers.get("set-cookie"), None, "the cookie is left alone");
    assert_eq!((data(&world, "ada").await, user(&mut browser).await), (json!({"a": 1}), json!("ada")));
}
