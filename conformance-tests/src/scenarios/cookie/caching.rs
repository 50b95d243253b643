//! COOK-8: what a response says to caches when its request had to do with the session. Not here:
//! responses that neither set nor remove the cookie, see `private`.

use http::Request;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-8", "every status carries Vary: Cookie", every_status_varies),
    scenario!("COOK-8", "every way to extract carries Vary: Cookie", every_extraction_varies),
    scenario!("COOK-8", "HEAD and 304 are like the rest", head_and_304),
    scenario!("COOK-8", "an outage carries Vary: Cookie and no-store", an_outage_varies),
    scenario!("COOK-8", "Vary is merged, and a star stays", vary_is_merged),
    scenario!("COOK-8", "what sets or removes the cookie is no-store", what_moves_the_cookie_is_no_store),
    scenario!("COOK-8", "only no-store and private of the handler's stay", the_handlers_cache_control),
    scenario!("COOK-8", "where ours is no-store, no header for some caches only stays", targeted_headers_are_removed),
];

const STATUSES: [u16; 10] = [200, 201, 204, 303, 304, 400, 404, 429, 500, 503];

/// What some caches read in place of `Cache-Control`.
pub(super) const TARGETED: [&str; 5] =
    ["cdn-cache-control", "surrogate-control", "cloudflare-cdn-cache-control", "edge-control", "x-accel-expires"];

pub(super) fn cache_control(reply: &Reply) -> String {
    let lines: Vec<_> = reply.headers.get_all("cache-control").iter().map(|line| line.to_str().unwrap()).collect();
    lines.join(", ")
}

/// The names in `Vary`, in lower case and order.
fn varies_by(reply: &Reply) -> Vec<String> {
    let mut names: Vec<_> = reply.vary().split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    names.sort_unstable();
    names
}

pub(super) fn header(name: &str, value: &str) -> Value {
    json!({"op": "header", "name": name, "value": value})
}

async fn every_status_varies(world: World) {
    for mut browser in [world.browser(), sign_in(&world, "ada").await] {
        for code in STATUSES {
            let reply = browser.run(json!([{"op": "user_id"}, {"op": "status", "code": code}])).await;
            assert_eq!((reply.status, reply.vary().as_str()), (code, "Cookie"));
            let expected = if browser.cookie().is_some() { "private" } else { "" };
            assert_eq!(cache_control(&reply), expected, "{code}: nothing was set");
        }
    }
}

async fn every_extraction_varies(world: World) {
    let mut forged = world.browser();
    forged.set_cookie("forged");
    for mut browser in [world.browser(), forged, sign_in(&world, "ada").await] {
        for path in ["/do", "/optional", "/result", "/session", "/optional-session", "/twice", "/nested"] {
            let reply = browser.run_on(path, json!([])).await;
            assert_eq!(reply.vary(), "Cookie", "{path} {}", reply.status);
        }
        assert_eq!(browser.run_on("/plain", json!([])).await.vary(), "");
    }
}

/// Runs the script by HEAD.
async fn head(browser: &mut Browser, script: Value) -> Reply {
    browser.send(Request::head("/do").body(script.to_string()).expect("a request")).await
}

async fn head_and_304(world: World) {
    let mut browser = world.browser();
    let reply = head(&mut browser, json!([{"op": "user_id"}])).await;
    assert_eq!((reply.status, reply.body.len(), reply.vary().as_str()), (200, 0, "Cookie"));
    let reply = head(&mut browser, json!([{"op": "authenticate", "user": "ada"}])).await;
    assert_eq!((reply.sends_cookie(), reply.vary(), cache_control(&reply)), (true, "Cookie".into(), "no-store".into()));
    assert_eq!(user(&mut browser).await, json!("ada"));
    for code in STATUSES {
        let reply = browser.run(json!([{"op": "rotate"}, {"op": "status", "code": code}])).await;
        assert_eq!((reply.status, reply.sends_cookie(), reply.vary().as_str()), (code, true, "Cookie"));
        assert_eq!(cache_control(&reply), "no-store", "{code}");
        assert_eq!(user(&mut browser).await, json!("ada"), "{code}: what was sent is the live one");
    }
    let reply = browser.run(json!([{"op": "logout"}, {"op": "status", "code": 304}])).await;
    assert!(reply.removes_cookie());
    assert_eq!((reply.status, reply.vary(), cache_control(&reply)), (304, "Cookie".into(), "no-store".into()));
}

