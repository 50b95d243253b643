//! The app as browsers use it, over HTTP.

use app_tests::{post, redirects, text};
use conformance_tests::browser::Browser;
use conformance_tests::{BoxFuture, suite, trial};
use devices_pages::headers;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::program::{App, Cookies, Database, Running};

pub(crate) fn trials(app: App) -> Vec<Trial> {
    let named = |behaviour| trial::name(&[app.name, "pages"], behaviour);
    let trial = |behaviour, run: fn(Running) -> BoxFuture<'static, ()>| {
        Trial::test(named(behaviour), move || {
            suite::run(async move { run(app.start(Cookies::Secure, &Database::file())).await })
        })
    };
    let restart = Trial::test(named("sessions survive a restart"), move || suite::run(restart(app)));
    vec![
        restart,
        trial("who isn't signed in is sent to the sign-in page", |site| Box::pin(nobody(site))),
        trial("a wrong password says so with 401", |site| Box::pin(wrong_password(site))),
        trial("of a crowd that signs in at once some are asked to try again", |site| Box::pin(crowd(site))),
        trial("without remember the cookie ends with the browser", |site| Box::pin(remember(site))),
        trial("only a browser that another device has signed out is told to forget its pages", |site| {
            Box::pin(forgetting_pages(site))
        }),
        trial("one device signs out another", |site| Box::pin(one_signs_out_another(site))),
        trial("only one's own devices can be revoked", |site| Box::pin(only_ones_own(site))),
        trial("signing out here, elsewhere and everywhere", |site| Box::pin(signing_out(site))),
        trial("a new cookie keeps the session and the one after it ends the old cookie", |site| {
            Box::pin(rotating(site))
        }),
        trial("theme and counter are kept and shown on every page", |site| Box::pin(preferences(site))),
        trial("posts from another site are refused and change nothing", |site| Box::pin(other_sites(site))),
        trial("a malformed form is a clear 4xx", |site| Box::pin(malformed(site))),
        trial("every response has the default headers", |site| Box::pin(default_headers(site))),
        trial("HEAD is GET without its body", |site| Box::pin(head(site))),
    ]
}

pub(crate) async fn signed_in(site: &Running, username: &str, password: &str) -> Browser {
    let mut browser = site.browser();
    let reply = post(&mut browser, "/login", &format!("username={username}&password={password}")).await;
    redirects(&reply, "/");
    browser
}

pub(crate) async fn session(browser: &mut Browser) -> Value {
    browser.get("/api/session").await.json()["session"].clone()
}

pub(crate) async fn id(browser: &mut Browser) -> String {
    session(browser).await["id"].as_str().expect("signed in").to_owned()
}

async fn restart(app: App) {
    let database = Database::file();
    let site = app.start(Cookies::Plain, &database);
    let browser = signed_in(&site, "ada", "lovelace").await;
    let cookie = browser.cookie().expect("a cookie");
    assert!(site.stop(), "it ends well when it is told to");
    let site = app.start(Cookies::Plain, &database);
    let mut after = site.browser();
    after.set_cookie(cookie);
    assert_eq!(session(&mut after).await["user_id"], "ada");
}

async fn nobody(site: Running) {
    let mut browser = site.browser();
    for path in ["/", "/devices"] {
        redirects(&browser.get(path).await, "/login");
    }
    for path in ["/logout", "/logout-others", "/logout-all", "/devices/x/revoke", "/rotate", "/visits", "/visits/reset"]
    {
        redirects(&post(&mut browser, path, "").await, "/login");
    }
    redirects(&post(&mut browser, "/theme", "theme=dark").await, "/login");
    assert_eq!(browser.get("/api/session").await.json(), json!({"session": null}));
    assert_eq!(browser.get("/api/devices").await.status, 401);
    assert_eq!(browser.cookie(), None);
}

async fn wrong_password(site: Running) {
    let mut browser = site.browser();
    for form in ["username=ada&password=turing", "username=eve&password=", "username=&password="] {
        let reply = post(&mut browser, "/login", form).await;
        assert_eq!(reply.status, 401);
        assert!(text(&reply).contains("Wrong username or password"));
    }
    assert_eq!(browser.cookie(), None);
}

/// Each with a wrong password, which costs the same check. They take seconds together, and come
/// within less than one.
async fn crowd(site: Running) {
    let mut crowd = JoinSet::new();
    for _ in 0..300 {
        let mut browser = site.browser();
        crowd.spawn(async move { post(&mut browser, "/login", "username=ada&password=turing&remember=on").await });
    }
    let replies = crowd.join_all().await;
    let (refused, checked): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 503);
    assert!(!checked.is_empty() && checked.iter().all(|reply| reply.status == 401), "who is let in gets an answer");
    assert!(!refused.is_empty(), "not all of them are let in");
    for reply in refused {
        assert_eq!(reply.headers[RETRY_AFTER], headers::RETRY_SOON.1);
        assert!(text(reply).contains("Try again in a moment"));
        assert_eq!(reply.set_cookies(), Vec::<String>::new());
    }
    signed_in(&site, "ada", "lovelace").await;
}

