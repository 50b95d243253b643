//! The core's view of Actix's header maps and responses.

use std::borrow::Cow;
use std::ops::Deref;

use actix_web::body::{BoxBody, EitherBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use session_core::Answer;
use session_core::adapter::{Headers, HeadersMut, RequestHead, ResponseHead};

/// The lines of a header map that is borrowed, for reading or for writing.
pub(crate) struct Lines<M>(pub(crate) M);

impl<M: Deref<Target = HeaderMap>> Headers for Lines<M> {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name).map(HeaderValue::as_bytes)
    }
}

impl HeadersMut for Lines<&mut HeaderMap> {
    fn retain_lines(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
        self.0.retain(|name, value| keep(name.as_str(), value.as_bytes()));
    }

    fn append_line(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
        let value = match value {
            Cow::Borrowed(text) => Ok(HeaderValue::from_static(text)),
            Cow::Owned(text) => HeaderValue::try_from(text),
        };
        let mut value = value.expect("the core writes header text only");
        value.set_sensitive(sensitive);
        self.0.append(HeaderName::from_static(name), value);
    }
}

/// The head of a request, as the core looks at it.
pub(crate) struct Asked<'a>(pub(crate) &'a HttpRequest);

impl Headers for Asked<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.headers().get_all(name).map(HeaderValue::as_bytes)
    }
}

impl RequestHead for Asked<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path_and_query(&self) -> &str {
        self.0.uri().path_and_query().map_or("", |target| target.as_str())
    }

    fn authority(&self) -> Option<&str> {
        self.0.uri().authority().map(|authority| authority.as_str())
    }
}

/// The response of a request that was answered before its handler.
pub(crate) fn answered<B>(request: ServiceRequest, answer: &Answer) -> ServiceResponse<EitherBody<B>> {
    let mut response = request.into_response(HttpResponse::new(StatusCode::OK)).map_into_right_body();
    answer.apply(&mut Outgoing(response.response_mut()));
    response
}

pub(crate) struct Outgoing<'a, B>(pub(crate) &'a mut HttpResponse<EitherBody<B>>);

impl<B> ResponseHead for Outgoing<'_, B> {
    type Headers<'a>
        = Lines<&'a mut HeaderMap>
    where
        Self: 'a;

    fn headers(&mut self) -> Lines<&mut HeaderMap> {
        Lines(self.0.headers_mut())
    }

    fn replace(&mut self, status: u16) {
        let status = StatusCode::from_u16(status).expect("the core names HTTP statuses only");
        let headers = std::mem::take(self.0.headers_mut());
        *self.0 = HttpResponse::new(status).map_into_right_body();
        *self.0.headers_mut() = headers;
    }

    fn set_text(&mut self, text: &'static str) {
        let response = std::mem::replace(self.0, HttpResponse::new(self.0.status()).map_into_right_body());
        *self.0 = response.map_body(|_, _| EitherBody::right(BoxBody::new(text)));
    }
}
