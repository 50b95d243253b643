//! AUTH-4: how many sessions a user can have.

use std::time::Duration;

use serde_json::json;
use session_core::{Clock, KeyRing, SessionConfig, SigningKey};

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{at_once, id, ids, sign_in, text, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("AUTH-4", "ten sessions by default, and the oldest go", ten_sessions_by_default),
    scenario!("AUTH-4", "the least recently active go, not the first to sign in", the_least_recently_active_go),
    scenario!("AUTH-4", "a sign-in never ends itself, even if the clock jumped back", a_sign_in_never_ends_itself),
    scenario!("AUTH-4", "the session that a sign-in replaces makes room for it", the_replaced_one_makes_room),
    scenario!("AUTH-4", "only live sessions of the same user count", only_live_sessions_of_the_user_count),
    scenario!("AUTH-4", "a lowered limit holds from the next sign-in on", a_lowered_limit_holds),
    scenario!("AUTH-4", "the limit is 1 to 1000", the_limit_is_1_to_1000),
    scenario!("AUTH-4", "of 24 racing sign-ins exactly the limit remains", racing_sign_ins_keep_the_limit),
];

async fn ten_sessions_by_default(world: World) {
    let mut browsers = Vec::new();
    for _ in 0..12 {
        browsers.push(sign_in(&world, "ada").await);
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(ids(&world, "ada").await.len(), 10);
    for (i, browser) in browsers.iter_mut().enumerate() {
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!(reply.result(0), if i < 2 { json!(null) } else { json!("ada") }, "browser {i}");
        assert!(reply.set_cookies().is_empty());
    }
}

async fn the_least_recently_active_go(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(3)).await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(sign_in(&world, "ada").await);
        world.clock.advance(Duration::from_secs(1));
    }
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(user(&mut browsers[0]).await, json!("ada"));
    world.clock.advance(Duration::from_secs(1));
    browsers.push(sign_in(&world, "ada").await);
    for (i, browser) in browsers.iter_mut().enumerate() {
        assert_eq!(user(browser).await, if i == 1 { json!(null) } else { json!("ada") }, "browser {i}");
    }
}

async fn a_sign_in_never_ends_itself(world: World) {
    for limit in [1, 2] {
        let world = world.with_config(|config| config.max_sessions_per_user(limit)).await;
        let name = format!("ada-{limit}");
        let mut first = sign_in(&world, &name).await;
        world.clock.advance(Duration::from_secs(1));
        let mut second = sign_in(&world, &name).await;
        let before = world.clock.now();
        world.clock.set(before - Duration::from_hours(1));
        let mut third = sign_in(&world, &name).await;
        assert_eq!(user(&mut third).await, json!(name), "limit {limit}");
        assert_eq!(user(&mut first).await, json!(null), "limit {limit}");
        assert_eq!(user(&mut second).await, if limit == 1 { json!(null) } else { json!(name) });
        assert_eq!(ids(&world, &name).await.len(), usize::try_from(limit).unwrap());
        world.clock.set(before);
    }
}

async fn the_replaced_one_makes_room(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(2)).await;
    let mut idle = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_secs(1));
    let mut active = sign_in(&world, "ada").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(1));
        active.sign_in("ada").await;
    }
    assert_eq!((user(&mut idle).await, user(&mut active).await), (json!("ada"), json!("ada")));
    assert_eq!(ids(&world, "ada").await.len(), 2);
}

async fn only_live_sessions_of_the_user_count(world: World) {
    let world = world
        .with_config(|config| {
            config
                .max_sessions_per_user(2)
                .idle_timeout(Duration::from_hours(1))
                .absolute_timeout(Duration::from_hours(2))
        })
        .await;
    let mut bob = sign_in(&world, "bob").await;
    let mut expired = sign_in(&world, "ada").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_mins(30));
        assert_eq!(user(&mut expired).await, json!("ada"));
        assert_eq!(user(&mut bob).await, json!("bob"));
    }
    let mut live = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(20));
    assert_eq!(user(&mut expired).await, json!("ada"), "more recently active than the other");
    assert_eq!(user(&mut bob).await, json!("bob"), "another user's sessions don't count");
    world.clock.advance(Duration::from_mins(10));
    let mut new = sign_in(&world, "ada").await;
    assert_eq!(user(&mut expired).await, json!(null));
    assert_eq!(
        (user(&mut live).await, user(&mut new).await),
        (json!("ada"), json!("ada")),
        "an expired one is no third"
    );
}

async fn a_lowered_limit_holds(world: World) {
    for _ in 0..6 {
        sign_in(&world, "ada").await;
        world.clock.advance(Duration::from_secs(1));
    }
    let newest = ids(&world, "ada").await[0].clone();
    let world = world.with_config(|config| config.max_sessions_per_user(2)).await;
    let mut browser = sign_in(&world, "ada").await;
    assert_eq!(ids(&world, "ada").await, [id(&mut browser).await, newest]);
}

async fn the_limit_is_1_to_1000(_: World) {
    for (limit, valid) in [(0, false), (1, true), (1000, true), (1001, false), (u32::MAX, false)] {
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes are a key"));
        let built = SessionConfig::builder().max_sessions_per_user(limit).build(keys);
        assert_eq!(built.is_ok(), valid, "{limit}");
    }
}

async fn racing_sign_ins_keep_the_limit(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(5)).await;
    let node = world.node().await;
    for round in 0..world.rounds {
        let name = format!("ada-{round}");
        let script = json!([{"op": "authenticate", "user": name}, {"op": "current"}]);
        let racers = (0..24).map(|i| if i % 2 == 0 { &world } else { &node });
        let done = at_once(racers.map(|node| (node, node.browser(), script.clone())).collect()).await;
        let mut made = Vec::new();
        for (_, reply) in &done {
            assert_eq!(reply.error_status(1), None, "round {round}");
            assert!(reply.sends_cookie(), "round {round}");
            made.push(text(&reply.result(2)["id"]));
        }
        let left = ids(&world, &name).await;
        assert_eq!(left.len(), 5, "round {round}");
        assert!(left.iter().all(|id| made.contains(id)), "round {round}");
        if round == 0 {
            let mut live = 0;
            for (mut browser, _) in done {
                live += usize::from(user(&mut browser).await == json!(name));
            }
            assert_eq!(live, 5, "as many cookies work as there are sessions");
        }
    }
}
