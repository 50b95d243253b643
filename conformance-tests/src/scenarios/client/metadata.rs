//! META-1, META-3: what is recorded of the client at sign-in, and what a changed
//! fingerprint does.

use serde_json::{Value, json};
use session_core::FingerprintChange;

use crate::browser::Browser;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{only_row, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("META-1", "address, User-Agent and device are recorded at sign-in", recorded_at_sign_in),
    scenario!("META-1", "common devices have a name and a type", common_devices),
    scenario!("META-1", "missing, huge and garbled headers are no error", any_header_is_taken),
    scenario!("META-3", "the fingerprint names families, not versions", families_not_versions),
    scenario!("META-3", "an update is no change", an_update_is_no_change),
    scenario!("META-3", "by default a change is reported", a_change_is_reported),
    scenario!("META-3", "a change can be ignored", a_change_can_be_ignored),
    scenario!("META-3", "a change can end the session, cookie and all", a_change_can_end_the_session),
];

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
const NEWER_FIREFOX: &str = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139.0 Mobile/15E148 Safari/604.1";
const PIXEL: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36";

/// A browser with this `User-Agent` that is signed in as ada.
async fn signed_in_with(world: &World, user_agent: &str) -> Browser {
    let mut browser = world.browser();
    browser.user_agent(user_agent);
    browser.sign_in("ada").await;
    browser
}

async fn recorded_at_sign_in(world: World) {
    let mut browser = signed_in_with(&world, FIREFOX).await;
    browser.forget_headers();
    browser.user_agent(NEWER_FIREFOX);
    browser.header("x-forwarded-for", "198.51.100.7");
    browser.run(json!([{"op": "rotate"}, {"op": "set", "key": "a", "value": 1}])).await;
    let shown = browser.run(json!([{"op": "current"}])).await.result(0);
    for (field, value) in [
        ("ip_address", "127.0.0.1"),
        ("user_agent", FIREFOX),
        ("device_name", "Firefox on Linux"),
        ("device_type", "desktop"),
    ] {
        assert_eq!(shown[field], json!(value), "{field} is the sign-in's");
    }
}