async fn an_outage_varies(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for path in ["/do", "/result", "/optional", "/session"] {
        world.faults.fail_once(OpKind::Load, Fault::NotApplied);
        let reply = browser.run_on(path, json!([header("vary", "Accept")])).await;
        assert_eq!(
            (reply.status, reply.vary(), cache_control(&reply)),
            (503, "Cookie".into(), "no-store".into()),
            "{path}"
        );
    }
    world.faults.fail_once(OpKind::Update, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "set", "key": "a", "value": 1}, header("Cache-Control", "public")])).await;
    assert_eq!((reply.status, reply.vary(), cache_control(&reply)), (503, "Cookie".into(), "no-store".into()));
}

async fn vary_is_merged(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for (lines, expected) in [
        (&["Accept-Encoding"][..], &["accept-encoding", "cookie"][..]),
        (&["Accept-Encoding, Accept"], &["accept", "accept-encoding", "cookie"]),
        (&["Accept-Encoding", "Origin"], &["accept-encoding", "cookie", "origin"]),
        (&["cookie"], &["cookie"]),
        (&["Accept, COOKIE"], &["accept", "cookie"]),
        (&["Accept", "Cookie, Origin"], &["accept", "cookie", "origin"]),
        (&["Cookie2"], &["cookie", "cookie2"]),
        (&["*"], &["*"]),
        (&[""], &["cookie"]),
        (&["", " , "], &["cookie"]),
        (&[",Accept,, Origin,"], &["accept", "cookie", "origin"]),
        (&["Accept", "", "Origin"], &["accept", "cookie", "origin"]),
    ] {
        let ops: Vec<_> = lines.iter().map(|line| header("vary", line)).collect();
        for ops in [ops.clone(), [ops, vec![json!({"op": "rotate"})]].concat()] {
            let reply = browser.run(Value::Array(ops)).await;
            assert_eq!(varies_by(&reply), expected, "{lines:?}");
        }
    }
}

async fn what_moves_the_cookie_is_no_store(world: World) {
    let mut browser = world.browser();
    for ops in [
        json!([{"op": "authenticate", "user": "ada"}]),
        json!([{"op": "rotate"}]),
        json!([{"op": "set", "key": "a", "value": 1}, {"op": "rotate"}]),
        json!([{"op": "logout"}]),
    ] {
        let reply = browser.run(ops.clone()).await;
        assert_eq!((reply.set_cookies().len(), cache_control(&reply)), (1, "no-store".into()), "{ops}");
    }
    let reply = browser.run(json!([{"op": "logout"}])).await;
    assert_eq!((reply.set_cookies().len(), cache_control(&reply)), (0, String::new()), "there was none to remove");
}

async fn the_handlers_cache_control(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for (lines, expected) in [
        (&["public, max-age=60"][..], "no-store"),
        (&["max-age=60"], "no-store"),
        (&["no-cache"], "no-store"),
        (&["public", "max-age=60"], "no-store"),
        (&["x-private, s-maxage=60"], "no-store"),
        (&["immutable, no-storage"], "no-store"),
        (&["private=\"x-user\", max-age=60"], "no-store"),
        (&["x=\"private\""], "no-store"),
        (&["x=\"a, private, b\""], "no-store"),
        (&["x=\"\\\", private, \\\"\""], "no-store"),
        (&["x=\"a", "private"], "no-store"),
        (&["must-understand, no-store"], "no-store"),
        (&["private, max-age=60"], "private, max-age=60"),
        (&["max-age=0,PRIVATE"], "max-age=0,PRIVATE"),
        (&["max-age=60", "private"], "max-age=60, private"),
        (&["no-cache, No-Store"], "no-cache, No-Store"),
        (&["no-cache=\"a, b\", private"], "no-cache=\"a, b\", private"),
    ] {
        let ops: Vec<_> = lines.iter().map(|line| header("cache-control", line)).collect();
        let reply = browser.run(Value::Array([ops.clone(), vec![json!({"op": "rotate"})]].concat())).await;
        assert_eq!((reply.sends_cookie(), cache_control(&reply).as_str()), (true, expected), "{lines:?}");
        let reply = browser.run(Value::Array([ops, vec![json!({"op": "logout"})]].concat())).await;
        assert_eq!((reply.removes_cookie(), cache_control(&reply).as_str()), (true, expected), "{lines:?}");
        browser.sign_in("ada").await;
    }
}

async fn targeted_headers_are_removed(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for own in ["no-store", "private", "public, max-age=60"] {
        let mut ops = vec![header("cache-control", own), header("cache-tag", "home"), json!({"op": "rotate"})];
        ops.extend(TARGETED.map(|name| header(name, "max-age=600")));
        let reply = browser.run(Value::Array(ops)).await;
        assert!(reply.sends_cookie());
        let left: Vec<_> = TARGETED.into_iter().filter(|name| reply.headers.contains_key(*name)).collect();
        assert!(left.is_empty(), "{own}: {left:?}");
        assert_eq!(reply.headers["cache-tag"], "home", "it stores nothing");
    }
}
