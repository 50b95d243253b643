//! Two browsers with a profile each, signed in as the same user: what people do with the app, click
//! by click.

use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};

use app_tests::chromium::{Driver, Locator, Profile};
use conformance_tests::{suite, trial};
use futures_util::FutureExt;
use libtest_mimic::Trial;
use serde_json::json;

use crate::program::{App, Cookies, Database};

const PHONE: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/156.0.0.0 Mobile Safari/537.36";

pub(crate) fn trials(app: App, folder: &Path) -> Vec<Trial> {
    [(Cookies::Plain, "plain"), (Cookies::Secure, "secure")]
        .map(|(cookies, mode)| {
            let shots = Shots { folder: folder.join(app.name).join(mode) };
            let name = trial::name(&[app.name, "chromium"], &format!("two devices, {mode} cookies"));
            Trial::test(name, move || suite::run(in_chromium(app, cookies, shots)))
        })
        .into()
}

/// Where the pictures go.
struct Shots {
    folder: PathBuf,
}

impl Shots {
    async fn take(&self, profile: &Profile, name: &str) {
        fs::create_dir_all(&self.folder).expect("a folder for the pictures");
        let picture = profile.client.screenshot().await.expect("a picture");
        fs::write(self.folder.join(format!("{name}.png")), picture).expect("a picture to keep");
    }
}

async fn in_chromium(app: App, cookies: Cookies, shots: Shots) {
    let site = app.start(cookies, &Database::file());
    // Chromium takes `Secure` cookies from this name over plain HTTP, and `__Host-` ones with them.
    let url = format!("http://localhost:{}", site.addr.port());
    let driver = Driver::start();
    let (laptop, phone) = tokio::join!(driver.profile(1280, 900, None), driver.profile(390, 844, Some(PHONE)));
    let flow = AssertUnwindSafe(two_devices(&url, cookies, &laptop, &phone, &shots)).catch_unwind().await;
    if flow.is_err() {
        shots.take(&laptop, "failed-laptop").await;
        shots.take(&phone, "failed-phone").await;
    }
    for profile in [laptop, phone] {
        profile.client.close().await.expect("a browser that closes");
    }
    flow.unwrap_or_else(|panic| resume_unwind(panic));
}

async fn two_devices(url: &str, cookies: Cookies, laptop: &Profile, phone: &Profile, shots: &Shots) {
    let devices = format!("{url}/devices");

    // Sign in on both.
    assert_eq!(laptop.open(url).await, "/login", "nobody is signed in");
    shots.take(laptop, "1-sign-in").await;
    sign_in(url, laptop, "wrong").await;
    assert_eq!(laptop.text("[role=alert]").await, "Wrong username or password.");
    shots.take(laptop, "2-wrong-password").await;
    sign_in(url, laptop, "lovelace").await;
    assert_eq!(laptop.path().await, "/");
    sign_in(url, phone, "lovelace").await;
    shots.take(phone, "3-home-on-a-phone").await;
    for profile in [laptop, phone] {
        holds_the_cookie(profile, cookies).await;
    }

    another_site_signs_nobody_in(url, laptop).await;

    // The theme and the counter survive a reload, and are this session's alone.
    laptop.click("button[value=dark]").await;
    for visits in ["1", "2"] {
        laptop.click("form[action='/visits'] button").await;
        assert_eq!(laptop.text("#visits-count").await, visits);
    }
    laptop.client.refresh().await.expect("a reload");
    assert_eq!((laptop.count("html[data-theme=dark]").await, laptop.text("#visits-count").await), (1, "2".to_owned()));
    assert_eq!(phone.count("html[data-theme=auto]").await, 1);
    shots.take(laptop, "4-home-dark").await;

    // Both see two devices, each itself among them.
    for (profile, picture) in [(laptop, "5-two-devices"), (phone, "6-two-devices-on-a-phone")] {
        assert_eq!(profile.open(&devices).await, "/devices");
        assert_eq!(profile.count("tbody tr").await, 2);
        assert_eq!(profile.count("tbody tr[aria-current=true]").await, 1);
        shots.take(profile, picture).await;
    }
    let other = "tbody tr:not([aria-current])";
    assert!(laptop.text(other).await.contains("Android"), "the phone is named");

    // Revoke one from the other.
    laptop.click(&format!("{other} form button")).await;
    assert_eq!(laptop.count("tbody tr").await, 1);
    phone.client.refresh().await.expect("a reload");
    assert_eq!(phone.path().await, "/login", "it is signed out");
    shots.take(phone, "7-revoked").await;
    back_shows_nothing_private(phone).await;

    // Sign out everywhere.
    sign_in(url, phone, "lovelace").await;
    phone.open(&devices).await;
    laptop.open(&devices).await;
    laptop.click("form[action='/logout-all'] button").await;
    assert_eq!(laptop.path().await, "/login");
    phone.client.refresh().await.expect("a reload");
    assert_eq!(phone.path().await, "/login");
    back_shows_nothing_private(laptop).await;
    shots.take(laptop, "8-back-after-sign-out").await;
    for profile in [laptop, phone] {
        let names: Vec<_> = all_cookies(profile).await.iter().map(|cookie| cookie["name"].clone()).collect();
        // Who signs out has no cookie left; whom another signed out keeps one that is worth
        // nothing.
        assert!(names.is_empty() || names == [json!(cookies.name())], "{names:?}");
    }
    assert!(all_cookies(laptop).await.is_empty());
}

