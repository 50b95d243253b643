//! DATA-14: `reload` after rotations elsewhere, and what a handle can do whose token is dead by
//! ROT-6.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::Clock;

use crate::browser::Browser;
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::{in_flight, in_flight_on};
use crate::scenarios::support::in_process::{committed, extracted, lines};
use crate::scenarios::support::sessions::{id, ids, only_row, sign_in, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-14", "reload works after any number of rotations elsewhere", reload_after_rotations),
    scenario!("DATA-14", "a handle whose token is dead can read and no more", a_dead_token_reads),
    scenario!("DATA-14", "a handle whose token is dead stores nothing at its commit", a_dead_token_stores_nothing),
    scenario!("DATA-14", "a handle whose token is dead can be signed out", a_dead_token_signs_out),
    scenario!("DATA-14", "after a rotate_strict elsewhere reload is a 401", reload_after_a_strict_rotation),
    scenario!("DATA-14", "a reload before that rotate_strict changes nothing of it", a_strict_rotation_after_a_reload),
    scenario!("DATA-14", "a rotate_strict before the handle was made is no 401", a_strict_rotation_before),
    scenario!(
        "DATA-14",
        "a handle that rotated strictly itself lives on, whatever the clocks say",
        its_own_strict_rotation
    ),
    scenario!("DATA-14", "a handle whose strict rotation was settled late is out after the next one", settled_late),
    scenario!("DATA-14", "a request that came with a dead token can't reload", reload_with_a_dead_token),
];

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_mins(1);

/// Each of these in a request of its own, a second after the one before.
async fn do_each(world: &World, browser: &mut Browser, ops: &[&str]) {
    for op in ops {
        world.clock.advance(SECOND);
        let reply = browser.run(json!([{"op": op}])).await;
        assert!(reply.error_status(0).is_none() && reply.sends_cookie(), "{op}: {reply:?}");
    }
}

/// Two rotations, the later one presented: a handle of before them has a dead token.
async fn rotate_twice(world: &World, browser: &mut Browser) {
    do_each(world, browser, &["rotate", "rotate"]).await;
    id(browser).await;
}

async fn reload_after_rotations(world: World) {
    let after = json!([
        {"op": "reload"},
        {"op": "current"},
        {"op": "save"},
        {"op": "user_id"},
        {"op": "reload"},
        {"op": "user_id"},
        {"op": "logout"},
        {"op": "reload"},
    ]);
    for (rotations, is_presented) in [(1, true), (1, false), (2, true), (5, true)] {
        for waited in [GRACE - SECOND, GRACE, GRACE + SECOND] {
            let case = format!("{rotations} rotations, presented: {is_presented}, {waited:?} ago");
            let mut browser = sign_in(&world, "ada").await;
            let stream =
                in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after.clone()).await;
            browser.run(json!([{"op": "set", "key": "a", "value": case}])).await;
            do_each(&world, &mut browser, &vec!["rotate"; rotations]).await;
            if is_presented {
                assert_eq!(user(&mut browser).await, json!("ada"));
            }
            world.clock.advance(waited);
            let (_, reply) = stream.finish(&world).await;
            world.gates.close("stream");
            let is_alive = rotations == 1 && (!is_presented || waited < GRACE);
            assert_eq!(reply.error_status(2), None, "{case}");
            let current = reply.result(3);
            assert_eq!((&current["user_id"], &current["data"]), (&json!("ada"), &json!({"a": case})));
            let (saved, shown) = if is_alive { (None, json!("ada")) } else { (Some(401), json!(null)) };
            assert_eq!((reply.error_status(4), reply.result(5)), (saved, shown), "{case}: save");
            assert_eq!((reply.error_status(6), reply.result(7)), (None, json!("ada")), "{case}: it still lives");
            assert_eq!((reply.error_status(8), reply.error_status(9)), (None, Some(401)), "{case}: logout");
            assert!(rows(&world, "ada").await.is_empty(), "{case}: logout ends the row");
            assert_eq!(user(&mut browser).await, json!(null), "{case}");
        }
    }
}

