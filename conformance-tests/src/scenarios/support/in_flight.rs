//! Requests that are inside their handler while something else happens: what most races come down
//! to, made repeatable.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::browser::{Browser, Reply};
use crate::world::World;

/// A request whose handler waits at a gate.
pub(crate) struct InFlight {
    gate: &'static str,
    request: JoinHandle<(Browser, Reply)>,
}

/// Sends a request with a copy of `browser`'s jar that runs `before`, waits at `gate`, and will
/// then run `after`. Returns once the handler is at the gate. Each gate has its own name.
pub(crate) async fn in_flight(
    world: &World,
    browser: &Browser,
    before: Value,
    gate: &'static str,
    after: Value,
) -> InFlight {
    in_flight_on("/do", world, browser, before, gate, after).await
}

/// The same on another route.
pub(crate) async fn in_flight_on(
    path: &'static str,
    world: &World,
    browser: &Browser,
    before: Value,
    gate: &'static str,
    after: Value,
) -> InFlight {
    let mut browser = browser.clone();
    let ops = [ops(before), vec![json!({"op": "gate", "name": gate})], ops(after)].concat();
    let request = tokio::spawn(async move {
        let reply = browser.run_on(path, Value::Array(ops)).await;
        (browser, reply)
    });
    world.gates.arrived(gate).await;
    InFlight { gate, request }
}

impl InFlight {
    /// Lets the handler go on, and returns the response and the browser as it is after it.
    pub(crate) async fn finish(self, world: &World) -> (Browser, Reply) {
        world.gates.open(self.gate);
        self.request.await.expect("the request runs to its end")
    }

    /// Closes the connection; the handler stays where it is.
    pub(crate) async fn hang_up(self) {
        self.request.abort();
        assert!(self.request.await.is_err_and(|e| e.is_cancelled()), "the handler is still at its gate");
    }
}

fn ops(list: Value) -> Vec<Value> {
    match list {
        Value::Array(ops) => ops,
        other => panic!("a script is an array, not {other}"),
    }
}
