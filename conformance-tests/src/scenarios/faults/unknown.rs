//! FLT-4: store calls whose outcome is unknown. Changes of data that are asked for again have a
//! file of their own under `data`.

use serde_json::json;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::faults::outages::signed_in;
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-4", "an increment whose outcome stays unknown is a 503 and counts at most once", unknown_increments),
    scenario!("FLT-4", "a change of data is asked for again only where its outcome is unknown", only_the_unknown),
    scenario!("FLT-4", "an increment that wasn't applied counts once or is a 503", increments_not_applied),
    scenario!("FLT-4", "increments at once beside faults count at most once each", increments_beside_faults),
    scenario!("FLT-4", "a sign-out whose outcome is unknown is a 503 and keeps the cookie", unknown_sign_outs),
];

async fn unknown_increments(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"n": 0})).await;
    let mut expected = 0;
    for round in 0..5 {
        for (fault, counts) in [(Fault::UnknownApplied, 1), (Fault::UnknownLost, 0)] {
            for ops in [
                json!([{"op": "increment", "key": "n"}]),
                json!([{"op": "increment", "key": "n"}, {"op": "save"}]),
                json!([{"op": "increment", "key": "n"}, {"op": "save"}, {"op": "save"}]),
            ] {
                world.faults.fail(OpKind::Update, fault);
                let reply = browser.run(ops.clone()).await;
                world.faults.clear();
                expected += counts;
                assert_eq!(reply.status, 503, "{ops}");
                assert!(reply.set_cookies().is_empty(), "{ops}");
                assert_eq!(data(&world, "ada").await, json!({"n": expected}), "{ops} in round {round}");
            }
        }
    }
}

async fn only_the_unknown(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"n": 0})).await;
    let add = json!([{"op": "increment", "key": "n"}]);
    for (fault, status, asked, n) in [
        (Fault::NotApplied, 503, 1, 0),
        (Fault::Corrupt, 500, 1, 0),
        (Fault::UnknownLost, 200, 2, 1),
        (Fault::UnknownApplied, 200, 2, 2),
    ] {
        world.faults.reset_counts();
        world.faults.fail_once(OpKind::Update, fault);
        assert_eq!(browser.run(add.clone()).await.status, status, "{fault:?}");
        assert_eq!(world.faults.count(OpKind::Update), asked, "{fault:?}");
        assert_eq!(data(&world, "ada").await, json!({"n": n}), "{fault:?}");
    }
}

async fn increments_not_applied(world: World) {
    let mut browser = signed_in(&world, "ada", json!({"n": 0})).await;
    let mut expected = 0;
    for _ in 0..5 {
        world.faults.fail_once(OpKind::Update, Fault::NotApplied);
        let reply = browser.run(json!([{"op": "increment", "key": "n"}])).await;
        world.faults.clear();
        match reply.status {
            200 => expected += 1,
            status => assert_eq!(status, 503),
        }
        assert_eq!(data(&world, "ada").await, json!({"n": expected}));
        world.faults.fail_once(OpKind::Update, Fault::NotApplied);
        let save = json!([{"op": "increment", "key": "n"}, {"op": "save"}, {"op": "save"}]);
        let reply = browser.run(save).await;
        world.faults.clear();
        expected += 1;
        assert_eq!((reply.status, reply.error_status(2)), (200, None), "what wasn't applied stays pending");
        assert_eq!(data(&world, "ada").await, json!({"n": expected}));
    }
}

async fn increments_beside_faults(world: World) {
    let browser = signed_in(&world, "ada", json!({"n": 0})).await;
    let (mut answered, mut failed) = (0, 0);
    for round in 0..world.rounds {
        let fault = [Fault::UnknownApplied, Fault::UnknownLost, Fault::NotApplied][round % 3];
        world.faults.fail_once(OpKind::Update, fault);
        let requests: Vec<_> = (0..4)
            .map(|_| {
                let mut browser = browser.clone();
                tokio::spawn(async move { browser.run(json!([{"op": "increment", "key": "n"}])).await.status })
            })
            .collect();
        for request in requests {
            match request.await.expect("the request runs to its end") {
                200 => answered += 1,
                503 => failed += 1,
                status => panic!("a {status}"),
            }
        }
        world.faults.clear();
        let counted = data(&world, "ada").await["n"].as_u64().unwrap();
        assert!(
            (answered..=answered + failed).contains(&counted),
            "round {round}: {counted} counted, {answered} answered, {failed} failed"
        );
    }
    assert!(answered > 0 && failed > 0);
}

async fn unknown_sign_outs(world: World) {
    for (ops, kind) in [(json!([{"op": "logout"}]), OpKind::End), (json!([{"op": "logout_all"}]), OpKind::EndAll)] {
        for fault in [Fault::UnknownLost, Fault::UnknownApplied] {
            let mut browser = signed_in(&world, "ada", json!({})).await;
            world.faults.fail_once(kind, fault);
            world.faults.reset_counts();
            let reply = browser.run(ops.clone()).await;
            world.faults.clear();
            assert_eq!(reply.error_status(0), Some(503), "{ops}");
            assert!(reply.set_cookies().is_empty(), "{ops}");
            assert_eq!(world.faults.count(kind), 1, "{ops}: not tried again");
            assert_eq!(browser.run(ops.clone()).await.error_status(0), None, "{ops}: asked for again, it succeeds");
            assert!(rows(&world, "ada").await.is_empty(), "{ops}");
        }
    }
}
