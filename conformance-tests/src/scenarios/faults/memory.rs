//! FLT-12: what the store in memory holds at most.

use serde_json::json;
use session_core::{MemoryStore, Visitors};

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-12", "visitors fill half of the memory, and users still sign in", visitors_fill_half),
    scenario!("FLT-12", "a full memory refuses what is more, and nothing else", full),
];

/// Room for so many bytes.
const BYTES: usize = 64 << 10;

async fn visitors_fill_half(world: World) {
    let world = world.with_config(|config| config.visitors(Visitors::new())).await;
    let world = world.with_store(|_| MemoryStore::new().max_bytes(BYTES)).await;
    let ops = json!([{"op": "set", "key": "cart", "value": "x".repeat(1000)}]);
    let mut made = 0;
    let refused = loop {
        let reply = world.browser().run(ops.clone()).await;
        if reply.status != 200 {
            break reply;
        }
        made += 1;
        assert!(made <= BYTES / 2 / 2000, "it never ends: {made}");
    };
    assert_eq!((refused.status, refused.sends_cookie(), refused.body.len()), (503, false, 0));
    assert!(made > BYTES / 2 / 4000, "{made}");
    assert!(world.events().iter().any(|event| event.contains("max_bytes")), "the event names the way out");
    let mut ada = sign_in(&world, "ada").await;
    let reply = ada.run(json!([{"op": "set", "key": "a", "value": "x".repeat(4000)}])).await;
    assert_eq!((reply.status, user(&mut ada).await), (200, json!("ada")));
}

async fn full(world: World) {
    let world = world.with_store(|_| MemoryStore::new().max_bytes(BYTES)).await;
    let mut ada = sign_in(&world, "ada").await;
    let long = |bytes: usize| json!([{"op": "set", "key": "a", "value": "x".repeat(bytes)}]);
    assert_eq!(ada.run(long(40_000)).await.status, 200);
    assert_eq!(ada.run(long(60_000)).await.status, 200, "in place of what was there");
    let reply = ada.clone().run(json!([{"op": "set", "key": "b", "value": "x".repeat(5000)}])).await;
    assert_eq!((reply.status, reply.removes_cookie()), (503, false));
    let mut bob = world.browser();
    let ops = json!([{"op": "authenticate_with", "user": "bob", "data": {"a": "x".repeat(5000)}}]);
    let reply = bob.run(ops).await;
    assert_eq!((reply.error_status(0), reply.sends_cookie()), (Some(503), false));
    assert_eq!(bob.run(json!([{"op": "list", "user": "bob"}])).await.result(0), json!([]));

    let reply = ada.run(json!([{"op": "get", "key": "b"}, {"op": "rotate"}])).await;
    assert_eq!(
        (reply.status, reply.result(0), reply.error_status(1)),
        (200, json!({"absent": true}), None),
        "it reads and rotates"
    );
    assert_eq!(ada.run(long(10)).await.status, 200, "and what takes less");
    assert_eq!(sign_in(&world, "bob").await.run(long(50_000)).await.status, 200, "makes room for others");
    assert_eq!(ada.run(json!([{"op": "logout"}])).await.error_status(0), None);
}
