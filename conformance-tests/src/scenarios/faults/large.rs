//! FLT-9: large sessions at once. How long they take is for `benches/big_data` to measure.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;

use crate::browser::Browser;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-9", "sessions of 1 MiB written at once are all stored", large_writes),
    scenario!("FLT-9", "sessions of all sizes read at once are each whole", reads_of_all_sizes),
    scenario!("FLT-9", "sessions of all sizes written at once are each whole", writes_of_all_sizes),
];

/// Below, at and beyond what goes together, what goes alone, and what waits for room.
const SIZES: [usize; 8] = [10, 1000, 16_000, 17_000, 70_000, 200_000, 300_000, 600_000];

async fn large_writes(world: World) {
    written_at_once(&world, &[1 << 20; 16]).await;
}

async fn writes_of_all_sizes(world: World) {
    written_at_once(&world, &[SIZES, SIZES, SIZES].concat()).await;
}

async fn written_at_once(world: &World, sizes: &[usize]) {
    const GATE: &str = "at once";
    let world = world.with_config(|config| config.max_data_bytes(8 << 20)).await;
    let mut requests = Vec::new();
    for (number, &bytes) in sizes.iter().enumerate() {
        let mut browser = signed_in(&world, number).await;
        let ops = json!([{"op": "set_long", "key": "k", "bytes": bytes}, {"op": "gate", "name": GATE}]);
        requests.push(tokio::spawn(async move { browser.run(ops).await.status }));
    }
    for _ in sizes {
        world.gates.arrived(GATE).await;
    }
    world.gates.open(GATE);
    for request in requests {
        assert_eq!(request.await.expect("the request runs to its end"), 200, "none is refused");
    }
    for (number, bytes) in sizes.iter().enumerate() {
        let rows = rows(&world, &format!("user {number}")).await;
        let text = rows[0].data.text();
        let long =
            text.strip_prefix(r#"{"k":""#).and_then(|rest| rest.strip_suffix(&format!(r#"","number":{number}}}"#)));
        assert!(long.is_some_and(|long| is_long(long, *bytes)), "{bytes} bytes");
    }
}

async fn reads_of_all_sizes(world: World) {
    const READERS: usize = 4;
    let world = world.with_config(|config| config.max_data_bytes(8 << 20)).await;
    let mut browsers = Vec::new();
    for (number, &bytes) in SIZES.iter().enumerate() {
        let mut browser = signed_in(&world, number).await;
        browser.run(json!([{"op": "set_long", "key": "k", "bytes": bytes}])).await;
        browsers.push(browser);
    }
    let barrier = Arc::new(Barrier::new(SIZES.len() * READERS));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        for (number, &bytes) in SIZES.iter().enumerate() {
            let (mut browser, barrier) = (browsers[number].clone(), Arc::clone(&barrier));
            readers.push(tokio::spawn(async move {
                barrier.wait().await;
                assert_whole(&mut browser, number, bytes).await;
            }));
        }
    }
    for reader in readers {
        reader.await.expect("each is whole");
    }
}

async fn signed_in(world: &World, number: usize) -> Browser {
    let mut browser = world.browser();
    browser.sign_in(&format!("user {number}")).await;
    browser.run(json!([{"op": "set", "key": "number", "value": number}])).await;
    browser
}

/// Each browser sees its own session.
async fn assert_whole(browser: &mut Browser, number: usize, bytes: usize) {
    let reply = browser.run(json!([{"op": "get", "key": "number"}, {"op": "get", "key": "k"}])).await;
    assert_eq!(reply.status, 200, "{bytes} bytes");
    assert_eq!(reply.result(0), json!({"value": number}));
    assert!(reply.result(1)["value"].as_str().is_some_and(|long| is_long(long, bytes)), "{bytes} bytes");
}

fn is_long(text: &str, bytes: usize) -> bool {
    text.len() == bytes && text.bytes().all(|byte| byte == b'x')
}
