//! What the token endpoint checks: each part of a request is wrong once.

use std::sync::Arc;

use app_tests::{FORM, post, text};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use conformance_tests::adapter::Server;
use conformance_tests::browser::{Browser, Reply};
use form_urlencoded::{Serializer, parse};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{Request, Uri};
use oauth_provider::Registration;

const CALLBACK: &str = "http://127.0.0.1:1/callback";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct Provider {
    app: Registration,
    browser: Browser,
}

impl Provider {
    async fn start() -> Self {
        let app = oauth_provider::start(CALLBACK.to_owned()).await.expect("a free port");
        let uri: Uri = app.token_url.parse().expect("an address");
        let addr = ([127, 0, 0, 1], uri.port_u16().expect("a port")).into();
        Self { app, browser: Browser::new(Arc::new(Server::new(addr, || ())), "none") }
    }

    /// A code that the user `ada` let the app have.
    async fn code(&mut self) -> String {
        let query = Serializer::new(String::new())
            .extend_pairs([("client_id", &*self.app.client_id), ("redirect_uri", CALLBACK), ("response_type", "code")])
            .extend_pairs([("code_challenge", CHALLENGE), ("code_challenge_method", "S256")])
            .finish();
        let page = text(&self.browser.get(&format!("/authorize?{query}")).await);
        let request = page.split("name=\"request\" value=\"").nth(1).expect("a consent page");
        let request = request.split('"').next().expect("a value");
        let form = format!("request={request}&user=ada&answer=allow");
        let reply = post(&mut self.browser, "/authorize", &form).await;
        let uri: Uri = reply.headers[LOCATION].to_str().expect("text").parse().expect("an address");
        let query: Vec<_> = parse(uri.query().expect("a query").as_bytes()).into_owned().collect();
        assert_eq!((query.len(), &*query[0].0), (1, "code"), "no state was sent");
        query[0].1.clone()
    }

    async fn exchange(&mut self, secret: &str, form: [(&str, &str); 4]) -> Reply {
        let credentials = BASE64_STANDARD.encode(format!("{}:{secret}", self.app.client_id));
        let form = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post("/token").header(CONTENT_TYPE, FORM);
        let request = request.header(AUTHORIZATION, format!("Basic {credentials}"));
        self.browser.send(request.body(form).expect("a request")).await
    }

    async fn whose(&mut self, token: &str) -> Reply {
        let request = Request::get("/userinfo").header(AUTHORIZATION, format!("Bearer {token}"));
        self.browser.send(request.body("").expect("a request")).await
    }
}

fn form(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

#[track_caller]
fn is_refused(reply: &Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.json()["error"].as_str()), (status, Some(error)));
}

#[tokio::test]
async fn a_code_is_exchanged_once_for_a_token() {
    let mut provider = Provider::start().await;
    let (code, secret) = (provider.code().await, provider.app.client_secret.clone());
    let reply = provider.exchange(&secret, form(&code)).await;
    assert_eq!((reply.status, reply.headers[CACHE_CONTROL].to_str().ok()), (200, Some("no-store")));
    let answer = reply.json();
    assert_eq!(answer["token_type"], "Bearer");
    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(provider.whose(token).await.json()["sub"], "ada");

    is_refused(&provider.exchange(&secret, form(&code)).await, 400, "invalid_grant");
    assert_eq!(provider.whose("another").await.status, 401);
    assert_eq!(provider.whose(&code).await.status, 401);
}

#[tokio::test]
async fn what_is_wrong_in_an_exchange_is_refused() {
    let mut provider = Provider::start().await;
    let secret = provider.app.client_secret.clone();
    for (field, value, error) in [
        (0, "client_credentials", "unsupported_grant_type"),
        (1, "another", "invalid_grant"),
        (2, "http://127.0.0.1:1/callback/", "invalid_grant"),
        (2, "", "invalid_grant"),
        (3, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK", "invalid_grant"),
        (3, CHALLENGE, "invalid_grant"),
        (3, "", "invalid_grant"),
    ] {
        let code = provider.code().await;
        let mut wrong = form(&code);
        wrong[field].1 = value;
        is_refused(&provider.exchange(&secret, wrong).await, 400, error);
    }
}

#[tokio::test]
async fn another_client_is_refused_and_takes_no_code() {
    let mut provider = Provider::start().await;
    let (code, secret) = (provider.code().await, provider.app.client_secret.clone());
    for wrong in ["", "another", &secret[1..]] {
        let reply = provider.exchange(wrong, form(&code)).await;
        is_refused(&reply, 401, "invalid_client");
        assert_eq!(reply.headers[WWW_AUTHENTICATE], "Basic");
    }
    assert_eq!(provider.exchange(&secret, form(&code)).await.status, 200);
}
