//! FLT-1, FLT-2: stores that fail and connections that drop.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-1", "a store that is down before a request is a 503 for who needs it", down_before),
    scenario!("FLT-1", "a store that goes down during a request fails each call with 503", down_during),
    scenario!("FLT-1", "a store that is down at the commit is a 503 for who writes", down_after),
    scenario!("FLT-1", "a store that blinks costs no session", a_store_that_blinks),
    scenario!("FLT-2", "a connection dropped inside a handler blocks nobody", dropped_inside_a_handler),
    scenario!("FLT-2", "a connection dropped inside any store call blocks nobody", dropped_inside_a_store_call),
    scenario!("FLT-2", "writes dropped at any moment are stored whole or not at all", writes_dropped_at_any_moment),
    scenario!(
        "FLT-2",
        "sign-ins and rotations dropped at any moment are done or undone",
        sign_ins_dropped_at_any_moment
    ),
];

const EVERY_FAILURE: [(&str, Fault); 2] = [("not applied", Fault::NotApplied), ("unknown", Fault::UnknownLost)];

async fn down_before(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    let cookie = browser.cookie();
    for (name, fault) in EVERY_FAILURE {
        world.faults.fail_all(fault);
        for path in ["/do", "/optional", "/result", "/session", "/optional-session", "/twice", "/nested"] {
            let reply = browser.run_on(path, json!([{"op": "user_id"}])).await;
            assert_eq!(reply.status, 503, "{name}: {path}");
            assert!(reply.set_cookies().is_empty(), "{name}: {path}: signed out by outage");
        }
        world.faults.clear();
        world.faults.fail(OpKind::Load, fault);
        let reply = browser.clone().run(json!([{"op": "revoke_all", "user": "ada"}])).await;
        assert_eq!(reply.status, 503, "{name}");
        assert_eq!(rows(&world, "ada").await.len(), 1, "{name}: the handler never ran");
        world.faults.fail_all(fault);
        assert_eq!(browser.get("/plain").await.status, 200, "{name}: who doesn't need the store works");
        let reply = world.browser().run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!(null)), "{name}: who has no cookie either");
        let reply = world.browser().run(json!([{"op": "authenticate", "user": "bob"}])).await;
        assert_eq!((reply.error_status(0), reply.sends_cookie()), (Some(503), false), "{name}");
        world.faults.clear();
        serves_fully(&world, &mut browser).await;
        assert_eq!(browser.cookie(), cookie, "{name}");
    }
}

async fn down_during(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    let cookie = browser.cookie();
    let id = rows(&world, "ada").await[0].id.to_string();
    let calls = json!([
        {"op": "save"},
        {"op": "rotate"},
        {"op": "authenticate", "user": "bob"},
        {"op": "authenticate_with", "user": "ada", "data": {}},
        {"op": "logout"},
        {"op": "logout_all"},
        {"op": "logout_other"},
        {"op": "list_my_sessions"},
        {"op": "revoke", "id": id},
        {"op": "list", "user": "ada"},
        {"op": "revoke_by_id", "user": "ada", "id": id},
        {"op": "revoke_all", "user": "ada"},
        {"op": "revoke_all_except", "user": "ada", "keep": id},
        {"op": "current"},
    ]);
    let count = calls.as_array().unwrap().len();
    for ((name, fault), gate) in EVERY_FAILURE.into_iter().zip(["first", "second"]) {
        let slow = in_flight(&world, &browser, json!([{"op": "get", "key": "a"}]), gate, calls.clone()).await;
        world.faults.fail_all(fault);
        let (_, reply) = slow.finish(&world).await;
        for i in 2..count + 1 {
            assert_eq!(reply.error_status(i), Some(503), "{name}: {}", calls[i - 2]);
        }
        assert_eq!(reply.result(count + 1)["data"]["a"], json!(1), "{name}: what was read stays readable");
        assert_eq!(reply.status, 200, "{name}: the handler made of the errors what it wanted, and nothing was pending");
        assert!(reply.set_cookies().is_empty(), "{name}");
        world.faults.clear();
        serves_fully(&world, &mut browser).await;
        assert_eq!(browser.cookie(), cookie, "{name}");
        assert!(rows(&world, "bob").await.is_empty(), "{name}");
    }
}

