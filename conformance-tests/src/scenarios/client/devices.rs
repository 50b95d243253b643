//! META-1, META-3: what devices are called, and that rules which call them something else change
//! nothing for the sessions that exist.

use std::sync::Arc;

use serde_json::{Value, json};
use session_core::{ClientInfo, Device, FingerprintChange, SessionConfigBuilder};

use crate::browser::Browser;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{only_row, user};
use crate::scenarios::support::stored::{rewritten, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("META-1", "apps, televisions, scripts and robots have a name and a type", all_kinds_have_a_name),
    scenario!("META-1", "a parser of the application's names devices", the_applications_names),
    scenario!("META-3", "a change is reported once for a session and a client", reported_once),
    scenario!("META-3", "a client that changes back and forth is reported once", back_and_forth),
    scenario!("META-3", "desktop sites, developer tools and an iPad's default are changes", honest_changes),
    scenario!("META-3", "rows of the last release are no change", rows_of_the_last_release),
    scenario!("META-3", "the last release reads the fingerprints of this one", read_by_the_last_release),
    scenario!("META-3", "a fingerprint counts only where no User-Agent was kept", fingerprints_without_a_user_agent),
    scenario!("META-3", "a parser of the application's decides what a change is", the_applications_families),
];

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36";

fn instagram() -> String {
    format!("{IPHONE} Mobile/15E148 Instagram 360.0.0.30.109 (iPhone17,1; iOS 18_5; en_US)")
}

fn ends_on_change(config: SessionConfigBuilder) -> SessionConfigBuilder {
    config.on_fingerprint_change(FingerprintChange::End)
}

async fn signed_in_with(world: &World, user_agent: &str) -> Browser {
    let mut browser = world.browser();
    browser.user_agent(user_agent);
    browser.sign_in("ada").await;
    browser
}

