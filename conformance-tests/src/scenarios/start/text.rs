//! START-3: settings as files and the environment give them.

use serde_json::{Value, json};
use session_core::{SessionConfig, SessionConfigBuilder};

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::only_row;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("START-3", "settings as text are those settings", settings_as_text),
    scenario!("START-3", "null is the default", null_is_the_default),
    scenario!("START-3", "what can't be read is refused by name and with an example", refused_by_name),
];

fn read(settings: Value) -> Result<SessionConfigBuilder, String> {
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

async fn settings_as_text(world: World) {
    let settings = json!({
        "cookie_name": "__Secure-s",
        "cookie_partitioned": "true",
        "cookie_same_site": "None",
        "absolute_timeout": "1 day",
        "idle_timeout": "\"1h\"",
        "max_sessions_per_user": "1",
        "trusted_proxies": "10.0.0.0/8, 127.0.0.1",
        "forwarding_header": "X-Forwarded-For",
        "refuse_cross_origin": "true",
    });
    let settings = read(settings).expect("settings");
    let world = world.with_config(|_| settings).await;
    let mut browser = world.browser();
    browser.header("x-forwarded-for", "198.51.100.7");
    browser.sign_in("ada").await;
    let sent = browser.sign_in("ada").await.set_cookies().concat();
    for part in ["__Secure-s=", "Partitioned", "SameSite=None", "Max-Age=86400"] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    assert_eq!(only_row(&world, "ada").await.client.ip_address, "198.51.100.7");
    browser.header("origin", "https://evil.example");
    assert_eq!(browser.run(json!([])).await.status, 403);
}

async fn null_is_the_default(world: World) {
    let names = [
        "idle_timeout",
        "max_data_bytes",
        "cookie_name",
        "cookie_secure",
        "trusted_proxies",
        "visitors",
        "purge_after",
    ];
    for name in names {
        let read = read(json!({name: null})).expect(name).build(world.keys.clone()).expect(name);
        let default = SessionConfig::builder().build(world.keys.clone()).expect("the defaults");
        assert_eq!(format!("{read:?}"), format!("{default:?}"), "{name}");
    }
}

async fn refused_by_name(_: World) {
    for (name, given, says) in [
        ("trusted_proxies", json!(["nginx"]), "10.0.0.0/8"),
        ("trusted_proxies", json!("10.0.0.1 10.0.0.2"), "10.0.0.0/8, fd00::/8"),
        ("trusted_proxies", json!(10), "10.0.0.0/8"),
        ("idle_timeout", json!(3600), "30 days"),
        ("max_data_bytes", json!("64 KiB"), "65536"),
        ("cookie_secure", json!("on"), "true or false"),
        ("cookie_same_site", json!("laxx"), "`lax`"),
        ("cookie_name", json!(5), "\"__Host-session\""),
        ("visitors", json!([]), "true or false"),
        ("purge_after", json!("30M"), "\"minutes\" or \"months\""),
        ("maxDataBytes", json!(1), "write it `max_data_bytes`"),
        ("key", json!("s3cret"), "`build`"),
        ("SESSION_KEY", json!("s3cret"), "`build`"),
    ] {
        let error = read(json!({name: given})).expect_err(name);
        assert!(error.contains(&format!("`{name}`")) && error.contains(says), "{name}: {given}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
