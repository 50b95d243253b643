//! VISIT-5, VISIT-7, VISIT-9: visitors who sign in, users who sign out, and browsers with cookies
//! of both.

use serde_json::{Value, json};

use super::{row_of, visitor, visitor_id, with_visitors};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{assert_signed_out, sign_in, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-5", "a sign-in ends the visitor and takes nothing along unasked", nothing_unasked),
    scenario!("VISIT-5", "a sign-in takes along the keys that it is told to", some_keys),
    scenario!("VISIT-5", "a sign-in takes along all values, with those of this request", all_values),
    scenario!("VISIT-5", "first values count before what is taken along", first_values),
    scenario!("VISIT-5", "what is taken along keeps to the user's limit", within_the_limit),
    scenario!("VISIT-5", "nothing is taken along from a user's session", not_from_users),
    scenario!("VISIT-5", "a visitor without a row is taken along too", without_a_row),
    scenario!("VISIT-7", "a sign-out removes the cookie, and a later value makes a visitor", after_a_sign_out),
    scenario!("VISIT-7", "a sign-out ends the visitor", a_visitors_sign_out),
    scenario!("VISIT-7", "a request whose session another one ended stores nothing more", ended_by_another),
    scenario!("VISIT-7", "a request whose token is dead stores nothing as a visitor", a_dead_token),
    scenario!("EXT-9", "a visitor with unreadable data can sign in and out", unreadable_data),
    scenario!("VISIT-9", "a user's session counts before a visitor's", users_first),
];

fn opts(user: &str, keep: impl Into<Value>) -> Value {
    json!({"op": "authenticate_opts", "user": user, "keep": keep.into()})
}

async fn nothing_unasked(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "cart", "tea").await;
    let (id, mut before) = (visitor_id(&mut browser).await, browser.clone());
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "visitor_id"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1), reply.set_cookies().len()), (None, json!(null), 1));
    assert_eq!(data(&world, "ada").await, json!({}));
    assert!(row_of(&world, &id).await.is_none());
    assert_ne!(browser.cookie(), before.cookie(), "a new token");
    let reply = before.run(json!([{"op": "visitor_id"}, {"op": "user_id"}, {"op": "get", "key": "cart"}])).await;
    assert_eq!(reply.results(), [json!(null), json!(null), json!({"absent": true})], "the old one is dead");
}

async fn some_keys(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "cart", json!(["tea"])).await;
    browser
        .run(json!([{"op": "set", "key": "planted", "value": true}, {"op": "set", "key": "lang", "value": "de"}]))
        .await;
    let id = visitor_id(&mut browser).await;
    let script =
        json!([opts("ada", json!(["cart", "lang", "absent"])), {"op": "get", "key": "cart"}, {"op": "user_id"}]);
    let reply = browser.run(script).await;
    assert_eq!((reply.result(1), reply.result(2)), (json!({"value": ["tea"]}), json!("ada")));
    assert_eq!(data(&world, "ada").await, json!({"cart": ["tea"], "lang": "de"}));
    assert!(row_of(&world, &id).await.is_none());
}

async fn all_values(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "n", 1).await;
    browser.run(json!([{"op": "set", "key": "gone", "value": 1}])).await;
    let script = json!([
        {"op": "increment", "key": "n"},
        {"op": "remove_key", "key": "gone"},
        {"op": "set", "key": "new", "value": 1},
        opts("ada", true),
        {"op": "increment", "key": "n"},
    ]);
    assert_eq!(browser.run(script).await.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"n": 3, "new": 1}));
}

async fn first_values(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "theme", "visitor's").await;
    browser.run(json!([{"op": "set", "key": "cart", "value": 1}])).await;
    let first = json!({"theme": "given"});
    let script = json!([{"op": "authenticate_opts", "user": "ada", "data": first, "keep": true}]);
    assert_eq!(browser.run(script).await.error_status(0), None);
    assert_eq!(data(&world, "ada").await, json!({"theme": "given", "cart": 1}));
}

