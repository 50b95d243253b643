//! An answer in place of a handler's, and what is known of a request when one is decided on. Not
//! here: the decision, which the application makes in a policy (`with_admission` in `service`) or a
//! guard (`check` in `adapter`).

use std::fmt::{self, Write};

/// An answer in place of a handler's: a status and headers, and no body unless it is made from an
/// [`Error`](crate::Error). It is never cached.
///
/// ```
/// use session_core::Answer;
///
/// let refused = Answer::new(403).header("x-reason", "read-only");
/// assert_eq!(refused.status(), 403);
///
/// let elsewhere = Answer::see_other("/sign-in?next=/café");
/// assert_eq!(elsewhere.status(), 303);
/// assert_eq!(elsewhere.headers().next(), Some(("location", "/sign-in?next=/caf%C3%A9")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: &'static str,
}

impl Answer {
    /// An answer of this status.
    ///
    /// # Panics
    /// If the status isn't one of 300 to 599: any other would claim success.
    pub const fn new(status: u16) -> Self {
        assert!(status >= 300 && status <= 599, "an answer in place of the handler's redirects or refuses");
        Self { status, headers: Vec::new(), body: "" }
    }

    /// A 303, which sends the browser to `location` (RFC 9110 15.4.4).
    pub fn see_other(location: &str) -> Self {
        Self::new(303).header("location", location)
    }

    /// Adds a header. What can't stand in its value, such as a line break, is percent-encoded.
    ///
    /// # Panics
    /// If the name isn't a header's, in lower case.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        assert!(!name.is_empty() && name.bytes().all(is_name), "{name:?} is no header's name in lower case");
        let mut text = String::with_capacity(value.len());
        for byte in value.trim().bytes() {
            if byte == b' ' || byte.is_ascii_graphic() {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("a string takes any text");
            }
        }
        self.headers.push((name, text));
        self
    }

    /// Adds plain text as the body.
    pub(crate) fn text(self, body: &'static str) -> Self {
        Self { body, ..self.header("content-type", "text/plain; charset=utf-8") }
    }

    /// The body: empty, or plain text.
    pub const fn body(&self) -> &'static str {
        self.body
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Its headers, in the order in which they were added.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// What is known of a request before its handler runs.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    pub(crate) method: &'a str,
    pub(crate) path_and_query: &'a str,
    pub(crate) authority: Option<&'a str>,
    pub(crate) lines: &'a dyn HeaderLines,
}

/// Header lines, read by name.
pub(crate) trait HeaderLines {
    /// Calls `each` with the value of each line of the header `name`, in order, until it returns
    /// false.
    fn visit<'a>(&'a self, name: &'a str, each: &mut dyn FnMut(&'a [u8]) -> bool);
}

impl<'a> Incoming<'a> {
    /// Such as `POST`, as the client wrote it: methods are case-sensitive (RFC 9110 9.1).
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The target's path and query, such as `/a?b=c`.
    pub const fn path_and_query(&self) -> &'a str {
        self.path_and_query
    }

    /// The target's path.
    pub fn path(&self) -> &'a str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The host and port that the client asked for: those of the target, as in HTTP/2, or else of
    /// the `Host` header. None if that isn't exactly one line of text.
    pub fn authority(&self) -> Option<&'a str> {
        self.authority.or_else(|| match self.lines("host")[..] {
            [host] => str::from_utf8(host).ok(),
            _ => None,
        })
    }

    /// The value of the first line of the header `name` (lower case).
    pub fn header(&self, name: &'a str) -> Option<&'a [u8]> {
        let mut first = None;
        self.lines.visit(name, &mut |line| {
            first = Some(line);
            false
        });
        first
    }

    /// The values of all lines of the header `name` (lower case), in order.
    pub fn lines(&self, name: &'a str) -> Vec<&'a [u8]> {
        let mut all = Vec::new();
        self.lines.visit(name, &mut |line| {
            all.push(line);
            true
        });
        all
    }
}

/// Without the query and the headers, which may hold secrets.
impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("method", &self.method).field("path", &self.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_one_header_line(text in ".{0,60}") {
            let answer = Answer::new(403).header("x-any", &text);
            let (_, value) = answer.headers().next().unwrap();
            prop_assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
        }
    }

    #[test]
    #[should_panic(expected = "redirects or refuses")]
    fn success_can_not_be_claimed() {
        drop(Answer::new(200));
    }

    #[test]
    #[should_panic(expected = "in lower case")]
    fn a_name_is_in_lower_case() {
        drop(Answer::new(403).header("X-Any", ""));
    }
}