async fn sign_in(url: &str, profile: &Profile, password: &str) {
    profile.open(&format!("{url}/login")).await;
    profile.fill("username", "ada").await;
    profile.fill("password", password).await;
    profile.click("main form[action='/login'] button").await;
}

/// A form on another site's page can't sign the browser in as another user, which needs no cookie.
async fn another_site_signs_nobody_in(url: &str, profile: &Profile) {
    let fields = "<input name=username value=alan><input name=password value=turing>";
    let page = format!("data:text/html,<form method=post action='{url}/login'>{fields}</form>");
    profile.client.goto(&page).await.expect("a page of another site");
    profile.client.execute("document.forms[0].submit()", Vec::new()).await.expect("a form");
    // What Chromium shows for an empty response that isn't a success.
    profile.client.wait().for_element(Locator::Css("#main-frame-error")).await.expect("a refusal");
    assert!(profile.client.source().await.expect("a page").contains("HTTP ERROR 403"));
    assert_eq!(profile.open(url).await, "/");
    assert!(profile.client.source().await.expect("a page").contains("Ada Lovelace"), "still the same user");
}

/// The browser has the session's cookie, no script can read it, and other sites' requests go
/// without it.
async fn holds_the_cookie(profile: &Profile, cookies: Cookies) {
    let seen = profile.client.execute("return document.cookie", Vec::new()).await.expect("a page");
    assert_eq!(seen, json!(""), "`HttpOnly`");
    let all = all_cookies(profile).await;
    assert_eq!(all.len(), 1, "{all:?}");
    let cookie = &all[0];
    assert_eq!(cookie["name"], json!(cookies.name()));
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Lax")));
    assert_eq!((&cookie["secure"], &cookie["path"]), (&json!(cookies == Cookies::Secure), &json!("/")));
    assert_eq!(cookie["domain"], json!("localhost"), "without a leading dot: for this host alone");
}

async fn all_cookies(profile: &Profile) -> Vec<serde_json::Value> {
    let cookies = profile.client.get_all_cookies().await.expect("a page");
    let facts = cookies.iter().map(|cookie| {
        json!({
            "name": cookie.name(),
            "httpOnly": cookie.http_only(),
            "secure": cookie.secure(),
            "sameSite": cookie.same_site().map(|same_site| same_site.to_string()),
            "path": cookie.path(),
            "domain": cookie.domain(),
        })
    });
    facts.collect()
}

/// After a sign-out the back button leads to no page from before it.
async fn back_shows_nothing_private(profile: &Profile) {
    profile.mark().await;
    profile.client.back().await.expect("a page to go back to");
    profile.another_page().await;
    assert_eq!(profile.path().await, "/login");
    let page = profile.client.source().await.expect("a page");
    assert!(!page.contains("Sign out"), "only who is signed in sees that: {page:.300}");
}
