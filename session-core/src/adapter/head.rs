//! How the core sees the heads of requests and responses: header lines by name, whatever a framework keeps them in.

use std::borrow::Cow;

/// Header lines, read by name.
pub trait Headers {
    /// The values of all lines of the header `name` (lower case), in order.
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

/// Header lines of a response, to change.
pub trait HeadersMut: Headers {
    /// Removes all lines of a header.
    fn remove_lines(&mut self, name: &'static str);
    /// Adds a line, beside those of the same name. A `sensitive` one must not show in logs or be kept by header
    /// compression.
    fn append_line(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool);
}

/// A response that the core completes.
pub trait ResponseHead {
    /// Its header lines.
    type Headers<'a>: HeadersMut
    where
        Self: 'a;

    /// Its header lines.
    fn headers(&mut self) -> Self::Headers<'_>;
    /// Makes it an empty response of this status: no body, no header.
    fn replace(&mut self, status: u16);
}

impl<H: Headers + ?Sized> Headers for &mut H {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        (**self).lines(name)
    }
}

impl<H: HeadersMut + ?Sized> HeadersMut for &mut H {
    fn remove_lines(&mut self, name: &'static str) {
        (**self).remove_lines(name);
    }

    fn append_line(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
        (**self).append_line(name, value, sensitive);
    }
}

/// For frameworks on version 1 of the `http` crate: nothing is left for their adapters to write.
#[cfg(feature = "http")]
mod http1 {
    use super::{Cow, Headers, HeadersMut, ResponseHead};
    use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, USER_AGENT, VARY};
    use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

    impl Headers for HeaderMap {
        #[inline]
        fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            let lines = match known(name) {
                Some(name) => self.get_all(name),
                None => self.get_all(name),
            };
            lines.iter().map(HeaderValue::as_bytes)
        }
    }

    impl HeadersMut for HeaderMap {
        fn remove_lines(&mut self, name: &'static str) {
            self.remove(name);
        }

        #[inline]
        fn append_line(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
            let value = match value {
                Cow::Borrowed(text) => Ok(HeaderValue::from_static(text)),
                Cow::Owned(text) => HeaderValue::try_from(text),
            };
            let mut value = value.expect("the core writes header text only");
            value.set_sensitive(sensitive);
            self.append(known(name).unwrap_or_else(|| HeaderName::from_static(name)), value);
        }
    }

    /// The headers that most requests and responses are asked for, without reading their names anew each time.
    #[inline]
    fn known(name: &str) -> Option<HeaderName> {
        match name {
            "cookie" => Some(COOKIE),
            "user-agent" => Some(USER_AGENT),
            "vary" => Some(VARY),
            "set-cookie" => Some(SET_COOKIE),
            "cache-control" => Some(CACHE_CONTROL),
            _ => None,
        }
    }

    impl<B: Default> ResponseHead for Response<B> {
        type Headers<'a>
            = &'a mut HeaderMap
        where
            B: 'a;

        fn headers(&mut self) -> &mut HeaderMap {
            self.headers_mut()
        }

        fn replace(&mut self, status: u16) {
            *self = Self::default();
            *self.status_mut() = StatusCode::from_u16(status).expect("the core names HTTP statuses only");
        }
    }
}
