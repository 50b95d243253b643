//! VISIT-3: to everything that asks for a user, a visitor isn't signed in.

use serde_json::json;
use session_core::{Clock, UserId};

use super::{row_of, visitor, visitor_id, with_visitors};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{ids, sign_in};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-3", "a visitor isn't signed in", not_signed_in),
    scenario!("VISIT-3", "a visitor that a reload finds again isn't signed in", found_again),
    scenario!(
        "VISIT-3",
        "without visitors, the cookie of one counts for nothing and ends with a sign-in",
        switched_off
    ),
    scenario!("VISIT-3", "visitors are in no list and count towards no limit", not_counted),
    scenario!("VISIT-3", "no operation for any user reaches a visitor", out_of_reach),
    scenario!("AUTH-6", "the user ids of visitors are refused to users", reserved_ids),
];

async fn found_again(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let after = json!([{"op": "save"}, {"op": "gate", "name": "back"}, {"op": "reload"}, {"op": "is_authenticated"}, {"op": "user_id"}, {"op": "visitor_id"}]);
    let id = visitor_id(&mut browser).await;
    let now = world.clock.now();
    let slow = in_flight(&world, &browser, json!([]), "slow", after).await;
    // The clock is ahead for a moment, and the session seems to have ended.
    world.clock.advance(26 * super::HOUR);
    world.gates.open("slow");
    world.gates.arrived("back").await;
    world.clock.set(now);
    world.gates.open("back");
    let (_, reply) = slow.finish(&world).await;
    assert_eq!([1, 3].map(|at| reply.error_status(at)), [Some(401), None], "{reply:?}");
    assert_eq!([4, 5, 6].map(|at| reply.result(at)), [json!(false), json!(null), json!(id)]);
}

async fn switched_off(world: World) {
    let with = with_visitors(&world).await;
    let mut browser = visitor(&with, "a", 1).await;
    let id = visitor_id(&mut browser).await;
    let mut here = browser.on(&world);
    let script = json!([
        {"op": "visitor_id"},
        {"op": "is_authenticated"},
        {"op": "get", "key": "a"},
        {"op": "set", "key": "a", "value": 2},
        {"op": "save"},
    ]);
    let reply = here.run(script).await;
    assert_eq!(reply.results()[..3], [json!(null), json!(false), json!({"absent": true})]);
    assert_eq!((reply.status, reply.error_status(4), reply.set_cookies().len()), (200, Some(401), 0));
    assert_eq!(row_of(&with, &id).await.map(|row| row.data.text().to_owned()).as_deref(), Some(r#"{"a":1}"#));
    let reply =
        here.run(json!([{"op": "authenticate_opts", "user": "ada", "keep": true}, {"op": "get", "key": "a"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1)), (None, json!({"absent": true})));
    assert!(row_of(&with, &id).await.is_none());
}

async fn not_signed_in(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let id = visitor_id(&mut browser).await;
    let script = json!([
        {"op": "is_authenticated"},
        {"op": "user_id"},
        {"op": "current"},
        {"op": "list_my_sessions"},
        {"op": "revoke", "id": id},
        {"op": "logout_other"},
        {"op": "rotate"},
        {"op": "rotate_strict"},
        {"op": "visitor_id"},
        {"op": "get", "key": "a"},
    ]);
    let reply = browser.run(script).await;
    assert_eq!((reply.result(0), reply.result(1), reply.result(2)), (json!(false), json!(null), json!(null)));
    for at in 3..8 {
        assert_eq!(reply.error_status(at), Some(401), "{at}: {reply:?}");
    }
    assert_eq!((reply.result(8), reply.result(9)), (json!(id), json!({"value": 1})));
    assert!(reply.set_cookies().is_empty());
    let optional = browser.get("/optional").await;
    assert_eq!(optional.json()["user"], json!(null));
    assert_eq!(browser.get("/session").await.status, 401, "the read-only extractor");
    let guarded = browser.run_on("/guarded", json!([])).await;
    assert_eq!(guarded.status, 303, "a guard takes it for no user");
}

async fn not_counted(world: World) {
    let world = with_visitors(&world).await.with_config(|config| super::on(config).max_sessions_per_user(2)).await;
    let mut first = sign_in(&world, "ada").await;
    let mut visitors = Vec::new();
    for n in 0..4 {
        visitors.push(visitor(&world, "n", n).await);
    }
    let mut second = sign_in(&world, "ada").await;
    assert_eq!(ids(&world, "ada").await.len(), 2);
    let listed = second.run(json!([{"op": "list_my_sessions"}])).await;
    assert_eq!(listed.result(0).as_array().map(Vec::len), Some(2));
    first.run(json!([{"op": "logout_all"}])).await;
    for (n, browser) in visitors.iter_mut().enumerate() {
        assert_eq!(browser.run(json!([{"op": "get", "key": "n"}])).await.result(0), json!({"value": n}));
    }
}

async fn out_of_reach(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let id = visitor_id(&mut browser).await;
    let user = format!("~visitor:{id}");
    let mut admin = sign_in(&world, "admin").await;
    let script = json!([
        {"op": "list", "user": user},
        {"op": "revoke_by_id", "user": user, "id": id},
        {"op": "revoke_all", "user": user},
        {"op": "revoke_all_except", "user": user, "keep": id},
        {"op": "revoke_by_id", "user": "admin", "id": id},
        {"op": "revoke", "id": id},
    ]);
    let reply = admin.run(script).await;
    let statuses: Vec<_> = (0..6).map(|at| reply.error_status(at)).collect();
    assert_eq!(statuses, [Some(400), Some(400), Some(400), Some(400), Some(404), Some(404)]);
    assert!(row_of(&world, &id).await.is_some());
}

async fn reserved_ids(world: World) {
    for world in [world.clone(), with_visitors(&world).await] {
        let mut browser = world.browser();
        for user in ["~visitor:", "~visitor:1", "~visitor:00000000-0000-0000-0000-000000000000"] {
            assert!(UserId::parse(user).is_ok_and(|id| id.is_visitor()));
            let reply = browser.run(json!([{"op": "authenticate", "user": user}, {"op": "current"}])).await;
            assert_eq!((reply.error_status(0), reply.result(1)), (Some(400), json!(null)), "{user}");
        }
        for user in ["visitor:1", "~visitor", " ~visitor:1", "~Visitor:1"] {
            browser.sign_in(user).await;
        }
    }
}
