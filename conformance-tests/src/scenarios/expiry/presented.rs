//! EXP-3: the first presentation of a rotated token, which is always worth a write.

use serde_json::{Value, json};
use session_core::Clock;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::expiry::timeouts::{IDLE, SECOND, TOUCH, short};
use crate::scenarios::support::sessions::{only_row, sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXP-3", "the first presentation of a rotated token is written, with data in one", the_first_is_written),
    scenario!("EXP-3", "what couldn't be written is written at the next presentation", a_first_that_failed),
    scenario!("EXP-3", "a superseded token is no presentation of its successor", superseded_tokens_present_nothing),
];

async fn the_first_is_written(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let set = json!({"op": "set", "key": "a", "value": 1});
    for (script, stored) in [
        (json!([]), "{}"),
        (json!([set, {"op": "status", "code": 500}]), "{}"),
        (json!([set]), r#"{"a":1}"#),
        (json!([set, {"op": "save"}]), r#"{"a":1}"#),
    ] {
        world.clock.advance(SECOND);
        assert!(browser.run(json!([{"op": "rotate"}])).await.sends_cookie());
        assert!(!only_row(&world, "ada").await.token_seen, "its answer may be lost");
        world.clock.advance(SECOND);
        world.faults.reset_counts();
        browser.run(script.clone()).await;
        assert_eq!(reads_and_writes(&world), (1, 1, 2), "{script}");
        let row = only_row(&world, "ada").await;
        let now = world.clock.now();
        assert_eq!((row.token_seen, row.last_active_at, row.expires_at), (true, now, now + IDLE), "{script}");
        assert_eq!(row.data.text(), stored, "{script}");

        world.clock.advance(TOUCH - SECOND);
        world.faults.reset_counts();
        assert_eq!(user(&mut browser).await, json!("ada"));
        assert_eq!(reads_and_writes(&world), (1, 0, 1), "the second presentation, after {script}");
        assert!(only_row(&world, "ada").await == row, "{script}");
    }
}

async fn a_first_that_failed(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(SECOND);
    browser.run(json!([{"op": "rotate"}])).await;
    let before = only_row(&world, "ada").await;
    world.clock.advance(SECOND);
    world.faults.fail_once(OpKind::Update, Fault::NotApplied);
    assert_eq!(user(&mut browser).await, json!("ada"), "the response stands");
    assert!(only_row(&world, "ada").await == before);
    assert_eq!(user(&mut browser).await, json!("ada"));
    let row = only_row(&world, "ada").await;
    assert_eq!((row.token_seen, row.last_active_at), (true, world.clock.now()));
}

async fn superseded_tokens_present_nothing(world: World) {
    let world = world.with_config(short).await;
    let mut browser = sign_in(&world, "ada").await;
    let old = browser.clone();
    world.clock.advance(SECOND);
    browser.run(json!([{"op": "rotate"}])).await;
    let add = json!({"op": "increment", "key": "n"});
    let scripts: [(&str, Value); 5] = [
        ("reads", json!([])),
        ("stores", json!([add])),
        ("saves", json!([add, {"op": "save"}])),
        ("reloads", json!([{"op": "reload"}])),
        ("rotates", json!([{"op": "rotate"}])),
    ];
    // In the grace, when activity is due, and when its answers bring the successor again.
    for (waited, sends) in [(SECOND, false), (TOUCH, true)] {
        for (what, script) in &scripts {
            world.clock.advance(waited);
            let reply = old.clone().run(script.clone()).await;
            assert_eq!((reply.status, reply.sends_cookie()), (200, sends || *what == "rotates"), "{what}");
            assert!(!only_row(&world, "ada").await.token_seen, "{what} with the old token, {waited:?} later");
        }
    }
    assert_eq!(only_row(&world, "ada").await.data.text(), r#"{"n":4}"#, "they were all stored");
    assert_eq!(only_row(&world, "ada").await.last_active_at, world.clock.now(), "and recorded as activity");
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert!(only_row(&world, "ada").await.token_seen);
}

fn reads_and_writes(world: &World) -> (u64, u64, u64) {
    (world.faults.count(OpKind::Load), world.faults.count(OpKind::Update), world.faults.total())
}