async fn a_dead_token_reads(world: World) {
    let mut other = sign_in(&world, "ada").await;
    let others = id(&mut other).await;
    let refused = [
        json!({"op": "save"}),
        json!({"op": "rotate"}),
        json!({"op": "rotate_strict"}),
        json!({"op": "list_my_sessions"}),
        json!({"op": "logout_other"}),
        json!({"op": "revoke", "id": others}),
    ];
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let get = json!({"op": "get", "key": "a"});
    let after = refused.iter().flat_map(|op| [json!({"op": "reload"}), get.clone(), op.clone()]).collect();
    let slow = in_flight(&world, &browser, json!([]), "slow", Value::Array(after)).await;
    rotate_twice(&world, &mut browser).await;
    let before = rows(&world, "ada").await;
    let (_, reply) = slow.finish(&world).await;
    for (i, op) in refused.iter().enumerate() {
        let entry = 1 + 3 * i;
        assert_eq!((reply.error_status(entry), reply.result(entry + 1)), (None, json!({"value": 1})), "before {op}");
        assert_eq!(reply.error_status(entry + 2), Some(401), "{op}");
    }
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 0));
    assert!(rows(&world, "ada").await == before, "nothing has changed");
    assert_eq!((user(&mut browser).await, user(&mut other).await), (json!("ada"), json!("ada")));
}

async fn a_dead_token_stores_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let set = json!({"op": "set", "key": "late", "value": 1});
    let after = json!([{"op": "reload"}, set, {"op": "reload"}, {"op": "current"}]);
    let slow = in_flight(&world, &browser, json!([]), "slow", after).await;
    rotate_twice(&world, &mut browser).await;
    let before = only_row(&world, "ada").await;
    world.events();
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.error_status(2), reply.error_status(3)), (None, None, None));
    assert_eq!(reply.result(4)["data"], json!({"late": 1}), "as the handler sees it");
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 0), "the handler's response stands");
    assert!(only_row(&world, "ada").await == before);
    assert!(world.events().iter().any(|event| event.contains("DataDropped")), "an event tells");

    let after = json!([set, {"op": "save"}, {"op": "reload"}, {"op": "current"}]);
    let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after).await;
    rotate_twice(&world, &mut browser).await;
    let (_, reply) = stream.finish(&world).await;
    assert_eq!((reply.error_status(3), reply.error_status(4)), (Some(401), None));
    assert_eq!(reply.result(5)["data"], json!({}), "what a save was refused isn't there after a reload");
    assert_eq!(data(&world, "ada").await, json!({}));
}

async fn a_dead_token_signs_out(world: World) {
    let mut other = sign_in(&world, "ada").await;
    let others = id(&mut other).await;
    for (gate, op) in [("logout", json!({"op": "logout"})), ("logout_all", json!({"op": "logout_all"}))] {
        for path in ["/do", "/stream"] {
            let mut browser = sign_in(&world, "ada").await;
            let after = json!([{"op": "reload"}, op, {"op": "user_id"}]);
            let slow = in_flight_on(path, &world, &browser, json!([{"op": "head"}]), gate, after).await;
            rotate_twice(&world, &mut browser).await;
            let (_, reply) = slow.finish(&world).await;
            world.gates.close(gate);
            assert_eq!((reply.error_status(2), reply.error_status(3)), (None, None), "{gate}, {path}");
            assert_eq!((reply.result(4), reply.removes_cookie()), (json!(null), path == "/do"), "{gate}, {path}");
            assert_eq!(user(&mut browser).await, json!(null), "{gate}, {path}: the session has ended");
            assert_eq!(ids(&world, "ada").await, std::slice::from_ref(&others), "{gate}, {path}: and no other one");
        }
    }
}

async fn reload_after_a_strict_rotation(world: World) {
    let after = json!([{"op": "reload"}, {"op": "current"}, {"op": "reload"}, {"op": "save"}, {"op": "logout"}]);
    for elsewhere in [
        &["rotate_strict"][..],
        &["rotate_strict", "rotate"],
        &["rotate_strict", "rotate", "rotate", "rotate"],
        &["rotate", "rotate_strict"],
        &["rotate", "rotate", "rotate_strict", "rotate"],
        &["rotate_strict", "rotate_strict"],
    ] {
        let mut browser = sign_in(&world, "ada").await;
        let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after.clone()).await;
        do_each(&world, &mut browser, elsewhere).await;
        assert_eq!(user(&mut browser).await, json!("ada"));
        let (_, reply) = stream.finish(&world).await;
        world.gates.close("stream");
        assert_eq!((reply.error_status(2), reply.result(3)), (Some(401), json!(null)), "{elsewhere:?}");
        assert_eq!((reply.error_status(4), reply.error_status(5)), (Some(401), Some(401)), "{elsewhere:?}");
        assert_eq!((reply.error_status(6), user(&mut browser).await), (None, json!(null)), "{elsewhere:?}: logout");
    }
}

