//! The app as browsers use it: requests through the whole router, over a database file of each test's own.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use devices_pages::{Accounts, headers};
use http_body_util::BodyExt;
use serde_json::Value;
use session_axum::{CookieSessionService, KeyRing, SessionConfig, SigningKey, SqliteStore};
use tower::ServiceExt;

use crate::app;

const FORM: &str = "application/x-www-form-urlencoded";

/// Hashed once for all tests.
static ACCOUNTS: LazyLock<Arc<Accounts>> = LazyLock::new(|| Arc::new(Accounts::demo().unwrap()));

struct Site {
    router: Router,
    folder: Arc<tempfile::TempDir>,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("sessions.db").to_str().unwrap()).await.unwrap();
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
        let service = CookieSessionService::new(store, SessionConfig::builder().build(keys).unwrap());
        Self { router: app::router(ACCOUNTS.clone(), service.layer()), folder: Arc::new(folder) }
    }

    fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), cookie: None, last_cookie_line: None, _folder: self.folder.clone() }
    }

    async fn signed_in(&self, username: &str, password: &str) -> Browser {
        let mut browser = self.browser();
        browser.post("/login", &format!("username={username}&password={password}")).await.redirects_to("/");
        browser
    }
}

struct Browser {
    router: Router,
    cookie: Option<String>,
    last_cookie_line: Option<String>,
    /// The database lives as long as whoever uses it.
    _folder: Arc<tempfile::TempDir>,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    #[track_caller]
    fn redirects_to(&self, path: &str) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        assert_eq!(self.headers[header::LOCATION], path);
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Browser {
    async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, FORM);
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    async fn send(&mut self, mut request: Request<Body>) -> Answer {
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        if let Some(line) = response.headers().get(header::SET_COOKIE) {
            let line = line.to_str().unwrap().to_owned();
            let pair = line.split(';').next().unwrap().to_owned();
            self.cookie = Some(pair).filter(|pair| !pair.ends_with('='));
            self.last_cookie_line = Some(line);
        }
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn id(&mut self) -> String {
        self.get("/api/session").await.json()["session"]["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_to_the_sign_in_page() {
    let mut browser = Site::new().await.browser();
    for path in ["/", "/devices"] {
        browser.get(path).await.redirects_to("/login");
    }
    for path in ["/logout", "/logout-others", "/logout-all", "/devices/x/revoke", "/visits"] {
        browser.post(path, "").await.redirects_to("/login");
    }
    browser.post("/theme", "theme=dark").await.redirects_to("/login");
    assert_eq!(browser.get("/api/session").await.json(), serde_json::json!({ "session": null }));
    assert_eq!(browser.get("/api/devices").await.status, StatusCode::UNAUTHORIZED);
    assert!(browser.last_cookie_line.is_none());
}

#[tokio::test]
async fn a_wrong_password_says_so_with_401() {
    let mut browser = Site::new().await.browser();
    for form in ["username=ada&password=turing", "username=eve&password=", "username=&password="] {
        let answer = browser.post("/login", form).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.body.contains("Wrong username or password"));
    }
    assert!(browser.cookie.is_none());
}

#[tokio::test]
async fn without_remember_the_cookie_ends_with_the_browser() {
    let mut browser = Site::new().await.browser();
    browser.post("/login", "username=ada&password=lovelace").await.redirects_to("/");
    assert!(!browser.last_cookie_line.as_ref().unwrap().contains("Max-Age"));
    browser.post("/login", "username=ada&password=lovelace&remember=on").await.redirects_to("/");
    assert!(browser.last_cookie_line.as_ref().unwrap().contains("Max-Age"));
    let devices = browser.get("/api/devices").await.json();
    assert_eq!(devices.as_array().unwrap().len(), 1, "the second sign-in replaces the first");
}

#[tokio::test]
async fn one_device_signs_out_another() {
    let site = Site::new().await;
    let mut laptop = site.signed_in("ada", "lovelace").await;
    let mut phone = site.signed_in("ada", "lovelace").await;
    let phone_id = phone.id().await;

    let page = laptop.get("/devices").await.body;
    assert!(page.contains(&format!("/devices/{phone_id}/revoke")));
    assert_eq!(page.matches("This device").count(), 1);

    laptop.post(&format!("/devices/{phone_id}/revoke"), "").await.redirects_to("/devices");
    phone.get("/devices").await.redirects_to("/login");
    assert_eq!(laptop.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_ones_own_devices_can_be_revoked() {
    let site = Site::new().await;
    let mut ada = site.signed_in("ada", "lovelace").await;
    let mut alan = site.signed_in("alan", "turing").await;
    let alans = alan.id().await;
    for id in [alans.as_str(), "unknown", "%00", "%F0%9F%94%91", &"x".repeat(5000)] {
        assert_eq!(ada.post(&format!("/devices/{id}/revoke"), "").await.status, StatusCode::NOT_FOUND, "{id}");
    }
    assert_eq!(ada.post("/devices/%ff/revoke", "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(alan.get("/").await.status, StatusCode::OK);

    let own = ada.id().await;
    ada.post(&format!("/devices/{own}/revoke"), "").await.redirects_to("/devices");
    assert!(ada.cookie.is_none());
}

#[tokio::test]
async fn signing_out_here_elsewhere_and_everywhere() {
    let site = Site::new().await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        browsers.push(site.signed_in("grace", "hopper").await);
    }
    let [a, b, c, d] = browsers.as_mut_slice() else { unreachable!() };

    d.post("/logout", "").await.redirects_to("/login");
    assert!(d.cookie.is_none());
    a.post("/logout-others", "").await.redirects_to("/devices");
    b.get("/").await.redirects_to("/login");
    assert_eq!(a.get("/").await.status, StatusCode::OK);

    c.post("/login", "username=grace&password=hopper").await.redirects_to("/");
    c.post("/logout-all", "").await.redirects_to("/login");
    a.get("/").await.redirects_to("/login");
}

#[tokio::test]
async fn theme_and_counter_are_kept_and_shown_on_every_page() {
    let mut browser = Site::new().await.signed_in("ada", "lovelace").await;
    browser.post("/theme", "theme=dark&page=devices").await.redirects_to("/devices");
    for path in ["/", "/devices", "/nowhere"] {
        assert!(browser.get(path).await.body.contains(r#"data-theme="dark""#), "{path}");
    }
    for _ in 0..3 {
        browser.post("/visits", "").await.redirects_to("/");
    }
    let data = browser.get("/api/session").await.json()["session"]["data"].clone();
    assert_eq!(data, serde_json::json!({ "theme": "dark", "visits": 3 }));
}

#[tokio::test]
async fn posts_from_another_site_are_refused_and_change_nothing() {
    let mut browser = Site::new().await.signed_in("ada", "lovelace").await;
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://b.example")]
    {
        for path in ["/logout", "/logout-all", "/visits", "/login"] {
            let request = Request::post(path).header(header::HOST, "a.example").header(name, value);
            let answer = browser.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {name}: {value}");
        }
    }
    let own = Request::post("/visits").header(header::HOST, "a.example").header("origin", "https://a.example");
    browser.send(own.body(Body::empty()).unwrap()).await.redirects_to("/");
    let link = Request::get("/").header("sec-fetch-site", "cross-site").body(Body::empty()).unwrap();
    assert_eq!(browser.send(link).await.status, StatusCode::OK);
    assert_eq!(browser.get("/api/session").await.json()["session"]["data"]["visits"], 1);
}

#[tokio::test]
async fn a_malformed_form_is_a_clear_4xx() {
    let site = Site::new().await;
    let mut browser = site.signed_in("ada", "lovelace").await;
    let too_long = format!("username={}&password=x", "u".repeat(256));
    let far_too_long = format!("username=ada&password={}", "p".repeat(20_000));
    for (path, form, status) in [
        ("/login", "", StatusCode::UNPROCESSABLE_ENTITY),
        ("/login", "username=ada", StatusCode::UNPROCESSABLE_ENTITY),
        ("/login", "username=ada&username=alan&password=x", StatusCode::UNPROCESSABLE_ENTITY),
        ("/login", too_long.as_str(), StatusCode::UNPROCESSABLE_ENTITY),
        ("/login", far_too_long.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
        ("/login", "username=%ff%00&password=%zz", StatusCode::UNAUTHORIZED),
        ("/theme", "theme=plaid", StatusCode::UNPROCESSABLE_ENTITY),
        ("/theme", "theme=dark&page=//evil.example", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(browser.post(path, form).await.status, status, "{path} {form:.60}");
    }
    let json = Request::post("/theme").header(header::CONTENT_TYPE, "application/json");
    let answer = browser.send(json.body(Body::from(r#"{"theme":"dark"}"#)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(browser.get("/api/session").await.json()["session"]["data"], serde_json::json!({}));
}

#[tokio::test]
async fn every_response_has_the_default_headers() {
    let mut browser = Site::new().await.signed_in("ada", "lovelace").await;
    for path in ["/", "/devices", "/login", "/api/session", "/api/devices", "/nowhere", "/logout"] {
        let answer = browser.get(path).await;
        for (name, value) in headers::DEFAULTS {
            assert_eq!(answer.headers[name], value, "{path}");
        }
    }
    let style = browser.get("/style.css").await;
    assert_eq!(style.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert_eq!(style.headers[header::CACHE_CONTROL], "public, max-age=300");
    assert_eq!(browser.get("/nowhere").await.status, StatusCode::NOT_FOUND);
}
