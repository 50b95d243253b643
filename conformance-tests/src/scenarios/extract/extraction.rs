//! EXT-1, EXT-2, EXT-3, EXT-4, EXT-5, EXT-6, EXT-7: what a handler gets when it extracts the
//! session.

use std::sync::{Mutex, Once, PoisonError};

use http::Request;
use serde_json::{Value, json};
use session_core::Error;

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{only_row, sign_in, user};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXT-1", "without a layer extraction is a programming error", without_a_layer),
    scenario!("EXT-1", "a missing layer leaves the connection's other requests alone", others_go_on),
    scenario!("EXT-1", "without a layer an optional extraction is none", an_option_without_a_layer),
    scenario!("EXT-2", "extraction needs no sign-in and writes nothing", needs_no_sign_in),
    scenario!("EXT-3", "with a live session's cookie the reads show its row", reads_show_the_row),
    scenario!("EXT-4", "a middleware's extraction is the handler's session", one_session_in_a_request),
    scenario!("EXT-4", "requests on one connection don't share a session", a_session_ends_with_its_request),
    scenario!("EXT-5", "a store that can't be read is a 503 whatever the handler makes of it", an_outage_is_a_503),
    scenario!("EXT-5", "an outage signs nobody out", an_outage_signs_nobody_out),
    scenario!("EXT-6", "a request that never extracts costs nothing", no_extraction_costs_nothing),
    scenario!("EXT-6", "the row is read at most once in a request", one_read_in_a_request),
    scenario!("EXT-7", "the read-only extractor is a 401 when nobody is signed in", read_only_is_a_401),
    scenario!("EXT-7", "the read-only extractor shows the row, and nothing of the token", read_only_shows_the_row),
];

/// All reads of a session that are not the store's.
fn reads() -> Value {
    json!([{"op": "current"}, {"op": "is_authenticated"}, {"op": "user_id"}, {"op": "get", "key": "a"}])
}

async fn without_a_layer(world: World) {
    note_panics();
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    match browser.try_run_on("/unlayered/do", reads()).await {
        Some(reply) => assert_eq!(reply.status, 500, "{reply:?}"),
        None => assert!(panics().iter().any(|told| told.contains("add ") && told.contains("layer")), "{:?}", panics()),
    }
    let error = Error::NoLayer { layer: "SomeLayer::new(service)" };
    assert!(error.to_string().contains("SomeLayer::new(service)"), "{error}");
    assert_eq!((error.status(), world.faults.total()), (500, 0));
    assert_eq!(user(&mut browser).await, json!("ada"), "the server goes on");
}

/// Over HTTP/2 all are on one connection.
async fn others_go_on(world: World) {
    note_panics();
    let browser = sign_in(&world, "ada").await;
    let (mut slow, mut wrong) = (browser.clone(), browser.clone());
    let mut one = browser.connect().await;
    let mut other = one.another().await;
    let post = |path: &str, script: Value| Request::post(path).body(script.to_string()).expect("a valid path");
    let request = post("/do", json!([{"op": "set", "key": "a", "value": 1}, {"op": "gate", "name": "slow"}]));
    let waiting = tokio::spawn(async move {
        let reply = one.try_send(&mut slow, request).await;
        (one, slow, reply)
    });
    world.gates.arrived("slow").await;
    let reply = other.try_send(&mut wrong, post("/unlayered/do", reads())).await;
    assert!(reply.as_ref().is_none_or(|reply| reply.status == 500), "{reply:?}");
    world.gates.open("slow");
    let (mut one, mut slow, reply) = waiting.await.expect("it runs to its end");
    assert_eq!(reply.expect("an answer").status, 200);
    let reply = one.try_send(&mut slow, post("/do", json!([{"op": "get", "key": "a"}]))).await;
    assert_eq!(reply.expect("an answer on the same connection").result(0), json!({"value": 1}));
}

async fn an_option_without_a_layer(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let reply = browser.get("/unlayered/optional").await;
    assert_eq!((reply.status, reply.json()), (200, json!({"some": false, "user": null})));
    assert_eq!(world.faults.total(), 0);
    assert_eq!(browser.get("/optional").await.json(), json!({"some": true, "user": "ada"}));
}

