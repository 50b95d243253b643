//! A database that turns read-only under load, as a primary does that becomes a replica: reads go
//! on, whatever writes is a 503, and when it is over all is as before, without a restart.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::world::World;
use serde_json::json;

use super::client::Client;
use super::load::{Load, nothing_can_be_written};
use super::pool::{Pool, Settings};
use super::programs::{Kind, Programs};
use super::servers::Server;
use crate::support::axum::Axum;

/// How often it turns read-only.
const TIMES: usize = 3;

pub(super) async fn read_only_under_load(programs: Programs) {
    let server = Server::start_new(programs).await;
    let pool = Pool::open(&server.url(), Settings { connections: 8, ..Settings::SHORT }).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_secs(10))).await;
    let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
    let mut watcher = world.browser();
    watcher.run(json!([{"op": "authenticate_with", "user": "watcher", "data": {"n": 1}}])).await;
    let mut load = Load::start(&world, 0).await;
    for time in 0..TIMES {
        load.stored(5).await;
        load.before_the_fault().await;
        turn(&mut admin, server.kind(), true).await;
        load.refused().await;
        nothing_can_be_written(&world, &watcher, 200).await;
        world.clock.advance(Duration::from_secs(600));
        world.events();
        let reply = watcher.run(json!([{"op": "get", "key": "n"}])).await;
        let read = (reply.status, reply.result(0), reply.set_cookies().len());
        assert_eq!(read, (200, json!({"value": 1}), 0), "read though its activity is due");
        assert!(world.events().iter().any(|event| event.contains("ActivityNotRecorded")), "time {time}");

        turn(&mut admin, server.kind(), false).await;
        // Each connection hears of it with its next request.
        load.stored(1).await;
        load.after_the_fault();
        load.stored(5).await;
    }
    let totals = load.finish().await;
    assert_eq!(totals.for_nothing, 0, "nothing is refused any more");
    let reply = watcher.run(json!([{"op": "increment", "key": "n"}])).await;
    assert_eq!((reply.status, reply.result(0)), (200, json!(null)));
    println!(
        "{}, {TIMES} times read-only: {} writes acknowledged, none lost; {} refused, none of them afterwards",
        server.kind().name(),
        totals.stored,
        totals.refused,
    );
}

async fn turn(admin: &mut Client, kind: Kind, read_only: bool) {
    let statements = match kind {
        Kind::Postgres => [
            format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}"),
            "SELECT pg_reload_conf()".to_owned(),
        ]
        .to_vec(),
        Kind::MariaDb => vec![format!("SET GLOBAL read_only = {read_only}")],
    };
    for statement in statements {
        admin.run(&statement).await.expect("an administrator");
    }
}