async fn common_devices(world: World) {
    for (user_agent, name, kind) in [
        (FIREFOX, "Firefox on Linux", "desktop"),
        (CHROME, "Chrome on Linux", "desktop"),
        (EDGE, "Edge on Windows", "desktop"),
        (IPHONE, "Safari on iOS", "mobile"),
        (IPAD, "Chrome on iPadOS", "tablet"),
        (PIXEL, "Chrome on Android", "mobile"),
    ] {
        let mut browser = signed_in_with(&world, user_agent).await;
        let row = only_row(&world, "ada").await;
        assert_eq!((row.client.device_name.as_str(), row.client.device_type.as_str()), (name, kind), "{user_agent}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn any_header_is_taken(world: World) {
    let long = format!("agent {}", "é€😀".repeat(1000));
    let cases: [&[u8]; 7] = [
        b"",
        b"\xff\xfe\x80agent",
        b"tab\tin the middle",
        "next\u{85}line".as_bytes(),
        &b"x".repeat(9000),
        long.as_bytes(),
        &[b"Mozilla/5.0 (X11; Linux) Firefox/1 ".as_slice(), &b"\xf0".repeat(2000)].concat(),
    ];
    for value in cases {
        let mut browser = world.browser();
        browser.header("user-agent", value);
        browser.header("x-forwarded-for", value);
        browser.sign_in("ada").await;
        let row = only_row(&world, "ada").await;
        let shown = String::from_utf8_lossy(value).chars().take(40).collect::<String>();
        assert!(row.client.user_agent.len() <= 512, "{shown:?}: {} bytes", row.client.user_agent.len());
        assert_eq!(row.client.user_agent.is_empty(), value.is_empty(), "{shown:?}");
        assert!(row.client.device_name.len() <= 100 && row.client.fingerprint.len() <= 100, "{row:?}");
        for text in [
            &row.client.user_agent,
            &row.client.device_name,
            &row.client.device_type,
            &row.client.fingerprint,
            &row.client.ip_address,
        ] {
            assert!(!text.chars().any(char::is_control), "{shown:?}: {text:?}");
        }
        assert_eq!(browser.run(json!([{"op": "logout"}])).await.status, 200, "{shown:?}");
    }
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let row = only_row(&world, "ada").await;
    assert_eq!(
        (row.client.user_agent.as_str(), row.client.device_name.as_str(), row.client.device_type.as_str()),
        ("", "", "")
    );
    assert_eq!(row.client.ip_address, "127.0.0.1");
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn families_not_versions(world: World) {
    let mut prints = Vec::new();
    for user_agent in [FIREFOX, CHROME, EDGE, IPHONE, IPAD, PIXEL] {
        let mut browser = signed_in_with(&world, user_agent).await;
        let print = only_row(&world, "ada").await.client.fingerprint.clone();
        assert!(!print.is_empty() && !print.contains(|c: char| c.is_ascii_digit()), "{print:?} of {user_agent}");
        assert!(!prints.contains(&print), "{print:?} of {user_agent}");
        prints.push(print);
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn an_update_is_no_change(world: World) {
    let world = world.with_config(|config| config.on_fingerprint_change(FingerprintChange::End)).await;
    for (before, after) in [
        (FIREFOX, NEWER_FIREFOX.to_owned()),
        (CHROME, CHROME.replace("139.0.0.0", "152.0.1.2")),
        (EDGE, EDGE.replace("139.0", "140.0").replace("NT 10.0", "NT 11.0")),
        (IPHONE, IPHONE.replace("18_5", "26_0").replace("Version/18.5", "Version/26.0")),
        (PIXEL, PIXEL.replace("Android 15; Pixel 9", "Android 16; K")),
    ] {
        let mut browser = signed_in_with(&world, before).await;
        browser.user_agent(&after);
        browser.header("accept-language", "de");
        browser.header("accept-encoding", "zstd");
        assert_eq!(user(&mut browser).await, json!("ada"), "{after}");
        browser.run(json!([{"op": "logout"}])).await;
    }
    assert!(!world.events().concat().contains("Fingerprint"));
}

async fn a_change_is_reported(world: World) {
    for (before, after) in [(FIREFOX, CHROME), (CHROME, PIXEL), (IPHONE, IPAD), (FIREFOX, "curl/8.0")] {
        let mut browser = signed_in_with(&world, before).await;
        let row = only_row(&world, "ada").await;
        browser.user_agent(after);
        world.events();
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!("ada"), 0), "{after}");
        let events = world.events();
        let told = events.iter().filter(|event| event.contains("FingerprintChanged")).count();
        assert!(told == 1 && events.concat().contains(&row.id.to_string()), "{events:?}");
        assert_eq!(only_row(&world, "ada").await.client.fingerprint, row.client.fingerprint, "the sign-in's stays");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn a_change_can_be_ignored(world: World) {
    let world = world.with_config(|config| config.on_fingerprint_change(FingerprintChange::Ignore)).await;
    let mut browser = signed_in_with(&world, FIREFOX).await;
    browser.user_agent(IPHONE);
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert_eq!(world.events(), Vec::<String>::new());
}

async fn a_change_can_end_the_session(world: World) {
    let world = world.with_config(|config| config.on_fingerprint_change(FingerprintChange::End)).await;
    let mut victim = signed_in_with(&world, FIREFOX).await;
    let row = only_row(&world, "ada").await;
    let mut thief = victim.clone();
    thief.user_agent(IPHONE);
    let reply =
        thief.run(json!([{"op": "current"}, {"op": "is_authenticated"}, {"op": "set", "key": "a", "value": 1}])).await;
    assert_eq!((reply.status, reply.result(0), reply.result(1)), (200, Value::Null, json!(false)));
    assert!(reply.removes_cookie() && reply.set_cookies().len() == 1);
    assert!(rows(&world, "ada").await.is_empty());
    let events = world.events().concat();
    assert!(events.contains("FingerprintChanged") && events.contains(&row.id.to_string()), "{events}");
    assert_eq!(user(&mut victim).await, Value::Null, "dead for both");
    let mut thief = signed_in_with(&world, FIREFOX).await;
    thief.user_agent(IPHONE);
    let ops = json!([{"op": "authenticate", "user": "bob"}, {"op": "set", "key": "a", "value": 1}]);
    let reply = thief.run(ops).await;
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1, "a sign-in in the same request counts");
    assert_eq!(data(&world, "bob").await, json!({"a": 1}));
    assert!(rows(&world, "ada").await.is_empty());
}
