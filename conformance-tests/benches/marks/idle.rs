//! A server that ends what lies idle for two seconds, and a job that cleans up and revokes for a minute (FLT-7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::world::{Rows, World};
use tokio::time::sleep;

use crate::support::axum::Axum;
use crate::support::faults::client::Client;
use crate::support::faults::pool::opened;
use crate::support::faults::programs::Kind;
use crate::support::faults::servers::Server;

const TIME: Duration = Duration::from_secs(60);

pub(crate) async fn idle_limit_of_the_server(server: &Server) {
    let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
    let limit: &[&str] = match server.kind() {
        Kind::Postgres => &["ALTER SYSTEM SET idle_session_timeout = '2s'", "SELECT pg_reload_conf()"],
        Kind::MariaDb => &["SET GLOBAL wait_timeout = 2"],
    };
    for sql in limit {
        admin.run(sql).await.expect("a setting that there is");
    }
    drop(admin);
    let world = World::new(Arc::new(Axum), Rows::shared(opened(&server.url(), 8).await)).await;
    let cleanup = world.service.spawn_cleanup(Duration::from_secs(3));
    let (start, mut calls, mut failed) = (Instant::now(), 0, Vec::new());
    while start.elapsed() < TIME {
        let mut ada = world.browser();
        // Signing in is a write without a read before it, too.
        ada.sign_in("ada").await;
        sleep(Duration::from_millis(2100)).await;
        let sessions = world.service.list("ada").await;
        let id = sessions.as_ref().ok().and_then(|sessions| Some(sessions.first()?.id.to_string()));
        failed.extend(sessions.err().map(|error| error.to_string()));
        sleep(Duration::from_millis(2300)).await;
        let id = id.unwrap_or_default();
        failed.extend(world.service.revoke_by_id("ada", &id).await.err().map(|error| error.to_string()));
        sleep(Duration::from_millis(2500)).await;
        failed.extend(world.service.revoke_all("ada").await.err().map(|error| error.to_string()));
        calls += 4;
    }
    cleanup.stop().await;
    let events: Vec<_> = world.events().into_iter().filter(|event| event.contains("rror")).collect();
    println!(
        "{}: idle limit 2 s, {TIME:?}, {calls} calls beside a clean-up every 3 s: {} failed, {} error events",
        server.kind().name(),
        failed.len(),
        events.len()
    );
    assert!(failed.is_empty() && events.is_empty(), "{failed:?} {events:?}");
}
