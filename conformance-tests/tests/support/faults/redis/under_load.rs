//! A server that is killed, demoted, full, forgetful or silent while browsers write.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::redis::Redis;
use conformance_tests::world::{Rows, World};
use serde_json::json;

use super::super::load::{Load, nothing_can_be_written};
use super::server::RedisServer;
use super::{PATIENCE, opened, opened_on, proxied, through};
use crate::support::axum::Axum;

/// How often each happens.
const TIMES: usize = 3;
/// Requests that each writer must have had answered between two faults.
const BETWEEN: usize = 15;

/// Writes its log to disk before it answers, so that nothing acknowledged is lost.
pub(super) async fn killed() {
    let server = RedisServer::start_new(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = opened_on(&server, Duration::from_millis(500)).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut load = Load::start(&world, 0).await;
    for crash in 0..TIMES {
        load.stored(BETWEEN).await;
        let mut watcher = world.browser();
        watcher.sign_in(&format!("watcher {crash}")).await;
        load.before_the_fault().await;
        server.kill();
        load.refused().await;
        nothing_can_be_written(&world, &watcher, 503).await;
        server.start().await;
        load.stored_one().await;
        load.after_the_fault();
        load.stored(1).await;
        let reply = watcher.run(json!([{"op": "set", "key": "n", "value": 1}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "the session is still there");
    }
    let totals = load.finish().await;
    assert_eq!(totals.for_nothing, 0, "nothing is refused any more");
    println!("redis, {TIMES} crashes: {} writes acknowledged, none lost; {} refused", totals.stored, totals.refused);
}

/// A server that becomes a replica of one with the same rows, as in a failover, and is the primary
/// again.
pub(super) async fn demoted() {
    let (server, other) = (RedisServer::start_new(&[]).await, RedisServer::start_new(&[]).await);
    let store = opened_on(&server, Duration::from_millis(500)).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut watcher = world.browser();
    watcher.run(json!([{"op": "authenticate_with", "user": "watcher", "data": {"n": 1}}])).await;
    let mut load = Load::start(&world, 0).await;
    let (mut admin, mut other_admin) = (server.admin().await, other.admin().await);
    for _ in 0..TIMES {
        load.stored(5).await;
        load.before_the_fault().await;
        // The other one has all rows before this one becomes its replica, so nothing is lost by it.
        other_admin.run(&format!("REPLICAOF 127.0.0.1 {}", server.port)).await;
        in_step(&mut other_admin).await;
        admin.run("CLIENT PAUSE 100000 WRITE").await;
        while other_admin
            .ask::<String>("INFO replication")
            .await
            .is_ok_and(|info| offset(&info, "slave_repl_offset") == 0)
        {
            tokio::task::yield_now().await;
        }
        let behind = async |admin: &mut super::server::Admin, other: &mut super::server::Admin| {
            let primary = admin.ask::<String>("INFO replication").await.expect("an answer");
            let replica = other.ask::<String>("INFO replication").await.expect("an answer");
            offset(&replica, "slave_repl_offset") < offset(&primary, "master_repl_offset")
        };
        while behind(&mut admin, &mut other_admin).await {
            tokio::task::yield_now().await;
        }
        other_admin.run("REPLICAOF NO ONE").await;
        admin.run(&format!("REPLICAOF 127.0.0.1 {}", other.port)).await;
        in_step(&mut admin).await;
        admin.run("CLIENT UNPAUSE").await;
        load.refused().await;
        nothing_can_be_written(&world, &watcher, 200).await;
        admin.run("REPLICAOF NO ONE").await;
        load.stored(1).await;
        load.after_the_fault();
        load.stored(5).await;
    }
    let totals = load.finish().await;
    assert_eq!(totals.for_nothing, 0, "nothing is refused any more");
    println!(
        "redis, {TIMES} times a replica: {} writes acknowledged, none lost; {} refused",
        totals.stored, totals.refused
    );
}

/// Waits until this replica has what its primary had.
async fn in_step(replica: &mut super::server::Admin) {
    loop {
        let info: String = replica.ask("INFO replication").await.expect("an answer");
        if info.contains("master_link_status:up") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A number of `INFO`.
fn offset(info: &str, name: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// A server whose memory is full and that evicts nothing.
pub(super) async fn full() {
    let server = RedisServer::start_new(&["--maxmemory-policy", "noeviction"]).await;
    let store = opened_on(&server, PATIENCE).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut admin = server.admin().await;
    let mut load = Load::start(&world, 100).await;
    for time in 0..TIMES {
        load.stored(BETWEEN).await;
        let [mut reader, mut leaver] = [world.browser(), world.browser()];
        for browser in [&mut reader, &mut leaver] {
            browser
                .run(json!([{"op": "authenticate_with", "user": format!("watcher {time}"), "data": {"n": 1}}]))
                .await;
        }
        load.before_the_fault().await;
        admin.run("CONFIG SET maxmemory 1").await;
        load.refused().await;
        let reply = reader.run(json!([{"op": "get", "key": "n"}])).await;
        assert_eq!((reply.status, &reply.result(0)["value"]), (200, &json!(1)), "reads go on");
        assert_eq!(reader.run(json!([{"op": "set", "key": "n", "value": 2}, {"op": "fail"}])).await.status, 503);
        // A sign-out frees memory, so it always works.
        let reply = leaver.run(json!([{"op": "logout_other"}, {"op": "logout"}])).await;
        assert_eq!((reply.status, reply.removes_cookie()), (200, true), "{reply:?}");
        for browser in [&mut reader, &mut leaver] {
            assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!(null), "signed out");
        }
        admin.run("CONFIG SET maxmemory 0").await;
        load.stored(1).await;
        load.after_the_fault();
    }
    let totals = load.finish().await;
    assert_eq!(totals.for_nothing, 0, "nothing is refused any more");
    println!("redis, {TIMES} times full: {} writes acknowledged, none lost; {} refused", totals.stored, totals.refused);
}

/// A server that loses its scripts all the time, as at each restart or failover.
pub(super) async fn forgetful() {
    let server = RedisServer::start_new(&[]).await;
    let store = opened_on(&server, PATIENCE).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut admin = server.admin().await;
    let load = Load::start(&world, 0).await;
    for _ in 0..200 {
        admin.run("SCRIPT FLUSH").await;
        load.stored_one().await;
    }
    let totals = load.finish().await;
    assert_eq!(totals.refused, 0, "a server without scripts is no reason to refuse anything");
    println!("redis, scripts flushed 200 times: {} writes acknowledged, none refused", totals.stored);
}

/// A server that takes connections and never answers.
pub(super) async fn silent(redis: Redis) {
    let (prefix, proxy) = (redis.prefix(), through(redis.url()).await);
    let store = opened(&proxied(&proxy), &prefix, Duration::from_millis(500)).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browser = world.browser();
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"n": 0}}])).await;
    for time in 1..=TIMES {
        proxy.silence(true);
        nothing_can_be_written(&world, &browser, 503).await;
        proxy.silence(false);
        // On a busy machine the first ones may still be refused.
        while browser.run(json!([{"op": "get", "key": "n"}])).await.status == 503 {}
        let reply = browser.run(json!([{"op": "set", "key": "n", "value": time}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "{:?}", world.events());
    }
}
