//! ROT-6: the life of a superseded token: until its successor is presented, through the grace, and
//! after it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use session_core::{Clock, Record};

use crate::browser::{Browser, Reply};
use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{id, only_row, sign_in, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ROT-6", "of 20 reads that a page sends during its rotation 20 are signed in", twenty_reads),
    scenario!("ROT-6", "a lost answer is sent again after the grace, with no write", a_lost_answer_is_sent_again),
    scenario!("ROT-6", "an answer lost again and again signs nobody out", lost_again_and_again),
    scenario!("ROT-6", "the grace ends a second after its last one", the_edges_of_the_grace),
    scenario!("ROT-6", "the grace is as configured", the_grace_is_configured),
    scenario!("ROT-6", "a superseded token stores data, lists and revokes", a_superseded_token_works),
    scenario!("ROT-6", "a token that was superseded twice is dead", superseded_twice_is_dead),
    scenario!("ROT-6", "presenting the superseded token is no presentation of its successor", no_presentation),
    scenario!("ROT-6", "what was raised is neither carried nor sent", what_was_raised),
];

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(60);

/// A browser whose token was rotated a second after its sign-in: as it was before, and with the
/// successor.
async fn rotated(world: &World) -> (Browser, Browser) {
    let mut browser = sign_in(world, "ada").await;
    world.clock.advance(SECOND);
    let old = browser.clone();
    browser.run(json!([{"op": "rotate"}])).await;
    (old, browser)
}

async fn who(browser: &mut Browser) -> (Value, usize) {
    let reply = browser.run(json!([{"op": "user_id"}])).await;
    assert_eq!(reply.status, 200);
    (reply.result(0), reply.set_cookies().len())
}

async fn twenty_reads(world: World) {
    let node = world.node().await;
    let (old, mut new) = rotated(&world).await;
    for read in 0..20 {
        if read == 10 {
            // The answer has arrived, and the page goes on with what it had sent before.
            assert_eq!(who(&mut new).await, (json!("ada"), 0));
        }
        let mut late = old.on(if read % 2 == 0 { &world } else { &node });
        world.clock.advance(Duration::from_millis(15));
        assert_eq!(who(&mut late).await, (json!("ada"), 0), "read {read}");
    }
    assert_eq!(who(&mut new).await, (json!("ada"), 0));
}

async fn a_lost_answer_is_sent_again(world: World) {
    let node = world.node().await;
    let (old, new) = rotated(&world).await;
    let row = only_row(&world, "ada").await;
    world.clock.advance(GRACE);
    for after in [&world, &node] {
        world.faults.reset_counts();
        let mut late = old.on(after);
        let reply = late.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!("ada"), 1));
        assert_eq!(late.cookie(), new.cookie(), "the same successor, by any node");
        assert_eq!(world.faults.count(OpKind::Update), 0, "with no write");
        assert!(only_row(&world, "ada").await == row);
    }
    world.clock.advance(Duration::from_hours(1));
    world.faults.reset_counts();
    let mut late = old.on(&world);
    let reply = late.run(json!([{"op": "user_id"}])).await;
    assert_eq!((reply.result(0), late.cookie()), (json!("ada"), new.cookie()), "after an hour too");
    assert_eq!(world.faults.count(OpKind::Update), 1, "with due activity, and nothing else");
    let active = Record { last_active_at: world.clock.now(), expires_at: row.expires_at, ..(*row).clone() };
    let now = only_row(&world, "ada").await;
    assert!(Record { expires_at: row.expires_at, ..(*now).clone() } == active);
    // A response that is no page, and one that fails, bring it all the same.
    for ops in [json!([{"op": "status", "code": 304}]), json!([{"op": "status", "code": 500}, {"op": "user_id"}])] {
        let mut late = old.clone();
        late.run(ops).await;
        assert_eq!(late.cookie(), new.cookie());
        assert_eq!(who(&mut old.clone()).await, (json!("ada"), 1), "as long as it wasn't presented");
    }
    assert_eq!(who(&mut late).await, (json!("ada"), 0));
    assert_eq!(who(&mut old.clone()).await, (json!(null), 0), "it was presented, and the grace is over");
}

async fn lost_again_and_again(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = id(&mut browser).await;
    for round in 0..5 {
        world.clock.advance(Duration::from_mins(10));
        // The answer to the rotation is lost three times, whatever asked for it.
        for asks in [json!([{"op": "rotate"}]), json!([{"op": "rotate"}]), json!([{"op": "user_id"}])] {
            let mut lost = browser.clone();
            lost.run(asks).await;
            world.clock.advance(Duration::from_mins(2));
        }
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!("ada"), 1), "round {round}");
        assert_eq!(id(&mut browser).await, before, "round {round}");
    }
}

async fn the_edges_of_the_grace(world: World) {
    for (after, expected) in [(GRACE - SECOND, json!("ada")), (GRACE, json!(null)), (GRACE + SECOND, json!(null))] {
        let (mut old, mut new) = rotated(&world).await;
        let issued = only_row(&world, "ada").await.token_issued_at;
        // Presented late in the grace, which counts from the rotation all the same.
        world.clock.advance(GRACE - SECOND * 2);
        assert_eq!(who(&mut new).await, (json!("ada"), 0));
        world.clock.set(issued + after);
        assert_eq!(who(&mut old).await, (expected.clone(), 0), "{after:?} after the rotation");
        let reply = old.run(json!([{"op": "rotate"}, {"op": "list_my_sessions"}])).await;
        let status = (!expected.is_string()).then_some(401);
        assert_eq!((reply.error_status(0), reply.error_status(1), reply.set_cookies().len()), (status, status, 0));
        assert_eq!(who(&mut new).await, (json!("ada"), 0));
        new.run(json!([{"op": "logout"}])).await;
    }
}

