//! DATA-11: which headers stay where a response is replaced because its commit failed.

use serde_json::{Value, json};

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] =
    &[scenario!("DATA-11", "that 503 keeps what is said of the site and of the request", kept)];

/// What layers inside ours add, and the former body's.
async fn kept(world: World) {
    let theirs = [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-request-id"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("timing-allow-origin", "*"),
        ("strict-transport-security", "max-age=63072000"),
        ("x-request-id", "req-\u{e9}"),
        ("x-correlation-id", "c-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("traceresponse", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let dropped = ["etag", "last-modified", "content-encoding", "cdn-cache-control", "expires", "link", "x-accessed"];
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let mut ops = vec![json!({"op": "set", "key": "a", "value": 1})];
    ops.extend(theirs.map(|(name, value)| json!({"op": "header", "name": name, "value": value})));
    ops.extend(dropped.map(|name| json!({"op": "header", "name": name, "value": "0"})));
    ops.push(json!({"op": "header", "name": "retry-after", "value": "3600"}));
    world.faults.fail(OpKind::Update, Fault::NotApplied);
    let reply = browser.run(Value::Array(ops)).await;
    world.faults.clear();
    assert_eq!((reply.status, reply.body.is_empty()), (503, true));
    let mut names: Vec<_> = theirs.iter().map(|(name, _)| *name).collect();
    names.dedup();
    for name in names {
        let sent = theirs.iter().filter(|(other, _)| *other == name);
        let sent: Vec<Vec<u8>> = sent.map(|(_, value)| value.chars().map(|one| one as u8).collect()).collect();
        let lines: Vec<_> = reply.headers.get_all(name).iter().map(|line| line.as_bytes().to_vec()).collect();
        assert_eq!(lines, sent, "{name}: byte for byte");
    }
    for name in dropped {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
    assert_eq!(reply.headers.get_all("retry-after").iter().collect::<Vec<_>>(), ["1"]);
    assert_eq!((&reply.headers["cache-control"], reply.vary().as_str()), (&"no-store".parse().unwrap(), "Cookie"));
}
