//! The cookie's rules: all `Cookie` headers in, one `Set-Cookie` out. Not here: signatures, see
//! `keys`.
//!
//! Only a sign-in, a rotation or a visitor's first value sends the cookie. Its `Max-Age` runs to
//! the absolute end, and the idle timeout is the server's business. So activity never needs to send
//! the cookie, and no slow response can bring back an old one.

use std::time::Duration;

use arrayvec::ArrayVec;
use serde::Deserialize;

use crate::error::ConfigError;
use crate::keys::cookie::{CookieKeys, SignedValue, VALUE_CHARS};
use crate::model::token::{SessionToken, TokenRef};
use crate::store::MAX_LOADED;

/// The most values whose signatures are checked, so that a request full of forged ones costs no
/// more.
const MAX_SIGNATURES: usize = 32;
/// Browsers keep a cookie no longer than this (RFC 6265bis 5.5).
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);
/// Browsers drop a cookie whose name and value are longer (RFC 6265bis 5.6).
const MAX_NAME_AND_VALUE: usize = 4096;

const HOST_PREFIX: &str = "__Host-";
const SECURE_PREFIX: &str = "__Secure-";
/// With each of them in its name a cookie must be `Secure`.
const PREFIXES: [&str; 4] = [HOST_PREFIX, SECURE_PREFIX, "__Http-", "__Host-Http-"];

/// When the browser sends the cookie with requests from other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Never.
    Strict,
    /// With top-level navigation only. This is the default.
    Lax,
    /// Always. It needs `Secure`.
    None,
}

/// The cookie's name and attributes, checked. `HttpOnly` is always on.
#[derive(Debug, Clone)]
pub(crate) struct CookieRules {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
}

/// What a store is asked about.
pub(crate) type Candidates = ArrayVec<TokenRef, MAX_LOADED>;

/// What a request's `Cookie` headers hold under our name.
#[derive(Debug, Default)]
pub(crate) struct CookieMatches {
    /// Whether there was any cookie of that name, good or bad.
    pub(crate) present: bool,
    /// The first well-signed token, usually the only one.
    first: Option<SessionToken>,
    /// The others in header order, each once.
    more: Vec<SessionToken>,
}

impl CookieMatches {
    /// Whether there is no well-signed token.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The well-signed tokens of at most three sessions, in header order.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &SessionToken> {
        self.first.iter().chain(&self.more)
    }

    /// The token at this place among [`tokens`](Self::tokens).
    pub(crate) fn take(&mut self, index: usize) -> SessionToken {
        match index.checked_sub(1) {
            None => self.first.take().expect("there is a first one"),
            Some(index) => self.more.swap_remove(index),
        }
    }

    /// The first three different sessions that the tokens name.
    pub(crate) fn sessions(&self) -> Candidates {
        let mut sessions = Candidates::new();
        for token in self.tokens().map(SessionToken::lookup) {
            if !sessions.contains(&token) && sessions.try_push(token).is_err() {
                break;
            }
        }
        sessions
    }

    fn add(&mut self, token: SessionToken) {
        if self.first.is_none() {
            self.first = Some(token);
            return;
        }
        let sessions = self.sessions();
        if sessions.is_full() && !sessions.contains(&token.lookup()) {
            return;
        }
        // Room for all at once: a vector that grows and moves would leave copies of the secrets
        // behind.
        self.more.reserve_exact(MAX_SIGNATURES - 1 - self.more.len());
        self.more.push(token);
    }
}

