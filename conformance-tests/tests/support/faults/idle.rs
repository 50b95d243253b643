//! Connections that died while they were idle, without a word: a firewall forgot them, and what is
//! sent on them arrives nowhere.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::world::{Rows, World};
use serde_json::json;
use session_core::SessionStore;

use super::proxy::Proxy;
use crate::support::axum::Axum;

/// How many connections a store may have.
pub(super) const CONNECTIONS: u32 = 8;
const TIMES: usize = 3;

/// Reads and changes of many users at once meet such connections: none is refused, and none is
/// lost.
pub(super) async fn forgotten_connections(store: Arc<dyn SessionStore>, proxy: Proxy) {
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browsers = Vec::new();
    for user in 0..2 * CONNECTIONS {
        let mut browser = world.browser();
        let user = format!("user {user}");
        let reply = browser.run(json!([{"op": "authenticate_with", "user": user, "data": {"n": 0}}])).await;
        assert!(reply.sends_cookie());
        browsers.push(browser);
    }
    let mut connections = 0;
    for time in 1..=TIMES {
        // Real time, as the store has nothing else to tell by for how long a connection has been
        // silent.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        proxy.forget();
        let requests = browsers.iter_mut().enumerate().map(async |(number, browser)| {
            let op = match number % 4 {
                0 => json!({"op": "get", "key": "n"}),
                1 => json!({"op": "increment", "key": "n"}),
                2 => json!({"op": "rotate"}),
                _ => json!({"op": "logout_other"}),
            };
            (browser.run(json!([op, {"op": "fail"}])).await.status, op)
        });
        for (status, op) in futures_util::future::join_all(requests).await {
            assert_eq!(status, 200, "time {time}: {op}: {:?}", world.events());
        }
        connections += 1;
    }
    for (number, browser) in browsers.iter_mut().enumerate() {
        let reply = browser.run(json!([{"op": "get", "key": "n"}])).await;
        let counted = if number % 4 == 1 { TIMES } else { 0 };
        assert_eq!(reply.result(0)["value"], json!(counted), "browser {number}: each change once");
    }
    println!("all connections forgotten {connections} times, and no request refused");
}

/// New connections that reach nothing while they are opened: others are opened in the time that is
/// left.
pub(super) async fn silent_openings(store: Arc<dyn SessionStore>, proxy: Proxy) {
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browser = world.browser();
    let sign_in = json!([{"op": "authenticate_with", "user": "ada", "data": {"n": 0}}]);
    assert!(browser.run(sign_in).await.sends_cookie());
    for op in [json!({"op": "get", "key": "n"}), json!({"op": "increment", "key": "n"})] {
        // Real time, after which a connection isn't trusted any more.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        proxy.forget();
        proxy.never_open(1);
        let reply = browser.run(json!([op, {"op": "fail"}])).await;
        assert_eq!((reply.status, proxy.unopened()), (200, 0), "{op}: {:?}", world.events());
    }
    assert_eq!(browser.run(json!([{"op": "get", "key": "n"}])).await.result(0)["value"], json!(1));
    assert!(world.events().is_empty());
}
