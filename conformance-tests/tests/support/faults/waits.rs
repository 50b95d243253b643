//! What a request waits for when no connection is free or nobody answers: not for ever, then it is
//! a 503, and afterwards all is as before.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::browser::Browser;
use conformance_tests::world::World;
use serde_json::json;

use super::client::Client;
use super::load::nothing_can_be_written;
use super::pool::{Pool, Settings};
use super::programs::Kind;
use crate::support::axum::Axum;

const TIMES: usize = 3;
const SETTINGS: Settings = Settings { connections: 2, patience: Duration::from_millis(200), first: None };

/// All connections are in use elsewhere.
pub(super) async fn no_free_connection(url: String) {
    let pool = Pool::open(&url, SETTINGS).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_secs(10))).await;
    let mut browser = signed_in(&world).await;
    for _ in 0..TIMES {
        let held = pool.hold_all().await;
        assert_eq!(held.len(), pool.connections());
        nothing_can_be_written(&world, &browser, 503).await;
        drop(held);
        serves(&world, &mut browser).await;
    }
    println!("{}: {TIMES} times without a free connection: 503, and full service afterwards", Kind::of(&url).name());
}

/// All connections of the app's own pool are taken, by transactions in which the app asks for a
/// session: that is refused in the store's time, whatever the pool's.
pub(super) async fn own_transactions(url: String) {
    let settings = Settings { patience: Duration::from_secs(24 * 3600), ..SETTINGS };
    let pool = Pool::open(&url, settings).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_millis(300))).await;
    let mut browser = signed_in(&world).await;
    for _ in 0..TIMES {
        let held = pool.hold_all().await;
        nothing_can_be_written(&world, &browser, 503).await;
        drop(held);
        serves(&world, &mut browser).await;
    }
    println!(
        "{}: {TIMES} times inside the app's transactions: 503, and full service afterwards",
        Kind::of(&url).name()
    );
}

/// All connections are taken by requests that wait for a lock.
pub(super) async fn a_lock_that_is_held(url: String) {
    let pool = Pool::open(&url, SETTINGS).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_millis(300))).await;
    let mut browser = signed_in(&world).await;
    let mut other = world.browser();
    other.sign_in("alan").await;
    let connect = async || Client::connect(&url).await.expect("a server that answers");
    let (mut client, mut observer) = (connect().await, connect().await);
    let id = client.id().await;
    let (mut stored, mut refused, mut waiting) = (0, 0, 0);
    for time in 1..=TIMES {
        client.run("BEGIN").await.expect("a transaction");
        client.run("SELECT id FROM cookie_session WHERE user_id = 'ada' FOR UPDATE").await.expect("a lock");
        for _ in 0..TIMES {
            let tabs = (0..8).map(|_| {
                let mut tab = browser.clone();
                async move { tab.run(json!([{"op": "increment", "key": "n"}])).await.status }
            });
            let statuses = futures_util::future::join_all(tabs).await;
            assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
            refused += statuses.len() as u64;
        }
        waiting = waiting.max(observer.waiting(&[id]).await.len());
        client.run("ROLLBACK").await.expect("no lock any more");
        serves(&world, &mut other).await;
        let reply = browser.run(json!([{"op": "increment", "key": "n"}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "time {time}: {reply:?}");
        stored += 1;
    }
    // Those that the server did when the lock was free count, once.
    let reply = browser.run(json!([{"op": "get", "key": "n"}])).await;
    let counted = reply.result(0)["value"].as_u64().expect("a count");
    assert!((stored..=stored + refused).contains(&counted), "{stored} stored, {refused} refused, {counted} counted");
    println!(
        "{}: {TIMES} times behind a lock: {refused} refused, {stored} stored afterwards, {counted} counted; up to {waiting} given \
         up still waited at the server",
        Kind::of(&url).name(),
    );
}

/// The server accepts and never answers.
pub(super) async fn a_silent_server(url: String) {
    let (pool, proxy) = Pool::open_through(&url, Settings { patience: Duration::from_millis(500), ..SETTINGS }).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_millis(200))).await;
    let mut browser = signed_in(&world).await;
    for _ in 0..TIMES {
        proxy.silence(true);
        nothing_can_be_written(&world, &browser, 503).await;
        proxy.silence(false);
        recovers(&mut browser).await;
        serves(&world, &mut browser).await;

        // While the pool asks whether a connection lives that comes back to it.
        proxy.silence_at_ping();
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
        proxy.silent().await;
        nothing_can_be_written(&world, &browser, 503).await;
        proxy.silence(false);
        recovers(&mut browser).await;
        serves(&world, &mut browser).await;
    }
    assert_eq!(pool.hold_all().await.len(), pool.connections(), "no connection is lost");
    println!("{}: {TIMES} times without an answer: 503, and full service afterwards", Kind::of(&url).name());
}

/// Waits until a read succeeds: on a busy machine, closing what was silent and connecting anew may
/// outlast one request's patience.
async fn recovers(browser: &mut Browser) {
    for _ in 0..20 {
        if browser.run(json!([{"op": "user_id"}])).await.status == 200 {
            return;
        }
    }
    panic!("the server answers again, and the store doesn't");
}

async fn signed_in(world: &World) -> Browser {
    let mut browser = world.browser();
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"n": 0}}])).await;
    assert!(browser.cookie().is_some());
    browser
}

/// Everything works.
async fn serves(world: &World, browser: &mut Browser) {
    let ops = ["list_my_sessions", "rotate", "logout_other", "save"];
    for op in ops.map(|op| json!({"op": op})).into_iter().chain([json!({"op": "set", "key": "a", "value": 1})]) {
        let reply = browser.run(json!([op, {"op": "fail"}])).await;
        assert_eq!(reply.status, 200, "{op}: {:?}", world.events());
    }
    let mut new = world.browser();
    new.sign_in("new").await;
    let reply = new.run(json!([{"op": "logout"}, {"op": "fail"}])).await;
    assert_eq!((reply.status, reply.removes_cookie()), (200, true));
}
