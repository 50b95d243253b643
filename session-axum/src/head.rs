//! The core's view of `http`'s heads.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use session_core::adapter::{Headers, RequestHead, ResponseHead};

pub(crate) struct Incoming<'a>(pub(crate) &'a Parts);

impl Headers for Incoming<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.0.headers, name)
    }
}

impl RequestHead for Incoming<'_> {
    fn peer(&self) -> Option<IpAddr> {
        self.0.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
    }
}

pub(crate) struct Outgoing<'a, B>(pub(crate) &'a mut Response<B>);

impl<B> Headers for Outgoing<'_, B> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(self.0.headers(), name)
    }
}

impl<B: Default> ResponseHead for Outgoing<'_, B> {
    fn remove(&mut self, name: &'static str) {
        self.0.headers_mut().remove(name);
    }

    fn append(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
        let value = match value {
            Cow::Borrowed(text) => Ok(HeaderValue::from_static(text)),
            Cow::Owned(text) => HeaderValue::try_from(text),
        };
        let mut value = value.expect("the core writes header text only");
        value.set_sensitive(sensitive);
        self.0.headers_mut().append(HeaderName::from_static(name), value);
    }

    fn replace(&mut self, status: u16) {
        *self.0 = Response::default();
        *self.0.status_mut() = StatusCode::from_u16(status).expect("the core names HTTP statuses only");
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}