async fn remember(site: Running) {
    let mut browser = site.browser();
    let reply = post(&mut browser, "/login", "username=ada&password=lovelace").await;
    assert!(!reply.set_cookies()[0].contains("Max-Age"));
    let reply = post(&mut browser, "/login", "username=ada&password=lovelace&remember=on").await;
    assert!(reply.set_cookies()[0].contains("Max-Age"));
    let devices = browser.get("/api/devices").await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(1), "the second sign-in replaces the first");
}

async fn one_signs_out_another(site: Running) {
    let mut laptop = signed_in(&site, "ada", "lovelace").await;
    let mut phone = signed_in(&site, "ada", "lovelace").await;
    let phone_id = id(&mut phone).await;

    let page = text(&laptop.get("/devices").await);
    assert!(page.contains(&format!("/devices/{phone_id}/revoke")));
    assert_eq!(page.matches("This device").count(), 1);
    assert_eq!(page.matches("127.0.0.1").count(), 4, "both addresses, in the table and on the buttons");

    redirects(&post(&mut laptop, &format!("/devices/{phone_id}/revoke"), "").await, "/devices");
    redirects(&phone.get("/devices").await, "/login");
    assert_eq!(laptop.get("/").await.status, 200);
}

async fn only_ones_own(site: Running) {
    let mut ada = signed_in(&site, "ada", "lovelace").await;
    let mut alan = signed_in(&site, "alan", "turing").await;
    let alans = id(&mut alan).await;
    for other in [alans.as_str(), "unknown", "%00", "%F0%9F%94%91", &"x".repeat(5000)] {
        assert_eq!(post(&mut ada, &format!("/devices/{other}/revoke"), "").await.status, 404, "{other}");
    }
    // No text at all: one framework says so, another takes it for some other id.
    assert!([400, 404].contains(&post(&mut ada, "/devices/%ff/revoke", "").await.status));
    assert_eq!(alan.get("/").await.status, 200);

    let own = id(&mut ada).await;
    redirects(&post(&mut ada, &format!("/devices/{own}/revoke"), "").await, "/devices");
    assert_eq!(ada.cookie(), None);
}

