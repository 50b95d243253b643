//! EXP-7: how often activity is recorded, so that no active user is signed out.

use std::time::Duration;

use serde_json::json;
use session_core::SessionConfig;

use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::expiry::timeouts::SECOND;
use crate::scenarios::support::sessions::{sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXP-7", "a touch interval over half of the idle timeout is refused", over_half_is_refused),
    scenario!("EXP-7", "the default is a quarter of the idle timeout and at most 5 minutes", the_default_interval),
    scenario!("EXP-7", "a user active in every half of the idle timeout stays signed in", active_users_stay),
];

const IDLE: Duration = Duration::from_mins(6);

async fn over_half_is_refused(world: World) {
    for idle in [SECOND, IDLE, Duration::from_hours(1), Duration::from_hours(24 * 30)] {
        let built = |touch| SessionConfig::builder().idle_timeout(idle).touch_interval(touch).build(world.keys.clone());
        for touch in [idle / 2 + Duration::from_nanos(1), idle, 2 * idle] {
            let error = built(touch).expect_err("it would sign active users out").to_string();
            assert!(error.contains("touch_interval") && error.contains("idle_timeout"), "{error}");
        }
        for touch in [idle / 2, idle / 4] {
            assert!(built(touch).is_ok(), "{touch:?} for {idle:?}");
        }
    }
}

async fn the_default_interval(world: World) {
    for (idle, touch) in [(6 * 60, 90), (19 * 60, 285), (20 * 60, 300), (60 * 60, 300), (24 * 60 * 60, 300)] {
        let (idle, touch) = (Duration::from_secs(idle), Duration::from_secs(touch));
        let world = world.with_config(|config| config.idle_timeout(idle)).await;
        let mut browser = sign_in(&world, "ada").await;
        world.faults.reset_counts();
        world.clock.advance(touch - SECOND);
        assert_eq!(user(&mut browser).await, json!("ada"));
        assert_eq!(world.faults.count(OpKind::Update), 0, "a second less than {touch:?} for {idle:?}");
        world.clock.advance(SECOND);
        assert_eq!(user(&mut browser).await, json!("ada"));
        assert_eq!(world.faults.count(OpKind::Update), 1, "{touch:?} for {idle:?}");
    }
}

async fn active_users_stay(world: World) {
    let half = IDLE / 2;
    let default = world.with_config(|config| config.idle_timeout(IDLE)).await;
    let longest = world.with_config(|config| config.idle_timeout(IDLE).touch_interval(half)).await;
    for (name, world) in [("the default", default), ("half of the idle timeout", longest)] {
        // What comes just before the interval is over isn't recorded, and the next one has to come
        // in time all the same.
        for gaps in [&[half][..], &[half - SECOND], &[half, half - SECOND], &[SECOND, half - SECOND, half]] {
            let mut browser = sign_in(&world, "ada").await;
            for round in 0..20 {
                for gap in gaps {
                    world.clock.advance(*gap);
                    assert_eq!(user(&mut browser).await, json!("ada"), "{name}, round {round}, {gap:?} of {gaps:?}");
                }
            }
            world.clock.advance(IDLE);
            assert_eq!(user(&mut browser).await, json!(null), "{name}: who is idle is signed out");
        }
    }
}
