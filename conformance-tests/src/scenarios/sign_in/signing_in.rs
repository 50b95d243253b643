//! AUTH-1, AUTH-2, AUTH-5: signing in, and what becomes of the session before.

use serde_json::json;
use session_core::Clock;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{at_once, id, ids, sign_in, text, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("AUTH-1", "a sign-in makes a session, sends its cookie and shows at once", a_sign_in_shows_at_once),
    scenario!("AUTH-1", "every sign-in has a new id and a new token", every_sign_in_is_new),
    scenario!("AUTH-1", "a session starts with the data given to it", starts_with_the_data_given),
    scenario!("AUTH-1", "a dead token isn't taken up again", a_dead_token_is_not_taken_up_again),
    scenario!("AUTH-2", "the session before is dead on every node before the call returns", the_one_before_is_dead),
    scenario!("AUTH-2", "another user's session before is ended too", another_users_session_before_is_ended),
    scenario!("AUTH-2", "the end and the beginning are one store call", replacing_is_one_store_call),
    scenario!("AUTH-2", "no data is carried over", no_data_is_carried_over),
    scenario!(
        "AUTH-2",
        "a slow request writes to neither the old session nor the new",
        a_slow_request_writes_to_neither
    ),
    scenario!("AUTH-2", "a sign-in whose session was replaced meanwhile succeeds", replaced_meanwhile),
    scenario!("AUTH-2", "racing sign-ins that replace one session leave two", racing_replacements_leave_two),
    scenario!("AUTH-5", "of two sign-ins in one request the last remains", the_last_sign_in_remains),
    scenario!("AUTH-5", "if the second sign-in is refused the first stands", a_refused_second_leaves_the_first),
];

async fn a_sign_in_shows_at_once(world: World) {
    let mut browser = world.browser();
    let reply = browser
        .run(json!([
            {"op": "authenticate", "user": "ada"},
            {"op": "current"},
            {"op": "is_authenticated"},
            {"op": "user_id"},
        ]))
        .await;
    assert_eq!(reply.error_status(0), None);
    let session = reply.result(1);
    assert_eq!((&session["user_id"], &session["data"]), (&json!("ada"), &json!({})));
    assert_eq!((reply.result(2), reply.result(3)), (json!(true), json!("ada")));
    assert!(reply.sends_cookie());
    assert_eq!(reply.set_cookies().len(), 1);

    let rows = rows(&world, "ada").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(session["id"], json!(rows[0].id.to_string()));
    let now = world.clock.now();
    assert_eq!((rows[0].created_at, rows[0].authenticated_at, rows[0].last_active_at), (now, now, now));
    let next = browser.run(json!([{"op": "current"}])).await;
    assert_eq!(next.result(0), session, "the next request sees the same");
}

async fn every_sign_in_is_new(world: World) {
    let mut browsers = [world.browser(), world.browser()];
    let (mut ids, mut cookies, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for i in [0, 0, 1, 0, 1] {
        let reply = browsers[i].run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
        ids.push(reply.result(1)["id"].to_string());
        cookies.push(browsers[i].cookie().expect("a sign-in sends the cookie"));
        let row = rows(&world, "ada").await.into_iter().find(|row| json!(row.id.to_string()) == reply.result(1)["id"]);
        tokens.push(row.expect("the session that `current` shows is stored").token_hash);
    }
    for later in 1..ids.len() {
        for earlier in 0..later {
            assert_ne!(ids[earlier], ids[later]);
            assert_ne!(cookies[earlier], cookies[later]);
            assert!(tokens[earlier] != tokens[later]);
        }
    }
}

async fn starts_with_the_data_given(world: World) {
    let given = json!({"theme": "dark", "": [1, null]});
    for op in ["authenticate_with", "authenticate_opts"] {
        let mut browser = sign_in(&world, "ada").await;
        let reply = browser.run(json!([{"op": op, "user": "ada", "data": given}, {"op": "current"}])).await;
        assert_eq!(reply.error_status(0), None, "{op}");
        assert_eq!(reply.result(1)["data"], given, "{op} shows at once");
        let reply = browser.run(json!([{"op": "current"}])).await;
        assert_eq!(reply.result(0)["data"], given, "{op} is stored");
    }
    let mut browser = world.browser();
    browser.run(json!([{"op": "authenticate_opts", "user": "ada", "browser_session": true}])).await;
    assert_eq!(
        browser.run(json!([{"op": "current"}])).await.result(0)["data"],
        json!({}),
        "no data is an empty object"
    );
}

async fn a_dead_token_is_not_taken_up_again(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut stale = browser.clone();
    browser.run(json!([{"op": "logout"}])).await;
    let dead = stale.cookie();
    let reply = stale.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    assert!(reply.sends_cookie());
    assert_ne!(stale.cookie(), dead);
    assert_eq!(user(&mut stale).await, json!("ada"));
    let mut thief = world.browser();
    thief.set_cookie(dead.expect("the copy kept it"));
    assert_eq!(user(&mut thief).await, json!(null));
}

async fn the_one_before_is_dead(world: World) {
    let node = world.node().await;
    let old = sign_in(&world, "ada").await;
    let slow =
        in_flight(&world, &old, json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}]), "slow", json!([]));
    let slow = slow.await;
    for node in [&world, &node] {
        let mut late = old.on(node);
        let reply = late.run(json!([{"op": "current"}])).await;
        assert_eq!(
            (reply.status, reply.result(0)),
            (200, json!(null)),
            "the call has returned, the response hasn't left"
        );
        assert!(reply.set_cookies().is_empty(), "a late request leaves the cookie alone");
    }
    let (mut browser, reply) = slow.finish(&world).await;
    assert_eq!(ids(&world, "ada").await, [text(&reply.result(1)["id"])]);
    assert_eq!(user(&mut browser.on(&node)).await, json!("ada"));
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn another_users_session_before_is_ended(world: World) {
    let mut browser = sign_in(&world, "bob").await;
    let mut old = browser.clone();
    browser.sign_in("ada").await;
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
    assert_eq!(ids(&world, "ada").await.len(), 1);
    assert_eq!((user(&mut old).await, user(&mut browser).await), (json!(null), json!("ada")));
}