async fn a_strict_rotation_after_a_reload(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let after = json!([{"op": "reload"}, {"op": "gate", "name": "reloaded"}, {"op": "reload"}, {"op": "reload"}]);
    let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after).await;
    rotate_twice(&world, &mut browser).await;
    world.gates.open("stream");
    world.gates.arrived("reloaded").await;
    do_each(&world, &mut browser, &["rotate_strict", "rotate"]).await;
    world.gates.open("reloaded");
    let (_, reply) = stream.finish(&world).await;
    assert_eq!((reply.error_status(2), reply.error_status(4), reply.error_status(5)), (None, Some(401), Some(401)));
}

async fn a_strict_rotation_before(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    do_each(&world, &mut browser, &["rotate_strict"]).await;
    let after = json!([{"op": "reload"}, {"op": "user_id"}, {"op": "save"}, {"op": "reload"}]);
    let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after).await;
    rotate_twice(&world, &mut browser).await;
    world.clock.advance(GRACE);
    let (_, reply) = stream.finish(&world).await;
    assert_eq!((reply.error_status(2), reply.result(3)), (None, json!("ada")), "it was strict to the tokens before");
    assert_eq!((reply.error_status(4), reply.error_status(5)), (Some(401), None));
}

async fn reload_with_a_dead_token(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let oldest = browser.clone();
    do_each(&world, &mut browser, &["rotate"]).await;
    let old = browser.clone();
    do_each(&world, &mut browser, &["rotate"]).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    world.clock.advance(GRACE);
    let row = only_row(&world, "ada").await;
    assert!(row.token_seen && row.token_issued_at + GRACE <= world.clock.now());
    for mut dead in [oldest, old] {
        world.faults.reset_counts();
        let reply = dead.run(json!([{"op": "reload"}, {"op": "current"}, {"op": "reload"}])).await;
        assert_eq!((reply.error_status(0), reply.error_status(2)), (Some(401), Some(401)));
        assert_eq!((reply.result(1), reply.set_cookies().len()), (json!(null), 0));
        assert_eq!(world.faults.total(), 1, "only the extraction asks the store");
    }
}

/// The browser takes the cookie of a response.
fn take_cookie(browser: &mut Browser, head: &http::Response<()>) {
    let sent = lines(head, "set-cookie");
    browser.set_cookie(sent[0].0.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1);
}

async fn its_own_strict_rotation(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let start = world.clock.now();
    let (guard, session) = extracted(&world, &browser).await;
    // A node whose clock is ahead rotates first, and the strict rotation comes by the superseded
    // token.
    world.clock.advance(SECOND * 2);
    browser.run(json!([{"op": "rotate"}])).await;
    world.clock.set(start);
    session.rotate_strict().await.expect("a live superseded token");
    take_cookie(&mut browser, &committed(&guard).await);
    rotate_twice(&world, &mut browser).await;
    session.reload().await.expect("no one has rotated strictly since");
    assert_eq!(session.user_id().as_deref(), Some("ada"));
    do_each(&world, &mut browser, &["rotate_strict"]).await;
    assert_eq!(session.reload().await.unwrap_err().status(), 401);
}

async fn settled_late(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let (guard, session) = extracted(&world, &browser).await;
    world.clock.advance(SECOND);
    for _ in 0..2 {
        world.faults.fail_once(OpKind::Update, Fault::UnknownApplied);
    }
    assert_eq!(session.rotate_strict().await.unwrap_err().status(), 503);
    world.clock.advance(SECOND * 5);
    take_cookie(&mut browser, &committed(&guard).await);
    // A node whose clock is behind.
    let now = world.clock.now();
    world.clock.set(now - SECOND * 4);
    do_each(&world, &mut browser, &["rotate_strict"]).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert_eq!(session.reload().await.unwrap_err().status(), 401);
}
