//! Servers, rights, URLs and values that can't serve sessions: what is said of them.

use conformance_tests::redis::Redis;
use conformance_tests::world::{Rows, World};
use serde_json::json;
use session_core::{RedisOpenError, RedisOptions, RedisStore, RedisUrlFault};
use std::sync::Arc;

use super::inspect::RedisRows;
use super::server::RedisServer;
use super::{PATIENCE, opened};
use crate::support::axum::Axum;

async fn refused(url: &str) -> RedisOpenError {
    let options = RedisOptions::new(url).query_timeout(std::time::Duration::from_millis(500));
    let error = options.open().await.expect_err("what can't serve sessions");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    error
}

pub(super) async fn servers() {
    let primary = RedisServer::start_new(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let mut admin = primary.admin().await;
    let error = refused(&primary.url()).await;
    assert!(matches!(&error, RedisOpenError::Evicts { policy } if policy == "allkeys-lru"), "{error}");
    assert!(error.to_string().contains("maxmemory-policy noeviction"), "{error}");
    admin.run("CONFIG SET maxmemory-policy noeviction").await;
    drop(opened(&primary.url(), "session:", PATIENCE).await);
    admin.run("CONFIG SET maxmemory 1").await;
    assert!(matches!(refused(&primary.url()).await, RedisOpenError::Full { .. }));
    admin.run("CONFIG SET maxmemory 0").await;

    let database = format!("{}/16", primary.url());
    let error = refused(&database).await;
    assert!(matches!(error, RedisOpenError::NoDatabase { .. }), "{error}");
    drop(RedisStore::open(&format!("{}/15", primary.url())).await.expect("a database that is there"));

    let replica = RedisServer::start_new(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
    let mut of_replica = replica.admin().await;
    while !of_replica.ask::<String>("INFO replication").await.is_ok_and(|info| info.contains("master_link_status:up")) {
        tokio::task::yield_now().await;
    }
    let error = refused(&replica.url()).await;
    assert!(matches!(error, RedisOpenError::Replica { .. }) && error.to_string().contains("the primary"), "{error}");

    let cluster = RedisServer::start_new(&["--cluster-enabled", "yes"]).await;
    let error = refused(&cluster.url()).await;
    assert!(matches!(error, RedisOpenError::Cluster), "{error}");

    // And the reverse, for each of several URLs.
    let error = RedisOptions::cluster([primary.url(), primary.url()]).open().await.expect_err("no cluster");
    assert!(matches!(error, RedisOpenError::NoCluster), "{error}");
    let error = RedisOptions::cluster([format!("{}/1", cluster.url())]).open().await.expect_err("one database");
    assert!(matches!(error, RedisOpenError::Url { fault: RedisUrlFault::ClusterDatabase }), "{error}");
    let error = RedisOptions::cluster(Vec::<String>::new()).open().await.expect_err("no server");
    assert!(matches!(error, RedisOpenError::Url { fault: RedisUrlFault::None }), "{error}");
    let options = RedisOptions::cluster([cluster.url()]).query_timeout(std::time::Duration::from_millis(300));
    let error = options.open().await.expect_err("a cluster without slots");
    assert!(matches!(error, RedisOpenError::SlotsMissing { slot: 0, .. }), "{error}");

    let guarded = RedisServer::start_new(&["--requirepass", "right"]).await;
    for url in [guarded.url(), guarded.url().replace("//", "//:hunter2@"), guarded.url().replace("//", "//me:hunter2@")]
    {
        let error = refused(&url).await;
        assert!(matches!(error, RedisOpenError::Refused { .. }), "{error}");
    }
    drop(opened(&guarded.url().replace("//", "//:right@"), "session:", PATIENCE).await);

    // What speaks another protocol, and nothing at all.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let other = format!("redis://127.0.0.1:{}", listener.local_addr().expect("bound").port());
    drop(listener);
    assert!(matches!(refused(&other).await, RedisOpenError::NoServer { .. }));
}

pub(super) async fn rights() {
    let server = RedisServer::start_new(&[]).await;
    let mut admin = server.admin().await;
    let url = server.url().replace("//", "//app:hunter2@");
    admin.run("ACL SETUSER app on >hunter2 +ping").await;
    let error = refused(&url).await;
    let RedisOpenError::MissingRights { user, prefix, .. } = &error else { panic!("{error}") };
    assert_eq!((user.as_str(), prefix.as_str()), ("app", "session:"));
    // The line of the message is all that it takes, and each command of it is needed.
    let message = error.to_string();
    let line = message.split('`').nth(1).expect("a line to paste").to_owned();
    admin.run(&line).await;
    drop(RedisStore::open(&url).await.expect("all rights that it takes"));
    let needed: Vec<_> = line.split_whitespace().filter(|word| word.starts_with('+')).map(|word| &word[1..]).collect();
    for command in needed {
        // Those that only help: without them there is a warning, or nothing is missed.
        if ["info", "config|get", "hello", "select", "ping", "time", "eval", "asking", "cluster|slots", "wait"]
            .contains(&command)
        {
            continue;
        }
        admin.run(&format!("ACL SETUSER app -{command}")).await;
        let error = refused(&url).await;
        assert!(matches!(error, RedisOpenError::MissingRights { .. }), "{command}: {error}");
        admin.run(&line).await;
    }
}

pub(super) async fn urls() {
    for (url, fault) in [
        ("localhost:6379", RedisUrlFault::Scheme),
        ("http://localhost", RedisUrlFault::Scheme),
        ("postgres://me:hunter2@host/db", RedisUrlFault::Scheme),
        ("redis://a:6379,b:6379", RedisUrlFault::SeveralHosts),
        ("redis://me:hunter2@a,b/0", RedisUrlFault::SeveralHosts),
        ("redis://me:hun#ter2@host", RedisUrlFault::Password),
        ("redis://me:hun/ter2@host", RedisUrlFault::Password),
        ("redis://me:hun?ter2@host", RedisUrlFault::Password),
        ("redis://me:123?hunter2@host/0", RedisUrlFault::Password),
        ("redis://host/sessions", RedisUrlFault::Database),
        ("redis://host/-1", RedisUrlFault::Database),
        ("rediss://host", RedisUrlFault::NoTls),
        ("redis://", RedisUrlFault::Syntax),
    ] {
        let error = refused(url).await;
        assert!(matches!(error, RedisOpenError::Url { fault: said } if said == fault), "{url}: {error}");
    }
    for prefix in ["{a}", "a}", "{"] {
        let error = RedisOptions::new("redis://127.0.0.1").key_prefix(prefix).open().await.expect_err("braces");
        assert!(matches!(error, RedisOpenError::Prefix), "{error}");
    }
}

/// A stranger has written over keys of ours.
pub(super) async fn other_types(redis: Redis) {
    let prefix = redis.prefix();
    let store = opened(redis.url(), &prefix, PATIENCE).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut rows = RedisRows::connect(redis.url(), &prefix).await;
    for value in ["list", "text", "row of a later release"] {
        let [mut broken, mut other] = [world.browser(), world.browser()];
        broken.sign_in(&format!("ada {value}")).await;
        let row = rows.keys('s', &[]).await.pop().expect("the only row");
        other.sign_in(&format!("ada {value}")).await;
        match value {
            "list" => {
                rows.ask::<()>("DEL", &row, &[]).await;
                rows.ask::<()>("RPUSH", &row, &["a", "b"]).await;
            }
            "text" => rows.ask::<()>("SET", &row, &["hello"]).await,
            _ => rows.ask::<()>("SETRANGE", &row, &["0", "\u{2}"]).await,
        }
        let reply = broken.run(json!([{"op": "user_id"}, {"op": "fail"}])).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (500, 0), "{value}: {reply:?}");
        assert!(world.events().iter().any(|event| event.contains("Corrupt")), "{value}");
        let reply = other.run(json!([{"op": "logout_other"}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "{value}: {reply:?}");
        assert_eq!(broken.run(json!([{"op": "user_id"}])).await.result(0), json!(null), "{value}: revoked");
        other.run(json!([{"op": "logout"}])).await;
        assert_eq!(rows.keys('s', &[]).await, Vec::<Vec<u8>>::new(), "{value}: nothing is left");
    }
}
