//! Origins, as browsers name the page that sent a request (RFC 6454), and the hosts that requests
//! ask for: parsed, so that they can be compared. Not here: what follows from it, see
//! `cross_origin`.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A page's origin: scheme, host and port.
#[derive(Debug, Clone)]
pub(crate) struct Origin<'a> {
    scheme: Cow<'a, str>,
    authority: Authority<'a>,
}

/// A host, with a port or without.
#[derive(Debug, Clone)]
pub(crate) struct Authority<'a> {
    host: Host<'a>,
    port: Option<u16>,
}

#[derive(Debug, Clone)]
enum Host<'a> {
    /// A name or an IPv4 address. A dot at its end is part of it: browsers hold the name without it
    /// for another host.
    Name(Cow<'a, str>),
    V6(Ipv6Addr),
}

impl<'a> Origin<'a> {
    /// An origin as a browser writes it. Otherwise, why it is none and what to change.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.contains('*') {
            return Err("a wildcard is no origin: list each origin");
        }
        if text == "null" {
            return Err("`null` is the origin of any site's sandboxed frame, so it can't be listed");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it has no scheme: begin it with `https://`");
        };
        let mut letters = scheme.bytes();
        if !letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            || !letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return Err("its scheme isn't one: begin it with `https://`");
        }
        if rest.contains(['/', '?', '#']) {
            return Err("an origin ends with its host or port: leave out what follows, a last slash too");
        }
        Ok(Self { scheme: scheme.into(), authority: Authority::parse(rest)? })
    }

    pub(crate) fn into_owned(self) -> Origin<'static> {
        let host = match self.authority.host {
            Host::Name(name) => Host::Name(name.into_owned().into()),
            Host::V6(address) => Host::V6(address),
        };
        let authority = Authority { host, port: self.authority.port };
        Origin { scheme: self.scheme.into_owned().into(), authority }
    }

    /// Whether both are one origin.
    pub(crate) fn is_same(&self, other: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(&other.scheme)
            && self.authority.host.is_same(&other.authority.host)
            && self.authority.port.or(self.default_port()) == other.authority.port.or(other.default_port())
    }

    /// Whether it is the origin of the host that a request asked for, over HTTP or HTTPS. Which of
    /// both the request was sent over isn't known, so a port that is left out there is taken for
    /// the default of this origin's scheme.
    pub(crate) fn is_of(&self, host: &Authority<'_>) -> bool {
        let Some(default) = self.default_port() else { return false };
        self.authority.host.is_same(&host.host)
            && self.authority.port.unwrap_or(default) == host.port.unwrap_or(default)
    }

    /// Whether its scheme is `http`.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("http")
    }

    /// Whether its host is the browser's own machine, by its name or address.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.authority.host {
            Host::Name(name) => {
                let last = name.rsplit('.').next().unwrap_or_default();
                last.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
            }
            Host::V6(address) => address.is_loopback(),
        }
    }

    fn default_port(&self) -> Option<u16> {
        let is = |scheme| self.scheme.eq_ignore_ascii_case(scheme);
        if is("https") {
            Some(443)
        } else if is("http") {
            Some(80)
        } else {
            None
        }
    }
}

impl<'a> Authority<'a> {
    /// Host and port, without a user's name. Otherwise, what is wrong with it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.contains('@') {
            return Err("it names a user: leave out what is before the `@`, and that too");
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or("its IPv6 address has no `]`")?;
                (Host::V6(address.parse().map_err(|_| "what is in its brackets is no IPv6 address")?), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                if name.is_empty() {
                    return Err("it has no host");
                }
                if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
                    return Err("its host has a character that browsers don't send: write it in ASCII (Punycode)");
                }
                (Host::Name(name.into()), port)
            }
        };
        Ok(Self { host, port: parse_port(port)? })
    }

    /// Whether both are the same text in effect. An absent port is the default of a scheme that
    /// isn't known here, so it is no other port.
    pub(crate) fn is_same(&self, other: &Authority<'_>) -> bool {
        self.host.is_same(&other.host) && self.port == other.port
    }
}

