//! What scenarios about sessions share: signing in, who the server takes a browser for, and
//! requests that race.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use serde_json::{Value, json};
use session_core::Record;

use crate::browser::{Browser, Reply};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// A browser that has signed in as `user`.
pub(crate) async fn sign_in(world: &World, user: &str) -> Browser {
    let mut browser = world.browser();
    browser.sign_in(user).await;
    browser
}

/// Who the server takes the browser for: a user's id or null.
pub(crate) async fn user(browser: &mut Browser) -> Value {
    browser.run(json!([{"op": "user_id"}])).await.result(0)
}

/// The id of the browser's live session.
pub(crate) async fn id(browser: &mut Browser) -> String {
    text(&browser.run(json!([{"op": "current"}])).await.result(0)["id"])
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}")).to_owned()
}

/// The user's only live row.
pub(crate) async fn only_row(world: &World, user: &str) -> Arc<Record> {
    let mut rows = rows(world, user).await;
    assert_eq!(rows.len(), 1, "one session of {user}");
    rows.remove(0)
}

/// The ids of the user's live sessions, most recently active first.
pub(crate) async fn ids(world: &World, user: &str) -> Vec<String> {
    rows(world, user).await.iter().map(|row| row.id.to_string()).collect()
}

/// Sends all requests, each to its node; waits until all are in their handlers, with their sessions
/// extracted; and lets all of them go on at once. Entry 0 of each reply is that wait's.
pub(crate) async fn at_once(requests: Vec<(&World, Browser, Value)>) -> Vec<(Browser, Reply)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut started = Vec::new();
    for (node, mut browser, script) in requests {
        let gate = format!("at once {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut ops = vec![json!({"op": "gate", "name": gate})];
        ops.extend(script.as_array().expect("a script is an array").iter().cloned());
        let request = tokio::spawn(async move {
            let reply = browser.run(Value::Array(ops)).await;
            (browser, reply)
        });
        started.push((node, gate, request));
    }
    for (node, gate, _) in &started {
        node.gates.arrived(gate).await;
    }
    for (node, gate, _) in &started {
        node.gates.open(gate);
    }
    let mut done = Vec::new();
    for (_, _, request) in started {
        done.push(request.await.expect("the request runs to its end"));
    }
    done
}

/// The response removes the cookie, once, and the browser has none now.
pub(crate) fn assert_signed_out(browser: &Browser, reply: &Reply) {
    assert!(reply.removes_cookie() && !reply.sends_cookie());
    assert_eq!(reply.set_cookies().len(), 1);
    assert_eq!(browser.cookie(), None);
}

/// Browsers with a cookie of our name that is no live session.
pub(crate) async fn browsers_with_a_dead_cookie(world: &World) -> Vec<Browser> {
    let mut browser = sign_in(world, "eve").await;
    let ended = browser.clone();
    browser.run(json!([{"op": "logout"}])).await;
    let mut browsers = vec![ended];
    for value in ["garbage", "", "v1.AAAA", &"x".repeat(5000)] {
        let mut browser = world.browser();
        browser.set_cookie(value);
        browsers.push(browser);
    }
    browsers
}

/// Ids that are no session, as seen by whoever owns `own`.
pub(crate) fn ids_of_no_session(own: &str) -> Vec<String> {
    let mut unknown = own.to_owned();
    let last = if unknown.ends_with('0') { "1" } else { "0" };
    unknown.replace_range(unknown.len() - 1.., last);
    vec![
        unknown,
        String::new(),
        " ".into(),
        "x".into(),
        "0".into(),
        own.to_uppercase(),
        own.replace('-', ""),
        format!("{{{own}}}"),
        format!("urn:uuid:{own}"),
        format!(" {own}"),
        format!("{own} "),
        format!("{own}\0"),
        own[..own.len() - 1].to_owned(),
        "00000000-0000-0000-0000-000000000000".into(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".into(),
        "' OR 1=1 --".into(),
        "\0".into(),
        "ключ".into(),
        "x".repeat(100_000),
    ]
}

pub(crate) fn without_date(mut headers: HeaderMap) -> HeaderMap {
    headers.remove("date");
    headers
}
