//! Attacks on the cookie from around it: a sibling domain that sets cookies, and links that make a
//! shared cache keep a user's page.

use http::Request;
use serde_json::{Value, json};

use super::caching::{TARGETED, cache_control, header};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::{ours, ring};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-3", "cookies that a sibling domain sets neither hide nor end a session", cookies_of_a_sibling),
    scenario!("COOK-7", "a flood of forged cookies removes nothing", a_flood),
    scenario!("AUTH-8", "a session that a sibling domain plants ends with the sign-in", a_planted_session),
    scenario!("COOK-8", "a target that looks like a file is as private as any other", web_cache_deception),
];

/// Most cookies that Chromium keeps for a site.
const JAR: usize = 180;

/// Runs a script with this `Cookie` line alone.
async fn run(world: &World, cookies: &str, script: Value) -> crate::browser::Reply {
    let request = Request::post("/do").header("cookie", cookies).body(script.to_string());
    world.browser().send(request.expect("a request")).await
}

/// As many cookies of our name as a browser keeps, of which none is signed.
fn unsigned() -> Vec<String> {
    let value = |number: usize| match number % 4 {
        0 => format!("{number}"),
        1 => "A".repeat(number % 120),
        2 => format!("\"{number}\""),
        _ => format!("%00{number}=;={number}"),
    };
    (0..JAR).map(value).map(|value| ours(&value)).collect()
}

async fn cookies_of_a_sibling(world: World) {
    let browser = sign_in(&world, "ada").await;
    let real = ours(&browser.cookie().expect("signed in"));
    let many = unsigned().join("; ");
    // A cookie of a longer path stands in front, and one that is newer behind.
    for line in [format!("{many}; {real}"), format!("{real}; {many}"), format!("{many}; {real}; {many}")] {
        let reply = run(&world, &line, json!([{"op": "user_id"}, {"op": "increment", "key": "a"}])).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!("ada")));
        assert!(reply.set_cookies().is_empty());
    }
    assert_eq!(data(&world, "ada").await, json!({"a": 3}));
    let reply = run(&world, &format!("{many}; {real}"), json!([{"op": "logout"}])).await;
    assert!(reply.error_status(0).is_none() && reply.removes_cookie());
    assert!(rows(&world, "ada").await.is_empty(), "signing out works among them");
}

async fn a_flood(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let real = ours(&browser.cookie().expect("signed in"));
    // Of the right form, and signed by no key of ours: more than are looked at.
    let forger = world.with_keys(ring(7, &[])).await;
    let mut forged = Vec::new();
    for number in 0..40 {
        forged.push(ours(&sign_in(&forger, &format!("eve {number}")).await.cookie().expect("signed in")));
    }
    world.faults.reset_counts();
    let line = format!("{}; {real}", forged.join("; "));
    let reply = run(&world, &line, json!([{"op": "user_id"}, {"op": "set", "key": "a", "value": 1}])).await;
    assert_eq!((reply.status, reply.result(0), world.faults.total()), (200, Value::Null, 0));
    assert!(reply.headers.get("set-cookie").is_none(), "the real cookie stays where it is");
    assert_eq!(user(&mut browser).await, json!("ada"), "and counts again once the others are gone");
}

async fn a_planted_session(world: World) {
    let mut eve = world.browser();
    let ops = json!([{"op": "authenticate_with", "user": "eve", "data": {"cart": "hers"}}]);
    assert_eq!(eve.run(ops).await.error_status(0), None);
    let planted = ours(&eve.cookie().expect("signed in"));
    let sign_in = json!([{"op": "authenticate", "user": "ada"}, {"op": "set", "key": "note", "value": "mine"}]);
    let reply = run(&world, &planted, sign_in).await;
    let sent = reply.set_cookies().pop().and_then(|line| line.split(';').next().map(str::to_owned));
    let real = sent.expect("the sign-in's cookie");
    assert_eq!(data(&world, "ada").await, json!({"note": "mine"}), "nothing of the planted session is taken along");
    assert!(rows(&world, "eve").await.is_empty(), "and it has ended");
    for line in [format!("{planted}; {real}"), format!("{real}; {planted}")] {
        let reply = run(&world, &line, json!([{"op": "user_id"}, {"op": "get", "key": "note"}])).await;
        assert_eq!((reply.result(0), reply.result(1)), (json!("ada"), json!({"value": "mine"})));
    }
    assert_eq!(user(&mut eve).await, Value::Null);
    assert_eq!(run(&world, &planted, json!([{"op": "user_id"}])).await.result(0), Value::Null);
}

async fn web_cache_deception(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    let targets = ["?style.css", "?/logo.png", "?a=b;app.js", "?%2f..%2fstatic.css", "?x=.woff2&v=1", "?%0d%0aa.ico"];
    for target in targets {
        for path in ["/do", "/optional", "/session", "/optional-session", "/nested"] {
            let reply = ada.get(&format!("{path}{target}")).await;
            assert_eq!((reply.status, cache_control(&reply).as_str()), (200, "private"), "{path}{target}");
            assert_eq!(reply.vary(), "Cookie", "{path}{target}");
        }
        // As a handler, or a layer for static files, that means well.
        let mut ops = vec![json!({"op": "user_id"})];
        ops.extend(
            [("content-type", "text/css"), ("cache-control", "public, max-age=31536000, immutable")]
                .map(|(name, value)| header(name, value)),
        );
        ops.extend(TARGETED.map(|name| header(name, "public, max-age=31536000")));
        let reply = ada.run_on(&format!("/do{target}"), Value::Array(ops.clone())).await;
        assert_eq!((reply.result(0), reply.vary().as_str()), (json!("ada"), "Cookie"), "{target}");
        assert_eq!(cache_control(&reply), "private, max-age=31536000, immutable", "{target}");
        assert!(TARGETED.into_iter().all(|name| !reply.headers.contains_key(name)), "{target}");
        let reply = world.browser().run_on(&format!("/do{target}"), Value::Array(ops)).await;
        assert_eq!(cache_control(&reply), "public, max-age=31536000, immutable", "{target}: it shows no session");
    }
}
