//! COOK-2, COOK-4: the cookies that requests carry, and which of them count.

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};
use session_core::{Clock, KeyRing, SessionId, SigningKey, TokenHash};

use crate::browser::Browser;
use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{only_row, sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-2", "an unusable cookie is anonymous and never reaches the store", unusable_cookies),
    scenario!("COOK-2", "a cookie of an unknown version never reaches the store", unknown_versions),
    scenario!("COOK-2", "an unusable value is never echoed and never adopted", never_echoed_never_adopted),
    scenario!("COOK-4", "cookie names match byte for byte", names_match_byte_for_byte),
    scenario!("COOK-4", "a token anywhere else is ignored", a_token_elsewhere),
    scenario!("COOK-4", "a comma never separates cookies", a_comma_separates_nothing),
    scenario!("COOK-4", "a value in one pair of quotes is read", a_value_in_quotes),
];

/// Signed with the suite's key `[42; 32]`: version 1, ada's shard, the session `[9; 16]`, the
/// secret `[7; 32]`. [`known`] makes its row.
pub(super) const KNOWN: &str =
    "Af3uCQkJCQkJCQkJCQkJCQkJCQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHi0YOhZTDPvL2PKhKV8TWUg";

/// The same signed with that key itself, not with the one that is derived from it.
pub(super) const UNDERIVED: &str =
    "Af3uCQkJCQkJCQkJCQkJCQkJCQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHLTSPgAb5gAG2uO0j4n29Kg";

/// A cookie as the release before made it: without the session, and signed with a key that was
/// derived in another way.
const FORMER: &str = "Af3uBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwch9KYaezacawUiR2BWzCyj";

/// The same, but of version 0 and 2, well signed.
const OTHER_VERSIONS: [&str; 2] = [
    "AP3uCQkJCQkJCQkJCQkJCQkJCQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHf8kcTsxanywmeclbEpQmqw",
    "Av3uCQkJCQkJCQkJCQkJCQkJCQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHRpoJ8mDNWPwiTo8K5FoJ7A",
];

/// SHA-256 of the secret.
const KNOWN_HASH: [u8; 32] = [
    75, 176, 111, 142, 78, 58, 119, 21, 210, 1, 213, 115, 208, 170, 66, 55, 98, 229, 93, 171, 214, 26, 44, 2, 39, 143,
    165, 108, 198, 210, 148, 224,
];

/// Makes ada a live session under the known token.
pub(super) async fn known(world: &World) {
    sign_in(world, "ada").await;
    let mut record = (*only_row(world, "ada").await).clone();
    record.id = SessionId::from_bytes([9; 16]);
    record.token_hash = TokenHash::from_slice(&KNOWN_HASH).expect("32 bytes");
    world.store.create(&Arc::new(record), &[], World::LIMIT, world.clock.now()).await.expect("the store works");
}

/// The request is anonymous, and nobody asks the store or touches the cookie.
pub(super) async fn is_anonymous(world: &World, browser: &mut Browser, what: &str) {
    world.faults.reset_counts();
    let ops = json!([{"op": "current"}, {"op": "is_authenticated"}, {"op": "user_id"}, {"op": "get", "key": "a"}]);
    let reply = browser.run(ops).await;
    assert_eq!(reply.status, 200, "{what}");
    assert_eq!(reply.results(), [Value::Null, json!(false), Value::Null, json!({"absent": true})], "{what}");
    assert_eq!(reply.headers.get("set-cookie"), None, "{what}");
    assert_eq!(world.faults.total(), 0, "{what}: no store call");
}

/// Values that a live session's cookie was made of, or that look like one, and that are none.
async fn unusable(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let real = sign_in(world, "ada").await.cookie().expect("signed in");
    let foreign = world.with_config(|config| config.cookie_name("__Host-other")).await;
    let other_name = sign_in(&foreign, "ada").await.cookie().expect("signed in");
    let other_key = sign_in(&world.with_keys(ring(1, &[])).await, "ada").await.cookie().expect("signed in");
    let swapped = |at: usize, with: char| {
        let mut value = real.clone();
        let now = value.as_bytes()[at] as char;
        value.replace_range(at..=at, &if now == with { '-' } else { with }.to_string());
        value
    };
    let values = vec![
        ("empty", String::new()),
        ("one character", "A".to_owned()),
        ("truncated by one", real[..real.len() - 1].to_owned()),
        ("truncated by half", real[..real.len() / 2].to_owned()),
        ("without its signature", real[..68].to_owned()),
        ("longer by one", format!("{real}A")),
        ("padded", format!("{real}====")),
        ("oversized", "A".repeat(10_000)),
        ("oversized with a real head", format!("{real}{}", "A".repeat(10_000))),
        ("of another user's shard", swapped(2, 'z')),
        ("of another session", swapped(10, 'z')),
        ("of another secret", swapped(40, 'z')),
        ("of another signature", swapped(80, 'z')),
        ("of no base64", swapped(30, '!')),
        ("in another case", real.to_ascii_lowercase()),
        ("signed for another cookie name", other_name),
        ("signed by an unknown key", other_key),
        ("underived", UNDERIVED.to_owned()),
        ("of the former format", FORMER.to_owned()),
    ];
    let mut values: Vec<_> = values.into_iter().map(|(what, value)| (what, value.into_bytes())).collect();
    values.push(("non-ASCII", "é".repeat(45).into_bytes()));
    values.push(("no UTF-8", vec![0xff; 90]));
    values.push(("a tab inside", [&real.as_bytes()[..30], b"\t", &real.as_bytes()[31..]].concat()));
    values
}