async fn needs_no_sign_in(world: World) {
    let mut browser = world.browser();
    let reply = browser.run(reads()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.results(), [json!(null), json!(false), json!(null), json!({"absent": true})]);
    assert_eq!(reply.headers.get("set-cookie"), None);
    let reply = browser.get("/optional").await;
    assert_eq!((reply.json(), reply.set_cookies().len()), (json!({"some": true, "user": null}), 0));
    assert_eq!(world.faults.total(), 0, "no row is written, none is read");
}

async fn reads_show_the_row(world: World) {
    let mut browser = world.browser();
    browser.user_agent("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"a": [1, null]}}])).await;
    sign_in(&world, "bob").await;
    let node = world.node().await;
    let reply = browser.on(&node).run(reads()).await;
    let row = only_row(&world, "ada").await;
    let shown = reply.result(0);
    for (field, stored) in [
        ("id", row.id.to_string()),
        ("user_id", "ada".to_owned()),
        ("ip_address", row.client.ip_address.clone()),
        ("user_agent", row.client.user_agent.clone()),
        ("device_name", row.client.device_name.clone()),
        ("device_type", row.client.device_type.clone()),
        ("fingerprint", row.client.fingerprint.clone()),
    ] {
        assert_eq!(shown[field], json!(stored), "{field}");
    }
    assert_eq!(shown["data"], json!({"a": [1, null]}));
    for field in ["created_at", "authenticated_at", "last_active_at"] {
        assert_eq!(shown[field], json!("2030-01-01T00:00:00Z"), "{field}");
    }
    assert_eq!(shown["expires_at"], json!("2030-01-08T00:00:00Z"));
    assert_eq!(reply.results()[1..], [json!(true), json!("ada"), json!({"value": [1, null]})]);
}

async fn one_session_in_a_request(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let ops = json!([{"op": "get", "key": "from_middleware"}, {"op": "increment", "key": "from_middleware"}]);
    let reply = browser.run_on("/twice", ops).await;
    assert_eq!(reply.result(0), json!({"value": 1}));
    assert_eq!((world.faults.count(OpKind::Load), world.faults.count(OpKind::Update)), (1, 1));
    assert_eq!(data(&world, "ada").await, json!({"from_middleware": 2}), "both are stored, in order");
    let reply = browser.run_on("/twice", json!([{"op": "logout"}, {"op": "get", "key": "from_middleware"}])).await;
    assert_eq!((reply.result(1), reply.set_cookies().len()), (json!({"absent": true}), 1));
}

async fn a_session_ends_with_its_request(world: World) {
    let mut browsers = [sign_in(&world, "ada").await, sign_in(&world, "bob").await, world.browser(), world.browser()];
    browsers[3].set_cookie("forged");
    // Kept alive, and more than one, so that whatever a server keeps for a next request goes round
    // between them.
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(browsers[0].connect().await);
    }
    let paths = ["/do", "/two-services", "/twice", "/nested", "/stream", "/optional", "/plain", "/unlayered/optional"];
    for turn in 0..world.rounds {
        let (who, path) = (turn % browsers.len(), paths[turn / browsers.len() % paths.len()]);
        let browser = &mut browsers[who];
        let ops = json!([{"op": "user_id"}, {"op": "set", "key": "of", "value": who}, {"op": "get", "key": "of"}]);
        // A body that no handler reads may cost the connection.
        let body = if path.ends_with("/optional") || path == "/plain" { String::new() } else { ops.to_string() };
        let request = http::Request::post(path).body(body).unwrap();
        let connection = &mut connections[turn % 3];
        let reply = connection.try_send(browser, request).await.expect("an answer");
        assert_eq!((reply.status, reply.set_cookies().len()), (200, 0), "{path}");
        let user = json!([Some("ada"), Some("bob"), None, None][who]);
        match path {
            "/do" | "/twice" | "/nested" | "/stream" => {
                assert_eq!(reply.result(0), user, "{path}");
                let own = if user.is_null() { json!({"absent": true}) } else { json!({"value": who}) };
                assert_eq!(reply.result(2), own, "{path}");
            }
            "/two-services" => assert_eq!(reply.result(0), json!(null), "nobody is signed in to the other service"),
            "/optional" => assert_eq!(reply.json(), json!({"some": true, "user": user})),
            "/plain" => assert_eq!(reply.vary(), ""),
            _ => assert_eq!(reply.json(), json!({"some": false, "user": null}), "no layer, and none left from before"),
        }
    }
}

