//! Refuses state-changing requests that another site's page sent, and adds the default headers to every response.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use devices_pages::{Sender, headers};

pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let mut response = if !request.method().is_safe() && sender(&request).is_cross_site() {
        (StatusCode::FORBIDDEN, "refused: this request was sent by another site\n").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in headers::DEFAULTS {
        let entry = response.headers_mut().entry(HeaderName::from_static(name));
        entry.or_insert(HeaderValue::from_static(value));
    }
    response
}

fn sender(request: &Request) -> Sender<'_> {
    let value = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    Sender {
        sec_fetch_site: value("sec-fetch-site"),
        origin: value(header::ORIGIN.as_str()),
        host: value(header::HOST.as_str()).or(authority),
    }
}
