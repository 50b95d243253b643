//! A server that is killed with SIGKILL under load and started again, several times: nothing
//! acknowledged is lost, nothing that ended comes back, and service goes on by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::world::World;
use serde_json::json;

use super::client::Client;
use super::load::{Load, nothing_can_be_written};
use super::pool::{Pool, Settings};
use super::programs::Programs;
use super::servers::Server;
use crate::support::axum::Axum;

/// How often the server is killed.
const CRASHES: usize = 3;
/// Requests that each writer must have had answered between two crashes.
const BETWEEN: usize = 15;
const SETTINGS: Settings = Settings { connections: 8, patience: Duration::from_millis(300), ..Settings::SHORT };

pub(super) async fn killed_under_load(programs: Programs) {
    let server = Server::start_new(programs).await;
    let pool = Pool::open(&server.url(), SETTINGS).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_secs(5))).await;
    let mut load = Load::start(&world, 0).await;
    let mut pauses = Vec::new();
    for crash in 0..CRASHES {
        load.stored(BETWEEN).await;
        let mut watcher = world.browser();
        watcher.sign_in(&format!("watcher {crash}")).await;
        load.before_the_fault().await;
        let refused_before = load.for_nothing();
        server.kill().await;
        load.refused().await;
        nothing_can_be_written(&world, &watcher, 503).await;

        server.start().await.expect("a server that starts again");
        let back = Instant::now();
        let mut client = Client::connect(&server.admin_url()).await.expect("a server that answers");
        client.run("SELECT 1").await.expect("an answer");
        load.after_the_fault();
        load.stored_one().await;
        pauses.push(back.elapsed());
        load.stored(1).await;
        // Connections that died can fail one request each, and no more.
        let refused = load.for_nothing() - refused_before;
        assert!(refused <= u64::from(SETTINGS.connections), "{refused} refused after the server answered");
        let reply = watcher.run(json!([{"op": "set", "key": "n", "value": 1}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "the session is still there");
    }
    let totals = load.finish().await;
    assert_eq!(pool.hold_all().await.len(), pool.connections(), "no connection is lost");
    println!(
        "{}, {CRASHES} crashes: {} writes acknowledged, none lost; {} refused, {} of them with the server back; served again \
         {pauses:.0?} after",
        server.kind().name(),
        totals.stored,
        totals.refused,
        totals.for_nothing,
    );
}
