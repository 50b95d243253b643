//! CSRF-7, CSRF-8: tokens of a session's pages.

use std::collections::BTreeSet;

use http::Request;
use serde_json::json;
use session_core::Visitors;

use crate::app::NEEDS_CSRF_TOKEN;
use crate::browser::{Browser, Reply};
use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::ring;
use crate::scenarios::support::sessions::{sign_in, text};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("CSRF-7", "each extraction gives another token, and each verifies", each_differs),
    scenario!("CSRF-7", "a token survives rotations, on every node", survives_rotations),
    scenario!("CSRF-7", "a guard verifies the header", in_a_guard),
    scenario!("CSRF-7", "a key is replaced while pages are open", a_key_is_replaced),
    scenario!("CSRF-8", "the token of another session is refused", of_another_session),
    scenario!("CSRF-8", "a sign-in or sign-out ends the tokens before it", ends_with_its_session),
    scenario!("CSRF-8", "of another key or cookie name, changed or none, it is refused", of_no_key),
    scenario!("CSRF-7", "a visitor's token works before the sign-in", before_the_sign_in),
    scenario!("CSRF-8", "without a session there is none", none_without_a_session),
];

async fn token(browser: &mut Browser) -> String {
    let reply = browser.get("/csrf").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    text(&reply.json())
}

async fn verified(browser: &mut Browser, token: &str) -> Reply {
    browser.send(Request::post("/csrf").body(token.to_owned()).expect("a request")).await
}

#[track_caller]
fn is_refused(reply: &Reply, why: &str) {
    assert_eq!((reply.status, &reply.body[..]), (403, &b"forbidden\n"[..]), "{why}");
    assert_eq!(reply.headers["cache-control"], "no-store", "{why}");
}

async fn each_differs(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let mut tokens = Vec::new();
    for _ in 0..8 {
        tokens.push(token(&mut browser).await);
    }
    let reply = browser.run(json!([{"op": "csrf_token"}, {"op": "csrf_token"}])).await;
    tokens.extend([0, 1].map(|i| text(&reply.result(i))));
    for token in &tokens {
        assert!(token.len() == 43 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{token}");
        assert_eq!(verified(&mut browser, token).await.status, 200);
    }
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 10, "no two are equal");
    assert_eq!((world.faults.count(OpKind::Load), world.faults.count(OpKind::Update)), (8 + 1 + 10, 0));
}

async fn survives_rotations(world: World) {
    let other = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    let before = token(&mut browser).await;
    for op in ["rotate", "rotate_strict", "rotate"] {
        browser.run(json!([{"op": op}])).await;
        assert_eq!(verified(&mut browser, &before).await.status, 200, "{op}");
        assert_eq!(verified(&mut browser.on(&other), &before).await.status, 200, "{op}, elsewhere");
    }
    let reply = browser.run(json!([{"op": "rotate"}, {"op": "verify_csrf_token", "text": before}])).await;
    assert_eq!(reply.error_status(1), None, "in the request that rotates");
}

async fn before_the_sign_in(world: World) {
    let world = world.with_config(|config| config.visitors(Visitors::new())).await;
    world.faults.reset_counts();
    let mut stranger = world.browser();
    is_refused(&verified(&mut stranger, "guessed").await, "a forged request");
    assert_eq!((world.faults.total(), stranger.cookie()), (0, None), "leaves nothing");

    let mut browser = world.browser();
    let reply = browser.get("/csrf").await;
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 1), "the page makes the visitor");
    let own = text(&reply.json());
    assert_eq!(verified(&mut browser, &own).await.status, 200);
    let more = token(&mut browser).await;
    assert_eq!(verified(&mut browser, &more).await.status, 200);
    is_refused(&verified(&mut world.browser(), &own).await, "another visitor's");
    let mut failed = world.browser();
    let reply = failed.run(json!([{"op": "csrf_token"}, {"op": "status", "code": 500}])).await;
    assert_eq!(reply.set_cookies().len(), 0, "a failed page has no token");

    let script = json!([{"op": "verify_csrf_token", "text": own}, {"op": "authenticate", "user": "ada"}]);
    assert_eq!(browser.run(script).await.error_status(0), None);
    is_refused(&verified(&mut browser, &own).await, "the visitor has ended");
}

