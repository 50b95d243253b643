//! One request without a server, for what no HTTP client can see: functions that are run, values
//! that JSON can't spell, `Debug` output, and which header values are marked sensitive.

use http::Response;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use session_core::CookieSession;
use session_core::adapter::{Scope, ScopeGuard};

use crate::browser::Browser;
use crate::world::World;

/// A request of `browser`, extracted: what its layer holds, and its session.
pub(crate) async fn extracted(world: &World, browser: &Browser) -> (ScopeGuard, CookieSession) {
    let mut head = HeaderMap::new();
    if let Some(value) = browser.cookie() {
        let pair = format!("{}={value}", world.service.config().cookie_name());
        head.insert(COOKIE, HeaderValue::try_from(pair).expect("a header value"));
    }
    let guard = world.service.begin(None);
    let session = loaded(guard.scope(), &head).await;
    (guard, session)
}

/// What an extractor gives for these headers.
pub(crate) async fn loaded(scope: &Scope, headers: &HeaderMap) -> CookieSession {
    scope.load(scope.read(headers, None)).await.expect("the store works")
}

/// Commits under a handler's 200, and returns the response.
pub(crate) async fn committed(guard: &ScopeGuard) -> Response<()> {
    let mut response = Response::new(());
    guard.commit(200).await.apply(&mut response);
    response
}

/// The lines of one header, each with whether it is marked sensitive.
pub(crate) fn lines(response: &Response<()>, name: &str) -> Vec<(String, bool)> {
    let lines = response.headers().get_all(name).iter();
    lines.map(|value| (String::from_utf8_lossy(value.as_bytes()).into_owned(), value.is_sensitive())).collect()
}