async fn replacing_is_one_store_call(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    browser.sign_in("ada").await;
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Create), world.faults.total());
    assert_eq!(counts, (1, 1, 2));
}

async fn no_data_is_carried_over(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "stored", "value": 1}])).await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "pending", "value": 1},
            {"op": "increment", "key": "stored"},
            {"op": "authenticate", "user": "ada"},
            {"op": "current"},
            {"op": "get", "key": "stored"},
            {"op": "get", "key": "pending"},
        ]))
        .await;
    assert_eq!(reply.result(3)["data"], json!({}));
    assert_eq!((reply.result(4), reply.result(5)), (json!({"absent": true}), json!({"absent": true})));
    assert_eq!(browser.run(json!([{"op": "current"}])).await.result(0)["data"], json!({}));
}

async fn a_slow_request_writes_to_neither(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "slow", json!([])).await;
    browser.sign_in("ada").await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 0));
    assert_eq!(ids(&world, "ada").await.len(), 1, "the old session didn't come back");
    assert_eq!(browser.run(json!([{"op": "current"}])).await.result(0)["data"], json!({}));
}

async fn replaced_meanwhile(world: World) {
    let mut first = sign_in(&world, "ada").await;
    let mut old = first.clone();
    let second = in_flight(&world, &first, json!([]), "slow", json!([{"op": "authenticate", "user": "ada"}])).await;
    first.sign_in("ada").await;
    let (mut second, reply) = second.finish(&world).await;
    assert_eq!(reply.error_status(1), None);
    assert!(reply.sends_cookie());
    assert_eq!(ids(&world, "ada").await.len(), 2);
    assert_ne!(id(&mut first).await, id(&mut second).await);
    assert_eq!(user(&mut old).await, json!(null));
}

async fn racing_replacements_leave_two(world: World) {
    let node = world.node().await;
    for round in 0..world.rounds {
        let name = format!("ada-{round}");
        let mut old = sign_in(&world, &name).await;
        let script = json!([{"op": "authenticate", "user": name}, {"op": "current"}]);
        let mut done = at_once(vec![(&world, old.on(&world), script.clone()), (&node, old.on(&node), script)]).await;
        let mut made = Vec::new();
        for (browser, reply) in &mut done {
            assert_eq!(reply.error_status(1), None, "round {round}");
            assert!(reply.sends_cookie(), "round {round}");
            assert_eq!(user(browser).await, json!(name), "round {round}");
            made.push(text(&reply.result(2)["id"]));
        }
        let mut left = ids(&world, &name).await;
        left.sort();
        made.sort();
        assert_eq!(left, made, "round {round}");
        assert_eq!(user(&mut old).await, json!(null), "round {round}");
    }
}

async fn the_last_sign_in_remains(world: World) {
    let mut returning = sign_in(&world, "eve").await;
    let mut old = returning.clone();
    for browser in [&mut world.browser(), &mut returning] {
        for (first, last) in [("ada", "ada"), ("ada", "bob"), ("bob", "ada")] {
            let reply = browser
                .run(json!([
                    {"op": "authenticate_with", "user": first, "data": {"first": 1}},
                    {"op": "set", "key": "pending", "value": 1},
                    {"op": "authenticate", "user": last},
                    {"op": "current"},
                ]))
                .await;
            assert_eq!((reply.error_status(0), reply.error_status(2)), (None, None));
            assert_eq!(reply.set_cookies().len(), 1);
            let all = [ids(&world, "ada").await, ids(&world, "bob").await].concat();
            assert_eq!(all, [text(&reply.result(3)["id"])], "{first}, then {last}");
            let current = browser.run(json!([{"op": "current"}])).await.result(0);
            assert_eq!((&current["user_id"], &current["data"]), (&json!(last), &json!({})));
        }
        browser.run(json!([{"op": "logout"}])).await;
    }
    assert_eq!(user(&mut old).await, json!(null));
    let mut browser = world.browser();
    let between = json!([
        {"op": "authenticate", "user": "ada"},
        {"op": "logout"},
        {"op": "authenticate", "user": "ada"},
    ]);
    let reply = browser.run(between).await;
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
    assert_eq!((user(&mut browser).await, ids(&world, "ada").await.len()), (json!("ada"), 1));
}

async fn a_refused_second_leaves_the_first(world: World) {
    let first = json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}]);
    let second = json!([{"op": "authenticate", "user": "bob"}, {"op": "current"}]);
    let slow = in_flight(&world, &world.browser(), first, "slow", second).await;
    world.faults.fail(OpKind::Create, Fault::NotApplied);
    let (mut browser, reply) = slow.finish(&world).await;
    world.faults.clear();
    assert_eq!((reply.error_status(0), reply.error_status(3)), (None, Some(503)));
    assert_eq!(reply.result(4), reply.result(1));
    assert_eq!(reply.set_cookies().len(), 1, "the first one's cookie");
    assert_eq!(id(&mut browser).await, text(&reply.result(1)["id"]));
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
}
