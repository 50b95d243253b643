//! ROT-10: tokens that are presented long after they were replaced.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::{TokenReuse, Visitors};

use crate::browser::Browser;
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{only_row, sign_in, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ROT-10", "a token whose successor was presented is reported after the grace", after_the_grace),
    scenario!("ROT-10", "a token that was replaced twice is reported", replaced_twice),
    scenario!("ROT-10", "a token from before a strict rotation is reported after the grace", before_a_strict_one),
    scenario!("ROT-10", "the event shows user, session and both clients, and no token", what_is_shown),
    scenario!("ROT-10", "a session and a client are reported once", once),
    scenario!("ROT-10", "the session ends where that is configured", the_session_ends),
    scenario!("ROT-10", "a session that can't be ended is a 503", an_outage),
    scenario!("ROT-10", "what browsers do isn't reported", no_alarm),
    scenario!("ROT-10", "a theft shows at the first request that doesn't follow", a_theft),
    scenario!("ROT-10", "visitors' tokens are never reported", visitors),
];

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_mins(10);

/// The events of reuse since the last call.
fn reported(world: &World) -> Vec<String> {
    world.events().into_iter().filter(|event| event.contains("TokenReused")).collect()
}

/// A browser whose token was rotated: as it was before, and with the successor, which was
/// presented.
async fn rotated(world: &World) -> (Browser, Browser) {
    let mut browser = sign_in(world, "ada").await;
    world.clock.advance(SECOND);
    let old = browser.clone();
    browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    (old, browser)
}

/// Presents a token that is dead, and leaves its cookie alone.
async fn presented(browser: &Browser) {
    let mut browser = browser.clone();
    let reply = browser.run(json!([{"op": "user_id"}])).await;
    assert_eq!((reply.status, reply.result(0), reply.set_cookies().len()), (200, Value::Null, 0));
}

async fn after_the_grace(world: World) {
    let (old, mut new) = rotated(&world).await;
    world.clock.advance(GRACE - SECOND);
    assert_eq!(user(&mut old.clone()).await, json!("ada"), "in the grace");
    assert_eq!(reported(&world).len(), 0);
    world.clock.advance(SECOND);
    presented(&old).await;
    assert_eq!(reported(&world).len(), 1);
    assert_eq!((user(&mut new).await, reported(&world).len()), (json!("ada"), 0), "the session lives on");
}

async fn replaced_twice(world: World) {
    let (old, mut new) = rotated(&world).await;
    world.clock.advance(SECOND);
    new.run(json!([{"op": "rotate"}])).await;
    presented(&old).await;
    assert_eq!(reported(&world).len(), 0, "the current token is younger than the grace");
    world.clock.advance(GRACE);
    presented(&old).await;
    assert_eq!(reported(&world).len(), 1, "though the newest was never presented");
}

async fn before_a_strict_one(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let old = browser.clone();
    world.clock.advance(SECOND);
    browser.run(json!([{"op": "rotate_strict"}])).await;
    presented(&old).await;
    assert_eq!(reported(&world).len(), 0, "sent before its answer, perhaps");
    world.clock.advance(GRACE);
    presented(&old).await;
    assert_eq!(reported(&world).len(), 1);
}

async fn what_is_shown(world: World) {
    let (mut old, new) = rotated(&world).await;
    world.clock.advance(GRACE);
    old.user_agent("curl/8.14");
    presented(&old).await;
    let (row, events) = (only_row(&world, "ada").await, reported(&world));
    let [event] = &events[..] else { panic!("one event, not {events:?}") };
    for part in ["\"ada\"", &row.id.to_string(), &row.client.user_agent, "curl/8.14", "127.0.0.1", "ended: false"] {
        assert!(event.contains(part), "{part} in {event}");
    }
    for browser in [old, new] {
        assert!(!event.contains(&browser.cookie().expect("a cookie")), "{event}");
    }
}

