//! A Redis Cluster of a trial's own, or of all trials of the store suite: three primaries, each with
//! a replica, on loopback.

use std::sync::{Arc, Weak};
use std::time::Duration;

use conformance_tests::BoxFuture;
use conformance_tests::world::{PATIENCE, Rows, StoreKind};
use session_core::{RedisOptions, SessionStore};
use tokio::sync::Mutex;

use super::server::{Admin, RedisServer};

/// How many primaries, and as many replicas.
const PRIMARIES: usize = 3;
const SLOTS: usize = 16384;

/// Servers that form a cluster.
pub(super) struct Cluster {
    /// The primaries first, then the replica of each.
    pub(super) servers: Vec<RedisServer>,
}

impl Cluster {
    /// One whose slots are all served, and whose replicas are in step.
    pub(super) async fn start_new() -> Self {
        let mut servers = Vec::new();
        for _ in 0..2 * PRIMARIES {
            servers.push(Self::start_server().await);
        }
        let cluster = Self { servers };
        let mut admins = Vec::new();
        for server in &cluster.servers {
            admins.push(server.admin().await);
        }
        for (number, admin) in admins[..PRIMARIES].iter_mut().enumerate() {
            let (first, last) = (number * SLOTS / PRIMARIES, (number + 1) * SLOTS / PRIMARIES - 1);
            admin.run(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            admin.run(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await;
        }
        for admin in &mut admins[1..] {
            admin.run(&cluster.servers[0].meet()).await;
        }
        for (number, admin) in admins.iter_mut().enumerate() {
            known(admin, 2 * PRIMARIES).await;
            if number >= PRIMARIES {
                let primary = id(&mut cluster.servers[number - PRIMARIES].admin().await).await;
                while admin.ask::<()>(&format!("CLUSTER REPLICATE {primary}")).await.is_err() {
                    pause().await;
                }
            }
        }
        cluster.is_whole().await;
        cluster
    }

    /// A server that may join a cluster.
    pub(super) async fn start_server() -> RedisServer {
        let bus = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        RedisServer::start_new(&[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--cluster-port",
            &bus.to_string(),
            "--cluster-allow-replica-migration",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ])
        .await
    }

    /// Waits until every server that runs says that all is well, and every replica is in step.
    pub(super) async fn is_whole(&self) {
        for server in self.servers.iter().filter(|server| server.runs()) {
            let mut admin = server.admin().await;
            loop {
                let info: String = admin.ask("CLUSTER INFO").await.expect("an answer");
                let replication: String = admin.ask("INFO replication").await.expect("an answer");
                let is_in_step = replication.contains("role:master") || replication.contains("master_link_status:up");
                if info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384") && is_in_step {
                    break;
                }
                pause().await;
            }
        }
    }

    /// The URLs of all of its servers.
    pub(super) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }

    pub(super) async fn opened(&self, patience: Duration) -> Arc<dyn SessionStore> {
        opened(self.urls(), "session:", patience).await
    }
}

/// A store on the cluster of these servers.
pub(super) async fn opened(urls: Vec<String>, prefix: &str, patience: Duration) -> Arc<dyn SessionStore> {
    let options = RedisOptions::cluster(urls).key_prefix(prefix).query_timeout(patience).acquire_timeout(patience);
    Arc::new(options.open().await.expect("a cluster that is whole"))
}

/// What a server calls itself in its cluster.
pub(super) async fn id(admin: &mut Admin) -> String {
    admin.ask("CLUSTER MYID").await.expect("a server of a cluster")
}

/// Waits until a server knows so many.
pub(super) async fn known(admin: &mut Admin, servers: usize) {
    while !admin
        .ask::<String>("CLUSTER INFO")
        .await
        .is_ok_and(|info| info.contains(&format!("cluster_known_nodes:{servers}\r")))
    {
        pause().await;
    }
}

/// Between two looks at what another process does.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// The store on a cluster that all trials share, with keys of their own.
#[derive(Clone, Default)]
pub(crate) struct OnCluster {
    /// There as long as a trial's rows are.
    running: Arc<Mutex<Weak<Cluster>>>,
}

impl StoreKind for OnCluster {
    fn name(&self) -> &'static str {
        "redis-cluster"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let running = Arc::clone(&self.running);
        Box::pin(async move {
            let cluster = {
                let mut running = running.lock().await;
                match running.upgrade() {
                    Some(cluster) => cluster,
                    None => {
                        let cluster = Arc::new(Cluster::start_new().await);
                        *running = Arc::downgrade(&cluster);
                        cluster
                    }
                }
            };
            let prefix = super::prefix();
            Rows::new(move || {
                let (cluster, prefix) = (Arc::clone(&cluster), prefix.clone());
                async move { opened(cluster.urls(), &prefix, PATIENCE).await }
            })
        })
    }
}
