//! CSRF-1, CSRF-2, CSRF-3, CSRF-6: which requests are refused for their origin, and how.

use http::Request;
use serde_json::json;
use session_core::CrossOrigin;

use crate::app::REFUSE;
use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("CSRF-1", "without the setting no request is refused for its origin", off_by_default),
    scenario!("CSRF-2", "a refused request never reaches its handler, and an event reports it", refused),
    scenario!("CSRF-2", "nothing is loaded for a refused request, in an outage neither", nothing_is_loaded),
    scenario!("CSRF-2", "an event has nothing of the client's but an origin", events_are_bounded),
    scenario!("CSRF-3", "what browsers send decides", what_browsers_send_decides),
    scenario!("CSRF-3", "unsafe methods and WebSockets are judged", what_is_judged),
    scenario!("CSRF-6", "the application's own policy is asked too", both_are_asked),
];

/// A server that refuses cross-origin requests, and lists one origin.
async fn refusing(world: &World) -> World {
    let rules = CrossOrigin::new().allow_origin("https://admin.example").expect("an origin");
    world.with_config(|config| config.refuse_cross_origin(rules)).await
}

async fn sent(browser: &mut Browser, method: &str, path: &str, lines: &[(&str, &str)]) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request.body("").expect("a request")).await
}

async fn off_by_default(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.header("sec-fetch-site", "cross-site");
    browser.header("origin", "https://evil.example");
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    assert_eq!((reply.status, data(&world, "ada").await), (200, json!({"a": 1})));
    assert_eq!(sent(&mut browser, "POST", "/plain", &[("origin", "null")]).await.status, 200);
    assert_eq!(world.events(), Vec::<String>::new());
}

async fn refused(world: World) {
    let world = refusing(&world).await;
    let mut browser = sign_in(&world, "ada").await;
    for path in ["/do", "/nested", "/two-services", "/guarded", "/plain"] {
        browser.header("origin", "https://evil.example");
        let reply = browser.run_on(path, json!([{"op": "set", "key": "a", "value": 1}, {"op": "logout"}])).await;
        assert_eq!((reply.status, reply.body.is_empty()), (403, true), "{path}");
        assert_eq!((reply.headers["cache-control"].to_str().ok(), reply.vary().as_str()), (Some("no-store"), ""));
        assert!(!reply.headers.contains_key("set-cookie"), "{path}");
        let events = world.events();
        assert_eq!(events.len(), 1, "{path}: {events:?}");
        for part in ["CrossOriginRefused", "\"origin\"", "allow_origin", "https://evil.example"] {
            assert!(events[0].contains(part), "{path}: {events:?}");
        }
        browser.forget_headers();
        assert_eq!(user(&mut browser).await, json!("ada"), "{path}: without the header it passes");
    }
    assert_eq!(data(&world, "ada").await, json!({}));
    assert_eq!(world.events(), Vec::<String>::new(), "what passes isn't reported");
}

async fn nothing_is_loaded(world: World) {
    let world = refusing(&world).await;
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Load, Fault::NotApplied);
    browser.header("sec-fetch-site", "cross-site");
    let reply = browser.run(json!([{"op": "current"}])).await;
    assert_eq!((reply.status, world.faults.count(OpKind::Load)), (403, 0));
    world.faults.clear();
}

async fn events_are_bounded(world: World) {
    let world = refusing(&world).await;
    let mut browser = world.browser();
    let long = format!("https://{}.example", "a".repeat(2000));
    for origin in [long.as_str(), "https://evil.example/path-of-theirs", "evil", "https://ev\til.example"] {
        let lines = [("origin", origin), ("sec-fetch-site", "made-up-by-them")];
        assert_eq!(sent(&mut browser, "POST", "/plain?query-of-theirs", &lines).await.status, 403, "{origin:.40}");
        let events = world.events();
        assert_eq!(events.len(), 1);
        assert!(events[0].contains("\"sec-fetch-site\"") && events[0].len() < 300, "{events:?}");
        assert!(!events[0].contains("theirs") && !events[0].contains("them") && !events[0].contains("evil"));
    }
}

