//! FLT-3: what must never be seen of a session, wherever one looks.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::faults::outages::signed_in;
use crate::scenarios::support::in_process::{committed, extracted, lines};
use crate::scenarios::support::stored::{message, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-3", "errors, bodies and events show nothing secret", errors_show_nothing_secret),
    scenario!("FLT-3", "debug output shows nothing secret", debug_shows_nothing_secret),
    scenario!("FLT-3", "keys and ids are escaped in messages and absent from bodies", keys_are_escaped),
    scenario!("FLT-3", "Set-Cookie values are marked sensitive", set_cookie_is_sensitive),
];

async fn errors_show_nothing_secret(world: World) {
    let world = world.with_config(|config| config.max_data_bytes(1000)).await;
    let mut browser = signed_in(&world, "ada", json!({"password": "s3cret-value"})).await;
    let mut told = String::new();
    let ops = json!([
        {"op": "get_u64", "key": "password"},
        {"op": "increment", "key": "password"},
        {"op": "set", "key": "large", "value": "s3cret-value".repeat(100)},
        {"op": "set_unserializable", "key": "password"},
        {"op": "authenticate_with", "user": "ada", "data": ["s3cret-value"]},
        {"op": "authenticate_with", "user": "ada", "data": {"password": "s3cret-value".repeat(100)}},
        {"op": "authenticate", "user": "s3cret-value\u{0}"},
        {"op": "revoke", "id": "s3cret-value"},
        {"op": "revoke_by_id", "user": "ada", "id": "s3cret-value"},
    ]);
    let reply = browser.run(ops.clone()).await;
    for i in 0..ops.as_array().unwrap().len() {
        writeln!(told, "{}", message(&reply.result(i))).unwrap();
    }
    for op in ops.as_array().unwrap() {
        let reply = browser.run(json!([op, {"op": "fail"}])).await;
        assert!(reply.status >= 400, "{op}");
        writeln!(told, "{:?} {:?}", reply.headers, reply.body).unwrap();
    }
    for fault in [Fault::NotApplied, Fault::UnknownLost, Fault::Corrupt] {
        for kind in [OpKind::Load, OpKind::Update, OpKind::Create, OpKind::End, OpKind::List] {
            world.clock.advance(Duration::from_secs(600));
            world.faults.fail(kind, fault);
            let ops = json!([
                {"op": "set", "key": "password", "value": "s3cret-value"},
                {"op": "save"},
                {"op": "authenticate_with", "user": "ada", "data": {"password": "s3cret-value"}},
                {"op": "list_my_sessions"},
                {"op": "logout"},
            ]);
            let reply = browser.clone().run(ops).await;
            let found = String::from_utf8_lossy(&reply.body);
            if let Ok(Value::Object(body)) = serde_json::from_str(&found) {
                for result in body["results"].as_array().unwrap().iter().filter(|result| result["error"].is_object()) {
                    writeln!(told, "{}", message(result)).unwrap();
                }
            } else {
                writeln!(told, "{found}").unwrap();
            }
            world.faults.clear();
            browser = signed_in(&world, "ada", json!({"password": "s3cret-value"})).await;
        }
    }
    let events = world.events();
    assert!(!events.is_empty());
    told.push_str(&events.join("\n"));
    shows_nothing_secret(&told, &world, &browser).await;
}

async fn debug_shows_nothing_secret(world: World) {
    let browser = signed_in(&world, "ada", json!({"password": "s3cret-value"})).await;
    let (scope, session) = extracted(&world, &browser).await;
    let current = session.current().expect("signed in");
    session.set("password", "s3cret-value").unwrap();
    session.rotate().await.unwrap();
    let row = rows(&world, "ada").await.remove(0);
    let told = format!("{scope:?} {session:?} {current:?} {row:?} {:?} {:?}", world.service, world.store);
    shows_nothing_secret(&told, &world, &browser).await;
}

async fn keys_are_escaped(world: World) {
    let key = "line\nbreak\u{1b}[31m\r\u{0}";
    let world = world.with_config(|config| config.max_data_bytes(1000)).await;
    let mut browser = signed_in(&world, "ada", json!({"line\nbreak\u{1b}[31m\r\u{0}": "text"})).await;
    let ops = json!([
        {"op": "get_u64", "key": key},
        {"op": "increment", "key": key},
        {"op": "set", "key": key, "value": "x".repeat(2000)},
        {"op": "set_unserializable", "key": key},
        {"op": "authenticate_with", "user": "ada", "data": {key: "x".repeat(2000)}},
        {"op": "revoke_by_id", "user": "ada\n", "id": "id\n\u{1b}"},
        {"op": "authenticate", "user": "\n\u{1b}\u{0}"},
    ]);
    let ops = ops.as_array().unwrap();
    let reply = browser.run(Value::Array(ops.clone())).await;
    for (i, op) in ops.iter().enumerate() {
        let message = message(&reply.result(i));
        assert!(!message.contains(|c: char| c.is_control()), "{op}: {message:?}");
        assert!(i > 4 || message.contains("break"), "{op}: {message:?}");
        let status = reply.error_status(i).unwrap();
        let failed = browser.run(json!([op, {"op": "fail"}])).await;
        let body = String::from_utf8_lossy(&failed.body);
        assert_eq!(failed.status, status, "{op}");
        assert!(body.len() < 100 && !body.contains("break") && !body.contains("ada"), "{op}: {body}");
        assert_eq!(failed.headers["cache-control"], "no-store", "{op}");
    }
    for event in world.events() {
        assert!(!event.contains(|c: char| c.is_control()), "{event:?}");
    }
}

async fn set_cookie_is_sensitive(world: World) {
    let browser = signed_in(&world, "ada", json!({})).await;
    let (scope, session) = extracted(&world, &browser).await;
    session.rotate().await.unwrap();
    let sent = committed(&scope).await;
    let (scope, session) = extracted(&world, &world.browser()).await;
    session.authenticate("ada").await.unwrap();
    let issued = committed(&scope).await;
    for head in [sent, issued] {
        assert_eq!(head.status(), 200);
        let lines = lines(&head, "set-cookie");
        assert!(lines.len() == 1 && lines[0].1, "{lines:?}");
    }
}

/// No token, token hash, or data value of the browser's session, nor what its cookie says.
async fn shows_nothing_secret(told: &str, world: &World, browser: &Browser) {
    let cookie = browser.cookie().expect("signed in");
    let mut secrets = vec!["s3cret-value".to_owned(), cookie[..40].to_owned(), cookie[20..].to_owned()];
    for row in rows(world, "ada").await {
        for hash in [Some(row.token_hash), row.previous_token_hash].into_iter().flatten() {
            let bytes = &hash.as_bytes()[..8];
            let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            let listed = format!("{bytes:?}");
            secrets.extend([hex.to_uppercase(), hex, listed.trim_matches(['[', ']']).to_owned()]);
        }
    }
    for secret in secrets {
        assert!(!told.contains(&secret), "{secret:?} shows in {told}");
    }
}
