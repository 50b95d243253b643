//! Where a sign-in leads back to: a path on this site, and never another site.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::answer::Incoming;

/// How many bytes a [`Next`] has at most, as proxies limit the head of a response.
pub const MAX_NEXT_BYTES: usize = 2048;

/// A path on this site, with its query, such as the page that asked for a sign-in and to which the
/// browser returns after it. Whatever text it is made from, it leads to no other site (ASVS 5.0
/// 3.7.2), so that it can be the target of a redirect.
///
/// It takes a path that begins with exactly one `/`, and refuses anything with a backslash, a
/// control character or a `.` or `..` segment, and whatever is over [`MAX_NEXT_BYTES`]: browsers
/// read some of these as `//`, which begins a host (URL Standard, "basic URL parser"). Blanks,
/// quotes, angle brackets and what isn't ASCII are percent-encoded, so it can also stand in a
/// header. So is `&` in its path, as `/&sol;` in an attribute of HTML would be `//`. In HTML escape
/// it all the same, as any text: its query keeps its `&`.
///
/// As a field it accepts every text: one that is refused is the default, as if it were absent, so a
/// link with a forged `next` is no error page. (One with two of them is, in most frameworks.)
///
/// ```
/// use session_core::Next;
///
/// #[derive(serde::Deserialize)]
/// struct Query {
///     #[serde(default)]
///     next: Next,
/// }
///
/// let next = |json| serde_json::from_str::<Query>(json).unwrap().next;
/// assert_eq!(next(r#"{"next": "/cart?page=2"}"#).or("/home").as_str(), "/cart?page=2");
/// assert_eq!(next(r#"{"next": "//evil.example"}"#).or("/home").as_str(), "/home");
/// assert_eq!(next("{}").to_string(), "/");
/// assert_eq!(Next::parse(r"/\evil.example"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Next(Option<Box<str>>);

/// The text is no path on this site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path on this site: it begins with one `/`, and has no backslash, no control character and no `..`")]
pub struct NextError;

impl Next {
    /// The path that `text` is; none if it could lead to another site.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let path = &text[..text.find(['?', '#']).unwrap_or(text.len())];
        let is_refused = rest.starts_with('/')
            || text.bytes().any(|byte| byte == b'\\' || byte.is_ascii_control())
            || path.split('/').any(is_dots);
        if is_refused || text.len() > MAX_NEXT_BYTES {
            return None;
        }
        let stays = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>`".contains(&byte);
        let (path, rest) = text.split_at(path.len());
        let text = percent_encoded(path, |byte| stays(byte) && byte != b'&') + &percent_encoded(rest, stays);
        (text.len() <= MAX_NEXT_BYTES).then(|| Self(Some(text.into())))
    }

    /// The path and query that a request asked for, for a guard of your own; none if that could
    /// lead to another site.
    pub fn of(request: &Incoming<'_>) -> Option<Self> {
        Self::parse(request.path_and_query())
    }

    /// The path, or `/` if there was none or it was refused.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("/")
    }

    /// The same, but with `path` in place of one that was absent or refused.
    ///
    /// # Panics
    /// If `path` isn't a path on this site.
    #[must_use]
    pub fn or(self, path: &str) -> Self {
        let other = Self::parse(path).unwrap_or_else(|| panic!("{path:?} is {NextError}"));
        if self.0.is_some() { self } else { other }
    }

    /// `page` with this path as the parameter `next` of its query, such as to show a sign-in form
    /// again after a wrong password.
    ///
    /// ```
    /// use session_core::Next;
    ///
    /// let next = Next::parse("/cart?page=2").unwrap();
    /// assert_eq!(next.added_to("/sign-in?failed"), "/sign-in?failed&next=/cart%3Fpage%3D2");
    /// ```
    pub fn added_to(&self, page: &str) -> String {
        let (page, fragment) = page.split_at(page.find('#').unwrap_or(page.len()));
        let separator = match page.find('?') {
            None => "?",
            Some(_) if page.ends_with(['?', '&']) => "",
            Some(_) => "&",
        };
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        format!("{page}{separator}next={}{fragment}", percent_encoded(self.as_str(), is_unreserved))
    }
}

/// Whether a segment of a path is `.` or `..` in any spelling, which browsers resolve.
fn is_dots(segment: &str) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while let Some(left) =
        rest.strip_prefix('.').or_else(|| rest.strip_prefix("%2e")).or_else(|| rest.strip_prefix("%2E"))
    {
        rest = left;
        dots += 1;
    }
    rest.is_empty() && (dots == 1 || dots == 2)
}

/// `text` with all bytes but those that `stay` percent-encoded (RFC 3986 2.1).
fn percent_encoded(text: &str, stay: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stay(byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes any text");
        }
    }
    encoded
}

/// The bytes that `text` stands for, where it is percent-encoded (RFC 3986 2.1).
pub(crate) fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        rest = if byte.is_some() { &after[2..] } else { after };
        Some(byte.unwrap_or(first))
    })
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Next {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Next {
    type Err = NextError;

    fn from_str(text: &str) -> Result<Self, NextError> {
        Self::parse(text).ok_or(NextError)
    }
}

impl Serialize for Next {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Next {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyText)
    }
}

/// Takes every value, as a `next` that is no path must not be an error page.
struct AnyText;

impl<'de> Visitor<'de> for AnyText {
    type Value = Next;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path on this site")
    }

    fn visit_str<E>(self, text: &str) -> Result<Next, E> {
        Ok(Next::parse(text).unwrap_or_default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_unit<E>(self) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_none<E>(self) -> Result<Next, E> {
        Ok(Next::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Next, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Next, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Next::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Next, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Next::default())
    }
}

#[cfg(test)]
mod tests;
