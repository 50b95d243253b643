//! GUARD-1, GUARD-2, GUARD-3, GUARD-4: who reaches a handler, and where the others are sent.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::app::{ADMIN, ASKED, BANNED, SIGN_IN_PAGE};
use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{browsers_with_a_dead_cookie, sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("GUARD-1", "without a session a guarded handler is a 401", without_a_session),
    scenario!("GUARD-1", "with a session a guarded handler runs, on one look-up", with_a_session),
    scenario!("GUARD-1", "an outage is no missing sign-in", an_outage),
    scenario!("GUARD-2", "GET and HEAD are sent to the sign-in page with next", sent_to_the_page),
    scenario!("GUARD-2", "a target that is no path on this site is left out", no_such_next),
    scenario!("GUARD-2", "the sign-in page is not sent to itself", the_page_itself),
    scenario!("GUARD-2", "a method with a body is a 401", methods_with_a_body),
    scenario!("GUARD-3", "the application's checks decide who passes", checks_decide),
    scenario!("GUARD-4", "no text leads to another site", no_text_leads_elsewhere),
];

fn set() -> Value {
    json!([{"op": "set", "key": "a", "value": 1}])
}

fn assert_is_401(reply: &Reply) {
    assert_eq!((reply.status, &reply.body[..]), (401, &b"not signed in\n"[..]));
    assert_eq!(reply.headers["cache-control"].to_str().ok(), Some("no-store"));
    assert_eq!(reply.headers["content-type"].to_str().ok(), Some("text/plain; charset=utf-8"));
    assert_eq!((reply.vary().as_str(), reply.set_cookies()), ("Cookie", Vec::new()));
    assert!(!reply.headers.contains_key("location"));
}

async fn ask(browser: &mut Browser, method: Method, target: &str) -> Reply {
    browser.send(Request::builder().method(method).uri(target).body("").expect("a valid target")).await
}

fn location(reply: &Reply) -> &str {
    reply.headers["location"].to_str().expect("text")
}

async fn without_a_session(world: World) {
    assert_is_401(&world.browser().run_on("/members", set()).await);
    assert_is_401(&world.browser().get("/members").await);
    for mut browser in browsers_with_a_dead_cookie(&world).await {
        let cookie = browser.cookie();
        assert_is_401(&browser.run_on("/members", json!([{"op": "authenticate", "user": "eve"}])).await);
        assert_eq!(browser.cookie(), cookie);
    }
}

async fn with_a_session(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let reply = browser.run_on("/members", json!([{"op": "user_id"}])).await;
    assert_eq!((reply.status, reply.result(0)), (200, json!("ada")));
    assert_eq!(world.faults.count(OpKind::Load), 1);
    assert_eq!(browser.run_on("/members", set()).await.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"a": 1}));
}

async fn an_outage(world: World) {
    let mut browser = sign_in(&world, ADMIN).await;
    world.faults.fail(OpKind::Load, Fault::NotApplied);
    for path in ["/members", "/admins"] {
        let reply = browser.get(path).await;
        assert_eq!((reply.status, reply.removes_cookie(), reply.headers.contains_key("location")), (503, false, false));
    }
    world.faults.clear();
    assert_eq!(user(&mut browser).await, json!(ADMIN));
}

async fn sent_to_the_page(world: World) {
    let mut browser = world.browser();
    let given = [
        ("/admins", "/admins"),
        ("/area/admins?a=b", "/area/admins%3Fa%3Db"),
        ("/admins?", "/admins%3F"),
        ("/admins?page=2&next=//evil.example", "/admins%3Fpage%3D2%26next%3D//evil.example"),
        ("/admins?a=%2F%26+b", "/admins%3Fa%3D%252F%2526%2Bb"),
    ];
    for method in [Method::GET, Method::HEAD] {
        for (target, next) in given {
            let reply = ask(&mut browser, method.clone(), target).await;
            assert_eq!((reply.status, reply.body.is_empty()), (303, true), "{method} {target}");
            assert_eq!(location(&reply), format!("{SIGN_IN_PAGE}&next={next}"));
            assert_eq!(reply.headers["cache-control"].to_str().ok(), Some("no-store"));
            assert_eq!((reply.vary().as_str(), reply.set_cookies()), ("Cookie", Vec::new()));
        }
    }
}

async fn no_such_next(world: World) {
    let long = format!("/admins?{}", "a".repeat(3000));
    let reply = world.browser().get(&long).await;
    assert_eq!((reply.status, location(&reply)), (303, SIGN_IN_PAGE));
}

async fn the_page_itself(world: World) {
    assert_is_401(&world.browser().get(SIGN_IN_PAGE).await);
    assert_is_401(&world.browser().get("/sign-in").await);
}

async fn methods_with_a_body(world: World) {
    let mut browser = world.browser();
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        assert_is_401(&ask(&mut browser, method, "/admins").await);
    }
}

async fn checks_decide(world: World) {
    let mut banned = sign_in(&world, BANNED).await;
    let reply = banned.run_on("/admins", set()).await;
    assert_eq!((reply.status, reply.body.is_empty(), reply.headers.contains_key(ASKED)), (403, true, false));
    let mut other = sign_in(&world, "ada").await;
    let reply = other.run_on("/admins", set()).await;
    assert_eq!((reply.status, reply.headers[ASKED].to_str().ok()), (404, Some("ada")));
    assert_eq!((data(&world, BANNED).await, data(&world, "ada").await), (json!({}), json!({})));

    let mut admin = sign_in(&world, ADMIN).await;
    assert_eq!(admin.run_on("/admins", set()).await.status, 200);
    assert_eq!(data(&world, ADMIN).await, json!({"a": 1}));
}

async fn no_text_leads_elsewhere(world: World) {
    let mut browser = world.browser();
    let refused = [
        json!("//evil.example"),
        json!(r"/\evil.example"),
        json!(r"\\evil.example"),
        json!("/\t/evil.example"),
        json!("\t//evil.example"),
        json!("/..//evil.example"),
        json!("/%2e//evil.example"),
        json!("https:evil.example"),
        json!("javascript:alert(1)"),
        json!("/a\r\nset-cookie: a=b"),
        json!(""),
        json!(null),
        json!(["/a"]),
    ];
    let taken = ["/", "/a?b=//c#d", "/@evil.example", "/%2F/evil.example"];
    let taken = taken.map(|text| (json!(text), text.to_owned()));
    let encoded = (json!("/café \"<"), "/caf%C3%A9%20%22%3C".to_owned());
    for (text, leads_to) in refused.map(|text| (text, "/home".to_owned())).into_iter().chain(taken).chain([encoded]) {
        let reply = browser.run(json!([{"op": "go_to", "text": text}])).await;
        assert_eq!((reply.status, location(&reply)), (303, leads_to.as_str()), "{text}");
    }
}