async fn once(world: World) {
    let (mut old, _) = rotated(&world).await;
    world.clock.advance(GRACE);
    for (user_agent, times) in [("one/1", 1), ("one/1", 0), ("two/1", 1), ("one/1", 0)] {
        old.user_agent(user_agent);
        presented(&old).await;
        assert_eq!(reported(&world).len(), times, "{user_agent}");
    }
}

async fn the_session_ends(world: World) {
    let node = world.with_config(|config| config.on_token_reuse(TokenReuse::End)).await;
    let (old, mut new) = rotated(&node).await;
    let mut other = sign_in(&node, "ada").await;
    world.clock.advance(GRACE);
    presented(&old).await;
    let events = reported(&node);
    assert!(events.len() == 1 && events[0].contains("ended: true"), "{events:?}");
    assert_eq!(user(&mut new).await, Value::Null);
    assert_eq!(user(&mut other).await, json!("ada"), "another session of hers");
    assert_eq!(rows(&world, "ada").await.len(), 1);
    presented(&old).await;
    assert_eq!(reported(&node).len(), 0, "the session is gone");
}

async fn an_outage(world: World) {
    let node = world.with_config(|config| config.on_token_reuse(TokenReuse::End)).await;
    let (old, mut new) = rotated(&node).await;
    world.clock.advance(GRACE);
    world.faults.fail(OpKind::End, Fault::NotApplied);
    let reply = old.clone().run(json!([{"op": "user_id"}])).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (503, 0));
    world.faults.clear();
    presented(&old).await;
    assert_eq!(user(&mut new).await, Value::Null);
}

async fn no_alarm(world: World) {
    // An answer that was lost, for a day.
    let mut browser = sign_in(&world, "ada").await;
    browser.clone().run(json!([{"op": "rotate"}])).await;
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(user(&mut browser).await, json!("ada"));
    // A duplicate of the cookie, of another path, with an old token.
    let (old, new) = rotated(&world).await;
    world.clock.advance(GRACE * 2);
    for (first, second) in [(&old, &new), (&new, &old)] {
        let mut both = world.browser();
        let name = world.service.config().cookie_name();
        let [first, second] = [first, second].map(|browser| browser.cookie().expect("a cookie"));
        both.header("cookie", format!("{name}={first}; {name}={second}"));
        assert_eq!(user(&mut both).await, json!("ada"));
    }
    // A session that has ended, and one that has expired.
    new.clone().run(json!([{"op": "logout"}])).await;
    presented(&old).await;
    presented(&new).await;
    let (old, _) = rotated(&world).await;
    world.clock.advance(Duration::from_hours(24 * 31));
    presented(&old).await;
    assert_eq!(reported(&world), [""; 0]);
}

async fn a_theft(world: World) {
    for thief_first in [false, true] {
        let node = world.with_config(|config| config.rotate_every(EVERY)).await;
        let owner = sign_in(&node, "ada").await;
        let mut both = [owner.clone(), owner];
        // Both go on with the one cookie, and take turns. The first who is sent its successor goes
        // on with that.
        let (first, second) = if thief_first { (1, 0) } else { (0, 1) };
        world.clock.advance(EVERY);
        assert_eq!(user(&mut both[first]).await, json!("ada"));
        world.clock.advance(SECOND);
        assert_eq!(user(&mut both[first]).await, json!("ada"));
        assert_eq!(user(&mut both[second]).await, json!("ada"), "in the grace");
        assert_eq!(reported(&node).len(), 0);
        world.clock.advance(GRACE);
        presented(&both[second]).await;
        assert_eq!(reported(&node).len(), 1);
        node.service.revoke_all("ada").await.expect("the store works");
    }
}

async fn visitors(world: World) {
    let node = world.with_config(|config| config.visitors(Visitors::new())).await;
    let mut browser = node.browser();
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let before = browser.cookie().expect("a visitor's cookie");
    browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    world.clock.advance(GRACE * 2);
    let mut old = node.browser();
    old.set_cookie(before);
    assert_eq!(user(&mut old).await, Value::Null);
    assert_eq!(reported(&node), [""; 0]);
}
