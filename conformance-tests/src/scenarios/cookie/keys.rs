//! COOK-5: which keys sign cookies, and which are good to verify them.

use serde_json::json;
use session_core::SigningKey;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::{KNOWN, UNDERIVED, is_anonymous, key, known, ring};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-5", "a new key is deployed without signing anyone out", a_key_is_replaced),
    scenario!("COOK-5", "sign-in and rotate sign with the signing key", signed_with_the_signing_key),
    scenario!("COOK-5", "at most eight keys verify only, and each does", eight_keys_verify),
    scenario!("COOK-5", "a key of zeros and a repeated key are refused", useless_keys),
    scenario!("COOK-5", "the key that signs is derived by a label", the_key_is_derived),
];

async fn a_key_is_replaced(world: World) {
    let before = world.with_keys(ring(1, &[])).await;
    let deployed = world.with_keys(ring(1, &[2])).await;
    let promoted = world.with_keys(ring(2, &[1])).await;
    let after = world.with_keys(ring(2, &[])).await;
    let browser = sign_in(&before, "ada").await;
    for node in [&deployed, &promoted] {
        let reply = browser.on(node).run(json!([{"op": "user_id"}, {"op": "set", "key": "a", "value": 1}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!("ada"), 0));
    }
    is_anonymous(&world, &mut browser.on(&after), "signed by a key that is gone").await;
    let browser = sign_in(&promoted, "ada").await;
    for node in [&deployed, &after] {
        assert_eq!(user(&mut browser.on(node)).await, json!("ada"), "nodes that have the new key take its cookies");
    }
    is_anonymous(&world, &mut browser.on(&before), "signed by a key that isn't deployed here").await;
}

async fn signed_with_the_signing_key(world: World) {
    let before = world.with_keys(ring(1, &[])).await;
    let deployed = world.with_keys(ring(1, &[2])).await;
    let promoted = world.with_keys(ring(2, &[1])).await;
    let after = world.with_keys(ring(2, &[])).await;
    for ops in [json!([{"op": "rotate"}]), json!([{"op": "authenticate", "user": "ada"}])] {
        let mut browser = sign_in(&before, "ada").await.on(&promoted);
        assert!(browser.run(ops.clone()).await.sends_cookie(), "{ops}");
        assert_eq!(user(&mut browser.on(&after)).await, json!("ada"), "{ops}");
        let mut browser = sign_in(&after, "ada").await.on(&deployed);
        assert!(browser.run(ops.clone()).await.sends_cookie(), "{ops}");
        assert_eq!(user(&mut browser.on(&before)).await, json!("ada"), "{ops}: a verify-only key never signs");
    }
}

async fn eight_keys_verify(world: World) {
    let full = ring(9, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(full.verify_only_count(), 8);
    assert!(full.clone().verify_with(key(10)).is_err_and(|error| error.to_string().contains('8')));
    let full = world.with_keys(full).await;
    for seed in 1..=9 {
        let alone = world.with_keys(ring(seed, &[])).await;
        let mut browser = sign_in(&alone, "ada").await;
        assert_eq!(user(&mut browser.on(&full)).await, json!("ada"), "key {seed}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn useless_keys(_: World) {
    let error = SigningKey::from_bytes(&[0; 32]).expect_err("no secret").to_string();
    assert!(error.contains("zeros") && error.contains("openssl rand"), "{error}");
    for seed in [1, 2, 3] {
        let error = ring(1, &[2, 3]).verify_with(key(seed)).expect_err("it is there").to_string();
        assert!(error.contains("leave it out"), "{error}");
    }
}

async fn the_key_is_derived(world: World) {
    known(&world).await;
    let mut browser = world.browser();
    browser.set_cookie(KNOWN);
    assert_eq!(user(&mut browser).await, json!("ada"), "signed with the key derived for cookies");
    browser.set_cookie(UNDERIVED);
    is_anonymous(&world, &mut browser, "signed with the key itself").await;
}