impl CookieRules {
    /// Checks that the settings go together (RFC 6265bis 4.1.3 for the prefixes).
    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        let refuse = |reason| Err(ConfigError::Cookie { name: self.name.clone(), reason });
        let prefixed = |prefix: &str| self.name.starts_with(prefix);
        let misspelt = |prefix: &str| {
            let head = self.name.get(..prefix.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(prefix) && head != prefix)
        };
        if self.name.is_empty() || !self.name.bytes().all(is_token_byte) {
            return refuse("the name must be one or more of the characters of an HTTP token");
        }
        if self.name.len() + VALUE_CHARS + 1 >= MAX_NAME_AND_VALUE {
            return refuse("name and value together must stay under 4096 bytes: take a shorter name");
        }
        if PREFIXES.into_iter().any(misspelt) {
            return refuse("browsers know the prefixes `__Host-` and `__Secure-` in this spelling only");
        }
        if prefixed(HOST_PREFIX) && (self.domain.is_some() || self.path != "/" || !self.secure) {
            return refuse(
                "a `__Host-` cookie must be `Secure`, with `Path=/` and without a `Domain`. Leave `cookie_secure`, `cookie_path` \
                 and `cookie_domain` out, or choose another `cookie_name`. For development over plain `http://` there is \
                 `insecure_development_cookies`",
            );
        }
        if (prefixed(SECURE_PREFIX) || prefixed("__Http-")) && !self.secure {
            return refuse("a cookie with this prefix must be `Secure`: change that or the name");
        }
        if self.same_site == SameSite::None && !self.secure {
            return refuse("`SameSite=None` needs `Secure`");
        }
        if self.partitioned && !self.secure {
            return refuse("`Partitioned` needs `Secure`");
        }
        let unsafe_text = |text: &str| text.bytes().any(|b| b == b';' || !(b' '..=b'~').contains(&b));
        if !self.path.starts_with('/') || unsafe_text(&self.path) {
            return refuse("`Path` must start with `/` and hold no `;`, control or non-ASCII character");
        }
        if self.domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
            return refuse(
                "`Domain` must be the name of a host alone, such as `example.com`, without scheme, port, path or `*`; other scripts than ASCII as `xn--…`",
            );
        }
        Ok(self)
    }

    /// What the cookie could be called so that its name makes browsers keep it `Secure`. None: it
    /// has such a name, or isn't `Secure`.
    pub(crate) fn better_name(&self) -> Option<String> {
        if !self.secure || PREFIXES.iter().any(|prefix| self.name.starts_with(prefix)) {
            return None;
        }
        let prefix = if self.domain.is_none() && self.path == "/" { HOST_PREFIX } else { SECURE_PREFIX };
        Some(format!("{prefix}{}", self.name))
    }

    /// Reads all `Cookie` headers of a request, whatever bytes they hold.
    pub(crate) fn find<'a>(&self, keys: &CookieKeys, headers: impl Iterator<Item = &'a [u8]>) -> CookieMatches {
        let mut found = CookieMatches::default();
        let mut checked = ArrayVec::<&[u8], MAX_SIGNATURES>::new();
        for value in headers.flat_map(pairs).filter_map(|pair| self.value(pair)) {
            found.present = true;
            let value = unquoted(value);
            let Some(signed) = SignedValue::parse(value).filter(|_| !checked.contains(&value)) else { continue };
            if checked.try_push(value).is_err() {
                break;
            }
            if let Some(token) = keys.verify(&signed) {
                found.add(token);
            }
        }
        found
    }

    /// The value of one `name=value` pair, if the name is ours, byte for byte.
    fn value<'a>(&self, pair: &'a [u8]) -> Option<&'a [u8]> {
        let rest = pair.trim_ascii_start().strip_prefix(self.name.as_bytes())?.trim_ascii_start();
        Some(rest.strip_prefix(b"=")?.trim_ascii())
    }

    /// Whether a `Set-Cookie` value sets a cookie of our name.
    pub(crate) fn is_ours(&self, set_cookie: &[u8]) -> bool {
        self.value(set_cookie).is_some()
    }

    /// The `Set-Cookie` that sends a token. `lifetime` is the time to the absolute end, or none for
    /// a browser-session cookie.
    pub(crate) fn issue(&self, value: &str, lifetime: Option<Duration>) -> String {
        let mut cookie = self.base(value);
        if let Some(lifetime) = lifetime {
            let whole = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
            let seconds = whole.min(MAX_LIFETIME.as_secs());
            cookie.set_max_age(time::Duration::seconds(i64::try_from(seconds).expect("400 days fit")));
        }
        cookie.to_string()
    }

    /// The `Set-Cookie` that removes the cookie, with the attributes it is set with (RFC 6265bis
    /// 4.1.2).
    pub(crate) fn remove(&self) -> String {
        let mut cookie = self.base("");
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        cookie.to_string()
    }

    fn base<'a>(&'a self, value: &'a str) -> cookie::Cookie<'a> {
        let mut cookie = cookie::Cookie::new(self.name.as_str(), value);
        cookie.set_path(self.path.as_str());
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.as_str());
        }
        cookie.set_secure(self.secure);
        cookie.set_http_only(true);
        cookie.set_partitioned(self.partitioned);
        cookie.set_same_site(match self.same_site {
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::None => cookie::SameSite::None,
        });
        cookie
    }
}

/// A value that some clients and proxies put into quotes, as RFC 6265 4.1.1 allows, without them.
fn unquoted(value: &[u8]) -> &[u8] {
    // What browsers send back has the length of a value of ours.
    if value.len() != VALUE_CHARS + 2 {
        return value;
    }
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The `name=value` pairs of a `Cookie` header. Only semicolons part them, as in RFC 6265: a comma
/// can stand in the value of another cookie, which a sibling domain can set.
fn pairs(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b';', header).chain([header.len()]).map(move |end| {
        let pair = &header[start..end];
        start = end + 1;
        pair
    })
}

/// Whether browsers can take it for a host's name, with one dot before it or without. With anything
/// more they drop the cookie.
fn is_domain(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let host = text.strip_prefix('.').unwrap_or(text);
    host.split('.').all(|label| !label.is_empty() && label.bytes().all(is_part))
}