async fn within_the_limit(world: World) {
    let world = with_visitors(&world).await.with_config(|config| super::on(config).max_data_bytes(5000)).await;
    let mut browser = world.browser();
    browser.run(json!([{"op": "set_long", "key": "a", "bytes": 4000}])).await;
    let large = json!({"b": "x".repeat(2000)});
    let script = json!([
        {"op": "authenticate_opts", "user": "ada", "data": large, "keep": true},
        {"op": "user_id"},
        {"op": "visitor_id"},
    ]);
    let reply = browser.run(script).await;
    assert_eq!((reply.error_status(0), reply.result(1), reply.set_cookies().len()), (Some(413), json!(null), 0));
    assert!(reply.result(2).is_string(), "a refused sign-in changes nothing");
    assert!(rows(&world, "ada").await.is_empty());
}

async fn not_from_users(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "secret", "value": 1}])).await;
    assert_eq!(browser.run(json!([opts("bob", true)])).await.error_status(0), None);
    assert_eq!(data(&world, "bob").await, json!({}));
    assert_eq!(browser.run(json!([opts("bob", true)])).await.error_status(0), None);
    assert_eq!(data(&world, "bob").await, json!({}), "nor from the same user's");
}

async fn without_a_row(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "set", "key": "cart", "value": 1}, opts("ada", true)])).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (None, 1));
    assert_eq!(data(&world, "ada").await, json!({"cart": 1}));
    let mut browser = world.browser();
    assert_eq!(browser.run(json!([opts("eve", true)])).await.error_status(0), None, "there is nothing to take along");
    assert_eq!(data(&world, "eve").await, json!({}));
}

async fn after_a_sign_out(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = sign_in(&world, "ada").await;
    let reply = browser.run(json!([{"op": "logout"}, {"op": "visitor_id"}])).await;
    assert_eq!(reply.result(1), json!(null));
    assert_signed_out(&browser, &reply);

    for saves in [false, true] {
        let mut browser = sign_in(&world, "ada").await;
        let old = browser.cookie();
        let mut script = json!([{"op": "set", "key": "secret", "value": 1}, {"op": "logout"}, {"op": "set", "key": "bye", "value": 1}]);
        if saves {
            script.as_array_mut().expect("an array").push(json!({"op": "save"}));
        }
        let reply = browser.run(script).await;
        assert_eq!((reply.status, reply.set_cookies().len(), reply.sends_cookie()), (200, 1, true));
        assert_ne!(browser.cookie(), old);
        let reply = browser.run(json!([{"op": "get", "key": "bye"}, {"op": "get", "key": "secret"}])).await;
        assert_eq!(reply.results(), [json!({"value": 1}), json!({"absent": true})]);
        assert_eq!(user(&mut browser).await, json!(null));
        assert!(rows(&world, "ada").await.is_empty());
    }

    // If the value can't be stored the sign-out still stands.
    let mut browser = sign_in(&world, "ada").await;
    let script = json!([{"op": "logout"}, {"op": "set", "key": "bye", "value": 1}, {"op": "status", "code": 500}]);
    let reply = browser.run(script).await;
    assert_signed_out(&browser, &reply);
}

async fn a_visitors_sign_out(world: World) {
    let world = with_visitors(&world).await;
    for op in ["logout", "logout_all"] {
        let mut browser = visitor(&world, "a", 1).await;
        let id = visitor_id(&mut browser).await;
        let reply = browser.run(json!([{"op": op}])).await;
        assert_eq!(reply.error_status(0), None);
        assert_signed_out(&browser, &reply);
        assert!(row_of(&world, &id).await.is_none(), "{op}");
    }
}

async fn ended_by_another(world: World) {
    let world = with_visitors(&world).await;
    let browser = sign_in(&world, "ada").await;
    let after = json!([{"op": "save"}, {"op": "set", "key": "a", "value": 1}, {"op": "increment", "key": "n"}]);
    let slow = in_flight(&world, &browser, json!([]), "slow", after).await;
    let mut again = browser.clone();
    again.sign_in("ada").await;
    let (_, reply) = slow.finish(&world).await;
    let statuses: Vec<_> = (1..4).map(|at| reply.error_status(at)).collect();
    assert_eq!(statuses, [Some(401); 3]);
    assert!(reply.set_cookies().is_empty(), "it would replace the new sign-in's cookie");
    assert_eq!(user(&mut again).await, json!("ada"));
}

