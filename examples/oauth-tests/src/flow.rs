//! The steps of a sign-in, over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use app_tests::{post, redirects, text};
use conformance_tests::adapter::Server;
use conformance_tests::browser::{Browser, Reply};
use http::Uri;
use http::header::LOCATION;

/// The parameters of a query.
pub(crate) type Query = BTreeMap<String, String>;

/// A browser that is at the provider.
pub(crate) struct AtProvider {
    /// What the app sent it there with.
    pub(crate) asked: Query,
    browser: Browser,
    path: String,
}

/// Clicks "Sign in" and follows the redirect.
pub(crate) async fn begin(browser: &mut Browser) -> AtProvider {
    let reply = post(browser, "/sign-in", "").await;
    assert_eq!(reply.status, 303, "{}", text(&reply));
    let uri = location(&reply);
    assert_eq!((uri.host(), uri.path()), (Some("localhost"), "/authorize"));
    let addr = ([127, 0, 0, 1], uri.port_u16().expect("a port")).into();
    let path = uri.path_and_query().expect("a path").to_string();
    AtProvider { asked: query(&uri), browser: Browser::new(Arc::new(Server::new(addr, || ())), "none"), path }
}

impl AtProvider {
    /// Asks with other parameters than the app did.
    pub(crate) async fn ask(&mut self, parameters: &Query) -> Reply {
        self.browser.get(&format!("/authorize?{}", encoded(parameters))).await
    }

    /// Answers the consent page as `ada`, and returns what the app is called back with.
    pub(crate) async fn answer(self, answer: &str) -> Query {
        self.answer_as("ada", answer).await
    }

    /// Answers it as another user.
    pub(crate) async fn answer_as(mut self, user: &str, answer: &str) -> Query {
        let page = text(&self.browser.get(&self.path).await);
        let (_, rest) = page.split_once("name=\"request\" value=\"").expect("a consent page");
        let (request, _) = rest.split_once('"').expect("a value");
        let form = format!("request={request}&user={user}&answer={answer}");
        let uri = location(&post(&mut self.browser, "/authorize", &form).await);
        assert!(self.asked["redirect_uri"].ends_with("/callback"));
        assert!(uri.to_string().starts_with(&self.asked["redirect_uri"]));
        assert_eq!(post(&mut self.browser, "/authorize", &form).await.status, 400, "a page is answered once");
        query(&uri)
    }
}

/// Calls the app back.
pub(crate) async fn call_back(browser: &mut Browser, parameters: &Query) -> Reply {
    browser.get(&format!("/callback?{}", encoded(parameters))).await
}

/// Signs in, and returns what the app was called back with.
pub(crate) async fn sign_in(browser: &mut Browser) -> Query {
    let callback = begin(browser).await.answer("allow").await;
    redirects(&call_back(browser, &callback).await, "/");
    assert_eq!(user(browser).await.as_deref(), Some("ada"));
    callback
}

/// The user that the app greets.
pub(crate) async fn user(browser: &mut Browser) -> Option<String> {
    let reply = browser.get("/").await;
    let page = text(&reply);
    assert_eq!(reply.status, 200, "{page}");
    let (_, rest) = page.split_once("<span id=\"user\">")?;
    Some(rest.split_once('<').expect("an end").0.to_owned())
}

fn location(reply: &Reply) -> Uri {
    assert_eq!(reply.status, 303, "{}", text(reply));
    reply.headers[LOCATION].to_str().expect("text").parse().expect("an address")
}

pub(crate) fn redirected_with(reply: &Reply) -> Query {
    query(&location(reply))
}

fn query(uri: &Uri) -> Query {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

fn encoded(query: &Query) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}
