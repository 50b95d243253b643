//! DATA-16: changes whose answer never came, asked for again under the same identity.

use serde_json::{Value, json};

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::{in_flight, in_flight_on};
use crate::scenarios::support::sessions::sign_in;
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-16", "an increment that isn't answered is asked for again and counts once", counts_once),
    scenario!("DATA-16", "one that stays unanswered is a 503 and counts once at most", stays_unanswered),
    scenario!("DATA-16", "what a save couldn't settle, the next save settles", settled_by_the_next_save),
    scenario!("DATA-16", "what a save couldn't settle, the commit settles", settled_by_the_commit),
    scenario!("DATA-16", "what a save couldn't settle, a reload settles", settled_by_a_reload),
    scenario!("DATA-16", "what a save couldn't settle is dropped with a 5xx", dropped_with_a_5xx),
    scenario!("DATA-16", "a change that landed is found below another request's", found_below_another),
    scenario!("DATA-16", "a change that can never land any more is made anew and counts once", made_anew),
    scenario!("DATA-16", "below two others it can't be told: a 503 that counts once at most", below_two_others),
    scenario!("DATA-16", "an answer that is lost while a request starts over loses nothing", lost_while_starting_over),
    scenario!("DATA-16", "increments at once, each unanswered at first, count once each", at_once),
];

/// As often as the core asks in one go.
const TRIES: usize = 3;
/// What becomes of a change that isn't answered, and how often it counts.
const UNANSWERED: [(Fault, u64); 2] = [(Fault::UnknownApplied, 1), (Fault::UnknownLost, 0)];

fn add() -> Value {
    json!({"op": "increment", "key": "n"})
}

fn fail(world: &World, faults: &[Fault]) {
    world.faults.clear();
    for fault in faults {
        world.faults.fail_once(OpKind::Update, *fault);
    }
}

async fn counts_once(world: World) {
    use Fault::{UnknownApplied, UnknownLost};
    let mut browser = sign_in(&world, "ada").await;
    let mut expected = 0;
    for faults in [
        &[UnknownApplied][..],
        &[UnknownLost],
        &[UnknownApplied, UnknownApplied],
        &[UnknownLost, UnknownLost],
        &[UnknownApplied, UnknownLost],
        &[UnknownLost, UnknownApplied],
    ] {
        for ops in [
            json!([add()]),
            json!([add(), {"op": "save"}]),
            json!([add(), {"op": "save"}, {"op": "save"}, {"op": "get", "key": "n"}]),
        ] {
            fail(&world, faults);
            world.faults.reset_counts();
            let reply = browser.run(ops.clone()).await;
            expected += 1;
            assert_eq!(reply.status, 200, "{faults:?}, {ops}");
            assert_eq!((reply.error_status(0), reply.set_cookies().len()), (None, 0), "{faults:?}, {ops}");
            assert!(world.faults.count(OpKind::Update) > faults.len() as u64, "{faults:?}, {ops}: asked for again");
            assert_eq!(data(&world, "ada").await, json!({"n": expected}), "{faults:?}, {ops}");
        }
    }
}

async fn stays_unanswered(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut expected = 0;
    for (fault, counts) in UNANSWERED {
        for ops in [
            json!([add()]),
            json!([add(), {"op": "save"}]),
            json!([add(), {"op": "save"}, {"op": "save"}]),
            json!([add(), {"op": "save"}, add(), {"op": "save"}]),
        ] {
            world.faults.fail(OpKind::Update, fault);
            let reply = browser.run(ops.clone()).await;
            world.faults.clear();
            expected += counts;
            let adds = ops.as_array().expect("a list").iter().filter(|op| **op == add()).count() as u64;
            assert_eq!((reply.status, reply.body.is_empty()), (503, true), "{fault:?}, {ops}");
            assert!(reply.set_cookies().is_empty(), "{fault:?}, {ops}");
            // What is changed after it isn't tried before it is settled.
            assert_eq!(data(&world, "ada").await["n"].as_u64().unwrap_or(0), expected, "{fault:?}, {ops}: {adds} adds");
        }
        let reply = browser.run(json!([{"op": "get", "key": "n"}, {"op": "set", "key": "after", "value": 1}])).await;
        assert_eq!((reply.status, reply.result(0)["value"].as_u64()), (200, Some(expected)), "the session lives on");
    }
}

