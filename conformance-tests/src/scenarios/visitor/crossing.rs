//! VISIT-6, DATA-6: requests of a visitor that cross its sign-in, made on purpose and then left to
//! chance.

use serde_json::json;

use super::{visitor, visitor_id, with_visitors};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{at_once, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-6", "what was written since the look-up is taken along", written_since),
    scenario!("VISIT-6", "a write after the sign-in is refused", written_after),
    scenario!("DATA-6", "a write of a visitor that ended meanwhile is refused", ended_meanwhile),
    scenario!("DATA-6", "a reload that finds the visitor ended doesn't hide that a write is lost", ended_and_reloaded),
    scenario!("VISIT-5", "what this request set is taken along after the visitor has ended", own_values_after_the_end),
    scenario!("VISIT-6", "a sign-in after a write without an answer takes it along once", after_an_open_write),
    scenario!("VISIT-6", "a second sign-in takes along what the first one found", a_second_sign_in),
    scenario!("VISIT-6", "writes beside a sign-in are taken along or refused", beside_a_sign_in),
    scenario!("VISIT-6", "a sign-in whose answer is lost takes along what was there", a_lost_answer),
    scenario!("VISIT-6", "two sign-ins of a visitor at once both succeed", two_sign_ins),
];

async fn written_since(world: World) {
    let world = with_visitors(&world).await;
    let other = world.node().await;
    let mut browser = visitor(&world, "n", 1).await;
    let script = json!([{"op": "authenticate_opts", "user": "ada", "keep": ["n", "cart"]}]);
    let before = json!([{"op": "increment", "key": "n"}]);
    let slow = in_flight(&world, &browser, before, "slow", script).await;
    browser
        .on(&other)
        .run(json!([{"op": "set", "key": "cart", "value": "tea"}, {"op": "increment", "key": "n"}]))
        .await;
    browser.run(json!([{"op": "increment", "key": "n"}, {"op": "set", "key": "not kept", "value": 1}])).await;
    let (mut after, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(2)), (200, None), "{reply:?}");
    assert_eq!(data(&world, "ada").await, json!({"n": 4, "cart": "tea"}));
    assert_eq!(user(&mut after).await, json!("ada"));
}

async fn written_after(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "cart", 1).await;
    let set =
        || json!([{"op": "set", "key": "cart", "value": 2}, {"op": "header", "name": "x-handler", "value": "done"}]);
    let commits = in_flight(&world, &browser, set(), "commits", json!([])).await;
    let saves = in_flight(&world, &browser, set(), "saves", json!([{"op": "save"}])).await;
    let reads = in_flight(&world, &browser, json!([{"op": "get", "key": "cart"}]), "reads", json!([])).await;
    browser.run(json!([{"op": "authenticate_opts", "user": "ada", "keep": ["cart"]}])).await;
    world.events();
    let (_, reply) = commits.finish(&world).await;
    assert_eq!((reply.status, reply.body.len(), reply.set_cookies().len()), (503, 0, 0));
    assert!(reply.headers.get("x-handler").is_none(), "an empty 503 without the handler's headers");
    assert!(world.events().iter().any(|event| event.contains("DataDropped")));
    let (_, reply) = saves.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(3)), (200, Some(401)));
    let (_, reply) = reads.finish(&world).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 0), "who wrote nothing is told nothing");
    assert_eq!(data(&world, "ada").await, json!({"cart": 1}));
}

async fn ended_meanwhile(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 2}]), "slow", json!([])).await;
    let id = visitor_id(&mut browser).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (503, 0));
    assert!(super::row_of(&world, &id).await.is_none(), "nothing brings it back");
}

async fn ended_and_reloaded(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let set = || json!([{"op": "set", "key": "a", "value": 2}]);
    let set_first = in_flight(&world, &browser, set(), "reloads", json!([{"op": "reload"}])).await;
    let saves = in_flight(&world, &browser, set(), "saves", json!([{"op": "reload"}, {"op": "save"}])).await;
    let fails =
        in_flight(&world, &browser, set(), "fails", json!([{"op": "reload"}, {"op": "status", "code": 500}])).await;
    let reads = in_flight(&world, &browser, json!([]), "reads", json!([{"op": "reload"}])).await;
    browser.run(json!([{"op": "logout"}])).await;
    world.events();
    let (_, reply) = set_first.finish(&world).await;
    assert_eq!((reply.status, reply.body.len(), reply.set_cookies().len()), (503, 0, 0));
    assert!(world.events().iter().any(|event| event.contains("DataDropped")));
    let (_, reply) = saves.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(2), reply.error_status(3)), (200, Some(401), Some(401)));
    let (_, reply) = fails.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(2)), (500, Some(401)));
    let (_, reply) = reads.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(1)), (200, Some(401)), "who wrote nothing is told nothing");
}

async fn own_values_after_the_end(world: World) {
    let world = with_visitors(&world).await;
    let mut browser = visitor(&world, "cart", "tea").await;
    let before = json!([{"op": "set", "key": "mine", "value": 1}, {"op": "increment", "key": "n"}]);
    let after = json!([{"op": "reload"}, {"op": "authenticate_opts", "user": "ada", "keep": true}]);
    let slow = in_flight(&world, &browser, before, "slow", after).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(3), reply.error_status(4)), (200, Some(401), None));
    assert_eq!(data(&world, "ada").await, json!({"mine": 1, "n": 1}), "what others stored has ended");
}

