//! Refuses state-changing requests that another site's page sent, and adds the default headers to every response.

use actix_web::HttpResponse;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use devices_pages::{Sender, headers};

pub(crate) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> actix_web::Result<ServiceResponse<EitherBody<B>>> {
    let mut response = if !request.method().is_safe() && sender(&request).is_cross_site() {
        let refused = HttpResponse::Forbidden().body("refused: this request was sent by another site\n");
        request.into_response(refused.map_into_right_body())
    } else {
        next.call(request).await?.map_into_left_body()
    };
    for (name, value) in headers::DEFAULTS {
        if !response.headers().contains_key(name) {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

fn sender(request: &ServiceRequest) -> Sender<'_> {
    let value = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    Sender {
        sec_fetch_site: value("sec-fetch-site"),
        origin: value(header::ORIGIN.as_str()),
        host: value(header::HOST.as_str()).or(authority),
    }
}