async fn settled_by_the_next_save(world: World) {
    for (path, user) in [("/do", "ada"), ("/stream", "bob")] {
        let mut browser = sign_in(&world, user).await;
        for (fault, _) in UNANSWERED {
            browser.run(json!([{"op": "set", "key": "n", "value": 0}])).await;
            fail(&world, &[fault; TRIES]);
            let ops = json!([
                {"op": "head"},
                add(),
                {"op": "save"},
                {"op": "get", "key": "n"},
                add(),
                {"op": "set", "key": "later", "value": fault == Fault::UnknownLost},
                {"op": "save"},
                {"op": "save"},
                {"op": "get", "key": "n"},
            ]);
            let reply = browser.run_on(path, ops).await;
            assert_eq!((reply.status, reply.error_status(2)), (200, Some(503)), "{path}, {fault:?}");
            assert_eq!(reply.result(3), json!({"value": 1}), "{path}, {fault:?}: it is still pending");
            assert_eq!((reply.error_status(6), reply.error_status(7)), (None, None), "{path}, {fault:?}");
            assert_eq!(reply.result(8), json!({"value": 2}), "{path}, {fault:?}");
            let stored = json!({"n": 2, "later": fault == Fault::UnknownLost});
            assert_eq!(data(&world, user).await, stored, "{path}, {fault:?}");
        }
    }
}

async fn settled_by_the_commit(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut expected = 0;
    for (fault, _) in UNANSWERED {
        for (ops, adds) in [(json!([add(), {"op": "save"}]), 1), (json!([add(), {"op": "save"}, add()]), 2)] {
            // The first try of the commit isn't answered either.
            for faults in [TRIES, TRIES + 1] {
                fail(&world, &vec![fault; faults]);
                let reply = browser.run(ops.clone()).await;
                expected += adds;
                assert_eq!((reply.status, reply.error_status(1)), (200, Some(503)), "{faults} × {fault:?}, {ops}");
                assert_eq!(data(&world, "ada").await, json!({"n": expected}), "{faults} × {fault:?}, {ops}");
            }
        }
    }
}

async fn settled_by_a_reload(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for (fault, _) in UNANSWERED {
        browser.run(json!([{"op": "set", "key": "n", "value": 0}])).await;
        fail(&world, &[fault; TRIES]);
        let ops = json!([add(), {"op": "save"}, {"op": "reload"}, add(), {"op": "reload"}, {"op": "get", "key": "n"}]);
        let reply = browser.run(ops).await;
        assert_eq!((reply.status, reply.error_status(1)), (200, Some(503)), "{fault:?}");
        assert_eq!((reply.error_status(2), reply.error_status(4)), (None, None), "{fault:?}");
        assert_eq!(reply.result(5), json!({"value": 2}), "{fault:?}");
        assert_eq!(data(&world, "ada").await, json!({"n": 2}), "{fault:?}");
    }
}

async fn dropped_with_a_5xx(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut expected = 0;
    for (fault, counts) in UNANSWERED {
        fail(&world, &[fault; TRIES]);
        world.faults.reset_counts();
        let reply = browser.run(json!([add(), {"op": "save"}, {"op": "status", "code": 500}])).await;
        expected += counts;
        assert_eq!((reply.status, reply.error_status(1)), (500, Some(503)), "{fault:?}");
        assert_eq!(world.faults.count(OpKind::Update), TRIES as u64, "{fault:?}: not asked for again at the commit");
        assert_eq!(data(&world, "ada").await["n"].as_u64().unwrap_or(0), expected, "{fault:?}");
    }
}

async fn found_below_another(world: World) {
    let browser = sign_in(&world, "ada").await;
    fail(&world, &[Fault::UnknownApplied; TRIES]);
    let slow =
        in_flight(&world, &browser, json!([add(), {"op": "save"}]), "slow", json!([add(), {"op": "save"}])).await;
    let theirs = json!([add(), {"op": "set", "key": "theirs", "value": 1}]);
    assert_eq!(browser.clone().run(theirs).await.status, 200);
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.error_status(1), reply.error_status(4)), (200, Some(503), None));
    assert_eq!(data(&world, "ada").await, json!({"n": 3, "theirs": 1}));
}