async fn after_an_open_write(world: World) {
    let world = with_visitors(&world).await;
    for (fault, gate) in [(Fault::UnknownApplied, "made"), (Fault::UnknownLost, "lost")] {
        let mut browser = visitor(&world, "n", 1).await;
        for _ in 0..3 {
            world.faults.fail_once(OpKind::Update, fault);
        }
        let before = json!([{"op": "increment", "key": "n"}, {"op": "save"}]);
        let after = json!([{"op": "authenticate_opts", "user": "ada", "keep": true}]);
        let slow = in_flight(&world, &browser, before, gate, after).await;
        browser.run(json!([{"op": "increment", "key": "n"}])).await;
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.error_status(1), reply.error_status(3)), (Some(503), None), "{fault:?}");
        assert_eq!(data(&world, "ada").await, json!({"n": 3}), "{fault:?}");
        world.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn a_second_sign_in(world: World) {
    let world = with_visitors(&world).await;
    for (reloads, gate) in [(false, "sign-ins"), (true, "with a reload")] {
        let mut browser = visitor(&world, "n", 1).await;
        let sign_in = json!({"op": "authenticate_opts", "user": "ada", "keep": true});
        let reload = json!({"op": if reloads { "reload" } else { "user_id" }});
        let before = json!([{"op": "increment", "key": "n"}]);
        let slow = in_flight(&world, &browser, before, gate, json!([sign_in, reload, sign_in])).await;
        browser.run(json!([{"op": "increment", "key": "n"}])).await;
        // The first one finds the newer values, is stored with them, and learns nothing of it.
        world.faults.pass_once(OpKind::Create);
        world.faults.fail_once(OpKind::Create, Fault::UnknownApplied);
        world.faults.fail_once(OpKind::Create, Fault::UnknownLost);
        let (_, reply) = slow.finish(&world).await;
        let statuses: Vec<_> = (2..5).map(|at| reply.error_status(at)).collect();
        assert_eq!(statuses, [Some(503), reloads.then_some(401), None]);
        assert_eq!(data(&world, "ada").await, json!({"n": 3}), "reloads: {reloads}");
        world.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn beside_a_sign_in(world: World) {
    let world = with_visitors(&world).await;
    let other = world.node().await;
    let (mut taken, mut refused) = (0, 0);
    for round in 0..world.rounds {
        let user = format!("user {round}");
        let browser = visitor(&world, "n", 0).await;
        let mut requests = vec![(
            &world,
            browser.on(&world),
            json!([{"op": "authenticate_opts", "user": user, "keep": true}, {"op": "increment", "key": "after"}]),
        )];
        for writer in 0..3 {
            let node = if writer % 2 == 0 { &other } else { &world };
            let script = json!([{"op": "increment", "key": "n"}, {"op": "set", "key": writer.to_string(), "value": 1}]);
            requests.push((node, browser.on(node), script));
        }
        let done = at_once(requests).await;
        assert_eq!((done[0].1.status, done[0].1.error_status(1)), (200, None), "round {round}");
        let statuses: Vec<_> = done[1..].iter().map(|(_, reply)| reply.status).collect();
        let kept = data(&world, &user).await;
        let written = statuses.iter().filter(|status| **status == 200).count();
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "round {round}: {statuses:?}");
        assert_eq!(kept["n"], json!(written), "round {round}: {statuses:?} {kept}");
        for (writer, status) in statuses.iter().enumerate() {
            assert_eq!(kept.get(writer.to_string()).is_some(), *status == 200, "round {round}: {statuses:?} {kept}");
        }
        (taken, refused) = (taken + written, refused + 3 - written);
    }
    println!("{} rounds: {taken} writes taken along, {refused} refused", world.rounds);
}

async fn a_lost_answer(world: World) {
    let world = with_visitors(&world).await;
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        let mut browser = visitor(&world, "cart", "tea").await;
        world.faults.fail_once(OpKind::Create, fault);
        let script = json!([{"op": "authenticate_opts", "user": "ada", "keep": true}, {"op": "get", "key": "cart"}]);
        let reply = browser.run(script).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (None, json!({"value": "tea"})), "{fault:?}");
        assert_eq!(data(&world, "ada").await, json!({"cart": "tea"}));
        browser.run(json!([{"op": "logout_all"}])).await;
        assert!(rows(&world, "ada").await.is_empty());
    }
}

async fn two_sign_ins(world: World) {
    let world = with_visitors(&world).await;
    let other = world.node().await;
    for round in 0..world.rounds {
        let user = format!("user {round}");
        let browser = visitor(&world, "cart", round).await;
        let script = || json!([{"op": "authenticate_opts", "user": user, "keep": true}]);
        let requests = vec![(&world, browser.on(&world), script()), (&other, browser.on(&other), script())];
        for (_, reply) in at_once(requests).await {
            assert_eq!((reply.error_status(1), reply.sends_cookie()), (None, true), "round {round}");
        }
        for row in rows(&world, &user).await {
            assert_eq!(row.data.text(), format!(r#"{{"cart":{round}}}"#));
        }
    }
}
