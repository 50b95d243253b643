//! ROT-1, ROT-2, ROT-3, ROT-4, ROT-5: rotating the token.

use std::time::Duration;

use serde_json::json;
use session_core::Clock;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{at_once, id, ids, only_row, sign_in, text, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ROT-1", "rotate keeps the session and sends a new token", rotate_keeps_the_session),
    scenario!("ROT-1", "rotate renews the idle expiry", rotate_renews_the_idle_expiry),
    scenario!("ROT-1", "rotate never moves the absolute expiry", rotate_never_moves_the_absolute_expiry),
    scenario!("ROT-1", "the old token is superseded on every node", the_old_token_is_superseded_on_every_node),
    scenario!("ROT-2", "without a session rotate is a 401", rotate_without_a_session),
    scenario!("ROT-2", "if the session ended meanwhile rotate is a 401", rotate_after_the_end),
    scenario!("ROT-2", "a token replaced a minute ago can't rotate", rotate_after_the_grace),
    scenario!("ROT-3", "the rotation that comes second sends the same successor", the_second_rotation_sends_the_same),
    scenario!("ROT-3", "racing rotations send one successor", racing_rotations_send_one_successor),
    scenario!("ROT-4", "token and expiry change in one store call", rotate_is_one_store_call),
    scenario!("ROT-4", "nobody ever sees one without the other", nobody_sees_half_a_rotation),
    scenario!("ROT-5", "a second rotate keeps the first one's token", a_second_rotate_keeps_the_first),
    scenario!("ROT-5", "rotate after a sign-in keeps its token", rotate_after_a_sign_in),
];

async fn rotate_keeps_the_session(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let (cookie, before) = (browser.cookie(), only_row(&world, "ada").await);
    world.clock.advance(Duration::from_secs(10));
    let reply = browser.run(json!([{"op": "rotate"}, {"op": "current"}])).await;
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
    assert_ne!(browser.cookie(), cookie);
    let after = only_row(&world, "ada").await;
    assert_eq!((after.id, &after.user_id, &after.data), (before.id, &before.user_id, &before.data));
    assert_eq!((after.created_at, after.authenticated_at), (before.created_at, before.authenticated_at));
    assert!(after.token_hash != before.token_hash);
    for current in [reply.result(1), browser.run(json!([{"op": "current"}])).await.result(0)] {
        assert_eq!(current["id"], json!(before.id.to_string()));
        assert_eq!((&current["user_id"], &current["data"]), (&json!("ada"), &json!({"a": 1})));
    }
}

async fn rotate_renews_the_idle_expiry(world: World) {
    let world = world.with_config(|config| config.idle_timeout(Duration::from_hours(1))).await;
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(4));
    browser.run(json!([{"op": "rotate"}])).await;
    let row = only_row(&world, "ada").await;
    let now = world.clock.now();
    assert_eq!((row.last_active_at, row.expires_at), (now, now + Duration::from_hours(1)));
    world.clock.advance(Duration::from_mins(60) - Duration::from_secs(1));
    assert_eq!(user(&mut browser).await, json!("ada"), "an hour after the rotation, not after the sign-in");
}

async fn rotate_never_moves_the_absolute_expiry(world: World) {
    let (idle, absolute) = (Duration::from_hours(1), Duration::from_hours(3));
    let world = world.with_config(|config| config.idle_timeout(idle).absolute_timeout(absolute)).await;
    let mut browser = sign_in(&world, "ada").await;
    let end = world.clock.now() + absolute;
    for _ in 0..5 {
        world.clock.advance(Duration::from_mins(30));
        let reply = browser.run(json!([{"op": "rotate"}])).await;
        let row = only_row(&world, "ada").await;
        let now = world.clock.now();
        assert_eq!((row.absolute_expires_at, row.expires_at), (end, end.min(now + idle)));
        let left = format!("Max-Age={}", (end - now).whole_seconds());
        assert!(reply.set_cookies()[0].contains(&left), "{:?} has {left}", reply.set_cookies());
    }
    world.clock.advance(Duration::from_mins(30));
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn the_old_token_is_superseded_on_every_node(world: World) {
    let node = world.node().await;
    let old = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_secs(1));
    let slow = in_flight(&world, &old, json!([{"op": "rotate"}]), "slow", json!([])).await;
    for node in [&world, &node] {
        let reply = old.on(node).run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!("ada")), "its successor is still on the way");
        assert!(reply.set_cookies().is_empty(), "a late request leaves the cookie alone");
    }
    let (mut browser, _) = slow.finish(&world).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(user(&mut browser.on(&node)).await, json!("ada"));
    for node in [&world, &node] {
        assert_eq!(user(&mut old.on(node)).await, json!(null), "the successor was presented, and the grace is over");
    }
}