/// The routes that extract, in whatever form.
const EXTRACTING: [&str; 7] = ["/do", "/optional", "/result", "/session", "/optional-session", "/twice", "/nested"];

async fn an_outage_is_a_503(world: World) {
    let browser = sign_in(&world, "ada").await;
    for fault in [Fault::NotApplied, Fault::UnknownLost] {
        for path in EXTRACTING {
            world.faults.fail(OpKind::Load, fault);
            world.faults.reset_counts();
            let reply = browser.clone().run_on(path, json!([])).await;
            assert_eq!(reply.status, 503, "{path}");
            assert_ne!(reply.body, "handled", "{path}");
            assert_eq!(reply.headers.get("set-cookie"), None, "{path}");
            assert_eq!(world.faults.total(), 1, "{path} asks once");
        }
    }
}

async fn an_outage_signs_nobody_out(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let cookie = browser.cookie();
    world.faults.fail_all(Fault::NotApplied);
    for path in EXTRACTING {
        let ops = json!([{"op": "set", "key": "a", "value": 1}, {"op": "logout"}]);
        browser.run_on(path, ops).await;
    }
    world.faults.clear();
    assert_eq!(browser.cookie(), cookie);
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert_eq!(data(&world, "ada").await, json!({}));
}

async fn no_extraction_costs_nothing(world: World) {
    let signed_in = sign_in(&world, "ada").await;
    let mut forged = world.browser();
    forged.set_cookie("forged");
    let mut expired = sign_in(&world, "bob").await;
    expired.header("cookie", "a=b");
    world.clock.advance(std::time::Duration::from_secs(3600));
    world.faults.fail_all(Fault::NotApplied);
    world.faults.reset_counts();
    for mut browser in [signed_in, forged, expired, world.browser()] {
        for method in ["GET", "POST", "DELETE"] {
            let request = http::Request::builder().method(method).uri("/plain").body("").unwrap();
            let reply = browser.send(request).await;
            assert_eq!((reply.status, &reply.body[..]), (200, &b"plain"[..]));
            assert_eq!((reply.headers.get("set-cookie"), reply.headers.get("vary")), (None, None));
            assert_eq!(reply.headers.get("cache-control"), None);
        }
    }
    assert_eq!(world.faults.total(), 0);
}

async fn one_read_in_a_request(world: World) {
    let browser = sign_in(&world, "ada").await;
    let mut dead = browser.clone();
    dead.run(json!([{"op": "rotate"}])).await;
    let dead = browser;
    let live = sign_in(&world, "ada").await;
    for path in ["/do", "/twice", "/nested"] {
        for who in [&live, &dead] {
            world.faults.reset_counts();
            who.clone().run_on(path, reads()).await;
            assert_eq!(world.faults.count(OpKind::Load), 1, "{path}");
        }
    }
}

async fn read_only_is_a_401(world: World) {
    let mut browser = world.browser();
    let reply = browser.get("/session").await;
    assert_eq!((reply.status, reply.set_cookies().len()), (401, 0));
    let reply = browser.get("/optional-session").await;
    assert_eq!((reply.status, reply.json()), (200, json!(null)));
    assert_eq!(world.faults.total(), 0);
}

async fn read_only_shows_the_row(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let current = browser.run(json!([{"op": "current"}])).await.result(0);
    for path in ["/session", "/optional-session"] {
        let reply = browser.get(path).await;
        assert_eq!((reply.status, reply.json()), (200, current.clone()), "{path}");
    }
    let fields: Vec<_> = current.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        vec!["id", "user_id", "ip_address", "user_agent", "device_name", "device_type", "fingerprint", "data"];
    expected.extend(["created_at", "last_active_at", "authenticated_at", "expires_at"]);
    expected.sort_unstable();
    assert_eq!(fields, expected, "no token, no hash");
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes what any thread panics with from now on; the message is all that an unlayered extraction
/// may leave behind.
fn note_panics() {
    static NOTING: Once = Once::new();
    NOTING.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let told = panic.payload_as_str().unwrap_or_default().to_owned();
            PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            next(panic);
        }));
    });
}

fn panics() -> Vec<String> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
