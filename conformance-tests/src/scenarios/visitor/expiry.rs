//! VISIT-4: how long a visitor's values are kept.

use std::time::Duration;

use serde_json::json;
use session_core::Visitors;

use super::{HOUR, row_of, visitor, visitor_id};
use crate::scenario::{Scenario, scenario};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-4", "a visitor has an idle and an absolute timeout of its own", own_timeouts),
    scenario!("VISIT-4", "activity is recorded as a user's is", activity_is_recorded),
    scenario!("VISIT-4", "the clean-up deletes expired visitors", cleaned_up),
];

async fn short(world: &World) -> World {
    let visitors = || Visitors::new().idle_timeout(HOUR).absolute_timeout(3 * HOUR);
    world.with_config(|config| config.visitors(visitors())).await
}

async fn own_timeouts(world: World) {
    let world = short(&world).await;
    let mut user = world.browser();
    user.sign_in("ada").await;
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    assert!(reply.set_cookies()[0].contains("Max-Age=10800"), "{:?}", reply.set_cookies());
    let mut idle = browser.clone();
    let seen = |reply: crate::browser::Reply| reply.result(0);
    let get = || json!([{"op": "get", "key": "a"}]);
    for _ in 0..5 {
        world.clock.advance(Duration::from_mins(30));
        assert_eq!(seen(browser.run(get()).await), json!({"value": 1}), "it is active");
    }
    world.clock.advance(Duration::from_mins(30));
    assert_eq!(seen(browser.run(get()).await), json!({"absent": true}), "the absolute end");
    assert_eq!(seen(idle.run(get()).await), json!({"absent": true}));
    assert_eq!(user.run(json!([{"op": "user_id"}])).await.result(0), json!("ada"), "a user's are longer");

    let mut browser = visitor(&world, "a", 2).await;
    world.clock.advance(HOUR - Duration::from_secs(1));
    assert_eq!(seen(browser.clone().run(get()).await), json!({"value": 2}));
    world.clock.advance(HOUR);
    let reply = browser.run(json!([{"op": "get", "key": "a"}, {"op": "visitor_id"}])).await;
    assert_eq!((reply.result(0), reply.result(1)), (json!({"absent": true}), json!(null)), "the idle end");
    assert!(reply.set_cookies().is_empty());
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 3}])).await;
    assert!(reply.sends_cookie(), "a new visitor");
}

async fn activity_is_recorded(world: World) {
    let world = short(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let id = visitor_id(&mut browser).await;
    let before = row_of(&world, &id).await.expect("a row");
    world.clock.advance(Duration::from_secs(60));
    browser.run(json!([{"op": "get", "key": "a"}])).await;
    assert_eq!(row_of(&world, &id).await.expect("a row"), before, "within the touch interval");
    world.clock.advance(Duration::from_mins(20));
    let reply = browser.run(json!([{"op": "get", "key": "a"}])).await;
    assert!(reply.set_cookies().is_empty());
    let after = row_of(&world, &id).await.expect("a row");
    assert_eq!(after.expires_at - before.expires_at, Duration::from_secs(21 * 60));
}

async fn cleaned_up(world: World) {
    let world = short(&world).await;
    let mut browser = visitor(&world, "a", 1).await;
    let id = visitor_id(&mut browser).await;
    let row = row_of(&world, &id).await.expect("a row");
    world.clock.advance(HOUR + 24 * HOUR);
    assert!(world.service.purge_expired().await.expect("the store works") >= 1);
    let token = session_core::TokenRef { shard: row.user_id.shard(), id: row.id };
    let found = world.store.load(&[token], row.created_at).await.expect("the store works");
    assert!(found.is_empty());
}