async fn rotate_without_a_session(world: World) {
    world.faults.reset_counts();
    let reply = world.browser().run(json!([{"op": "rotate"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0));
    assert_eq!(world.faults.total(), 0);
    let mut browser = sign_in(&world, "ada").await;
    let mut stale = browser.clone();
    let reply = browser.run(json!([{"op": "logout"}, {"op": "rotate"}])).await;
    assert_eq!(reply.error_status(1), Some(401));
    assert!(reply.removes_cookie() && reply.set_cookies().len() == 1);
    let reply = stale.run(json!([{"op": "rotate"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0), "a stale cookie is no session");
}

async fn rotate_after_the_end(world: World) {
    let rotate = json!([{"op": "rotate"}]);
    for (gate, end) in [("logout", json!({"op": "logout"})), ("sign-in", json!({"op": "authenticate", "user": "bob"}))]
    {
        let mut browser = sign_in(&world, "ada").await;
        let slow = in_flight(&world, &browser, json!([]), gate, rotate.clone()).await;
        browser.run(json!([end])).await;
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0), "ended by {gate}");
        assert_eq!(ids(&world, "ada").await, Vec::<String>::new());
    }
    let browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([]), "expiry", rotate).await;
    world.clock.set(only_row(&world, "ada").await.expires_at);
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0), "ended by expiry");
    assert_eq!(ids(&world, "ada").await, Vec::<String>::new());
}

async fn rotate_after_the_grace(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([]), "slow", json!([{"op": "rotate"}])).await;
    world.clock.advance(Duration::from_secs(1));
    browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    let before = only_row(&world, "ada").await;
    world.clock.advance(Duration::from_mins(1));
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0));
    assert!(only_row(&world, "ada").await == before, "the session of the new token is untouched");
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn the_second_rotation_sends_the_same(world: World) {
    let mut winner = sign_in(&world, "ada").await;
    let after = json!([{"op": "rotate"}, {"op": "user_id"}, {"op": "set", "key": "a", "value": 1}]);
    let slow = in_flight(&world, &winner, json!([]), "slow", after.clone()).await;
    let late = in_flight(&world, &winner, json!([]), "late", after).await;
    winner.run(json!([{"op": "rotate"}])).await;
    let token = only_row(&world, "ada").await.token_hash;
    let (mut second, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.result(2)), (None, json!("ada")));
    assert_eq!((reply.set_cookies().len(), second.cookie()), (1, winner.cookie()), "the same successor");
    assert_eq!((user(&mut winner).await, user(&mut second).await), (json!("ada"), json!("ada")));
    let (_, reply) = late.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.result(2)), (None, json!("ada")));
    assert!(reply.set_cookies().is_empty(), "once the successor was presented, a rotation sends nothing");
    let row = only_row(&world, "ada").await;
    assert!(row.token_hash == token && row.data.text() == r#"{"a":1}"#, "and the data of all is stored");
}

