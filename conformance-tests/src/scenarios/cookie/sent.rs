//! COOK-1, COOK-6, COOK-10, COOK-12: the cookie that responses set.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use session_core::SessionConfig;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{id, only_row, sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-1", "the default attributes, at sign-in and at rotate", the_default_attributes),
    scenario!("COOK-1", "Max-Age is the absolute timeout, rounded up", max_age_is_the_absolute_timeout),
    scenario!("COOK-1", "Max-Age of a rotate is what is left of the absolute timeout", max_age_of_a_rotate),
    scenario!("COOK-1", "name and value together stay under 4096 bytes", name_and_value_under_4096),
    scenario!("COOK-6", "activity and data never send the cookie", activity_and_data_send_nothing),
    scenario!("COOK-6", "no slow response puts back an old cookie", no_slow_response_puts_it_back),
    scenario!("COOK-6", "one Set-Cookie at most, and the last action wins", the_last_action_wins),
    scenario!("COOK-6", "the handler's other cookies and its Vary survive", the_handlers_headers_survive),
    scenario!("COOK-10", "a browser-session cookie stays one for its session's life", browser_session_cookies),
    scenario!("COOK-10", "the choice of the cookie changes nothing on the server", browser_sessions_live_as_long),
    scenario!("COOK-12", "Secure never depends on how the request arrived", secure_whatever_arrives),
    scenario!("COOK-12", "the development mode sends a plain session cookie", the_development_mode),
];

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// The attributes of the only `Set-Cookie` in the list.
pub(super) fn attributes(lines: &[String]) -> BTreeSet<String> {
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].split(';').skip(1).map(|attribute| attribute.trim().to_owned()).collect()
}

fn max_age(lines: &[String]) -> Option<u64> {
    let found = attributes(lines).iter().find_map(|attribute| attribute.strip_prefix("Max-Age=").map(str::to_owned));
    found.map(|seconds| seconds.parse().expect("whole seconds"))
}

async fn the_default_attributes(world: World) {
    let mut browser = world.browser();
    let mut replies = vec![browser.sign_in("ada").await];
    replies.push(browser.run(json!([{"op": "rotate"}])).await);
    for reply in replies {
        let lines = reply.set_cookies_named("__Host-session");
        let expected = ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=2592000"].map(str::to_owned);
        assert_eq!(attributes(&lines), expected.into());
        let value = lines[0]["__Host-session=".len()..].split(';').next().unwrap();
        assert!(value.len() >= 43, "256 bits: {value}");
        assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{value}");
    }
}

async fn max_age_is_the_absolute_timeout(world: World) {
    let hour = Duration::from_secs(3600);
    for (idle, absolute, expected) in [
        (hour, 30 * DAY, 30 * 86_400),
        (hour, 400 * DAY, 400 * 86_400),
        (Duration::from_millis(900), Duration::from_millis(1001), 2),
        (Duration::from_millis(900), Duration::from_secs(1), 1),
        (Duration::from_millis(5), Duration::from_millis(5), 1),
    ] {
        let touch = Duration::from_millis(1);
        let world = world
            .with_config(|config| config.idle_timeout(idle).absolute_timeout(absolute).touch_interval(touch))
            .await;
        let reply = world.browser().sign_in("ada").await;
        assert_eq!(max_age(&reply.set_cookies()), Some(expected), "{absolute:?}");
    }
}

async fn max_age_of_a_rotate(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(5 * DAY);
    browser.run(json!([{"op": "current"}])).await;
    world.clock.advance(5 * DAY + Duration::from_millis(1));
    let reply = browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(max_age(&reply.set_cookies()), Some(20 * 86_400), "to the absolute timeout, not from now");
}

