//! How the core sees the heads of requests and responses: header lines by name, whatever a
//! framework keeps them in.

use std::borrow::Cow;

/// Header lines, read by name.
pub trait Headers {
    /// The values of all lines of the header `name` (lower case), in order.
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

/// The head of a request, as far as policies look at it.
pub trait RequestHead: Headers + Sized {
    /// The method, as the client wrote it.
    fn method(&self) -> &str;
    /// Path and query of the target, such as `/a?b=c`.
    fn path_and_query(&self) -> &str;
    /// Host and port of the target where it has them, as in HTTP/2. The `Host` header is read by
    /// the core.
    fn authority(&self) -> Option<&str>;
}

/// Header lines of a response, to change.
pub trait HeadersMut: Headers {
    /// Removes each line that `keep` returns false for. It is asked with the name (lower case) and
    /// the value, perhaps twice. All other lines stay as they are, byte for byte.
    fn retain_lines(&mut self, keep: impl Fn(&str, &[u8]) -> bool);
    /// Adds a line and keeps those of the same name. A `sensitive` one must not show in logs or be
    /// kept by header compression.
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
    /// Gives it this status and an empty body. Its header lines stay: the core removes those that
    /// were about the former body.
    fn replace(&mut self, status: u16);
    /// Puts a text in place of its body, which is empty. Where the framework's type of bodies is
    /// the application's choice, and may have no texts, it may do nothing.
    fn set_text(&mut self, _text: &'static str) {}
}

impl<H: Headers> Headers for &mut H {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        (**self).lines(name)
    }
}

impl<H: HeadersMut> HeadersMut for &mut H {
    fn retain_lines(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
        (**self).retain_lines(keep);
    }

    fn append_line(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
        (**self).append_line(name, value, sensitive);
    }
}

/// For frameworks on version 1 of the `http` crate: nothing is left for their adapters to write.
#[cfg(feature = "http")]
mod http1 {
    use super::{Cow, Headers, HeadersMut, RequestHead, ResponseHead};
    use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, USER_AGENT, VARY};
    use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};

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
        fn retain_lines(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
            if self.iter().all(|(name, value)| keep(name.as_str(), value.as_bytes())) {
                return;
            }
            let mut last = None;
            for (name, value) in std::mem::take(self) {
                // A further line of a name has none of its own.
                last = name.or(last);
                if let Some(name) = &last
                    && keep(name.as_str(), value.as_bytes())
                {
                    self.append(name, value);
                }
            }
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

    /// The headers that most requests and responses are asked for, without reading their names anew
    /// each time.
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

    impl<B> Headers for Request<B> {
        fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            self.headers().lines(name)
        }
    }

    impl<B> RequestHead for Request<B> {
        fn method(&self) -> &str {
            self.method().as_str()
        }

        fn path_and_query(&self) -> &str {
            self.uri().path_and_query().map_or("", |target| target.as_str())
        }

        fn authority(&self) -> Option<&str> {
            self.uri().authority().map(|authority| authority.as_str())
        }
    }

    /// A request with the target that the client asked for, where a router has cut that of the
    /// request.
    impl<B> Headers for (&Uri, &Request<B>) {
        fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            self.1.lines(name)
        }
    }

    impl<B> RequestHead for (&Uri, &Request<B>) {
        fn method(&self) -> &str {
            RequestHead::method(self.1)
        }

        fn path_and_query(&self) -> &str {
            self.0.path_and_query().map_or("", |target| target.as_str())
        }

        fn authority(&self) -> Option<&str> {
            self.0.authority().map(|authority| authority.as_str())
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
            let headers = std::mem::take(self.headers_mut());
            *self = Self::default();
            *self.headers_mut() = headers;
            *self.status_mut() = StatusCode::from_u16(status).expect("the core names HTTP statuses only");
        }
    }
}
