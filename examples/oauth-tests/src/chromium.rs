//! The sign-in click by click, in Chromium. The provider is at `localhost` and the app at
//! `127.0.0.1`, which are two sites to a browser.

use app_tests::Program;
use app_tests::chromium::{self, Driver, Profile};
use conformance_tests::suite;
use libtest_mimic::Trial;

use crate::App;

pub(crate) fn trials(app: App) -> Vec<Trial> {
    match chromium::missing() {
        None => vec![app.trial("chromium", "sign in, sign out, and deny", |app| Box::pin(in_chromium(app)))],
        Some(what) => suite::untested(format!(
            "{} in a browser: {what}; `apt-get install chromium chromium-driver` brings both",
            app.name
        ))
        .into_iter()
        .collect(),
    }
}

async fn in_chromium(app: Program) {
    let driver = Driver::start();
    let browser = driver.profile(900, 700, None).await;
    let url = format!("http://{}/", app.addr);

    browser.open(&url).await;
    assert_eq!(browser.text("h1").await, "Hello, visitor");
    at_provider(&browser).await;
    browser.click("button[value=allow]").await;
    assert_eq!(address(&browser).await, url);
    assert_eq!(browser.text("#user").await, "ada");
    browser.client.refresh().await.expect("a reload");
    assert_eq!(browser.text("#user").await, "ada");

    browser.click("form[action='/sign-out'] button").await;
    assert_eq!((address(&browser).await, browser.text("h1").await), (url.clone(), "Hello, visitor".to_owned()));
    assert!(browser.client.get_all_cookies().await.expect("a page").is_empty());

    at_provider(&browser).await;
    browser.click("button[value=deny]").await;
    assert_eq!((address(&browser).await, browser.text("h1").await), (url, "Hello, visitor".to_owned()));
    assert!(browser.text("[role=status]").await.contains("you didn't let"));
    browser.client.refresh().await.expect("a reload");
    assert_eq!(browser.count("[role=status]").await, 0, "it is shown once");
    browser.client.close().await.expect("a browser that closes");
}

/// Clicks "Sign in", which leads to the consent page.
async fn at_provider(browser: &Profile) {
    browser.click("form[action='/sign-in'] button").await;
    let page = browser.client.current_url().await.expect("a page");
    assert_eq!((page.host_str(), page.path()), (Some("localhost"), "/authorize"));
}

async fn address(browser: &Profile) -> String {
    browser.client.current_url().await.expect("a page").into()
}