async fn forgetting_pages(site: Running) {
    let asks = async |browser: &mut Browser| {
        let reply = browser.get("/devices").await;
        redirects(&reply, "/login");
        reply.headers.get("clear-site-data").map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(asks(&mut site.browser()).await, None, "a first visit");
    let mut laptop = signed_in(&site, "ada", "lovelace").await;
    let mut phone = signed_in(&site, "ada", "lovelace").await;
    let reply = post(&mut laptop, "/logout-others", "").await;
    redirects(&reply, "/devices");
    assert_eq!(asks(&mut phone).await.as_deref(), Some("\"cache\""));
    let reply = post(&mut laptop, "/logout", "").await;
    assert!(!reply.headers.contains_key("clear-site-data"), "its cookie changes");
    assert_eq!(asks(&mut laptop).await, None);
}

async fn signing_out(site: Running) {
    let mut a = signed_in(&site, "grace", "hopper").await;
    let mut b = signed_in(&site, "grace", "hopper").await;
    let mut c = signed_in(&site, "grace", "hopper").await;

    redirects(&post(&mut c, "/logout", "").await, "/login");
    assert_eq!(c.cookie(), None);
    redirects(&post(&mut a, "/logout-others", "").await, "/devices");
    redirects(&b.get("/").await, "/login");
    assert_eq!(a.get("/").await.status, 200);

    let mut d = signed_in(&site, "grace", "hopper").await;
    redirects(&post(&mut d, "/logout-all", "").await, "/login");
    redirects(&a.get("/").await, "/login");
}

/// The old cookie's last minute, after the new one was used, is too long to wait for; a further new
/// cookie ends it too.
async fn rotating(site: Running) {
    let mut browser = signed_in(&site, "ada", "lovelace").await;
    post(&mut browser, "/visits", "").await;
    let (mut old, mut other_tab) = (browser.clone(), browser.clone());
    let before = session(&mut browser).await;
    redirects(&post(&mut browser, "/rotate", "").await, "/devices");
    assert_ne!(browser.cookie(), old.cookie());
    assert_eq!(old.get("/devices").await.status, 200, "the answer with the new cookie may be lost yet");
    redirects(&post(&mut other_tab, "/rotate", "").await, "/devices");
    assert_eq!(other_tab.cookie(), browser.cookie(), "whoever asks with the old cookie gets the same new one");

    let after = session(&mut browser).await;
    assert_eq!((&after["id"], &after["data"]), (&before["id"], &json!({"visits": 1})));
    redirects(&post(&mut old, "/visits", "").await, "/");
    assert_eq!(session(&mut browser).await["data"], json!({"visits": 2}), "what was under way is stored");
    let reply = post(&mut old, "/rotate", "").await;
    redirects(&reply, "/devices");
    assert!(reply.set_cookies().is_empty(), "the new cookie has arrived");

    redirects(&post(&mut browser, "/rotate", "").await, "/devices");
    assert_ne!(browser.cookie(), other_tab.cookie());
    redirects(&old.get("/devices").await, "/login");
    redirects(&post(&mut old, "/rotate", "").await, "/login");
    for tab in [&mut other_tab, &mut browser] {
        assert_eq!(session(tab).await["id"], before["id"]);
    }
}

async fn preferences(site: Running) {
    let mut browser = signed_in(&site, "ada", "lovelace").await;
    redirects(&post(&mut browser, "/theme", "theme=dark&page=devices").await, "/devices");
    for path in ["/", "/devices", "/nowhere"] {
        assert!(text(&browser.get(path).await).contains(r#"data-theme="dark""#), "{path}");
    }
    for _ in 0..3 {
        redirects(&post(&mut browser, "/visits", "").await, "/");
    }
    assert_eq!(session(&mut browser).await["data"], json!({"theme": "dark", "visits": 3}));
    redirects(&post(&mut browser, "/visits/reset", "").await, "/");
    assert_eq!(session(&mut browser).await["data"], json!({"theme": "dark"}));
}

async fn other_sites(site: Running) {
    let mut browser = signed_in(&site, "ada", "lovelace").await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://b.example"),
        ("origin", "null"),
    ] {
        for path in ["/logout", "/logout-all", "/rotate", "/visits", "/visits/reset", "/login"] {
            let reply = browser.send(Request::post(path).header(name, value).body("").expect("a request")).await;
            assert_eq!(reply.status, 403, "{path} {name}: {value}");
            assert_eq!(reply.headers["referrer-policy"], "same-origin", "a refusal has the default headers too");
        }
    }
    let own = Request::post("/visits").header("origin", "https://localhost").body("").expect("a request");
    redirects(&browser.send(own).await, "/");
    let link = Request::get("/").header("sec-fetch-site", "cross-site").body("").expect("a request");
    assert_eq!(browser.send(link).await.status, 200);
    assert_eq!(session(&mut browser).await["data"]["visits"], 1);
}

async fn malformed(site: Running) {
    let mut browser = signed_in(&site, "ada", "lovelace").await;
    let too_long = format!("username={}&password=x", "u".repeat(256));
    let far_too_long = format!("username=ada&password={}", "p".repeat(20_000));
    for (path, form, status) in [
        ("/login", "", 422),
        ("/login", "username=ada", 422),
        ("/login", "username=ada&username=alan&password=x", 422),
        ("/login", too_long.as_str(), 422),
        ("/login", far_too_long.as_str(), 413),
        ("/login", "username=%ff%00&password=%zz", 401),
        ("/theme", "theme=plaid", 422),
        ("/theme", "theme=dark&page=//evil.example", 422),
    ] {
        assert_eq!(post(&mut browser, path, form).await.status, status, "{path} {form:.60}");
    }
    let json = Request::post("/theme").header(CONTENT_TYPE, "application/json").body(r#"{"theme":"dark"}"#);
    assert_eq!(browser.send(json.expect("a request")).await.status, 415);
    assert_eq!(session(&mut browser).await["data"], json!({}));
}

async fn default_headers(site: Running) {
    let mut browser = signed_in(&site, "ada", "lovelace").await;
    for path in ["/", "/devices", "/login", "/api/session", "/api/devices", "/nowhere", "/logout"] {
        let reply = browser.get(path).await;
        for (name, value) in headers::DEFAULTS {
            assert_eq!(reply.headers[name], value, "{path}");
        }
    }
    let style = browser.get("/style.css").await;
    assert_eq!(style.headers[CONTENT_TYPE], "text/css; charset=utf-8");
    assert_eq!(style.headers[CACHE_CONTROL], "public, max-age=300");
    assert_eq!(browser.get("/nowhere").await.status, 404);
    assert_eq!(browser.get("/logout").await.status, 405, "a link can't sign anybody out");
}

async fn head(site: Running) {
    let mut browser = signed_in(&site, "ada", "lovelace").await;
    for path in ["/", "/devices", "/style.css", "/api/session"] {
        let request = Request::builder().method(Method::HEAD).uri(path).body("").expect("a request");
        let reply = browser.send(request).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{path}");
    }
}