async fn made_anew(world: World) {
    for (path, user) in [("/do", "ada"), ("/stream", "bob")] {
        let browser = sign_in(&world, user).await;
        fail(&world, &[Fault::UnknownLost; TRIES]);
        let before = json!([{"op": "head"}, add(), {"op": "save"}]);
        let slow = in_flight_on(path, &world, &browser, before, path, json!([add(), {"op": "save"}])).await;
        let theirs = json!([add(), {"op": "set", "key": "theirs", "value": 1}]);
        assert_eq!(browser.clone().run(theirs).await.status, 200);
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.status, reply.error_status(2), reply.error_status(5)), (200, Some(503), None), "{path}");
        assert_eq!(data(&world, user).await, json!({"n": 3, "theirs": 1}), "{path}");
    }
}

async fn below_two_others(world: World) {
    for ((fault, counts), (gate, user)) in UNANSWERED.into_iter().zip([("first", "ada"), ("second", "bob")]) {
        let browser = sign_in(&world, user).await;
        fail(&world, &[fault; TRIES]);
        let after = json!([{"op": "save"}, {"op": "get", "key": "n"}]);
        let slow = in_flight(&world, &browser, json!([add(), {"op": "save"}]), gate, after).await;
        for _ in 0..2 {
            assert_eq!(browser.clone().run(json!([add()])).await.status, 200);
        }
        let (mut browser, reply) = slow.finish(&world).await;
        assert_eq!((reply.status, reply.body.is_empty()), (503, true), "{fault:?}");
        assert_eq!(data(&world, user).await, json!({"n": 2 + counts}), "{fault:?}");
        assert_eq!(browser.run(json!([add()])).await.status, 200, "{fault:?}: the next request isn't held up");
        assert_eq!(data(&world, user).await, json!({"n": 3 + counts}), "{fault:?}");
    }
}

/// The first try is a conflict, whatever becomes of the second.
async fn lost_while_starting_over(world: World) {
    let browser = sign_in(&world, "ada").await;
    let mut expected = 0;
    for (fault, gate) in [(Fault::UnknownApplied, "applied"), (Fault::UnknownLost, "lost")] {
        for (also, gate) in [(1, gate), (2, if gate == "lost" { "lost by two" } else { "applied by two" })] {
            let slow = in_flight(&world, &browser, json!([add()]), gate, json!([])).await;
            for _ in 0..also {
                assert_eq!(browser.clone().run(json!([add()])).await.status, 200);
            }
            // The conflict is answered.
            world.faults.pass_once(OpKind::Update);
            world.faults.fail_once(OpKind::Update, fault);
            assert_eq!(slow.finish(&world).await.1.status, 200, "{fault:?} after {also}");
            expected += 1 + also;
            assert_eq!(data(&world, "ada").await, json!({"n": expected}), "{fault:?} after {also}");
        }
    }
}

async fn at_once(world: World) {
    let browser = sign_in(&world, "ada").await;
    let (mut answered, mut failed) = (0, 0);
    for round in 0..world.rounds {
        fail(&world, &[UNANSWERED[round % 2].0; 2]);
        let requests: Vec<_> = (0..4)
            .map(|_| {
                let mut browser = browser.clone();
                tokio::spawn(async move { browser.run(json!([add()])).await.status })
            })
            .collect();
        for request in requests {
            match request.await.expect("the request runs to its end") {
                200 => answered += 1,
                // Two of the others were faster than it could ask again.
                503 => failed += 1,
                status => panic!("a {status}"),
            }
        }
        let counted = data(&world, "ada").await["n"].as_u64().expect("a number");
        assert!((answered..=answered + failed).contains(&counted), "{round}: {counted}, {answered} and {failed}");
    }
    assert!(failed * 4 < answered, "{failed} of {}: they wait for who isn't answered", answered + failed);
}