async fn unusable_cookies(world: World) {
    is_anonymous(&world, &mut world.browser(), "absent").await;
    known(&world).await;
    for (what, value) in unusable(&world).await {
        let mut browser = world.browser();
        browser.set_cookie(&value);
        is_anonymous(&world, &mut browser, what).await;
    }
    let mut bare = world.browser();
    bare.header("cookie", "__Host-session");
    is_anonymous(&world, &mut bare, "a name without a value").await;
}

async fn unknown_versions(world: World) {
    known(&world).await;
    let mut browser = world.browser();
    browser.set_cookie(KNOWN);
    assert_eq!(user(&mut browser).await, json!("ada"), "the row is there");
    for value in OTHER_VERSIONS {
        browser.set_cookie(value);
        is_anonymous(&world, &mut browser, value).await;
    }
}

async fn never_echoed_never_adopted(world: World) {
    for (what, value) in unusable(&world).await.into_iter().chain([("unknown", KNOWN.into())]) {
        let mut browser = world.browser();
        browser.set_cookie(&value);
        let echoes = |text: &[u8]| value.len() > 10 && text.windows(value.len()).any(|part| part == value);
        for path in ["/do", "/session", "/optional", "/result"] {
            let reply = browser.run_on(path, json!([{"op": "rotate"}, {"op": "current"}])).await;
            let heads = reply.headers.values().any(|line| echoes(line.as_bytes()));
            assert!(!heads && !echoes(&reply.body), "{what} on {path}");
        }
        world.faults.reset_counts();
        let reply = browser.sign_in("ada").await;
        assert!(reply.sends_cookie() && !echoes(reply.set_cookies()[0].as_bytes()), "{what}");
        assert_ne!(browser.cookie().map(String::into_bytes).as_ref(), Some(&value), "{what}");
        assert_eq!(world.faults.count(OpKind::End), 0, "{what} is no session to end");
        assert_eq!(user(&mut browser).await, json!("ada"), "{what}");
    }
    assert!(!world.events().iter().any(|event| event.contains("AAAAAAAAAA")));
}

pub(super) fn ours(value: &str) -> String {
    format!("__Host-session={value}")
}

async fn names_match_byte_for_byte(world: World) {
    let real = sign_in(&world, "ada").await.cookie().expect("signed in");
    for name in [
        "__host-SESSION",
        "__Host-Session",
        "__HOST-session",
        "x__Host-session",
        "__Host-session2",
        "Host-session",
        "session",
        "__Secure-session",
        "__Host-session%20",
        "\"__Host-session\"",
    ] {
        let mut browser = world.browser();
        browser.header("cookie", format!("{name}={real}"));
        is_anonymous(&world, &mut browser, name).await;
        let reply = browser.run(json!([{"op": "logout"}])).await;
        assert_eq!(reply.headers.get("set-cookie"), None, "{name} isn't ours to remove");
    }
}

async fn a_token_elsewhere(world: World) {
    let real = sign_in(&world, "ada").await.cookie().expect("signed in");
    let mut browser = world.browser();
    for (name, value) in [
        ("authorization", format!("Bearer {real}")),
        ("x-session", real.clone()),
        ("__host-session", real.clone()),
        ("set-cookie", ours(&real)),
        ("cookie2", ours(&real)),
        ("referer", format!("http://localhost/?{}", ours(&real))),
    ] {
        browser.header(name, value);
    }
    is_anonymous(&world, &mut browser, "in a header").await;
    world.faults.reset_counts();
    let query = format!("/do?{0}&session={real}&{0}", ours(&real));
    let script = json!([{"op": "user_id"}, {"op": "set", "key": "__Host-session", "value": real}]);
    let reply = browser.run_on(&query, script).await;
    assert_eq!((reply.result(0), world.faults.total()), (Value::Null, 0));
    let form = Request::post("/optional").header("content-type", "application/x-www-form-urlencoded");
    let reply = world.browser().send(form.body(ours(&real)).unwrap()).await;
    assert_eq!((reply.json()["user"].clone(), world.faults.total()), (Value::Null, 0));
}

async fn a_comma_separates_nothing(world: World) {
    let real = ours(&sign_in(&world, "ada").await.cookie().expect("signed in"));
    for line in [
        format!("x=1,{real}"),
        format!("x=1, {real}"),
        format!("x=1 ,{real},y=2"),
        format!("x=\"1,{real}\""),
        format!("x=\"1;{real}\""),
        format!(",{real}"),
        format!("{real},x=1"),
    ] {
        let mut browser = world.browser();
        browser.header("cookie", &line);
        is_anonymous(&world, &mut browser, &line).await;
    }
}

async fn a_value_in_quotes(world: World) {
    let real = sign_in(&world, "ada").await.cookie().expect("signed in");
    for (value, is_read) in [
        (format!("\"{real}\""), true),
        (format!("\"{real}"), false),
        (format!("{real}\""), false),
        (format!("'{real}'"), false),
        (format!("\"\"{real}\"\""), false),
    ] {
        let mut browser = world.browser();
        browser.header("cookie", ours(&value));
        if is_read {
            assert_eq!(user(&mut browser).await, json!("ada"), "{value}");
        } else {
            is_anonymous(&world, &mut browser, &value).await;
        }
    }
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]).expect("32 bytes")
}

pub(crate) fn ring(signing: u8, verify_only: &[u8]) -> KeyRing {
    verify_only.iter().fold(KeyRing::new(key(signing)), |ring, seed| ring.verify_with(key(*seed)).expect("at most 8"))
}
