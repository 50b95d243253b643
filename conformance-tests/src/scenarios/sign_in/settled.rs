//! AUTH-7, AUTH-8, DATA-10: sign-ins that are given up and tried again, and what they end.

use serde_json::json;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_process::{committed, extracted, lines};
use crate::scenarios::support::sessions::{ids, sign_in, text, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("AUTH-7", "a sign-in given up and tried again leaves one live session", tried_again),
    scenario!("AUTH-7", "a sign-in of unknown outcome, tried again, leaves one live session", unknown_and_tried_again),
    scenario!("AUTH-7", "a sign-in that may have been stored isn't reported as one that wasn't", still_unknown),
    scenario!("DATA-10", "a sign-in that was given up leaves no session and sends no cookie", given_up),
    scenario!("DATA-10", "a sign-in whose request is dropped leaves no session", its_request_is_dropped),
    scenario!("AUTH-8", "a sign-in ends every session that the cookies name", every_named_session),
    scenario!("AUTH-8", "a sign-in by a token of any past generation ends its session", any_past_generation),
];

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn tried_again(world: World) {
    for polls in 0..world.rounds.min(40) {
        let mut browser = world.browser();
        let (guard, session) = extracted(&world, &browser).await;
        tokio::select! {
            biased;
            outcome = session.authenticate("ada") => outcome.expect("the store works"),
            () = turns(polls) => {}
        }
        session.authenticate("ada").await.expect("the store works");
        let sent = lines(&committed(&guard).await, "set-cookie");
        browser.set_cookie(sent[0].0.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1);
        let current = browser.run(json!([{"op": "current"}])).await.result(0);
        assert_eq!(ids(&world, "ada").await, [text(&current["id"])], "after {polls} turns");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn unknown_and_tried_again(world: World) {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = sign_in(&world, "ada").await;
        for _ in 0..2 {
            world.faults.fail_once(OpKind::Create, fault);
        }
        let again =
            json!([{"op": "authenticate", "user": "ada"}, {"op": "authenticate", "user": "ada"}, {"op": "current"}]);
        let reply = browser.run(again).await;
        assert_eq!((reply.error_status(0), reply.error_status(1)), (Some(503), None), "{fault:?}");
        assert_eq!(ids(&world, "ada").await, [text(&reply.result(2)["id"])], "{fault:?}");
        assert_eq!(user(&mut browser).await, json!("ada"), "{fault:?}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn still_unknown(world: World) {
    for first in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = world.browser();
        world.faults.fail_once(OpKind::Create, first);
        world.faults.fail_once(OpKind::Create, Fault::NotApplied);
        let reply =
            browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "authenticate", "user": "ada"}])).await;
        assert_eq!((reply.error_status(0), reply.error_status(1)), (Some(503), None), "{first:?}");
        let said = text(&reply.result(0)["error"]["message"]);
        assert!(said.contains("unknown whether"), "{first:?}: {said}");
        assert!(world.events().iter().all(|event| !event.contains("NotApplied")), "{first:?}");
        assert_eq!(ids(&world, "ada").await.len(), 1, "{first:?}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn given_up(world: World) {
    for polls in 1..world.rounds.min(40) {
        let (guard, session) = extracted(&world, &world.browser()).await;
        let is_done = tokio::select! {
            biased;
            outcome = session.authenticate("ada") => outcome.map(|()| true).expect("the store works"),
            () = turns(polls) => false,
        };
        let sent = lines(&committed(&guard).await, "set-cookie");
        assert_eq!(sent.len(), usize::from(is_done), "after {polls} turns");
        session.list("nobody").await.expect("the store works");
        assert_eq!(ids(&world, "ada").await.len(), usize::from(is_done), "after {polls} turns");
        world.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn its_request_is_dropped(world: World) {
    for polls in 1..world.rounds.min(40) {
        let (guard, session) = extracted(&world, &world.browser()).await;
        let watches = session.clone();
        let is_done = tokio::select! {
            biased;
            outcome = session.authenticate("ada") => outcome.map(|()| true).expect("the store works"),
            () = turns(polls) => false,
        };
        // The handler's future, its handle and the layer's are dropped, as when a client hangs up.
        drop(session);
        drop(guard);
        watches.list("nobody").await.expect("the store works");
        assert_eq!(ids(&world, "ada").await.len(), usize::from(is_done), "after {polls} turns");
        world.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn every_named_session(world: World) {
    let mut kept = sign_in(&world, "ada").await;
    let mut named = [sign_in(&world, "ada").await, sign_in(&world, "bob").await, sign_in(&world, "eve").await];
    let lines: Vec<_> =
        named.iter().map(|browser| format!("__Host-session={}", browser.cookie().expect("a cookie"))).collect();
    let mut all = world.browser();
    all.header("cookie", lines.join("; "));
    world.faults.reset_counts();
    let reply = all.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
    assert_eq!(reply.error_status(0), None);
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Create), world.faults.total());
    assert_eq!(counts, (1, 1, 2), "in the same step");
    for browser in &mut named {
        assert_eq!(user(browser).await, json!(null));
    }
    assert_eq!(user(&mut kept).await, json!("ada"));
    assert_eq!(ids(&world, "ada").await.len(), 2);
    let mut new = world.browser();
    new.set_cookie(all.cookie().expect("its cookie was sent"));
    assert_eq!(user(&mut new).await, json!("ada"));
}

async fn any_past_generation(world: World) {
    for generation in 0..4 {
        let mut browser = sign_in(&world, "ada").await;
        let mut generations = vec![browser.clone()];
        for _ in 0..3 {
            browser.run(json!([{"op": "rotate"}])).await;
            generations.push(browser.clone());
        }
        let mut old = generations.swap_remove(generation);
        let reply = old.run(json!([{"op": "authenticate", "user": "bob"}])).await;
        assert_eq!((reply.error_status(0), reply.sends_cookie()), (None, true));
        assert_eq!(ids(&world, "ada").await, Vec::<String>::new(), "by the token of generation {generation}");
        assert_eq!((user(&mut browser).await, user(&mut old).await), (json!(null), json!("bob")));
        old.run(json!([{"op": "logout"}])).await;
    }
}