async fn what_browsers_send_decides(world: World) {
    let world = refusing(&world).await;
    let mut browser = world.browser();
    let (site, origin) = ("sec-fetch-site", "origin");
    let (own, listed) = ((origin, "https://localhost"), (origin, "https://admin.example"));
    let (other, null) = ((origin, "https://evil.example"), (origin, "null"));
    // Of a POST to the host `localhost`: whether it passes.
    let table: &[(&[(&str, &str)], bool)] = &[
        (&[], true),
        (&[(site, "same-origin")], true),
        (&[(site, "same-origin"), own], true),
        (&[(site, "same-origin"), other], true),
        (&[(site, "none")], true),
        (&[(site, "same-site")], false),
        (&[(site, "same-site"), own], false),
        (&[(site, "same-site"), other], false),
        (&[(site, "same-site"), listed], true),
        (&[(site, "cross-site")], false),
        (&[(site, "cross-site"), own], false),
        (&[(site, "cross-site"), other], false),
        (&[(site, "cross-site"), listed], true),
        (&[(site, "")], false),
        (&[(site, "Same-Origin")], false),
        (&[(site, "unknown"), listed], false),
        (&[(site, "same-origin, cross-site")], false),
        (&[(site, "same-origin"), (site, "same-origin")], false),
        (&[(site, "same-origin"), (site, "cross-site")], false),
        (&[own], true),
        (&[(origin, "http://localhost")], true),
        (&[(origin, "https://LocalHost:443")], true),
        (&[listed], true),
        (&[other], false),
        (&[(origin, "http://admin.example")], false),
        (&[(origin, "https://localhost:8443")], false),
        (&[(origin, "https://localhost.")], false),
        (&[(origin, "https://localhost.evil.example")], false),
        (&[(origin, "https://evil.example@localhost")], false),
        (&[(origin, "https://evil.example/localhost")], false),
        (&[(origin, "https://localhost https://evil.example")], false),
        (&[(origin, "ws://localhost")], false),
        (&[(origin, "localhost")], false),
        (&[(origin, "")], false),
        (&[null], false),
        (&[(site, "same-origin"), null], false),
        (&[(site, "none"), null], false),
        (&[own, other], false),
        (&[own, own], false),
    ];
    for (lines, passes) in table {
        let reply = sent(&mut browser, "POST", "/plain", lines).await;
        assert_eq!(reply.status, if *passes { 200 } else { 403 }, "{lines:?}");
        assert_eq!(world.events().len(), usize::from(!passes), "{lines:?}");
    }
}

async fn what_is_judged(world: World) {
    let world = refusing(&world).await;
    let mut browser = world.browser();
    for (method, judged) in [
        ("GET", false),
        ("HEAD", false),
        ("OPTIONS", false),
        ("TRACE", false),
        ("POST", true),
        ("PUT", true),
        ("PATCH", true),
        ("DELETE", true),
        ("PROPFIND", true),
        ("get", true),
    ] {
        for line in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")] {
            let reply = sent(&mut browser, method, "/plain", &[line]).await;
            assert_eq!(reply.status == 403, judged, "{method} {line:?}: {}", reply.status);
        }
    }
    for (line, passes) in [
        (("origin", "https://evil.example"), false),
        (("sec-fetch-site", "same-site"), false),
        (("origin", "https://localhost"), true),
        (("origin", "https://admin.example"), true),
        (("x-no-browser", "1"), true),
    ] {
        let reply = sent(&mut browser, "GET", "/plain", &[("upgrade", "WebSocket"), line]).await;
        assert_eq!(reply.status == 403, !passes, "a WebSocket, {line:?}: {}", reply.status);
    }
}

async fn both_are_asked(world: World) {
    let world = refusing(&world).await;
    let mut browser = world.browser();
    for (lines, status) in [
        (&[("origin", "https://localhost"), (REFUSE, "418")][..], 418),
        (&[("sec-fetch-site", "cross-site"), (REFUSE, "418")][..], 403),
        (&[("sec-fetch-site", "cross-site")][..], 403),
        (&[("origin", "https://localhost")][..], 200),
    ] {
        assert_eq!(sent(&mut browser, "POST", "/plain", lines).await.status, status, "{lines:?}");
    }
    assert_eq!(sent(&mut browser, "GET", "/plain", &[(REFUSE, "418")]).await.status, 418, "of each request");
}
