//! How far one user reaches: changes that wait for that user's rows leave the others' requests
//! alone, given up or not.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::browser::Browser;
use conformance_tests::world::{Rows, World};
use serde_json::{Value, json};
use session_core::{Clock, SessionStore, UserId};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::Client;
use super::pool::{opened, opened_for};
use super::programs::Kind;
use crate::support::axum::Axum;

/// So few that one user could take all of them.
const CONNECTIONS: u32 = 8;

/// What one user makes wait for locks at most: one connection for the user's own row, and four for
/// those of sessions.
const MOST: usize = 5;

/// Ada's rows are locked from outside while her browsers ask for changes of every kind.
pub(super) async fn one_users_changes(url: String) {
    let store = opened(&url, CONNECTIONS).await;
    let world = World::new(Arc::new(Axum), Rows::shared(Arc::clone(&store))).await;
    let [mut ada, mut bob] = [world.browser(), world.browser()];
    for browser in [&mut ada, &mut bob] {
        browser.run(json!([{"op": "authenticate_with", "user": "x", "data": {"n": 0}}])).await;
    }
    ada.sign_in("ada").await;
    bob.sign_in("bob").await;
    world.browser().sign_in("ada").await;
    let connect = async || Client::connect(&url).await.expect("a server that answers");
    let (mut holder, mut observer) = (connect().await, connect().await);
    let id = holder.id().await;
    if Kind::of(&url) == Kind::MariaDb {
        // Or it locks the gaps beside ada's rows too, where bob's go.
        holder.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.expect("a level that there is");
    }
    let mut most = 0;
    for table in ["cookie_session_user", "cookie_session"] {
        holder.run("BEGIN").await.expect("a transaction");
        holder.run(&format!("SELECT 1 FROM {table} WHERE user_id = 'ada' FOR UPDATE")).await.expect("a lock");
        let mut waiting = JoinSet::new();
        let mut asks = |times: usize, browser: &Browser, op: Value, status: u16| {
            // Or the sign-ins have ended the session, which is one of too many.
            let statuses = [status, 401];
            for _ in 0..times {
                let (mut browser, op) = (browser.clone(), op.clone());
                waiting.spawn(async move { (browser.run(json!([op, {"op": "fail"}])).await.status, statuses) });
            }
        };
        match table {
            "cookie_session_user" => {
                asks(200, &ada, json!({"op": "logout_other"}), 200);
                asks(200, &ada, json!({"op": "revoke", "id": "018f0000-0000-7000-8000-000000000000"}), 404);
                asks(50, &world.browser(), json!({"op": "authenticate", "user": "ada"}), 200);
            }
            _ => asks(200, &ada, json!({"op": "increment", "key": "n"}), 200),
        }
        // Those that are given up leave no more behind than the others.
        let user = UserId::parse("ada").expect("a user id");
        let now = world.clock.now();
        for _ in 0..200 {
            drop(timeout(Duration::from_millis(1), store.end_all(&user, None, None, now)).await);
        }
        while observer.waiting(&[id]).await.is_empty() {
            tokio::task::yield_now().await;
        }
        most = most.max(1);
        for round in 0..20 {
            most = most.max(observer.waiting(&[id]).await.len());
            serves(&mut bob, round).await;
        }
        assert!((1..=MOST).contains(&most), "{table}: {most} connections wait for ada's rows");
        holder.run("ROLLBACK").await.expect("no lock any more");
        while let Some(reply) = waiting.join_next().await {
            let (status, expected) = reply.expect("a reply");
            assert!(expected.contains(&status), "{table}: {status}, not {expected:?}: {:?}", world.events());
        }
        ada.sign_in("ada").await;
        world.browser().sign_in("ada").await;
    }
    println!("{}: at most {most} connections waited for one user's rows, of {CONNECTIONS}", Kind::of(&url).name());
}

/// Another user reads, writes and signs in.
async fn serves(bob: &mut Browser, round: u32) {
    for op in [json!({"op": "get", "key": "n"}), json!({"op": "set", "key": "round", "value": round})] {
        assert_eq!(bob.run(json!([op, {"op": "fail"}])).await.status, 200, "{op}");
    }
    assert_eq!(bob.sign_in("bob").await.status, 200);
}

/// What is given up behind a lock doesn't go on waiting at the server.
pub(super) async fn waits_end_at_the_server(url: String) {
    let store = opened_for(&url, CONNECTIONS, Duration::from_secs(2)).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut ada = world.browser();
    ada.sign_in("ada").await;
    let connect = async || Client::connect(&url).await.expect("a server that answers");
    let (mut holder, mut observer) = (connect().await, connect().await);
    let id = holder.id().await;
    for table in ["cookie_session_user", "cookie_session"] {
        holder.run("BEGIN").await.expect("a transaction");
        holder.run(&format!("SELECT 1 FROM {table} WHERE user_id = 'ada' FOR UPDATE")).await.expect("a lock");
        let mut browser = ada.clone();
        let op = match table {
            "cookie_session" => json!({"op": "set", "key": "n", "value": 1}),
            _ => json!({"op": "authenticate", "user": "ada"}),
        };
        let waits = tokio::spawn(async move { browser.run(json!([op, {"op": "fail"}])).await.status });
        while observer.waiting(&[id]).await.is_empty() {
            assert!(!waits.is_finished(), "{table}: it has to wait");
        }
        assert_eq!(waits.await.expect("a reply"), 503, "{table}");
        while !observer.waiting(&[id]).await.is_empty() {
            tokio::task::yield_now().await;
        }
        holder.run("ROLLBACK").await.expect("no lock any more");
        serves_writes(&mut ada).await;
    }
    println!("{}: nothing waits at the server for what was given up", Kind::of(&url).name());
}

async fn serves_writes(browser: &mut Browser) {
    let reply = browser.run(json!([{"op": "set", "key": "n", "value": 2}, {"op": "fail"}])).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}
