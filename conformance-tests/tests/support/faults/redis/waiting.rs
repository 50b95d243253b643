//! A primary whose replica hears of changes late, and takes over: what comes back without waiting
//! for it, and that nothing does with it. And Sentinel, which lets replicas take over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::browser::Browser;
use conformance_tests::race_rounds_or;
use conformance_tests::world::{Rows, World};
use serde_json::json;
use session_core::{RedisOptions, SessionStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::cluster::pause;
use super::server::RedisServer;
use super::{PATIENCE, opened_on};
use crate::support::axum::Axum;

/// How long a change is on its way to the replica.
const DELAY: Duration = Duration::from_millis(200);
/// How many sessions end before a failover.
const SESSIONS: usize = 5;

/// Counts what was acknowledged and came back, with and without waiting.
pub(super) async fn failovers() {
    let rounds = race_rounds_or(3);
    for waits in [false, true] {
        let (mut acknowledged, mut back) = (0, 0);
        for _ in 0..rounds {
            let (ended, alive) = failover(waits).await;
            (acknowledged, back) = (acknowledged + ended, back + alive);
        }
        println!("redis, waiting: {waits}: {rounds} failovers, {acknowledged} acknowledged ends, {back} came back");
        match waits {
            true => assert!(back == 0 && acknowledged == rounds * SESSIONS, "{back} of {acknowledged} came back"),
            false => assert!(5 * back >= acknowledged, "the delay works: {back} of {acknowledged} came back"),
        }
    }
}

/// How many ends were acknowledged before the failover, and how many of these sessions live after
/// it.
async fn failover(waits: bool) -> (usize, usize) {
    let primary = RedisServer::start_new(&["--repl-diskless-sync-delay", "0"]).await;
    let relay = delayed(primary.port).await;
    let replica = RedisServer::start_new(&["--replicaof", "127.0.0.1", &relay.to_string()]).await;
    let mut admin = primary.admin().await;
    admin.replica_is_in_step().await;
    let options = RedisOptions::new(primary.url()).query_timeout(PATIENCE);
    // A replica that there is counts unless something else is set.
    let options = if waits { options } else { options.wait_for_replicas(0, DELAY) };
    let store: Arc<dyn SessionStore> = Arc::new(options.open().await.expect("a server that answers"));
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browsers: Vec<Browser> = Vec::new();
    for number in 0..SESSIONS {
        let mut browser = world.browser();
        browser.sign_in(&format!("user {number}")).await;
        browsers.push(browser);
    }
    admin.replica_is_in_step().await;
    // Two kinds of ends: a sign-out, and the death of a token that was replaced.
    let cookies: Vec<_> = browsers.iter().map(|browser| browser.cookie().expect("signed in")).collect();
    let ends = browsers.iter_mut().enumerate().map(async |(number, browser)| {
        let op = if number % 2 == 0 { "logout" } else { "rotate_strict" };
        browser.run(json!([{"op": op}])).await.status == 200
    });
    let ended: Vec<bool> = futures_util::future::join_all(ends).await;
    primary.kill();
    replica.admin().await.run("REPLICAOF NO ONE").await;
    let world = World::new(Arc::new(Axum), Rows::shared(opened_on(&replica, PATIENCE).await)).await;
    let mut back = 0;
    for (cookie, _) in cookies.into_iter().zip(&ended).filter(|(_, ended)| **ended) {
        let mut browser = world.browser();
        browser.set_cookie(cookie);
        back += usize::from(browser.run(json!([{"op": "user_id"}])).await.result(0) != json!(null));
    }
    (ended.iter().filter(|ended| **ended).count(), back)
}

/// The port of a relay that passes on what the server says after a while.
async fn delayed(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move { pass_on(client, server).await.unwrap_or_default() });
        }
    });
    port
}

async fn pass_on(mut client: TcpStream, server: u16) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    loop {
        let due = waiting.front().map(|(due, _)| *due);
        tokio::select! {
            read = client.read(&mut from_client) => match read? {
                0 => return Ok(()),
                length => server.write_all(&from_client[..length]).await?,
            },
            read = server.read(&mut from_server) => match read? {
                // What is on its way is lost with the server.
                0 => return Ok(()),
                length => waiting.push_back((Instant::now() + DELAY, from_server[..length].to_vec())),
            },
            () = async { tokio::time::sleep_until(due.expect("asked for only then")).await }, if due.is_some() => {
                let (_, bytes) = waiting.pop_front().expect("due");
                client.write_all(&bytes).await?;
            }
        }
    }
}

/// A replica that is there when the store opens, and then is not.
pub(super) async fn no_replica_confirms() {
    let primary = RedisServer::start_new(&["--repl-diskless-sync-delay", "0"]).await;
    let replica = RedisServer::start_new(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
    let mut admin = primary.admin().await;
    admin.replica_is_in_step().await;
    let world = World::new(Arc::new(Axum), Rows::shared(opened_on(&primary, PATIENCE).await)).await;
    let [mut browser, mut other] = [world.browser(), world.browser()];
    browser.sign_in("ada").await;
    other.sign_in("ada").await;
    let reply = browser.run(json!([{"op": "logout_other"}])).await;
    assert_eq!((reply.status, reply.error_status(0)), (200, None), "the replica has it");
    replica.kill();
    let reply = browser.run(json!([{"op": "set", "key": "n", "value": 1}])).await;
    assert_eq!((reply.status, reply.error_status(0)), (200, None), "values wait for no replica");
    let reply = browser.run(json!([{"op": "logout"}, {"op": "fail"}])).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(world.events().iter().any(|event| event.contains("0 of 1 replicas")), "{:?}", world.events());
    assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!(null), "it is made all the same");
}

/// Two servers and a Sentinel, which makes the replica the primary when the other one dies.
pub(super) async fn by_sentinel() {
    let primary = RedisServer::start_new(&["--repl-diskless-sync-delay", "0"]).await;
    let replica = RedisServer::start_new(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
    let mut admin = primary.admin().await;
    admin.replica_is_in_step().await;
    let sentinel = RedisServer::start_sentinel(primary.port).await;
    let mut watch = sentinel.admin().await;
    while !watch.ask::<String>("INFO sentinel").await.is_ok_and(|info| info.contains("slaves=1")) {
        pause().await;
    }
    // The first one never answers.
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = format!("redis://127.0.0.1:{}", unused.local_addr().expect("bound").port());
    let options =
        RedisOptions::new("redis://sessions/0").sentinels([silent, sentinel.url()]).query_timeout(PATIENCE * 3);
    let options = options.wait_for_replicas(0, DELAY);
    let store: Arc<dyn SessionStore> = Arc::new(options.open().await.expect("a primary that Sentinel knows"));
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browser = world.browser();
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"n": 1}}])).await;
    admin.replica_is_in_step().await;
    primary.kill();
    let reply = browser.run(json!([{"op": "increment", "key": "n"}, {"op": "get", "key": "n"}])).await;
    assert_eq!((reply.status, &reply.result(1)["value"]), (200, &json!(2)), "{:?}", world.events());
    let info: String = replica.admin().await.ask("INFO replication").await.expect("an answer");
    assert!(info.contains("role:master"), "{info}");
    let error = RedisOptions::new("redis://unknown").sentinels([sentinel.url()]).query_timeout(DELAY).open().await;
    let error = error.expect_err("no such name").to_string();
    assert!(error.contains("Sentinel knows no primary of this name"), "{error}");
}