async fn name_and_value_under_4096(world: World) {
    let named = |len: usize| SessionConfig::builder().cookie_name("n".repeat(len)).build(world.keys.clone());
    let longest = (3500..4200).filter(|len| named(*len).is_ok()).max().expect("a long name is accepted");
    assert!(named(longest + 1).is_err_and(|error| error.to_string().contains("4096")));
    let world = world.with_config(|config| config.cookie_name("n".repeat(longest))).await;
    let mut browser = world.browser();
    let reply = browser.sign_in("ada").await;
    let pair = reply.set_cookies()[0].split(';').next().unwrap().len() - 1;
    assert!((4090..4096).contains(&pair), "{pair}");
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn activity_and_data_send_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let other = id(&mut sign_in(&world, "ada").await).await;
    let cookie = browser.cookie();
    for ops in [
        json!([{"op": "current"}]),
        json!([{"op": "set", "key": "a", "value": 1}, {"op": "increment", "key": "n"}]),
        json!([{"op": "remove_key", "key": "a"}]),
        json!([{"op": "set", "key": "a", "value": 1}, {"op": "save"}]),
        json!([{"op": "list_my_sessions"}, {"op": "list", "user": "ada"}]),
        json!([{"op": "revoke", "id": other}]),
        json!([{"op": "logout_other"}]),
        json!([{"op": "authenticate", "user": ""}, {"op": "authenticate_with", "user": "ada", "data": 1}]),
        json!([{"op": "set", "key": "a", "value": 2}, {"op": "status", "code": 500}]),
    ] {
        world.clock.advance(Duration::from_secs(3600));
        let reply = browser.run(ops.clone()).await;
        assert_eq!(reply.headers.get("set-cookie"), None, "{ops}");
    }
    assert_eq!((browser.cookie(), user(&mut browser).await), (cookie, json!("ada")));
}

async fn no_slow_response_puts_it_back(world: World) {
    let meanwhile = [
        ("rotate", json!([{"op": "rotate"}])),
        ("sign-in", json!([{"op": "authenticate", "user": "ada"}])),
        ("sign-out", json!([{"op": "logout"}])),
        ("sign-out everywhere", json!([{"op": "logout_all"}])),
    ];
    for (what, ops) in meanwhile {
        let mut browser = sign_in(&world, "ada").await;
        world.clock.advance(Duration::from_secs(3600));
        let set = json!([{"op": "set", "key": "a", "value": 1}]);
        let slow =
            in_flight(&world, &browser, set, what, json!([{"op": "increment", "key": "n"}, {"op": "save"}])).await;
        browser.run(ops).await;
        let (_, reply) = slow.finish(&world).await;
        assert_eq!(reply.headers.get("set-cookie"), None, "{what}");
        let signed_in = !what.starts_with("sign-out");
        assert_eq!(user(&mut browser).await, if signed_in { json!("ada") } else { Value::Null }, "{what}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn the_last_action_wins(world: World) {
    let (sign_in_as_bob, rotate, logout) =
        (json!({"op": "authenticate", "user": "bob"}), json!({"op": "rotate"}), json!({"op": "logout"}));
    for (ops, left) in [
        (json!([sign_in_as_bob, sign_in_as_bob]), Some("bob")),
        (json!([rotate, rotate]), Some("ada")),
        (json!([rotate, sign_in_as_bob, rotate]), Some("bob")),
        (json!([rotate, logout]), None),
        (json!([sign_in_as_bob, logout]), None),
        (json!([logout, sign_in_as_bob]), Some("bob")),
        (json!([sign_in_as_bob, logout, sign_in_as_bob, rotate]), Some("bob")),
        (json!([logout, logout]), None),
    ] {
        let mut browser = sign_in(&world, "ada").await;
        let reply = browser.run(ops.clone()).await;
        assert_eq!(reply.set_cookies().len(), 1, "{ops}");
        assert_eq!((reply.sends_cookie(), reply.removes_cookie()), (left.is_some(), left.is_none()), "{ops}");
        assert_eq!(user(&mut browser).await, json!(left), "{ops}: what was sent is the live one");
    }
}

async fn the_handlers_headers_survive(world: World) {
    let own = json!([
        {"op": "header", "name": "set-cookie", "value": "theme=dark; Path=/"},
        {"op": "header", "name": "set-cookie", "value": "__Host-session2=other; Path=/; Secure"},
        {"op": "header", "name": "set-cookie", "value": "__Host-session=the-handlers; Path=/; Secure"},
        {"op": "header", "name": "set-cookie", "value": "bytes=\u{ff}\u{fe}; Path=/"},
        {"op": "header", "name": "vary", "value": "Accept-Encoding"},
    ]);
    for action in [json!({"op": "rotate"}), json!({"op": "authenticate", "user": "ada"}), json!({"op": "logout"})] {
        let mut browser = sign_in(&world, "ada").await;
        let ops = [own.as_array().unwrap().clone(), vec![action.clone()]].concat();
        let reply = browser.run(Value::Array(ops)).await;
        assert_eq!(reply.set_cookies_named("theme"), ["theme=dark; Path=/"], "{action}");
        assert_eq!(reply.set_cookies_named("__Host-session2").len(), 1, "{action}");
        let mut lines = reply.headers.get_all("set-cookie").iter();
        assert!(lines.any(|line| line.as_bytes() == b"bytes=\xff\xfe; Path=/"), "{action}: byte for byte");
        assert!(reply.vary().contains("Accept-Encoding"), "{action}");
        assert_eq!(reply.set_cookies().len(), 1, "{action}");
        assert!(!reply.set_cookies()[0].contains("the-handlers"), "{action}");
    }
}

async fn browser_session_cookies(world: World) {
    let mut browser = world.browser();
    let sign_in = |yes: bool| json!([{"op": "authenticate_opts", "user": "ada", "browser_session": yes}]);
    let lines = browser.run(sign_in(true)).await.set_cookies();
    let expected: BTreeSet<_> = ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"].map(str::to_owned).into();
    assert_eq!(attributes(&lines), expected, "neither Max-Age nor Expires");
    let node = world.node().await;
    for _ in 0..2 {
        world.clock.advance(5 * DAY);
        browser = browser.on(&node);
        let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "rotate"}])).await;
        assert_eq!(attributes(&reply.set_cookies()), expected, "a rotate keeps the choice");
    }
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    assert_eq!(max_age(&reply.set_cookies()), Some(2_592_000), "the next session has its own choice");
    let reply = browser.run(json!([{"op": "rotate"}])).await;
    assert_eq!(max_age(&reply.set_cookies()), Some(2_592_000));
    let reply = browser.run(sign_in(false)).await;
    assert_eq!(max_age(&reply.set_cookies()), Some(2_592_000));
}

