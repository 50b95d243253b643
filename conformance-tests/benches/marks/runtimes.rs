//! Tests that share one store, each in a runtime of its own that ends with it (FLT-7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conformance_tests::world::{Rows, World};
use serde_json::json;
use session_core::SessionStore;
use tokio::runtime::Builder;

use crate::support::axum::Axum;
use crate::support::faults::pool::opened;
use crate::support::faults::servers::Server;

const TESTS: usize = 40;
const AT_ONCE: usize = 4;
const TIMES: usize = 10;

pub(crate) async fn one_store_in_many_runtimes(server: &Server) {
    let (url, name) = (server.url(), server.kind().name());
    let mut failed = Vec::new();
    for _ in 0..TIMES {
        let url = url.clone();
        let run = tokio::task::spawn_blocking(move || {
            // Opened by the first of them, whose runtime ends.
            let store =
                Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(opened(&url, 8));
            let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        while next.fetch_add(1, Ordering::Relaxed) < TESTS {
                            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
                            let passes = runtime.block_on(passes(Arc::clone(&store)));
                            failed.fetch_add(usize::from(!passes), Ordering::Relaxed);
                        }
                    });
                }
            });
            failed.into_inner()
        });
        failed.push(run.await.expect("no panic"));
    }
    println!("{name}: of {TESTS} tests on one store, {AT_ONCE} runtimes at a time, {TIMES} times: {failed:?} failed");
    assert!(failed.iter().all(|failed| *failed == 0));
}

/// A test as an app has it.
async fn passes(store: Arc<dyn SessionStore>) -> bool {
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browser = world.browser();
    let scripts = [
        json!([{"op": "authenticate", "user": "ada"}, {"op": "fail"}]),
        json!([{"op": "set", "key": "n", "value": 1}, {"op": "fail"}]),
        json!([{"op": "get", "key": "n"}, {"op": "fail"}]),
        json!([{"op": "rotate"}, {"op": "fail"}]),
        json!([{"op": "logout"}, {"op": "fail"}]),
    ];
    for script in scripts {
        let reply = browser.try_run(script).await;
        if reply.as_ref().is_none_or(|reply| reply.status != 200) {
            eprintln!("{reply:?} {:?}", world.events());
            return false;
        }
    }
    true
}
