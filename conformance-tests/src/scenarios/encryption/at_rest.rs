//! ENC-1 to ENC-4: what reaches the store, what is read back, and by which keys.

use serde_json::json;
use session_core::store::{SessionStore, databases::Encrypted};
use session_core::{Data, KeyRing, SigningKey};

use crate::browser::Browser;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::ring;
use crate::scenarios::support::sessions::{assert_signed_out, only_row, sign_in, user};
use crate::scenarios::support::stored::{data, rewritten, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ENC-1", "the store is handed no key and no value", nothing_readable),
    scenario!("ENC-1", "all but the data is handed on as it is", the_rest_as_it_is),
    scenario!("ENC-1", "requests that change one session at once all take effect", at_once_all_count),
    scenario!("ENC-1", "a visitor's data is encrypted, and taken along by a sign-in", a_visitor),
    scenario!("ENC-2", "another session's data can't be understood", anothers_data),
    scenario!("ENC-2", "data that was changed can't be understood", changed_data),
    scenario!("ENC-2", "plain data can't be understood", plain_data),
    scenario!("ENC-3", "each key of the ring decrypts, and a write encrypts by the first", keys_rotate),
    scenario!("ENC-3", "data under an unknown key is no empty session", an_unknown_key),
    scenario!("ENC-3", "a node that doesn't decrypt finds no empty session", a_node_without),
    scenario!("ENC-4", "plain data is read where it is accepted, and encrypted at its next write", moving_in),
];

/// A server that encrypts, with the first key and those after it. `World::store` is what it hands
/// its data on to.
async fn encrypting(world: &World, keys: KeyRing) -> World {
    world.with_store(|store| Encrypted::new(store, keys)).await
}

async fn set(browser: &mut Browser, key: &str, value: &str) {
    let reply = browser.run(json!([{"op": "set", "key": key, "value": value}])).await;
    assert_eq!(reply.status, 200);
}

/// The text that the store was handed.
async fn stored(world: &World, user: &str) -> String {
    only_row(world, user).await.data.text().to_owned()
}

/// Every use of the data is a 500 that changes nothing, and signing out works.
async fn assert_not_understood(world: &World, node: &World, browser: &Browser) {
    let mut browser = browser.on(node);
    let before = stored(world, "ada").await;
    for op in [
        json!({"op": "get", "key": "role"}),
        json!({"op": "set", "key": "role", "value": "admin"}),
        json!({"op": "increment", "key": "n"}),
    ] {
        node.events();
        let reply = browser.run(json!([op, {"op": "fail"}])).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (500, 0), "{op}");
        let events = node.events();
        assert!(events.iter().any(|event| event.contains("Corrupt")), "{op}: {events:?}");
    }
    assert_eq!(stored(world, "ada").await, before);
    assert_eq!(user(&mut browser).await, json!("ada"));
    let reply = browser.run(json!([{"op": "logout"}])).await;
    assert_eq!(reply.status, 200);
    assert_signed_out(&browser, &reply);
    assert!(rows(world, "ada").await.is_empty());
}

async fn nothing_readable(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    let mut browser = sign_in(&node, "ada").await;
    let empty = stored(&world, "ada").await;
    set(&mut browser, "favourite-colour", "ultramarine").await;
    let text = stored(&world, "ada").await;
    for shown in ["favourite", "ultramarine", "{", "\""] {
        assert!(!text.contains(shown) && !empty.contains(shown), "{shown} in {text}");
    }
    set(&mut browser, "favourite-colour", "ultramarine").await;
    set(&mut browser, "other", "").await;
    assert_ne!(stored(&world, "ada").await, text);
    let read = browser.run(json!([{"op": "get", "key": "favourite-colour"}])).await.result(0);
    assert_eq!(read, json!({"value": "ultramarine"}));
    assert_eq!(data(&node, "ada").await, json!({"favourite-colour": "ultramarine", "other": ""}));
}

async fn the_rest_as_it_is(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    let mut browser = sign_in(&node, "ada").await;
    set(&mut browser, "a", "b").await;
    assert_eq!(browser.run(json!([{"op": "rotate"}])).await.status, 200);
    let (under, over) = (only_row(&world, "ada").await, only_row(&node, "ada").await);
    assert_ne!(under.data, over.data);
    let mut as_under = (*over).clone();
    as_under.data = under.data.clone();
    assert_eq!(as_under, *under);
}

async fn at_once_all_count(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    let browser = sign_in(&node, "ada").await;
    let requests: Vec<_> = (0..world.rounds.min(16))
        .map(|_| {
            let mut browser = browser.clone();
            tokio::spawn(async move { browser.run(json!([{"op": "increment", "key": "n"}])).await.status })
        })
        .collect();
    let mut counted = 0;
    for request in requests {
        counted += u64::from(request.await.expect("the request runs to its end") == 200);
    }
    assert_eq!(data(&node, "ada").await, json!({"n": counted}));
    assert!(counted > 0);
}