async fn down_after(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    for ((name, fault), gates) in EVERY_FAILURE.into_iter().zip([["writes 1", "reads 1"], ["writes 2", "reads 2"]]) {
        let set = json!([{"op": "set", "key": "lost", "value": 1}]);
        let writes = in_flight(&world, &browser, set, gates[0], json!([])).await;
        let reads = in_flight(&world, &browser, json!([{"op": "get", "key": "a"}]), gates[1], json!([])).await;
        world.faults.fail_all(fault);
        assert_eq!(writes.finish(&world).await.1.status, 503, "{name}");
        let (_, reply) = reads.finish(&world).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!({"value": 1})), "{name}");
        world.faults.clear();
        serves_fully(&world, &mut browser).await;
    }
}

async fn a_store_that_blinks(world: World) {
    let mut browser = signed_in(&world, "ada", json!({})).await;
    for round in 0..10 {
        for kind in [OpKind::Load, OpKind::Update] {
            world.clock.advance(Duration::from_secs(600));
            world.faults.fail_once(kind, Fault::NotApplied);
            let reply = browser.run(json!([{"op": "set", "key": "round", "value": round}])).await;
            assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
            assert!(reply.set_cookies().is_empty());
            world.faults.clear();
            let reply = browser.run(json!([{"op": "set", "key": "round", "value": round}])).await;
            assert_eq!(reply.status, 200);
            assert_eq!(data(&world, "ada").await, json!({"round": round}));
        }
    }
}

async fn dropped_inside_a_handler(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    let gates: [&'static str; 4] = ["set", "saved", "listed", "removed"];
    let before = [
        json!([{"op": "set", "key": "lost", "value": 1}, {"op": "increment", "key": "lost too"}]),
        json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "set", "key": "lost", "value": 1}]),
        json!([{"op": "get", "key": "a"}, {"op": "list_my_sessions"}]),
        json!([{"op": "set", "key": "lost", "value": 1}, {"op": "remove_key", "key": "a"}]),
    ];
    for (gate, before) in gates.into_iter().zip(before) {
        in_flight(&world, &browser, before, gate, json!([])).await.hang_up().await;
        serves_fully(&world, &mut browser).await;
        assert_eq!(data(&world, "ada").await["lost"], json!(null), "{gate}");
    }
    assert_eq!(rows(&world, "ada").await.len(), 1);
}

async fn dropped_inside_a_store_call(world: World) {
    let calls = [
        (OpKind::Load, json!([{"op": "user_id"}])),
        (OpKind::Update, json!([{"op": "set", "key": "lost", "value": 1}])),
        (OpKind::Update, json!([{"op": "set", "key": "lost", "value": 1}, {"op": "save"}])),
        (OpKind::Update, json!([{"op": "rotate"}])),
        (OpKind::Create, json!([{"op": "authenticate", "user": "ada"}])),
        (OpKind::End, json!([{"op": "logout"}])),
        (OpKind::EndAll, json!([{"op": "logout_all"}])),
        (OpKind::List, json!([{"op": "list_my_sessions"}])),
    ];
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    for (kind, ops) in calls {
        world.faults.reset_counts();
        world.faults.fail(kind, Fault::Hang);
        let mut hanging = browser.clone();
        let request = tokio::spawn({
            let ops = ops.clone();
            async move { hanging.run(ops).await }
        });
        while world.faults.count(kind) == 0 {
            assert!(!request.is_finished(), "{ops} makes that call");
            tokio::task::yield_now().await;
        }
        request.abort();
        assert!(request.await.is_err(), "{ops} hangs");
        world.faults.clear();
        serves_fully(&world, &mut browser).await;
        assert_eq!(data(&world, "ada").await["lost"], json!(null), "{ops}");
    }
}

