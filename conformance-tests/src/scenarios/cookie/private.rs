//! COOK-8: what a response that may show a live session says to shared caches.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::Visitors;

use super::caching::{TARGETED, cache_control, header};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{browsers_with_a_dead_cookie, sign_in};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-8", "every response to a live session is private", live_sessions_are_private),
    scenario!("COOK-8", "a visitor's is private too", visitors_are_private),
    scenario!("COOK-8", "a session that ends meanwhile is private too", ended_meanwhile),
    scenario!("COOK-8", "without a live session the handler's Cache-Control stays", without_a_session),
    scenario!("COOK-8", "private is added to what the handler says to browsers", merged),
    scenario!("COOK-8", "where private is added, no header for some caches only stays", targeted_headers),
];

/// The routes that extract the session, whose responses aren't `no-store` anyway.
const EXTRACTING: [&str; 9] =
    ["/do", "/optional", "/result", "/session", "/optional-session", "/twice", "/nested", "/flash", "/csrf"];

async fn live_sessions_are_private(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for path in EXTRACTING {
        let reply = browser.get(path).await;
        assert_eq!((reply.status, cache_control(&reply).as_str()), (200, "private"), "{path}");
    }
    for op in ["user_id", "save", "reload", "list_my_sessions"] {
        assert_eq!(cache_control(&browser.run(json!([{"op": op}])).await), "private", "{op}");
    }
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    assert_eq!(cache_control(&reply), "private");
    assert_eq!(cache_control(&browser.get("/plain").await), "", "it isn't extracted");
}

async fn visitors_are_private(world: World) {
    let world = world.with_config(|config| config.visitors(Visitors::new())).await;
    let mut browser = world.browser();
    assert_eq!(cache_control(&browser.get("/do").await), "", "there is no row yet");
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    assert_eq!((reply.sends_cookie(), cache_control(&reply).as_str()), (true, "no-store"));
    for path in ["/do", "/optional", "/optional-session", "/flash"] {
        assert_eq!(cache_control(&browser.get(path).await), "private", "{path}");
    }
}

async fn ended_meanwhile(world: World) {
    let browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([{"op": "user_id"}]), "slow", json!([{"op": "save"}])).await;
    browser.clone().run(json!([{"op": "logout"}])).await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!(reply.error_status(2), Some(401));
    assert_eq!((reply.result(0), cache_control(&reply).as_str()), (json!("ada"), "private"));
}

async fn without_a_session(world: World) {
    let mut browsers = browsers_with_a_dead_cookie(&world).await;
    let expired = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_secs(31 * 24 * 3600));
    browsers.extend([world.browser(), expired]);
    for mut browser in browsers {
        for value in ["public, max-age=60", "no-cache", "private"] {
            let mut ops = vec![json!({"op": "set", "key": "a", "value": 1}), header("cache-control", value)];
            ops.extend(TARGETED.map(|name| header(name, "max-age=600")));
            let reply = browser.run(Value::Array(ops)).await;
            assert_eq!((reply.vary(), cache_control(&reply).as_str()), ("Cookie".into(), value));
            assert!(TARGETED.into_iter().all(|name| reply.headers.contains_key(name)), "{:?}", reply.headers);
        }
        for path in ["/optional", "/optional-session"] {
            assert_eq!(cache_control(&browser.get(path).await), "", "{path}");
        }
    }
}

async fn merged(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for (lines, expected) in [
        (&["public, max-age=60"][..], "private, max-age=60"),
        (&["Public", "max-age=60, S-MaxAge=600"], "private, max-age=60"),
        (&["max-age=60, must-revalidate"], "private, max-age=60, must-revalidate"),
        (&["no-cache"], "private, no-cache"),
        (&["no-cache=\"a, b\""], "private, no-cache=\"a, b\""),
        (&["private=\"x-user\", max-age=60"], "private, max-age=60"),
        (&["x=\"a, private, b\""], "private, x=\"a, private, b\""),
        (&["max-age=60, x=\"a", "private"], "private"),
        (&["must-understand, no-store"], "private, must-understand, no-store"),
        (&[""], "private"),
        (&["private, max-age=60"], "private, max-age=60"),
        (&["max-age=0,PRIVATE"], "max-age=0,PRIVATE"),
        (&["max-age=60", "private"], "max-age=60, private"),
        (&["no-cache, No-Store"], "no-cache, No-Store"),
    ] {
        let ops = lines.iter().map(|line| header("cache-control", line)).collect();
        assert_eq!(cache_control(&browser.run(Value::Array(ops)).await), expected, "{lines:?}");
    }
}

async fn targeted_headers(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for name in TARGETED {
        let reply = browser.run(json!([header(name, "max-age=600"), header("cache-control", "max-age=60")])).await;
        assert!(!reply.headers.contains_key(name), "{name}");
        assert_eq!(cache_control(&reply), "private, max-age=60", "{name}");
    }
}