/// The port of what follows a host: nothing, or a colon and a number.
fn parse_port(text: &str) -> Result<Option<u16>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or("its port is no number up to 65535")
}

impl Host<'_> {
    fn is_same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
            (Host::V6(one), Host::V6(other)) => one == other,
            (Host::Name(_), Host::V6(_)) | (Host::V6(_), Host::Name(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_is_of_its_own_host_and_port() {
        for (origin, host, own) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000", true),
            ("http://[::1]:3000", "[::1]:3000", true),
            ("http://[::1]:3000", "[0:0::1]:3000", true),
            ("https://A.example", "a.EXAMPLE", true),
            ("HTTPS://a.example", "a.example", true),
            ("https://a.example", "a.example:443", true),
            ("https://a.example:443", "a.example", true),
            ("http://a.example:80", "a.example", true),
            ("http://a.example", "a.example", true),
            ("https://a.example.", "a.example.", true),
            ("https://a.example.", "a.example", false),
            ("https://a.example", "a.example.", false),
            ("http://a.example", "a.example:443", false),
            ("https://a.example", "a.example:80", false),
            ("https://a.example:8443", "a.example", false),
            ("http://127.0.0.1:3001", "127.0.0.1:3000", false),
            ("http://localhost:3000", "127.0.0.1:3000", false),
            ("http://[::1]", "[::2]", false),
            ("http://[::1]", "1", false),
            ("https://evil.example", "a.example", false),
            ("https://a.example.evil.example", "a.example", false),
            ("https://evil-a.example", "a.example", false),
            ("ws://a.example", "a.example", false),
            ("capacitor://a.example", "a.example", false),
        ] {
            let is_of = Origin::parse(origin).unwrap().is_of(&Authority::parse(host).unwrap());
            assert_eq!(is_of, own, "{origin} at {host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_the_reason() {
        for (text, says) in [
            ("", "scheme"),
            ("a.example", "scheme"),
            ("//a.example", "scheme"),
            ("://a.example", "scheme"),
            ("1a://a.example", "scheme"),
            ("ht tp://a.example", "scheme"),
            ("*", "wildcard"),
            ("https://*.example", "wildcard"),
            ("null", "null"),
            ("https://a.example/", "slash"),
            ("https://a.example/b", "follows"),
            ("https://a.example?b", "follows"),
            ("https://a.example#b", "follows"),
            ("https://a.example https://b.example", "follows"),
            ("https://ada@a.example", "user"),
            ("https://", "no host"),
            ("https://:443", "no host"),
            ("https://a example", "character"),
            ("https://bücher.example", "Punycode"),
            ("https://a.example:", "port"),
            ("https://a.example:+80", "port"),
            ("https://a.example:65536", "port"),
            ("https://a.example:80:80", "port"),
            ("https://[::1", "]"),
            ("https://[::1]x", "port"),
            ("https://[a.example]", "IPv6"),
            ("https://[::1%25eth0]", "IPv6"),
        ] {
            let reason = Origin::parse(text).unwrap_err();
            assert!(reason.contains(says), "{text}: {reason}");
        }
    }

    #[test]
    fn a_listed_origin_is_compared_with_its_scheme() {
        for (one, other, same) in [
            ("https://a.example", "https://A.example:443", true),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "http://a.example:443", false),
            ("https://a.example", "https://b.example", false),
            ("https://a.example", "https://a.example:444", false),
        ] {
            let listed = Origin::parse(one).unwrap().into_owned();
            assert_eq!(Origin::parse(other).unwrap().is_same(&listed), same, "{one}, {other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_safe_to_log(text in "(https://)?.{0,30}") {
            prop_assert!(Origin::parse(&text).is_err() || text.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
