//! COOK-9: which cookie settings are refused, and that nothing switches `HttpOnly` off.

use std::time::Duration;

use http::HeaderMap;
use serde_json::json;
use session_core::{SameSite, SessionConfig, SessionConfigBuilder};
use tracing::Level;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::sent::attributes;
use crate::scenarios::support::logged::logged;
use crate::scenarios::support::sessions::user;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-9", "a __Host- cookie has no Domain, the root as Path, and Secure", host_prefix),
    scenario!("COOK-9", "a __Secure- cookie is Secure", secure_prefix),
    scenario!("COOK-9", "a prefix in another spelling is refused", misspelt_prefixes),
    scenario!("COOK-9", "SameSite=None and Partitioned need Secure", cross_site_needs_secure),
    scenario!("COOK-9", "bad names, paths and domains are refused", bad_text),
    scenario!("COOK-9", "a lifetime over 400 days is refused", over_400_days),
    scenario!("COOK-9", "a Secure cookie whose name has no prefix is a warning", no_prefix),
    scenario!("COOK-9", "a page over plain http that drops the cookie is one warning", plain_http),
    scenario!("COOK-9", "good settings work, each with HttpOnly", good_settings),
    scenario!("COOK-9", "HttpOnly can't be switched off", http_only_stays),
];

fn builder() -> SessionConfigBuilder {
    SessionConfig::builder()
}

fn named(name: &str) -> SessionConfigBuilder {
    builder().cookie_name(name)
}

/// The settings are refused, and the reason names each of these.
fn refused(world: &World, settings: SessionConfigBuilder, says: &[&str]) {
    let shown = format!("{settings:?}");
    let error = settings.build(world.keys.clone()).expect_err(&shown).to_string();
    for part in says {
        assert!(error.contains(part), "{error:?} doesn't say {part:?}");
    }
    assert!(!error.contains(|c: char| c.is_control()), "{error:?}");
}

async fn host_prefix(world: World) {
    for name in ["__Host-session", "__Host-x", "__Host-"] {
        refused(&world, named(name).cookie_domain("example.com"), &["__Host-", "Domain"]);
        refused(&world, named(name).cookie_path("/app"), &["__Host-", "Path"]);
        refused(&world, named(name).cookie_path("/ "), &["__Host-", "Path"]);
        refused(&world, named(name).cookie_secure(false), &["__Host-", "Secure"]);
    }
    refused(&world, builder().cookie_domain("example.com"), &["__Host-", "Domain"]);
    refused(&world, builder().cookie_path("/app"), &["__Host-", "Path"]);
    refused(&world, builder().cookie_secure(false), &["__Host-", "Secure", "insecure_development_cookies"]);
}

async fn secure_prefix(world: World) {
    refused(&world, named("__Secure-s").cookie_secure(false), &["__Secure-s", "Secure"]);
}

async fn misspelt_prefixes(world: World) {
    for name in ["__host-s", "__HOST-s", "__Host-s", "__hOST-s", "__secure-s", "__SECURE-s", "__SeCure-s"] {
        if name == "__Host-s" {
            assert!(named(name).build(world.keys.clone()).is_ok());
        } else {
            refused(&world, named(name), &[name, "spelling"]);
        }
    }
}

async fn cross_site_needs_secure(world: World) {
    refused(&world, named("s").cookie_secure(false).cookie_same_site(SameSite::None), &["SameSite=None", "Secure"]);
    refused(&world, named("s").cookie_secure(false).cookie_partitioned(true), &["Partitioned", "Secure"]);
    let development = || builder().insecure_development_cookies();
    refused(&world, development().cookie_same_site(SameSite::None), &["SameSite=None", "Secure"]);
    refused(&world, development().cookie_partitioned(true), &["Partitioned", "Secure"]);
}

async fn bad_text(world: World) {
    for name in
        ["", " ", "a b", "a;b", "a=b", "a,b", "a\tb", "a\r\nb", "\"a\"", "(a)", "a/b", "a@b", "é", "a\u{0}", "[a]"]
    {
        refused(&world, named(name), &["name"]);
    }
    for text in ["a;b", "a; Max-Age=9", "a\r\nSet-Cookie: x=y", "a\n", "a\u{0}", "a\u{7f}", "a\tb"] {
        refused(&world, named("s").cookie_domain(text), &["Domain"]);
        refused(&world, named("s").cookie_path(format!("/{text}")), &["Path"]);
    }
    for domain in [
        "",
        ".",
        "https://example.com",
        "example.com:443",
        "example.com/",
        "*.example.com",
        "example.com.",
        "..example.com",
        " example.com",
        "a.example, b.example",
        "ada@example.com",
        "bücher.example",
        "[::1]",
    ] {
        refused(&world, named("s").cookie_domain(domain), &["Domain", "`example.com`", "xn--"]);
    }
    for domain in ["example.com", ".example.com", "xn--bcher-kva.example", "EXAMPLE.com", "my_app.test", "localhost"] {
        assert!(named("s").cookie_domain(domain).build(world.keys.clone()).is_ok(), "{domain}");
    }
}

