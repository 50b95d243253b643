//! Forms and pages over HTTP, as browsers send and read them.

use conformance_tests::browser::{Browser, Reply};
use http::Request;
use http::header::{CONTENT_TYPE, LOCATION};

/// The content type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Sends a form, which is given as it is encoded.
///
/// # Panics
/// If the path isn't valid.
pub async fn post(browser: &mut Browser, path: &str, form: &str) -> Reply {
    let request = Request::post(path).header(CONTENT_TYPE, FORM);
    browser.send(request.body(form.to_owned()).expect("a valid request")).await
}

/// The page redirects to this address by a 303.
///
/// # Panics
/// If it doesn't.
#[track_caller]
pub fn redirects(reply: &Reply, path: &str) {
    assert_eq!(reply.status, 303, "{}", text(reply));
    assert_eq!(reply.headers[LOCATION], path);
}

/// The body.
pub fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}