async fn all_kinds_have_a_name(world: World) {
    for (user_agent, name, kind) in [
        (instagram().as_str(), "Instagram on iOS", "mobile"),
        (format!("{CHROME} YaBrowser/25.6.0.0").as_str(), "Yandex on Windows", "desktop"),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "LG TV", "tv"),
        ("Mozilla/5.0 (PlayStation; PlayStation 5/9.00) AppleWebKit/605.1.15", "PlayStation 5", "console"),
        ("Chess/4.1 CFNetwork/1474 Darwin/23.0.0", "Chess on iOS", "mobile"),
        ("okhttp/4.12.0", "App (okhttp)", "app"),
        ("python-requests/2.32.4", "Script (python-requests)", "script"),
        (format!("{IPHONE} (compatible; Googlebot/2.1)").as_str(), "Googlebot", "bot"),
    ] {
        let mut browser = signed_in_with(&world, user_agent).await;
        let shown = browser.run(json!([{"op": "current"}])).await.result(0);
        assert_eq!((&shown["device_name"], &shown["device_type"]), (&json!(name), &json!(kind)), "{user_agent}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn the_applications_names(world: World) {
    let world = world
        .with_device_parser(|user_agent| {
            let mut device = Device::parse(user_agent);
            if user_agent.starts_with("Till/") {
                device.name = format!("Till\u{7}{}", "é".repeat(200)).into();
                device.kind = "till".into();
            }
            device
        })
        .await;
    let mut browser = signed_in_with(&world, "Till/7 (Linux)").await;
    let row = only_row(&world, "ada").await;
    let name = &row.client.device_name;
    assert!(name.starts_with("Till\u{fffd}é") && name.len() <= 100, "{name:?}");
    assert_eq!(row.client.device_type, "till");
    browser.run(json!([{"op": "logout"}])).await;
    signed_in_with(&world, CHROME).await;
    assert_eq!(only_row(&world, "ada").await.client.device_name, "Chrome on Windows", "the library's, as it was asked");
    world.browser().sign_in("bob").await;
    assert_eq!(only_row(&world, "bob").await.client.device_name, "", "nothing to parse");
}

/// How many changes were reported since the last call.
fn reported(world: &World) -> usize {
    world.events().iter().filter(|event| event.contains("FingerprintChanged")).count()
}

async fn reported_once(world: World) {
    let mut browser = signed_in_with(&world, CHROME).await;
    for (user_agent, times) in [("curl/8.14", 1), ("Wget/1.25", 1), ("curl/8.14", 0)] {
        browser.user_agent(user_agent);
        for _ in 0..5 {
            assert_eq!(user(&mut browser).await, json!("ada"));
        }
        assert_eq!(reported(&world), times, "{user_agent}");
    }
    let mut other = signed_in_with(&world, CHROME).await;
    other.user_agent("curl/8.14");
    user(&mut other).await;
    assert_eq!(reported(&world), 1, "another session");
}

async fn back_and_forth(world: World) {
    let mut browser = signed_in_with(&world, CHROME).await;
    let desktop_site = CHROME.replace("Windows NT 10.0; Win64; x64", "X11; Linux x86_64");
    for _ in 0..3 {
        for user_agent in [CHROME, &desktop_site] {
            browser.user_agent(user_agent);
            assert_eq!(user(&mut browser).await, json!("ada"));
        }
    }
    assert_eq!(reported(&world), 1);
}

/// The docs of `End` warn of these.
async fn honest_changes(world: World) {
    let world = world.with_config(ends_on_change).await;
    let safari = |device: &str| format!("Mozilla/5.0 ({device}) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15");
    let iphone = &safari("iPhone; CPU iPhone OS 18_5 like Mac OS X");
    let (ipad, mac) = (&safari("iPad; CPU OS 18_5 like Mac OS X"), &safari("Macintosh; Intel Mac OS X 10_15_7"));
    let chrome = &CHROME.to_owned();
    for (then, now) in [(iphone, mac), (ipad, mac), (mac, ipad), (chrome, iphone)] {
        let mut browser = signed_in_with(&world, then).await;
        browser.user_agent(now);
        assert_eq!(user(&mut browser).await, Value::Null, "{then}, then {now}");
    }
    assert_eq!(reported(&world), 4);
}

/// A sign-in as the last release recorded it, and a later request of the same client.
fn of_the_last_release() -> Vec<(String, &'static str, &'static str, String)> {
    let facebook = |v: u32| {
        format!("Mozilla/5.0 (iPad; CPU iPhone OS 18_{v} like Mac OS X) Mobile/15E148 [FBAN/FBIOS;FBAV/{v};FBLC/en]")
    };
    let android = |v: u32| {
        format!("Mozilla/5.0 (Linux; U; Android 4.{v}; de-de) AppleWebKit/534.30 Version/4.0 Mobile Safari/534.30")
    };
    vec![
        (instagram(), "iOS", "iOS/other", instagram().replace("360.0.0.30.109", "361.0").replace("en_US", "de_DE")),
        (facebook(1), "iOS", "iOS/other", facebook(2).replace("FBLC/en", "FBLC/de")),
        (android(1), "Safari on Android", "Android/Safari", android(4).replace("de-de", "en-gb")),
        (
            format!("{CHROME} YaBrowser/25.6"),
            "Chrome on Windows",
            "Windows/Chrome",
            format!("{CHROME} YaBrowser/26 Yowser/2"),
        ),
        ("okhttp/4.12.0".to_owned(), "", "other/other", "okhttp/5.1.0-alpha".to_owned()),
        (
            "Opera/9.80 (X11; Linux i686)".to_owned(),
            "Linux",
            "Linux/other",
            "Opera/9.80 (X11; Linux x86_64) Presto".to_owned(),
        ),
        // What an even older or a later release might call them.
        (CHROME.to_owned(), "Blink on NT", "NT/Blink", CHROME.replace("Win64; ", "").replace("139", "140")),
        (
            CHROME.to_owned(),
            "Chrome on Windows",
            "9:Windows/Chrome",
            CHROME.replace("Win64; ", "").replace("139", "140"),
        ),
    ]
}

async fn rows_of_the_last_release(world: World) {
    let world = world.with_config(ends_on_change).await;
    for (then, name, fingerprint, now) in of_the_last_release() {
        let mut browser = signed_in_with(&world, &then).await;
        rewritten(&world, |row| {
            let client = Arc::make_mut(&mut row.client);
            (client.device_name, client.fingerprint) = (name.to_owned(), fingerprint.to_owned());
        })
        .await;
        for user_agent in [&then, &now] {
            browser.user_agent(user_agent);
            assert_eq!(user(&mut browser).await, json!("ada"), "{user_agent}");
        }
        let row = only_row(&world, "ada").await;
        assert_eq!(
            (row.client.device_name.as_str(), row.client.fingerprint.as_str()),
            (name, fingerprint),
            "as it was"
        );
        browser.run(json!([{"op": "logout"}])).await;
    }
    assert_eq!(reported(&world), 0);
}

/// The last release compares the stored fingerprint with what it calls the request's client, byte
/// by byte. These are its own.
async fn read_by_the_last_release(world: World) {
    let parser = |user_agent: &str| {
        let mut device = Device::parse(user_agent);
        (device.os, device.browser) = ("Plan 9".into(), "Mothra".into());
        device
    };
    for world in [&world, &world.with_device_parser(parser).await] {
        for (user_agent, _, fingerprint, _) in &of_the_last_release()[..6] {
            let mut browser = signed_in_with(world, user_agent).await;
            assert_eq!(only_row(world, "ada").await.client.fingerprint, *fingerprint, "{user_agent}");
            browser.run(json!([{"op": "logout"}])).await;
        }
    }
}

async fn fingerprints_without_a_user_agent(world: World) {
    let world = world.with_config(ends_on_change).await;
    for (fingerprint, user_agent, lives) in [
        ("Windows/Chrome", CHROME, true),
        ("Windows/Chrome", "curl/8.14", false),
        ("iOS/other", instagram().as_str(), true),
        ("2:Windows/Chrome", "curl/8.14", true),
        ("v2:os=plan9;browser=mothra", CHROME, true),
        ("windows chrome", "curl/8.14", true),
    ] {
        let mut browser = signed_in_with(&world, CHROME).await;
        rewritten(&world, |row| {
            let client = ClientInfo { fingerprint: fingerprint.to_owned(), ..ClientInfo::default() };
            row.client = Arc::new(client);
        })
        .await;
        browser.user_agent(user_agent);
        let expected = if lives { json!("ada") } else { Value::Null };
        assert_eq!(user(&mut browser).await, expected, "{fingerprint}: {user_agent}");
        assert_eq!(reported(&world), usize::from(!lives), "{fingerprint}: {user_agent}");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn the_applications_families(world: World) {
    let world = world.with_config(ends_on_change).await;
    let world = world
        .with_device_parser(|user_agent| {
            let mut device = Device::default();
            device.browser = user_agent.split('/').next().unwrap_or_default().to_owned().into();
            device.os = user_agent.split(' ').nth(1).unwrap_or_default().to_owned().into();
            device
        })
        .await;
    for (now, lives) in
        [("Till/8 north", true), ("Till/7 north 2", true), ("Till/7 south", false), ("Bar/7 north", false)]
    {
        let mut browser = signed_in_with(&world, "Till/7 north").await;
        browser.user_agent(now);
        let expected = if lives { json!("ada") } else { Value::Null };
        assert_eq!(user(&mut browser).await, expected, "{now}");
        assert_eq!(rows(&world, "ada").await.len(), usize::from(lives), "{now}");
        browser.run(json!([{"op": "logout"}])).await;
    }
    assert_eq!(reported(&world), 2);
}
