//! ROT-8: the strict rotation, after which no token before it counts.

use std::time::Duration;

use serde_json::json;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::{in_flight, in_flight_on};
use crate::scenarios::support::sessions::{id, ids, only_row, sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ROT-8", "a strict rotation keeps the session, and all tokens before it are dead at once", dead_at_once),
    scenario!("ROT-8", "a superseded token can rotate strictly", by_a_superseded_token),
    scenario!("ROT-8", "a request and a socket under an older token are out", requests_and_sockets_are_out),
    scenario!("ROT-8", "without a session, or by a dead token, it is a 401", without_a_session),
    scenario!("ROT-8", "a refused one changes nothing, an unknown one is asked again", failures),
    scenario!("ROT-8", "of racing strict rotations the last one's token works", racing),
];

async fn dead_at_once(world: World) {
    let node = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let before = id(&mut browser).await;
    world.clock.advance(Duration::from_secs(1));
    let previous = browser.clone();
    browser.run(json!([{"op": "rotate"}])).await;
    let current = browser.clone();
    world.clock.advance(Duration::from_secs(1));
    let reply = browser.run(json!([{"op": "rotate_strict"}, {"op": "current"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (None, 1));
    assert_eq!(reply.result(1)["data"], json!({"a": 1}));
    for node in [&world, &node] {
        for dead in [&previous, &current] {
            let mut dead = dead.on(node);
            let reply = dead.run(json!([{"op": "user_id"}, {"op": "rotate"}, {"op": "rotate_strict"}])).await;
            assert_eq!(reply.result(0), json!(null));
            assert_eq!((reply.error_status(1), reply.error_status(2)), (Some(401), Some(401)));
            assert_eq!(reply.set_cookies().len(), 0, "and is sent nothing");
        }
        assert_eq!(id(&mut browser.on(node)).await, before);
    }
    let row = only_row(&world, "ada").await;
    assert_eq!((row.previous_token_hash, row.successor), (None, None));
    assert_eq!(row.strict_rotated_at, Some(row.token_issued_at));
    // Dead as they are, they can sign out.
    let mut dead = previous.on(&world);
    assert!(dead.run(json!([{"op": "logout"}])).await.removes_cookie());
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn by_a_superseded_token(world: World) {
    for seen in [false, true] {
        let mut old = sign_in(&world, "ada").await;
        world.clock.advance(Duration::from_secs(1));
        let mut current = old.clone();
        current.run(json!([{"op": "rotate"}])).await;
        if seen {
            assert_eq!(user(&mut current).await, json!("ada"));
        }
        let reply = old.run(json!([{"op": "rotate_strict"}])).await;
        assert_eq!((reply.error_status(0), reply.sends_cookie()), (None, true), "seen: {seen}");
        assert_eq!((user(&mut old).await, user(&mut current).await), (json!("ada"), json!(null)), "seen: {seen}");
        old.run(json!([{"op": "logout"}])).await;
    }
}

async fn requests_and_sockets_are_out(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let after =
        json!([{"op": "set", "key": "a", "value": 1}, {"op": "list_my_sessions"}, {"op": "reload"}, {"op": "reload"}]);
    let slow = in_flight(&world, &browser, json!([]), "slow", after.clone()).await;
    let socket = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "socket", after).await;
    world.clock.advance(Duration::from_secs(1));
    browser.run(json!([{"op": "rotate_strict"}])).await;
    // A rotation after it makes no difference.
    world.clock.advance(Duration::from_secs(1));
    browser.run(json!([{"op": "rotate"}])).await;
    for in_flight in [slow, socket] {
        let (_, reply) = in_flight.finish(&world).await;
        let results = reply.results();
        for result in &results[results.len() - 3..] {
            assert_eq!(result["error"]["status"], json!(401), "{results:?}");
        }
        assert!(reply.set_cookies().is_empty());
    }
    assert_eq!((data(&world, "ada").await, user(&mut browser).await), (json!({}), json!("ada")));
}

async fn without_a_session(world: World) {
    world.faults.reset_counts();
    let reply = world.browser().run(json!([{"op": "rotate_strict"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len(), world.faults.total()), (Some(401), 0, 0));
    let mut browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([]), "slow", json!([{"op": "rotate_strict"}])).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0), "ended meanwhile");
    let reply = sign_in(&world, "ada").await.run_on("/stream", json!([{"op": "head"}, {"op": "rotate_strict"}])).await;
    assert_eq!(reply.results().last().unwrap()["error"]["status"], json!(500), "no cookie can follow");
}

async fn failures(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let row = only_row(&world, "ada").await;
    world.faults.fail_once(OpKind::Update, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "rotate_strict"}, {"op": "user_id"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1), reply.set_cookies().len()), (Some(503), json!("ada"), 0));
    assert!(only_row(&world, "ada").await == row);
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        world.faults.fail_once(OpKind::Update, fault);
        let reply = browser.run(json!([{"op": "rotate_strict"}])).await;
        assert_eq!((reply.error_status(0), reply.set_cookies().len()), (None, 1), "{fault:?}");
        assert_eq!(user(&mut browser).await, json!("ada"), "{fault:?}");
        // It stays unknown, and the commit settles it: its cookie goes with the response.
        world.faults.fail_once(OpKind::Update, fault);
        world.faults.fail_once(OpKind::Update, fault);
        let reply = browser.run(json!([{"op": "rotate_strict"}])).await;
        assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(503), 1), "{fault:?}");
        assert_eq!(user(&mut browser).await, json!("ada"), "{fault:?}");
    }
    assert_eq!(ids(&world, "ada").await.len(), 1);
}

async fn racing(world: World) {
    for round in 0..world.rounds.div_ceil(4) {
        let browser = sign_in(&world, "ada").await;
        let strict = json!([{"op": "rotate_strict"}]);
        let racers = vec![(&world, browser.clone(), strict.clone()), (&world, browser.clone(), strict)];
        let mut done = crate::scenarios::support::sessions::at_once(racers).await;
        let mut working = 0;
        for (racer, reply) in &mut done {
            assert_eq!(reply.sends_cookie(), reply.error_status(1).is_none(), "round {round}");
            working += usize::from(reply.sends_cookie() && user(racer).await == json!("ada"));
        }
        assert_eq!(working, 1, "round {round}");
        world.service.revoke_all("ada").await.expect("the store works");
    }
}
