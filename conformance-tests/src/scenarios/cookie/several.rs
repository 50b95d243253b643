//! COOK-3: several cookies of the session's name in one request, and which of them counts.

use http::Request;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::{ours, ring};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-3", "a forged or stale cookie beside the real one signs nobody out", beside_the_real_one),
    scenario!("COOK-3", "all Cookie headers are read", all_headers_are_read),
    scenario!(
        "COOK-3",
        "the first three sessions that are named are looked up, in one call",
        three_sessions_in_one_call
    ),
    scenario!("COOK-3", "signatures of at most 32 values of the right form are checked", at_most_32_signatures),
    scenario!("COOK-3", "a current token counts before a superseded one of its session", a_current_one_first),
    scenario!("COOK-3", "the first live one in header order counts", the_first_live_one_counts),
];

/// Asks with these `Cookie` lines who is signed in, and how often the store was asked.
async fn with_cookies(world: &World, lines: &[String]) -> (Value, u64) {
    let mut request = Request::post("/do");
    for line in lines {
        request = request.header("cookie", line);
    }
    world.faults.reset_counts();
    let script = json!([{"op": "user_id"}]).to_string();
    let reply = world.browser().send(request.body(script).expect("a request")).await;
    assert_eq!((reply.status, reply.headers.get("set-cookie")), (200, None), "{lines:?}");
    assert_eq!(world.faults.total(), world.faults.count(OpKind::Load));
    (reply.result(0), world.faults.total())
}

async fn live(world: &World, user: &str) -> String {
    ours(&sign_in(world, user).await.cookie().expect("signed in"))
}

/// A cookie of a session that has ended.
async fn dead(world: &World) -> String {
    let mut browser = sign_in(world, "eve").await;
    let cookie = ours(&browser.cookie().expect("signed in"));
    browser.run(json!([{"op": "logout"}])).await;
    cookie
}

async fn beside_the_real_one(world: World) {
    let (real, dead) = (live(&world, "ada").await, dead(&world).await);
    let many = vec![ours("forged"); 40].join("; ");
    for beside in [
        ours("forged"),
        ours(""),
        ours(&"A".repeat(90)),
        dead.clone(),
        many,
        format!("{dead}; {dead}"),
        "; ;=;x".into(),
    ] {
        for line in [format!("{beside}; {real}"), format!("{real}; {beside}"), format!("{beside};{real};{beside}")] {
            assert_eq!(with_cookies(&world, &[line]).await, (json!("ada"), 1), "{beside}");
        }
    }
}

async fn all_headers_are_read(world: World) {
    let real = live(&world, "ada").await;
    for lines in [
        vec![ours("forged"), real.clone()],
        vec![real.clone(), ours("forged")],
        vec!["a=b; c=d".into(), ours("forged"), "e=f".into(), format!("g=h; {real}; i=j")],
        vec![String::new(), real.clone()],
    ] {
        assert_eq!(with_cookies(&world, &lines).await, (json!("ada"), 1), "{lines:?}");
    }
    let mut request = Request::post("/do");
    request.headers_mut().unwrap().append("cookie", http::HeaderValue::from_bytes(b"x=\xff\xfe").unwrap());
    let request = request.header("cookie", real).body(json!([{"op": "user_id"}]).to_string()).unwrap();
    assert_eq!(world.browser().send(request).await.result(0), json!("ada"), "beside a line that isn't text");
}

async fn three_sessions_in_one_call(world: World) {
    let real = live(&world, "ada").await;
    let (a, b, c) = (dead(&world).await, dead(&world).await, dead(&world).await);
    let line = |cookies: &[&String]| cookies.iter().map(|cookie| cookie.as_str()).collect::<Vec<_>>().join("; ");
    for (cookies, expected) in [
        (vec![&a, &b, &real], json!("ada")),
        (vec![&a, &b, &c, &real], Value::Null),
        (vec![&real, &a, &b, &c], json!("ada")),
        (vec![&a, &a, &a, &a, &b, &a, &b, &real], json!("ada")),
        (vec![&real, &real, &real, &real, &real], json!("ada")),
        (vec![&a, &b, &c], Value::Null),
    ] {
        assert_eq!(with_cookies(&world, &[line(&cookies)]).await, (expected.clone(), 1), "{}", line(&cookies));
        let lines: Vec<_> = cookies.into_iter().cloned().collect();
        assert_eq!(with_cookies(&world, &lines).await, (expected, 1), "{lines:?}");
    }
}

async fn at_most_32_signatures(world: World) {
    let real = live(&world, "ada").await;
    // Of the right form, and signed by no key of ours.
    let forger = world.with_keys(ring(7, &[])).await;
    let mut forged = Vec::new();
    for number in 0..32 {
        forged.push(ours(&sign_in(&forger, &format!("eve {number}")).await.cookie().expect("signed in")));
    }
    let behind = |forged: &[String]| format!("{}; {real}", forged.join("; "));
    assert_eq!(with_cookies(&world, &[behind(&forged[..31])]).await, (json!("ada"), 1));
    assert_eq!(with_cookies(&world, &[behind(&forged)]).await, (json!(null), 0), "it would be the 33rd");
    let again = vec![forged[0].clone(); 100];
    assert_eq!(with_cookies(&world, &[behind(&again)]).await, (json!("ada"), 1), "equal values count once");
}

async fn a_current_one_first(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let cookie = |browser: &Browser| ours(&browser.cookie().expect("signed in"));
    let older = cookie(&browser);
    browser.run(json!([{"op": "rotate"}])).await;
    let previous = cookie(&browser);
    browser.run(json!([{"op": "rotate"}])).await;
    let current = cookie(&browser);
    // Its first presentation is recorded, and the others cost no write.
    assert_eq!(user(&mut browser).await, json!("ada"));
    for line in [
        format!("{older}; {previous}; {current}"),
        format!("{previous}; {current}; {older}"),
        format!("{current}; {previous}"),
        format!("{older}; {previous}"),
    ] {
        assert_eq!(with_cookies(&world, std::slice::from_ref(&line)).await, (json!("ada"), 1), "{line}");
    }
    // Long after the rotation the previous one would be sent its successor again; beside the
    // current one nothing is due.
    world.clock.advance(std::time::Duration::from_mins(4));
    let (seen, calls) = with_cookies(&world, &[format!("{previous}; {current}")]).await;
    assert_eq!((seen, calls), (json!("ada"), 1), "and no cookie is sent");
    assert_eq!(with_cookies(&world, &[older]).await, (json!(null), 1));
}

async fn the_first_live_one_counts(world: World) {
    let (ada, bob, dead) = (live(&world, "ada").await, live(&world, "bob").await, dead(&world).await);
    for (line, first) in [
        (format!("{ada}; {bob}"), "ada"),
        (format!("{bob}; {ada}"), "bob"),
        (format!("{dead}; {bob}; {ada}"), "bob"),
        (format!("{dead}; {ada}; {bob}"), "ada"),
        (format!("{}; {bob}; {dead}; {ada}", ours("forged")), "bob"),
    ] {
        assert_eq!(with_cookies(&world, std::slice::from_ref(&line)).await, (json!(first), 1), "{line}");
    }
}
