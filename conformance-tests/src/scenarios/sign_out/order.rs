//! OUT-5: what one request does is done in order, whatever tasks it runs in and whatever was given
//! up.

use std::time::Duration;

use serde_json::json;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::in_process::{committed, extracted, lines};
use crate::scenarios::support::sessions::{ids, sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("OUT-5", "a sign-in given up before a sign-out doesn't come back after it", given_up_before_a_sign_out),
    scenario!("OUT-5", "a sign-out beside other operations of its request removes the cookie", beside_others),
    scenario!("OUT-5", "a commit and a sign-in in another task agree", a_commit_and_a_sign_in),
    scenario!("OUT-5", "a handle whose session has ended can sign out and sign in, and nothing else", an_ended_handle),
    scenario!("OUT-5", "what can't be settled is a 503 for what asks the store next", what_can_not_be_settled),
];

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn given_up_before_a_sign_out(world: World) {
    for polls in 0..world.rounds.min(40) {
        for signed_in in [true, false] {
            let browser = if signed_in { sign_in(&world, "ada").await } else { world.browser() };
            let (guard, session) = extracted(&world, &browser).await;
            tokio::select! {
                biased;
                outcome = session.authenticate("ada") => outcome.expect("the store works"),
                () = turns(polls) => {}
            }
            session.logout().await.expect("the store works");
            let sent = lines(&committed(&guard).await, "set-cookie");
            assert!(sent.iter().all(|(line, _)| line.contains("Max-Age=0")), "after {polls} turns: {sent:?}");
            assert_eq!(sent.len(), usize::from(signed_in), "after {polls} turns");
            assert_eq!(session.current(), None);
            assert_eq!(ids(&world, "ada").await, Vec::<String>::new(), "after {polls} turns");
        }
    }
}

async fn beside_others(world: World) {
    for round in 0..world.rounds {
        let browser = sign_in(&world, "ada").await;
        let (guard, session) = extracted(&world, &browser).await;
        session.set("a", &round).expect("a number");
        let beside = {
            let session = session.clone();
            tokio::spawn(async move {
                turns(round % 7).await;
                match round % 4 {
                    0 => session.rotate().await,
                    1 => session.save().await,
                    2 => session.list_my_sessions().await.map(drop),
                    _ => session.rotate_strict().await,
                }
            })
        };
        session.logout().await.expect("the store works");
        let outcome = beside.await.expect("no panic");
        assert!(outcome.is_ok() || outcome.is_err_and(|error| error.status() == 401), "round {round}");
        let sent = lines(&committed(&guard).await, "set-cookie");
        assert!(sent.len() == 1 && sent[0].0.contains("Max-Age=0"), "round {round}: {sent:?}");
        assert_eq!(ids(&world, "ada").await, Vec::<String>::new(), "round {round}");
    }
}

async fn a_commit_and_a_sign_in(world: World) {
    for round in 0..world.rounds {
        let mut old = sign_in(&world, "ada").await;
        let (guard, session) = extracted(&world, &old).await;
        let signing_in = tokio::spawn({
            let session = session.clone();
            async move { session.authenticate("ada").await }
        });
        turns(round % 9).await;
        let sent = lines(&committed(&guard).await, "set-cookie");
        let outcome = signing_in.await.expect("no panic");
        // Either its cookie is sent and works, or it was too late and has changed nothing but the
        // old session.
        match outcome {
            Ok(()) => {
                assert_eq!(sent.len(), 1, "round {round}");
                old.set_cookie(sent[0].0.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1);
                assert_eq!(user(&mut old).await, json!("ada"), "round {round}");
                assert_eq!(ids(&world, "ada").await.len(), 1, "round {round}");
            }
            Err(error) => {
                assert_eq!((error.status(), sent.len()), (500, 0), "round {round}: the head had left");
                assert_eq!(user(&mut old).await, json!("ada"), "round {round}: it never began");
                assert_eq!(ids(&world, "ada").await.len(), 1, "round {round}: the old one");
            }
        }
        world.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn an_ended_handle(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let nothing_else = json!([
        {"op": "save"},
        {"op": "rotate"},
        {"op": "rotate_strict"},
        {"op": "logout_other"},
        {"op": "list_my_sessions"},
        {"op": "revoke", "id": "00000000-0000-0000-0000-000000000000"},
        {"op": "reload"},
        {"op": "list", "user": "bob"},
        {"op": "logout"},
    ]);
    let ended = in_flight(&world, &browser, json!([]), "ended", nothing_else.clone()).await;
    let again = json!([{"op": "save"}, {"op": "authenticate", "user": "bob"}]);
    let signs_in = in_flight(&world, &browser, json!([]), "signs in", again.clone()).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = ended.finish(&world).await;
    for index in 1..8 {
        assert_eq!(reply.error_status(index), Some(401), "entry {index}");
    }
    assert_eq!((reply.error_status(8), reply.error_status(9)), (None, None));
    assert!(reply.removes_cookie());
    let (mut bob, reply) = signs_in.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.error_status(2)), (Some(401), None));
    assert_eq!(user(&mut bob).await, json!("bob"));

    // The same where the session lives and the token is dead.
    let mut browser = sign_in(&world, "ada").await;
    let dead = in_flight(&world, &browser, json!([]), "dead", json!([{"op": "rotate"}, {"op": "logout_all"}])).await;
    let dies = in_flight(&world, &browser, json!([]), "dies", again).await;
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(1));
        browser.run(json!([{"op": "rotate"}])).await;
    }
    let mut other = sign_in(&world, "ada").await;
    let (_, reply) = dead.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.error_status(2)), (Some(401), None));
    assert_eq!((user(&mut browser).await, user(&mut other).await), (json!(null), json!("ada")), "it ended its own");
    let (mut bob, reply) = dies.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.error_status(2)), (Some(401), None));
    assert_eq!(user(&mut bob).await, json!("bob"));
}

async fn what_can_not_be_settled(world: World) {
    let mut browser = world.browser();
    // Both tries of the sign-in, and the first that settles it.
    for _ in 0..3 {
        world.faults.fail_once(OpKind::Create, Fault::UnknownApplied);
    }
    let script = json!([
        {"op": "authenticate", "user": "ada"},
        {"op": "list", "user": "ada"},
        {"op": "list", "user": "ada"},
        {"op": "authenticate", "user": "ada"},
    ]);
    let reply = browser.run(script).await;
    assert_eq!((reply.error_status(0), reply.error_status(1)), (Some(503), Some(503)));
    assert_eq!(reply.result(2), json!([]), "settled: it has landed, and was ended");
    assert_eq!(reply.error_status(3), None);
    assert_eq!((ids(&world, "ada").await.len(), user(&mut browser).await), (1, json!("ada")));
}