async fn racing_rotations_send_one_successor(world: World) {
    let node = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    let before = id(&mut browser).await;
    let rotate = json!([{"op": "rotate"}]);
    for round in 0..world.rounds {
        let mut old = browser.clone();
        let racers = vec![(&world, old.on(&world), rotate.clone()), (&node, old.on(&node), rotate.clone())];
        let done = at_once(racers).await;
        for (racer, reply) in &done {
            assert_eq!((reply.status, reply.error_status(1)), (200, None), "round {round}");
            assert!(reply.set_cookies().len() == 1 && reply.sends_cookie(), "round {round}");
            assert_eq!(racer.cookie(), done[0].0.cookie(), "round {round}: one successor");
        }
        assert_ne!(done[0].0.cookie(), old.cookie(), "round {round}");
        browser = done[round % 2].0.on(&world);
        assert_eq!(user(&mut old).await, json!("ada"), "round {round}: the successor may be lost yet");
        assert_eq!(id(&mut browser).await, before, "round {round}");
        assert_eq!(ids(&world, "ada").await.len(), 1, "round {round}");
    }
}

async fn rotate_is_one_store_call(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_hours(1));
    world.faults.reset_counts();
    browser.run(json!([{"op": "rotate"}])).await;
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Update), world.faults.total());
    assert_eq!(counts, (1, 1, 2), "with the activity that was due");
    let row = only_row(&world, "ada").await;
    assert_eq!(row.last_active_at, world.clock.now());
    world.clock.advance(Duration::from_hours(1));
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    browser.run(json!([{"op": "rotate"}])).await;
    world.faults.clear();
    assert!(only_row(&world, "ada").await == row, "a failure changes neither");
}

async fn nobody_sees_half_a_rotation(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for round in 0..world.rounds {
        let before = only_row(&world, "ada").await;
        world.clock.advance(Duration::from_secs(1));
        let mut rotating = browser.clone();
        let request = tokio::spawn(async move {
            rotating.run(json!([{"op": "rotate"}])).await;
            rotating
        });
        loop {
            let finished = request.is_finished();
            let row = only_row(&world, "ada").await;
            let (token, expiry) = (row.token_hash != before.token_hash, row.expires_at != before.expires_at);
            assert_eq!(token, expiry, "round {round}");
            if finished {
                assert!(token, "round {round}");
                break;
            }
            tokio::task::yield_now().await;
        }
        browser = request.await.expect("the request runs to its end");
    }
}

async fn a_second_rotate_keeps_the_first(world: World) {
    let old = sign_in(&world, "ada").await;
    let original = only_row(&world, "ada").await;
    world.clock.advance(Duration::from_secs(1));
    let slow = in_flight(&world, &old, json!([{"op": "rotate"}]), "slow", json!([{"op": "rotate"}])).await;
    let first = only_row(&world, "ada").await;
    assert!(first.token_hash != original.token_hash);
    world.clock.advance(Duration::from_secs(1));
    let (mut browser, reply) = slow.finish(&world).await;
    let second = only_row(&world, "ada").await;
    assert_eq!((reply.error_status(0), reply.error_status(2)), (None, None));
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
    assert!(second.token_hash == first.token_hash && second.previous_token_hash == Some(original.token_hash));
    assert_eq!(second.last_active_at, world.clock.now(), "it renews the idle expiry all the same");
    assert_eq!(id(&mut browser).await, original.id.to_string());
    browser.run(json!([{"op": "rotate"}, {"op": "rotate"}, {"op": "rotate"}])).await;
    assert_eq!(id(&mut browser).await, original.id.to_string());
}

async fn rotate_after_a_sign_in(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for script in [
        json!([{"op": "authenticate", "user": "ada"}, {"op": "rotate"}, {"op": "current"}]),
        json!([{"op": "rotate"}, {"op": "authenticate", "user": "ada"}, {"op": "current"}]),
    ] {
        let reply = browser.run(script).await;
        assert_eq!((reply.error_status(0), reply.error_status(1)), (None, None));
        assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
        assert_eq!(ids(&world, "ada").await, [text(&reply.result(2)["id"])]);
        assert_eq!(id(&mut browser).await, text(&reply.result(2)["id"]));
    }
}
