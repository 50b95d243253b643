//! Two nodes over one database, each behind a proxy of its own, and each with two runtimes that may end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{CookieSessionService, KeyRing, SessionConfig, SigningKey};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::sleep;

use super::proxy::Proxy;
use crate::support::faults::pool::opened_for;

/// As many connections as each node may have.
pub(super) const CONNECTIONS: usize = 4;
/// How long an operation may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Tasks of a runtime in which nothing is under way: those of a store that keep its connections, and that know when it ends.
const KEEPERS: usize = 4;

pub(super) struct Node {
    pub(super) service: CookieSessionService,
    pub(super) proxy: Proxy,
    runtimes: [Mutex<Option<Runtime>>; 2],
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

impl Node {
    /// A node whose store is opened in its first runtime.
    pub(super) async fn start(url: &str) -> Self {
        let (front, back) = url.split_once("127.0.0.1:").expect("a server here");
        let (port, rest) = back.split_once('/').expect("a database");
        let proxy = Proxy::start(format!("127.0.0.1:{port}")).await;
        let through = format!("{front}127.0.0.1:{}/{rest}", proxy.port);
        let runtimes = [runtime(), runtime()];
        let connections = u32::try_from(CONNECTIONS).expect("few");
        let opening = runtimes[0].spawn(async move { opened_for(&through, connections, PATIENCE).await });
        let store = opening.await.expect("a store that opens");
        let keys = KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes"));
        let config = SessionConfig::builder().max_sessions_per_user(1000).rotation_grace(Duration::from_secs(300));
        let service = CookieSessionService::new(store, config.build(keys).expect("a configuration that is accepted"));
        Self { service, proxy, runtimes: runtimes.map(|runtime| Mutex::new(Some(runtime))) }
    }

    fn lock(&self, place: usize) -> MutexGuard<'_, Option<Runtime>> {
        self.runtimes[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn runtime(&self, place: usize) -> Handle {
        self.lock(place).as_ref().expect("until the node is dropped").handle().clone()
    }

    /// Ends one of its runtimes with all that is under way there; another takes its place.
    pub(super) fn end_runtime(&self, place: usize) {
        let ended = self.lock(place).replace(runtime());
        ended.expect("until the node is dropped").shutdown_background();
    }

    /// Waits until nothing is under way in its runtimes: how many tasks are left otherwise.
    pub(super) async fn settled(&self) -> Option<[usize; 2]> {
        for _ in 0..700 {
            let tasks = [0, 1].map(|place| self.runtime(place).metrics().num_alive_tasks());
            if tasks.iter().all(|tasks| *tasks <= KEEPERS) {
                return None;
            }
            sleep(Duration::from_millis(100)).await;
        }
        Some([0, 1].map(|place| self.runtime(place).metrics().num_alive_tasks()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for place in [0, 1] {
            if let Some(runtime) = self.lock(place).take() {
                runtime.shutdown_background();
            }
        }
    }
}