async fn the_grace_is_configured(world: World) {
    let world = world.with_config(|config| config.rotation_grace(Duration::from_secs(10))).await;
    let (mut old, mut new) = rotated(&world).await;
    assert_eq!(who(&mut new).await, (json!("ada"), 0));
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(who(&mut old).await, (json!("ada"), 0));
    world.clock.advance(SECOND);
    assert_eq!(who(&mut old).await, (json!(null), 0));
}

async fn a_superseded_token_works(world: World) {
    let mut other = sign_in(&world, "ada").await;
    let other_id = id(&mut other).await;
    let (old, mut new) = rotated(&world).await;
    for (key, seen) in [("before", false), ("after", true)] {
        if seen {
            assert_eq!(who(&mut new).await, (json!("ada"), 0));
        }
        let reply = old
            .clone()
            .run(json!([
                {"op": "increment", "key": key},
                {"op": "save"},
                {"op": "increment", "key": key},
                {"op": "list_my_sessions"},
                {"op": "reload"},
                {"op": "rotate"},
            ]))
            .await;
        for index in 0..6 {
            assert_eq!(reply.error_status(index), None, "{key}: entry {index}");
        }
        assert_eq!(reply.result(3).as_array().map(Vec::len), Some(2));
        assert_eq!(reply.set_cookies().len(), usize::from(!seen), "{key}: a rotation finds the successor");
        let current = new.run(json!([{"op": "get", "key": key}])).await.result(0);
        assert_eq!(current, json!({"value": 2}), "{key}: data is the session's and is shared");
    }
    let reply = old.clone().run(json!([{"op": "revoke", "id": other_id}, {"op": "logout_other"}])).await;
    assert_eq!((reply.error_status(0), reply.error_status(1)), (None, None));
    assert_eq!((user(&mut other).await, user(&mut new).await), (json!(null), json!("ada")));
}

async fn superseded_twice_is_dead(world: World) {
    let (mut first, mut browser) = rotated(&world).await;
    assert_eq!(who(&mut first).await, (json!("ada"), 0));
    world.clock.advance(SECOND);
    let mut second = browser.clone();
    browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(who(&mut first).await, (json!(null), 0), "dead, however recently it was superseded");
    assert_eq!(who(&mut second).await, (json!("ada"), 0));
    let reply = first.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "logout_all"}])).await;
    assert_eq!((reply.error_status(1), reply.error_status(2)), (Some(401), None));
    assert_eq!(who(&mut browser).await, (json!(null), 0), "it could sign out of its session, and did");
}

async fn no_presentation(world: World) {
    let (old, mut new) = rotated(&world).await;
    for script in [json!([{"op": "set", "key": "a", "value": 1}]), json!([{"op": "save"}]), json!([])] {
        old.clone().run(script).await;
        world.clock.advance(Duration::from_mins(10));
        let row = only_row(&world, "ada").await;
        assert!(!row.token_seen && row.successor.is_some());
    }
    let mut again = old.clone();
    assert_eq!(who(&mut again).await, (json!("ada"), 1));
    assert_eq!(who(&mut new).await, (json!("ada"), 0));
    let row = only_row(&world, "ada").await;
    assert!(row.token_seen && row.successor.is_none(), "nothing is kept of it any longer");
}

/// The row as a step-up would leave it, with or after the rotation.
async fn raise(world: &World) -> Arc<Record> {
    let row = only_row(world, "ada").await;
    let raised = Arc::new(Record { authenticated_at: row.token_issued_at, ..(*row).clone() });
    world.store.end(&row.user_id, row.id, None, world.clock.now()).await.expect("the store works");
    world.store.create(&raised, &[], World::LIMIT, world.clock.now()).await.expect("the store works");
    raised
}

async fn what_was_raised(world: World) {
    let (mut old, mut new) = rotated(&world).await;
    let raised = raise(&world).await;
    let at = |reply: &Reply, index: usize| reply.result(index)["authenticated_at"].clone();
    let script = json!([{"op": "current"}, {"op": "list_my_sessions"}, {"op": "rotate"}, {"op": "current"}]);
    for _ in 0..2 {
        // In the grace and after it: signed in as the sign-in was, and sent nothing.
        let reply = old.run(script.clone()).await;
        let signed_in = at(&reply, 0);
        assert_eq!((reply.error_status(2), reply.set_cookies().len()), (None, 0));
        assert_eq!(signed_in, json!("2030-01-01T00:00:00Z"));
        assert_eq!((at(&reply, 3), reply.result(1)[0]["authenticated_at"].clone()), (signed_in.clone(), signed_in));
        world.clock.advance(Duration::from_mins(5));
    }
    assert!(!rows(&world, "ada").await[0].token_seen);
    let reply = new.run(json!([{"op": "current"}])).await;
    assert_eq!(at(&reply, 0), json!("2030-01-01T00:00:01Z"), "{:?}", raised.authenticated_at);
}