async fn writes_dropped_at_any_moment(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    let mut torn = Vec::new();
    for round in 0..world.rounds {
        let ops = json!([
            {"op": "set", "key": "left", "value": round},
            {"op": "save"},
            {"op": "increment", "key": "n"},
            {"op": "set", "key": "one", "value": round},
            {"op": "set", "key": "two", "value": round},
        ]);
        drop_after(&browser, ops, round).await;
        // It writes too: what a framework lets run on after a hang-up may delay it, but not for
        // long.
        let reply = browser.run(json!([{"op": "current"}, {"op": "increment", "key": "beside"}])).await;
        if reply.status != 200 {
            torn.push((round, reply.status, Value::Null));
            continue;
        }
        let seen = &reply.result(0)["data"];
        if seen["one"] != seen["two"] || seen["n"].as_u64() > Some(round as u64 + 1) {
            torn.push((round, reply.status, seen.clone()));
        }
    }
    assert!(torn.is_empty(), "{} of {} rounds: {torn:?}", torn.len(), world.rounds);
    serves_fully(&world, &mut browser).await;
}

async fn sign_ins_dropped_at_any_moment(world: World) {
    let mut violations = Vec::new();
    for round in 0..world.rounds {
        let user = format!("user {round}");
        let browser = signed_in(&world, &user, json!({"a": 1})).await;
        drop_after(&browser, json!([{"op": "rotate"}]), round).await;
        let rotated = rows(&world, &user).await.len();
        drop_after(&browser, json!([{"op": "authenticate_with", "user": user, "data": {"a": 2}}]), round).await;
        let live = rows(&world, &user).await;
        let whole = live.iter().all(|row| [r#"{"a":1}"#, r#"{"a":2}"#].contains(&row.data.text()));
        // The sign-in ends the session that the browser had, and is ended itself if its client went
        // before it had the cookie.
        if rotated != 1 || live.len() > 1 || !whole {
            violations.push((round, rotated, live.len()));
        }
    }
    assert!(violations.is_empty(), "{} of {} rounds: {violations:?}", violations.len(), world.rounds);
    let mut browser = signed_in(&world, "ada", json!({"a": 1})).await;
    serves_fully(&world, &mut browser).await;
}

/// A browser that is signed in with this data.
pub(super) async fn signed_in(world: &World, user: &str, data: Value) -> Browser {
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "authenticate_with", "user": user, "data": data}])).await;
    assert_eq!((reply.error_status(0), reply.sends_cookie()), (None, true));
    browser
}

/// The session works in every way: it is read, written, and others can sign in, be listed and sign
/// out.
async fn serves_fully(world: &World, browser: &mut Browser) {
    let reply = browser.run(json!([{"op": "get", "key": "a"}, {"op": "increment", "key": "served"}])).await;
    assert_eq!((reply.status, reply.result(0)), (200, json!({"value": 1})));
    assert_eq!(reply.error_status(1), None);
    let mut other = world.browser();
    other.sign_in("someone").await;
    let reply = other.run(json!([{"op": "rotate"}, {"op": "list_my_sessions"}, {"op": "logout"}])).await;
    assert_eq!(reply.result(1).as_array().map(Vec::len), Some(1));
    assert!(rows(world, "someone").await.is_empty());
}

/// Sends a request and drops the connection a little later each round, up to some dozens of polls.
async fn drop_after(browser: &Browser, ops: Value, round: usize) {
    let mut browser = browser.clone();
    let request = tokio::spawn(async move { browser.run(ops).await });
    for _ in 0..round % 97 {
        tokio::task::yield_now().await;
    }
    request.abort();
    // Cancelled, or done already.
    drop(request.await);
}
