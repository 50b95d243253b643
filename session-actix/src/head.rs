//! The core's view of Actix's header maps and responses.

use std::borrow::Cow;
use std::ops::Deref;

use actix_web::HttpResponse;
use actix_web::body::EitherBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use session_core::adapter::{Headers, HeadersMut, ResponseHead};

/// The lines of a header map that is borrowed, for reading or for writing.
pub(crate) struct Lines<M>(pub(crate) M);

impl<M: Deref<Target = HeaderMap>> Headers for Lines<M> {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name).map(HeaderValue::as_bytes)
    }
}

impl HeadersMut for Lines<&mut HeaderMap> {
    fn remove_lines(&mut self, name: &'static str) {
        self.0.remove(name);
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
        *self.0 = HttpResponse::new(status).map_into_right_body();
    }
}