async fn browser_sessions_live_as_long(world: World) {
    let mut browser = world.browser();
    let ops = json!([{"op": "authenticate_opts", "user": "ada", "browser_session": true, "data": {"a": 1}}]);
    browser.run(ops).await;
    sign_in(&world, "bob").await;
    let (ada, bob) = (only_row(&world, "ada").await, only_row(&world, "bob").await);
    assert_eq!((ada.expires_at, ada.absolute_expires_at), (bob.expires_at, bob.absolute_expires_at));
    assert_eq!(data(&world, "ada").await, json!({"a": 1}));
}

async fn secure_whatever_arrives(world: World) {
    let development = world.with_config(|config| config.insecure_development_cookies()).await;
    for (world, secure) in [(&world, true), (&development, false)] {
        for header in [
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=127.0.0.1;proto=https"),
            ("forwarded", "for=127.0.0.1;proto=http"),
            ("x-forwarded-ssl", "on"),
            ("front-end-https", "on"),
            ("origin", "http://localhost"),
            ("upgrade-insecure-requests", "1"),
        ] {
            let mut browser = world.browser();
            browser.header(header.0, header.1);
            for ops in
                [json!([{"op": "authenticate", "user": "ada"}]), json!([{"op": "rotate"}]), json!([{"op": "logout"}])]
            {
                let lines = browser.run(ops.clone()).await.set_cookies();
                assert_eq!(attributes(&lines).contains("Secure"), secure, "{header:?} {ops}");
            }
        }
    }
}

async fn the_development_mode(world: World) {
    let world = world.with_config(|config| config.insecure_development_cookies()).await;
    assert_eq!(world.service.config().cookie_name(), "session");
    let mut browser = world.browser();
    let lines = browser.sign_in("ada").await.set_cookies_named("session");
    assert_eq!(attributes(&lines), ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=2592000"].map(str::to_owned).into());
    assert_eq!(user(&mut browser).await, json!("ada"));
}
