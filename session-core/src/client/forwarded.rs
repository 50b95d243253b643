//! The addresses that forwarding headers name, read from the right: what a trusted proxy has added
//! stands there, and is read the same whatever a client put before it. Not here: how far the walk
//! leads, see `address`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a forwarding header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Addresses with commas between them, each with a port or without: `X-Forwarded-For`, and
    /// headers of one address.
    List,
    /// `Forwarded` (RFC 7239).
    Standard,
    /// One address and always a port, also behind IPv6 without brackets:
    /// `CloudFront-Viewer-Address`.
    WithPort,
}

impl Syntax {
    /// The syntax of the header of this name.
    pub(crate) fn of(header: &str) -> Self {
        if header.eq_ignore_ascii_case("forwarded") {
            Self::Standard
        } else if header.eq_ignore_ascii_case("cloudfront-viewer-address") {
            Self::WithPort
        } else {
            Self::List
        }
    }

    /// The elements of a line from right to left. Empty ones are skipped (RFC 9110 5.6.1.2), and in
    /// quotes a comma separates nothing.
    pub(crate) fn elements(self, line: &[u8]) -> impl Iterator<Item = &[u8]> {
        parts(line, b',', self == Self::Standard).filter(|part| !part.trim_ascii().is_empty())
    }

    /// The address that an element names. None: it is malformed, or names none.
    pub(crate) fn address(self, element: &[u8]) -> Option<IpAddr> {
        let text = str::from_utf8(element).ok()?.trim_ascii();
        let address = match self {
            Self::List => node(text),
            Self::Standard => node(&forwarded_for(text)?),
            Self::WithPort if text.starts_with('[') => node(text),
            Self::WithPort => {
                let (address, port) = text.rsplit_once(':')?;
                is_port(port).then(|| address.parse().ok())?
            }
        };
        // These are the addresses of no client.
        let is_no_client = |ip: &IpAddr| ip.is_unspecified() || ip.is_multicast() || *ip == Ipv4Addr::BROADCAST;
        address.map(|ip| ip.to_canonical()).filter(|ip| !is_no_client(ip))
    }
}

/// What separators part, from right to left. From there each part is found without a look at what
/// is left of it, so a quotation mark that a client left open swallows nothing of what a proxy has
/// added. In valid text both directions find the same parts: an opening mark follows a `=`, and a
/// mark inside is escaped.
fn parts(line: &[u8], separator: u8, in_quotes: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut is_quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            if *byte == b'"' && in_quotes {
                let slashes = line[..at].iter().rev().take_while(|before| **before == b'\\').count();
                if !is_quoted || slashes % 2 == 0 {
                    is_quoted = !is_quoted;
                }
            } else if *byte == separator && !is_quoted {
                rest = Some(&line[..at]);
                return Some(&line[at + 1..]);
            }
        }
        rest = None;
        Some(line)
    })
}

/// The value of an element's only `for`.
fn forwarded_for(element: &str) -> Option<Cow<'_, str>> {
    let mut found = None;
    for pair in parts(element.as_bytes(), b';', true) {
        let pair = str::from_utf8(pair).expect("parted at ASCII");
        let Some((name, value)) = pair.split_once('=') else { continue };
        if name.trim_ascii().eq_ignore_ascii_case("for") && found.replace(value.trim_ascii()).is_some() {
            return None;
        }
    }
    unquoted(found?)
}

/// A token as it is, or a quoted string without its marks and escapes (RFC 9110 5.6.4).
fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(quoted) = value.strip_prefix('"') else {
        return (!value.contains('"')).then_some(value.into());
    };
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => text.push(characters.next()?),
            character => text.push(character),
        }
    }
    characters.as_str().is_empty().then_some(text.into())
}

/// An address, with a port or without. IPv6 with a port has brackets.
fn node(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then(|| v6(address))?;
    }
    if let Some(address) = v6(text) {
        return Some(address);
    }
    match text.split_once(':') {
        Some((address, port)) => is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?,
        None => text.parse().ok(),
    }
}

/// An address of IPv6, whose zone (RFC 4007 11) says something on the proxy's machine only.
fn v6(text: &str) -> Option<IpAddr> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    if zone.is_some_and(|zone| zone.is_empty() || !zone.bytes().all(is_zone_byte)) {
        return None;
    }
    address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