async fn in_a_guard(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let own = token(&mut browser).await;
    let wrong = token(&mut sign_in(&world, "bob").await).await;
    browser.header(NEEDS_CSRF_TOKEN, "1");
    for (sent, status) in [(Some(&own), 200), (Some(&wrong), 403), (None, 403)] {
        let request = Request::post("/guarded");
        let request = sent.iter().fold(request, |request, token| request.header("x-csrf-token", token.as_str()));
        let reply = browser.send(request.body("").expect("a request")).await;
        assert_eq!(reply.status, status, "{sent:?}");
    }
}

async fn a_key_is_replaced(world: World) {
    let before = world.with_keys(ring(1, &[])).await;
    let deployed = world.with_keys(ring(1, &[2])).await;
    let promoted = world.with_keys(ring(2, &[1])).await;
    let after = world.with_keys(ring(2, &[])).await;
    let mut browser = sign_in(&before, "ada").await;
    let old = token(&mut browser).await;
    for node in [&before, &deployed, &promoted] {
        assert_eq!(verified(&mut browser.on(node), &old).await.status, 200);
    }
    let mut browser = browser.on(&promoted);
    browser.run(json!([{"op": "rotate"}])).await;
    let new = token(&mut browser).await;
    for node in [&deployed, &promoted, &after] {
        assert_eq!(verified(&mut browser.on(node), &new).await.status, 200, "the signing key signs");
    }
    is_refused(&verified(&mut browser.on(&after), &old).await, "of a key that is gone");
}

async fn of_another_session(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    let mut phone = sign_in(&world, "ada").await;
    let mut eve = sign_in(&world, "eve").await;
    let (of_phone, of_eve) = (token(&mut phone).await, token(&mut eve).await);
    is_refused(&verified(&mut ada, &of_eve).await, "another user's");
    is_refused(&verified(&mut ada, &of_phone).await, "another session of the user");
    assert_eq!(verified(&mut eve, &of_eve).await.status, 200);
}

async fn ends_with_its_session(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = token(&mut browser).await;
    let again = json!([{"op": "authenticate", "user": "ada"}, {"op": "verify_csrf_token", "text": before}]);
    let reply = browser.run(again).await;
    assert_eq!(reply.error_status(1), Some(403), "in the request that signs in");
    is_refused(&verified(&mut browser, &before).await, "from before the sign-in");

    let before = token(&mut browser).await;
    browser.run(json!([{"op": "logout"}])).await;
    assert_eq!(verified(&mut browser, &before).await.status, 401, "signed out");
    browser.sign_in("ada").await;
    is_refused(&verified(&mut browser, &before).await, "from before the sign-out");
}

async fn of_no_key(world: World) {
    let other_name = world.with_config(|config| config.cookie_name("__Host-also")).await;
    let mut browser = sign_in(&world, "ada").await;
    let own = token(&mut browser).await;
    let mut there = browser.on(&other_name);
    there.set_cookie(browser.cookie().expect("a cookie"));
    assert_eq!(verified(&mut there, &own).await.status, 401, "another cookie is another session");
    for changed in [own[1..].to_owned(), format!("{own}A"), own.to_lowercase() + "=", "A".repeat(43), "null".into()] {
        is_refused(&verified(&mut browser, &changed).await, &changed);
    }
    let cookie = browser.cookie().expect("a cookie");
    is_refused(&verified(&mut browser, &cookie).await, "the cookie");
    assert_eq!(verified(&mut browser, &own).await.status, 200);
}

async fn none_without_a_session(world: World) {
    let mut browser = world.browser();
    assert_eq!(browser.get("/csrf").await.status, 401);
    assert_eq!(verified(&mut browser, "A").await.status, 401);
    let reply = browser.run(json!([{"op": "csrf_token"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0));
    let mut expired = sign_in(&world, "ada").await;
    world.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600));
    assert_eq!(expired.get("/csrf").await.status, 401, "an expired session has none");
}
