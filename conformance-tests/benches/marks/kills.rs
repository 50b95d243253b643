//! Connections killed at the server, and servers killed, under load (DATA-16).

use std::process::Command;
use std::sync::Arc;

use conformance_tests::world::{Rows, World};

use crate::counted::Counted;
use crate::support::axum::Axum;
use crate::support::faults::client::Client;
use crate::support::faults::pool::opened;
use crate::support::faults::programs::Kind;
use crate::support::faults::servers::Server;

const CONNECTIONS: u32 = 16;
const CHANGES: u64 = 100_000;
const KILLS: u64 = 10;
const CRASHES: u64 = 5;
/// Changes for each crash.
const EACH: u64 = 4000;

/// All connections end, ten times within 100,000 changes.
pub(crate) async fn connections_killed(server: &Server) {
    let world = World::new(Arc::new(Axum), Rows::shared(opened(&server.url(), CONNECTIONS).await)).await;
    let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
    let counted = Counted::start(&world, CHANGES).await;
    let mut killed = 0;
    for kill in 1..=KILLS {
        counted.done(CHANGES * kill / (KILLS + 1)).await;
        killed += kill_all(server.kind(), &mut admin).await;
    }
    let told = counted.finish().await;
    println!(
        "{}: {KILLS} times all connections killed, {killed} in all, within {} changes, {} of them updates of shared sessions: none \
         lost, none twice; {} times 503; the longest took {:.0?}",
        server.kind().name(),
        told.done(),
        told.updates(),
        told.refused(),
        told.longest(),
    );
    assert!(told.refused() <= KILLS, "at most one 503 for each kill");
}

async fn kill_all(kind: Kind, admin: &mut Client) -> usize {
    let theirs = match kind {
        Kind::Postgres => {
            "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        }
        Kind::MariaDb => "SELECT id FROM information_schema.processlist WHERE user = 'app'",
    };
    let ids = admin.numbers(theirs).await;
    for id in &ids {
        let kill = match kind {
            Kind::Postgres => format!("SELECT pg_terminate_backend({id})"),
            Kind::MariaDb => format!("KILL {id}"),
        };
        // It may have ended by itself.
        drop(admin.run(&kill).await);
    }
    ids.len()
}

/// One process of PostgreSQL, which then restarts all of them, or MariaDB's server is killed, five times.
pub(crate) async fn servers_killed(server: &Server) {
    let world = World::new(Arc::new(Axum), Rows::shared(opened(&server.url(), CONNECTIONS).await)).await;
    let counted = Counted::start(&world, EACH * (CRASHES + 1)).await;
    let mut refused = Vec::new();
    for crash in 1..=CRASHES {
        let before = counted.told.refused();
        counted.done(EACH * crash).await;
        match server.kind() {
            Kind::Postgres => {
                let mut admin = Client::connect(&server.admin_url()).await.expect("a server that answers");
                let own = admin.id().await;
                let backends = "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'client backend'";
                let pids = admin.numbers(backends).await;
                let pid = pids.into_iter().find(|pid| *pid != own).expect("a connection of the store");
                let killed =
                    Command::new("kill").args(["-9", &pid.to_string()]).status().expect("a program that is there");
                assert!(killed.success());
            }
            Kind::MariaDb => {
                server.kill().await;
                server.start().await.expect("a server that starts again");
            }
        }
        counted.done(EACH * crash + EACH / 2).await;
        refused.push(counted.told.refused() - before);
    }
    let told = counted.finish().await;
    println!(
        "{}: {CRASHES} crashes within {} changes: none lost, none twice; 503s: {refused:?}; the longest took {:.0?}",
        server.kind().name(),
        told.done(),
        told.longest(),
    );
}