const fn is_zone_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// A port, or the name that hides one (RFC 7239 6.2 and 6.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(syntax: Syntax, line: &str) -> Vec<String> {
        let shown = |element| syntax.address(element).map_or("malformed".to_owned(), |ip| ip.to_string());
        syntax.elements(line.as_bytes()).map(shown).collect()
    }

    #[test]
    fn empty_elements_are_skipped() {
        for line in ["198.51.100.7,,10.0.0.2", ",198.51.100.7, ,\t, 10.0.0.2,", " , 198.51.100.7 ,10.0.0.2 , "] {
            assert_eq!(read(Syntax::List, line), ["10.0.0.2", "198.51.100.7"], "{line}");
        }
        assert_eq!(read(Syntax::Standard, ",for=198.51.100.7,,"), ["198.51.100.7"]);
        for line in ["", ",", " , ,"] {
            assert!(read(Syntax::List, line).is_empty() && read(Syntax::Standard, line).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_names_and_addresses_of_a_list() {
        for (line, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("fe80::7%eth0", "fe80::7"),
            ("[fe80::7%25en-0.1]:80", "fe80::7"),
            ("[fe80::7%en-0.1]:80", "fe80::7"),
            ("fe80::7%", "malformed"),
            ("fe80::7%eth0/64", "malformed"),
            ("198.51.100.7%eth0", "malformed"),
            ("198.51.100.7:+80", "malformed"),
            ("198.51.100.7:65536", "malformed"),
            ("198.51.100.7:", "malformed"),
            ("[198.51.100.7]", "malformed"),
            ("[2001:db8::7]x", "malformed"),
            ("[2001:db8::7", "malformed"),
            ("0.0.0.0", "malformed"),
            ("::", "malformed"),
            ("224.0.0.1", "malformed"),
            ("255.255.255.255", "malformed"),
            ("010.0.0.1", "malformed"),
            ("\"198.51.100.7\"", "malformed"),
            ("unknown", "malformed"),
            ("unix:", "malformed"),
        ] {
            assert_eq!(read(Syntax::List, line), [expected], "{line}");
        }
    }

    #[test]
    fn the_standard_header_is_read_with_its_quoted_strings() {
        for (line, expected) in [
            ("for=198.51.100.7", &["198.51.100.7"][..]),
            ("For=\"198.51.100.7:4711\";proto=https;by=_a", &["198.51.100.7"]),
            ("proto=https;for=\"[2001:db8::7]:4711\"", &["2001:db8::7"]),
            ("for=\"[2001:db8::7]:_hidden\"", &["2001:db8::7"]),
            ("for=\"[fe80::7%eth0]\"", &["fe80::7"]),
            ("for=\"\\1\\98.51.100.7\"", &["198.51.100.7"]),
            // A comma, a semicolon and a mark in a quoted string are part of it.
            ("by=\"a,for=6.6.6.6\";for=198.51.100.7", &["198.51.100.7"]),
            ("by=\"a;for=6.6.6.6\";for=198.51.100.7", &["198.51.100.7"]),
            ("by=\"a\\\";for=6.6.6.6;x=\\\"\";for=198.51.100.7", &["198.51.100.7"]),
            ("by=\"\\\\\";for=198.51.100.7", &["198.51.100.7"]),
            ("for=10.0.0.3;by=\"x,y\", for=10.0.0.2", &["10.0.0.2", "10.0.0.3"]),
            // Whatever a client left open on the left.
            ("for=\"6.6.6.6, for=198.51.100.7", &["198.51.100.7", "malformed"]),
            ("for=\", for=\"[2001:db8::7]\"", &["2001:db8::7", "malformed"]),
            ("for=\"\\, for=\"198.51.100.7\"", &["198.51.100.7", "malformed"]),
            ("for=unknown", &["malformed"]),
            ("for=_hidden", &["malformed"]),
            ("proto=https", &["malformed"]),
            ("for", &["malformed"]),
            ("for=198.51.100.7;for=6.6.6.6", &["malformed"]),
            ("for=\"198.51.100.7", &["malformed"]),
            ("for=198.51.100.7\"", &["malformed"]),
            ("for=\"\"198.51.100.7\"\"", &["malformed"]),
            ("for=\"198.51.100.7\"x", &["malformed"]),
        ] {
            assert_eq!(read(Syntax::Standard, line), expected, "{line}");
        }
    }

    #[test]
    fn an_address_that_always_has_a_port() {
        for (line, expected) in [
            ("198.51.100.7:46532", "198.51.100.7"),
            ("2001:db8::7:46532", "2001:db8::7"),
            ("2001:db8:0:0:0:0:0:7:46532", "2001:db8::7"),
            ("::ffff:198.51.100.7:46532", "198.51.100.7"),
            ("[2001:db8::7]:46532", "2001:db8::7"),
            ("198.51.100.7", "malformed"),
            ("2001:db8::", "malformed"),
            ("2001:db8::7", "malformed"),
            ("198.51.100.7:x", "malformed"),
        ] {
            assert_eq!(read(Syntax::of("CloudFront-Viewer-Address"), line), [expected], "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_sends_changes_nothing_of_what_a_proxy_adds(client in "[ -~]{0,60}") {
            for (syntax, added) in [
                (Syntax::Standard, "for=198.51.100.7"),
                (Syntax::Standard, "by=\"a,b\";for=\"198.51.100.7:80\";proto=https"),
                (Syntax::List, "198.51.100.7"),
            ] {
                let line = format!("{client}, {added}");
                let first = syntax.elements(line.as_bytes()).next().and_then(|element| syntax.address(element));
                prop_assert_eq!(first, Some([198, 51, 100, 7].into()), "{}", line);
            }
        }

        #[test]
        fn any_bytes_are_no_panic(line: Vec<u8>) {
            for syntax in [Syntax::List, Syntax::Standard, Syntax::WithPort] {
                prop_assert!(syntax.elements(&line).filter_map(|element| syntax.address(element)).count() <= line.len());
            }
        }
    }
}