async fn a_visitor(world: World) {
    let node = world.with_config(|config| config.visitors(session_core::Visitors::new())).await;
    let node = encrypting(&node, ring(1, &[])).await;
    let mut browser = node.browser();
    set(&mut browser, "cart", "ultramarine").await;
    let reply = browser.run(json!([{"op": "authenticate_opts", "user": "ada", "keep": true}])).await;
    assert_eq!(reply.status, 200);
    assert_eq!(data(&node, "ada").await, json!({"cart": "ultramarine"}));
    assert!(!stored(&world, "ada").await.contains("ultramarine"));
}

async fn anothers_data(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    let mut others = [sign_in(&node, "bob").await, sign_in(&node, "ada").await];
    for browser in &mut others {
        set(browser, "role", "admin").await;
    }
    let bobs = stored(&world, "bob").await;
    let hers = stored(&world, "ada").await;
    assert_eq!(others[1].run(json!([{"op": "logout"}])).await.status, 200);
    for planted in [bobs, hers] {
        let browser = sign_in(&node, "ada").await;
        rewritten(&world, |row| row.data = Data::from_text(planted)).await;
        assert_not_understood(&world, &node, &browser).await;
    }
}

async fn changed_data(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    for at in [0, 5, 12, 40, 70] {
        let mut browser = sign_in(&node, "ada").await;
        set(&mut browser, "role", "user, and nothing more than that").await;
        rewritten(&world, |row| {
            let mut text: Vec<_> = row.data.text().bytes().collect();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            row.data = Data::from_text(String::from_utf8(text).expect("ASCII"));
        })
        .await;
        assert_not_understood(&world, &node, &browser).await;
    }
}

async fn plain_data(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    for planted in ["{}", "{\"role\":\"admin\"}", "", "null"] {
        let browser = sign_in(&node, "ada").await;
        rewritten(&world, |row| row.data = Data::from_text(planted)).await;
        assert_not_understood(&world, &node, &browser).await;
    }
}

async fn keys_rotate(world: World) {
    let old = encrypting(&world, ring(1, &[])).await;
    let both = encrypting(&world, ring(2, &[1])).await;
    let new = encrypting(&world, ring(2, &[])).await;
    let mut browser = sign_in(&old, "ada").await;
    set(&mut browser, "a", "one").await;
    let written = stored(&world, "ada").await;

    let mut at_both = browser.on(&both);
    assert_eq!(at_both.run(json!([{"op": "get", "key": "a"}])).await.result(0), json!({"value": "one"}));
    assert_eq!(stored(&world, "ada").await, written, "a read writes nothing");
    set(&mut at_both, "b", "two").await;
    assert_ne!(stored(&world, "ada").await, written);
    assert_eq!(data(&new, "ada").await, json!({"a": "one", "b": "two"}));
    assert_not_understood(&world, &old, &browser).await;
}

async fn an_unknown_key(world: World) {
    let (node, other) = (encrypting(&world, ring(1, &[])).await, encrypting(&world, ring(2, &[3])).await);
    let mut browser = sign_in(&node, "ada").await;
    set(&mut browser, "a", "b").await;
    assert_not_understood(&world, &other, &browser).await;

    let empty = sign_in(&node, "ada").await;
    assert_not_understood(&world, &other, &empty).await;
}

async fn a_node_without(world: World) {
    let node = encrypting(&world, ring(1, &[])).await;
    let mut browser = sign_in(&node, "ada").await;
    set(&mut browser, "a", "b").await;
    assert_not_understood(&world, &world, &browser).await;
}

async fn moving_in(world: World) {
    let key = SigningKey::from_bytes(&[1; 32]).expect("32 bytes");
    let moving = world.with_store(|store| Encrypted::new(store, key).accept_plain_data()).await;
    let strict = encrypting(&world, ring(1, &[])).await;
    let mut browser = sign_in(&world, "ada").await;
    set(&mut browser, "a", "before").await;

    let mut browser = browser.on(&moving);
    assert_eq!(browser.run(json!([{"op": "get", "key": "a"}])).await.result(0), json!({"value": "before"}));
    set(&mut browser, "b", "after").await;
    assert!(!stored(&world, "ada").await.contains("before"));
    assert_eq!(data(&strict, "ada").await, json!({"a": "before", "b": "after"}));
    assert_eq!(strict.store.max_data_bytes().is_some(), world.store.max_data_bytes().is_some());
}