async fn a_dead_token(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(user(&mut browser).await, json!("ada"), "the new token has arrived");
    world.clock.advance(std::time::Duration::from_secs(61));
    let script = json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "increment", "key": "n"},
        {"op": "save"},
        {"op": "visitor_id"},
    ]);
    let reply = old.run(script).await;
    assert_eq!([0, 1, 2].map(|at| reply.error_status(at)), [Some(401); 3]);
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 0), "it would replace the cookie of the new token");
    assert_eq!(reply.result(3), json!(null));
    // It can end that session, and is a visitor's then.
    let reply = old.run(json!([{"op": "logout"}, {"op": "set", "key": "a", "value": 1}])).await;
    assert!(reply.error_status(1).is_none() && reply.sends_cookie());
    assert!(rows(&world, "ada").await.is_empty());
}

async fn unreadable_data(world: World) {
    let world = with_visitors(&world).await;
    for op in [opts("ada", true), json!({"op": "logout"})] {
        let mut browser = visitor(&world, "cart", "tea").await;
        let id = visitor_id(&mut browser).await;
        let mut row = (*row_of(&world, &id).await.expect("a row")).clone();
        let now = row.created_at;
        world.store.end(&row.user_id, row.id, None, now).await.expect("the store works");
        row.data = session_core::Data::from_text("{\"cart\": ");
        world.store.create(&std::sync::Arc::new(row), &[], World::LIMIT, now).await.expect("a store takes any text");
        world.events();
        let reply = browser.run(json!([op, {"op": "fail"}])).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (200, 1), "{op}");
        assert!(row_of(&world, &id).await.is_none());
        let is_reported = world.events().iter().any(|event| event.contains("Corrupt") && event.contains(&id));
        assert_eq!(is_reported, op["op"] != "logout", "what isn't taken along is reported");
    }
}

async fn users_first(world: World) {
    let world = with_visitors(&world).await;
    let mut visited = visitor(&world, "a", 1).await;
    let (id, visitors) = (visitor_id(&mut visited).await, visited.cookie().expect("a cookie"));
    let signed_in = sign_in(&world, "ada").await.cookie().expect("a cookie");
    let name = world.service.config().cookie_name().to_owned();
    for both in [format!("{name}={visitors}; {name}={signed_in}"), format!("{name}={signed_in}; {name}={visitors}")] {
        let mut browser = world.browser();
        browser.header("cookie", both);
        let reply = browser.run(json!([{"op": "user_id"}, {"op": "visitor_id"}, {"op": "get", "key": "a"}])).await;
        assert_eq!(reply.results(), [json!("ada"), json!(null), json!({"absent": true})]);
    }
    let mut browser = world.browser();
    browser.header("cookie", format!("{name}={visitors}; {name}={signed_in}"));
    assert!(browser.run(json!([{"op": "logout"}])).await.removes_cookie());
    assert!(row_of(&world, &id).await.is_none() && rows(&world, "ada").await.is_empty(), "both end");

    let mut visited = visitor(&world, "a", 1).await;
    let id = visitor_id(&mut visited).await;
    let user = sign_in(&world, "ada").await;
    let mut browser = world.browser();
    let cookies = [&visited, &user].map(|browser| format!("{name}={}", browser.cookie().expect("a cookie")));
    browser.header("cookie", cookies.join("; "));
    assert_eq!(browser.run(json!([opts("bob", true)])).await.error_status(0), None);
    assert!(row_of(&world, &id).await.is_none() && rows(&world, "ada").await.is_empty(), "both end");
    assert_eq!(data(&world, "bob").await, json!({}), "the visitor isn't the one who signs in");
}