async fn over_400_days(world: World) {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    refused(
        &world,
        builder().absolute_timeout(days(400) + Duration::from_millis(1)),
        &["absolute_timeout", "400 days"],
    );
    refused(&world, builder().absolute_timeout(Duration::MAX), &["absolute_timeout", "400 days"]);
    assert!(builder().absolute_timeout(days(400)).build(world.keys.clone()).is_ok());
}

async fn no_prefix(world: World) {
    let warned =
        |settings: SessionConfigBuilder| logged(|| drop(settings.build(world.keys.clone()).expect("settings")));
    for (settings, better) in [
        (named("sid"), "`__Host-sid`"),
        (named("sid").cookie_domain("example.com"), "`__Secure-sid`"),
        (named("sid").cookie_path("/app"), "`__Secure-sid`"),
    ] {
        let all = warned(settings);
        assert!(all.len() == 1 && all[0].0 == Level::WARN && all[0].1.contains(better), "{all:?}");
    }
    for settings in [builder(), named("__Host-sid"), named("__Secure-sid").cookie_domain("example.com")] {
        assert_eq!(warned(settings), []);
    }
}

async fn plain_http(world: World) {
    let warned = |world: &World, origin: &str, cookie: &str| {
        let lines = [("origin", origin), ("host", "shop.example"), ("cookie", cookie)];
        let lines = lines.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let guard = world.service.begin(None);
        logged(|| drop(guard.scope().read(&HeaderMap::from_iter(lines), None))).len()
    };
    let world = world.with_config(|settings| settings).await;
    assert_eq!(warned(&world, "https://shop.example", ""), 0);
    assert_eq!(warned(&world, "http://shop.example", "__Host-session=it-is-kept"), 0);
    assert_eq!(warned(&world, "http://shop.example", ""), 1);
    assert_eq!(warned(&world, "http://shop.example", ""), 0, "it is said once");

    let development = world.with_config(SessionConfigBuilder::insecure_development_cookies).await;
    assert_eq!(warned(&development, "http://shop.example", ""), 0);
}

async fn good_settings(world: World) {
    type Change = fn(SessionConfigBuilder) -> SessionConfigBuilder;
    let all: [(Change, &[&str]); 6] = [
        (|c| c, &["Path=/", "Secure", "SameSite=Lax"]),
        (|c| c.cookie_name("s").cookie_secure(false), &["Path=/", "SameSite=Lax"]),
        (
            |c| c.cookie_name("__Secure-s").cookie_domain("example.com").cookie_path("/app"),
            &["Path=/app", "Domain=example.com", "Secure", "SameSite=Lax"],
        ),
        (|c| c.cookie_same_site(SameSite::Strict), &["Path=/", "Secure", "SameSite=Strict"]),
        (
            |c| c.cookie_same_site(SameSite::None).cookie_partitioned(true),
            &["Path=/", "Secure", "SameSite=None", "Partitioned"],
        ),
        (|c| c.insecure_development_cookies(), &["Path=/", "SameSite=Lax"]),
    ];
    for (change, expected) in all {
        let world = world.with_config(change).await;
        let mut browser = world.browser();
        let sent = attributes(&browser.sign_in("ada").await.set_cookies());
        let mut expected: Vec<_> = expected.iter().map(|attribute| (*attribute).to_owned()).collect();
        expected.extend(["HttpOnly".to_owned(), "Max-Age=2592000".to_owned()]);
        assert_eq!(sent, expected.into_iter().collect());
        assert_eq!(user(&mut browser).await, json!("ada"));
    }
}

async fn http_only_stays(_: World) {
    for setting in ["cookie_http_only", "http_only", "cookie_httponly"] {
        let error = serde_json::from_value::<SessionConfigBuilder>(json!({setting: false})).unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
    }
    assert!(serde_json::from_value::<SessionConfigBuilder>(json!({"cookie_path": "/"})).is_ok());
}
