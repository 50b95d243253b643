//! ROT-7: rotations whose outcome the request doesn't learn: given up, tried again, failed, or with
//! the client gone.

use std::time::Duration;

use serde_json::json;

use crate::browser::Browser;
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::in_process::{committed, extracted, lines};
use crate::scenarios::support::sessions::{id, sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!(
        "ROT-7",
        "a rotation whose answer the store lost signs nobody out, tried again or not",
        lost_by_the_store
    ),
    scenario!("ROT-7", "a rotation given up at any moment signs nobody out", given_up_at_any_moment),
    scenario!("ROT-7", "a rotation given up and tried again sends its cookie", given_up_and_tried_again),
    scenario!("ROT-7", "a rotation whose client is gone signs nobody out", the_client_is_gone),
    scenario!("ROT-7", "a late answer to a rotation is as good as the newer one", a_late_answer),
];

/// Whichever of the two tokens the browser ends up with works, on each node.
async fn both_work(nodes: [&World; 2], old: &Browser, new: &Browser, what: &str) {
    for node in nodes {
        assert_eq!(user(&mut old.on(node)).await, json!("ada"), "{what}: the old one");
        assert_eq!(user(&mut new.on(node)).await, json!("ada"), "{what}: what the response left");
    }
}

async fn lost_by_the_store(world: World) {
    let node = world.node().await;
    for faults in
        [vec![Fault::UnknownApplied; 2], vec![Fault::UnknownLost; 2], vec![Fault::UnknownLost, Fault::UnknownApplied]]
    {
        for script in [json!([{"op": "rotate"}]), json!([{"op": "rotate"}, {"op": "rotate"}])] {
            let old = sign_in(&world, "ada").await;
            for fault in &faults {
                world.faults.fail_once(OpKind::Update, *fault);
            }
            let mut new = old.clone();
            let reply = new.run(script.clone()).await;
            let again = script.as_array().map(Vec::len) == Some(2);
            assert_eq!(reply.error_status(0), Some(503), "{faults:?}");
            if again {
                assert_eq!((reply.error_status(1), reply.set_cookies().len()), (None, 1), "{faults:?}: tried again");
                assert_ne!(new.cookie(), old.cookie());
            }
            both_work([&world, &node], &old, &new, &format!("{faults:?}")).await;
            new.run(json!([{"op": "logout"}])).await;
        }
    }
}

async fn given_up_at_any_moment(world: World) {
    let node = world.node().await;
    for polls in 1..=world.rounds.min(40) {
        let old = sign_in(&world, "ada").await;
        let (guard, session) = extracted(&world, &old).await;
        tokio::select! {
            biased;
            outcome = session.rotate() => outcome.expect("the store works"),
            () = turns(polls) => {}
        }
        let head = committed(&guard).await;
        let mut new = old.clone();
        for (line, _) in lines(&head, "set-cookie") {
            new.set_cookie(line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1);
        }
        // It goes on to its end, and whatever comes next waits for it.
        session.list("nobody").await.expect("the store works");
        both_work([&world, &node], &old, &new, &format!("after {polls} turns")).await;
        new.run(json!([{"op": "logout"}])).await;
    }
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn given_up_and_tried_again(world: World) {
    let node = world.node().await;
    for polls in 1..=world.rounds.min(40) {
        let old = sign_in(&world, "ada").await;
        let (guard, session) = extracted(&world, &old).await;
        tokio::select! {
            biased;
            outcome = session.rotate() => outcome.expect("the store works"),
            () = turns(polls) => {}
        }
        session.rotate().await.expect("the store works");
        let sent = lines(&committed(&guard).await, "set-cookie");
        assert_eq!(sent.len(), 1, "after {polls} turns: `Ok` and its cookie");
        let mut new = old.clone();
        new.set_cookie(sent[0].0.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1);
        assert_ne!(new.cookie(), old.cookie());
        both_work([&world, &node], &old, &new, &format!("after {polls} turns")).await;
        new.run(json!([{"op": "logout"}])).await;
    }
}

async fn the_client_is_gone(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = id(&mut browser).await;
    let slow = in_flight(&world, &browser, json!([{"op": "rotate"}]), "gone", json!([])).await;
    slow.hang_up().await;
    world.gates.open("gone");
    world.clock.advance(Duration::from_hours(1));
    let reply = browser.run(json!([{"op": "user_id"}])).await;
    assert_eq!((reply.result(0), reply.set_cookies().len()), (json!("ada"), 1), "and is sent the successor");
    assert_eq!(id(&mut browser).await, before);
}

async fn a_late_answer(world: World) {
    let old = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &old, json!([{"op": "rotate"}]), "late", json!([])).await;
    let mut browser = old.clone();
    browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    world.clock.advance(Duration::from_mins(2));
    let (mut late, _) = slow.finish(&world).await;
    assert_eq!((late.cookie(), user(&mut late).await), (browser.cookie(), json!("ada")), "it puts the same one there");
}