/// The characters of a token (RFC 9110 5.6.2).
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::{KeyRing, SigningKey};
    use crate::model::session_id::SessionId;
    use crate::model::user_id::Shard;

    fn rules() -> CookieRules {
        CookieRules {
            name: "__Host-session".into(),
            path: "/".into(),
            domain: None,
            secure: true,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }

    fn keys() -> CookieKeys {
        KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap()).of_cookie("__Host-session")
    }

    fn token(seed: u8) -> SessionToken {
        token_of(seed, seed)
    }

    fn token_of(session: u8, seed: u8) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), SessionId::from_bytes([session; 16]), [seed; 32])
    }

    fn signed(seed: u8) -> String {
        keys().sign(&token(seed)).as_str().to_owned()
    }

    fn find(headers: &[&[u8]]) -> CookieMatches {
        rules().find(&keys(), headers.iter().copied())
    }

    #[test]
    fn all_headers_and_all_cookies_of_the_name_are_read_in_order() {
        let first = format!("a=b; __Host-session=forged; __Host-session={}", signed(1));
        let second = format!("__Host-session={}; __Host-session={}", signed(1), signed(2));
        let found = find(&[first.as_bytes(), b"\xff\xfe", second.as_bytes()]);
        assert_eq!(found.sessions()[..], [token(1).lookup(), token(2).lookup()]);
        assert_eq!(found.tokens().count(), 2, "each once");
    }

    #[test]
    fn the_first_three_sessions_count_with_all_their_tokens() {
        let of = |session, seed| keys().sign(&token_of(session, seed)).as_str().to_owned();
        let values = [of(0, 0), of(1, 1), of(0, 2), of(2, 3), of(3, 4), of(2, 5), of(4, 6)];
        let header = values.map(|value| format!("__Host-session={value}")).join("; ");
        let found = find(&[header.as_bytes()]);
        assert_eq!(found.sessions()[..], [0, 1, 2].map(|session| token_of(session, 0).lookup()));
        assert_eq!(found.tokens().map(|token| token.secret()[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 5]);
    }

    #[test]
    fn at_most_32_signatures_are_checked_and_equal_values_and_other_forms_are_none() {
        let forged = |number: u32| {
            let mut value = signed(1).into_bytes();
            value[20] = value[20].wrapping_add(1) % 26 + b'a';
            let digits = format!("{number:04}");
            value[30..34].copy_from_slice(digits.as_bytes());
            format!("__Host-session={}", String::from_utf8(value).unwrap())
        };
        let behind = |forged: Vec<String>| {
            let header = format!("{}; __Host-session={}", forged.join("; "), signed(1));
            find(&[header.as_bytes()]).tokens().count()
        };
        assert_eq!(behind((0..31).map(forged).collect()), 1);
        assert_eq!(behind((0..32).map(forged).collect()), 0, "the real one would be the 33rd");
        assert_eq!(behind((0..400).map(|_| forged(1)).collect()), 1);
        assert_eq!(behind(vec!["__Host-session=forged".to_owned(); 400]), 1);
    }

    #[test]
    fn a_value_in_one_pair_of_quotes_is_read() {
        let value = signed(1);
        let found = find(&[format!("a=b; __Host-session=\"{value}\"; __Host-session={value}").as_bytes()]);
        assert_eq!((found.sessions()[..].to_vec(), found.tokens().count()), (vec![token(1).lookup()], 1), "once");
        for other in [
            format!("\"{value}"),
            format!("{value}\""),
            format!("\"\"{value}\"\""),
            format!("'{value}'"),
            format!("\" {value}\""),
            format!("\\\"{value}\\\""),
        ] {
            assert!(find(&[format!("__Host-session={other}").as_bytes()]).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_comma_never_separates_cookies() {
        let ours = format!("__Host-session={}", signed(1));
        for line in [format!("x=1,{ours}"), format!("x=1, {ours}"), format!("x=\"1,{ours}\""), format!(",{ours}")] {
            let found = find(&[line.as_bytes()]);
            assert!(!found.present && found.is_empty(), "{line}");
        }
        assert!(find(&[format!("{ours},x=1").as_bytes()]).is_empty(), "a part of our value");
    }

    #[test]
    fn names_match_byte_for_byte() {
        for name in ["__host-session", "__Host-session2", "x__Host-session", "Host-session"] {
            let found = find(&[format!("{name}={}", signed(1)).as_bytes()]);
            assert!(!found.present && found.sessions().is_empty(), "{name}");
        }
    }

    #[test]
    fn the_cookie_says_what_the_rules_say() {
        let set = rules().issue("v", Some(Duration::from_millis(1500)));
        assert_eq!(set, "__Host-session=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=2");
        assert!(!rules().issue("v", None).contains("Max-Age"));
        let gone = rules().remove();
        assert!(gone.starts_with(
            "__Host-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970"
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_session_and_no_panic(headers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5)) {
            let found = rules().find(&keys(), headers.iter().map(Vec::as_slice));
            prop_assert!(found.sessions().is_empty());
        }

        #[test]
        fn the_real_cookie_is_found_among_any_others(before in "[^;]{0,40}", after in "[^;]{0,40}") {
            let header = format!("{before}; __Host-session={} ;{after}", signed(7));
            prop_assert_eq!(find(&[header.as_bytes()]).sessions().len(), 1);
        }

        #[test]
        fn checked_rules_never_write_a_line_break(name in ".{0,20}", path in ".{0,20}", domain in ".{0,20}") {
            let rules = CookieRules { name, path, domain: Some(domain), ..rules() };
            if let Ok(rules) = rules.check() {
                prop_assert!(!rules.issue("v", None).bytes().any(|b| b.is_ascii_control()));
            }
        }
    }
}
