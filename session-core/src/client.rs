//! Who is at the other end: address, `User-Agent`, device and fingerprint. Everything here comes from outside and is
//! cut, cleaned or ignored, never an error.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::record::ClientInfo;

/// Most bytes of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 512;
/// More hops than that aren't walked: no real chain of proxies is that long.
const MAX_HOPS: usize = 64;

/// What a request says about its client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    ip: Option<IpAddr>,
    /// As it came, cut.
    user_agent: Vec<u8>,
}

impl Client {
    pub(crate) fn new(ip: Option<IpAddr>, user_agent: &[u8]) -> Self {
        Self { ip, user_agent: user_agent[..user_agent.len().min(MAX_USER_AGENT)].to_vec() }
    }

    /// What is recorded of it at sign-in.
    pub(crate) fn info(&self) -> ClientInfo {
        let ip_address = self.ip.map(|ip| ip.to_string()).unwrap_or_default();
        if self.user_agent.is_empty() {
            return ClientInfo { ip_address, ..ClientInfo::default() };
        }
        let user_agent = clean(&self.user_agent);
        let (os, browser) = families(&user_agent);
        ClientInfo {
            ip_address,
            device_name: match (browser, os) {
                ("", "") => String::new(),
                (browser, "") => browser.to_owned(),
                ("", os) => os.to_owned(),
                (browser, os) => format!("{browser} on {os}"),
            },
            device_type: kind(&user_agent, os).to_owned(),
            fingerprint: fingerprint(os, browser),
            user_agent,
        }
    }

    /// Whether this client is the one that was recorded at sign-in, or has its fingerprint.
    pub(crate) fn is_as_recorded(&self, info: &ClientInfo) -> bool {
        // As it is without anything to clean.
        if self.user_agent == info.user_agent.as_bytes() {
            return true;
        }
        let user_agent = clean(&self.user_agent);
        let (os, browser) = families(&user_agent);
        user_agent == info.user_agent
            || (!user_agent.is_empty() && info.fingerprint.split_once('/') == Some((or_other(os), or_other(browser))))
    }
}

fn fingerprint(os: &str, browser: &str) -> String {
    format!("{}/{}", or_other(os), or_other(browser))
}

const fn or_other(family: &str) -> &str {
    if family.is_empty() { "other" } else { family }
}

/// OS family and browser family. The order counts: Edge says Chrome, Chrome says Safari, Android says Linux.
fn families(user_agent: &str) -> (&'static str, &'static str) {
    const OS: [(&str, &str); 9] = [
        ("Windows", "Windows"),
        ("iPhone", "iOS"),
        ("iPad", "iPadOS"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Mac OS X", "macOS"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
        ("FreeBSD", "FreeBSD"),
    ];
    const BROWSER: [(&str, &str); 14] = [
        ("EdgA/", "Edge"),
        ("EdgiOS/", "Edge"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Vivaldi/", "Vivaldi"),
        ("FxiOS/", "Firefox"),
        ("Firefox/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
        ("Wget/", "Wget"),
    ];
    let first = |table: &[(&str, &'static str)]| {
        table.iter().find(|(mark, _)| user_agent.contains(mark)).map_or("", |(_, family)| *family)
    };
    (first(&OS), first(&BROWSER))
}

fn kind(user_agent: &str, os: &str) -> &'static str {
    let says = |mark: &str| user_agent.contains(mark);
    match os {
        "iOS" => "mobile",
        "iPadOS" => "tablet",
        "Android" if says("Mobile") => "mobile",
        "Android" => "tablet",
        _ if says("bot") || says("Bot") || says("spider") || says("crawler") => "bot",
        "" => "",
        _ => "desktop",
    }
}

/// `cut` as text of at most 512 bytes, what isn't UTF-8 and control characters replaced.
fn clean(cut: &[u8]) -> String {
    // As browsers' are.
    if let Ok(plain) = str::from_utf8(cut)
        && cut.iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return plain.to_owned();
    }
    let mut text: String = String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    while text.len() > MAX_USER_AGENT {
        text.pop();
    }
    text
}

/// The client's address: the peer's, or, where the peer is a trusted proxy, what the forwarding header's lines say,
/// walked right to left past trusted hops. A malformed entry ends the walk at the last good one.
pub(crate) fn address<'a, L>(
    peer: Option<IpAddr>,
    trusted: &[IpNet],
    header: &str,
    lines: impl FnOnce() -> L,
) -> Option<IpAddr>
where
    L: Iterator<Item = &'a [u8]>,
{
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut good = peer?.to_canonical();
    if trusted.is_empty() || !is_trusted(good) {
        return Some(good);
    }
    let standard = header.eq_ignore_ascii_case("forwarded");
    let lines: Vec<&[u8]> = lines().collect();
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(|b| *b == b',')).take(MAX_HOPS) {
        let Some(ip) = std::str::from_utf8(entry).ok().and_then(|text| hop(text, standard)) else { break };
        good = ip;
        if !is_trusted(ip) {
            break;
        }
    }
    Some(good)
}

/// One entry of a forwarding header: `X-Forwarded-For`'s bare address, or the `for=` of RFC 7239.
fn hop(entry: &str, standard: bool) -> Option<IpAddr> {
    let node = if standard {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"').to_owned())
        };
        entry.split(';').find_map(pair)?
    } else {
        entry.trim().to_owned()
    };
    let ip: IpAddr = if let Some(rest) = node.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        if !(port.is_empty() || is_port(port.strip_prefix(':')?)) {
            return None;
        }
        IpAddr::V6(ip.parse().ok()?)
    } else if let Ok(ip) = node.parse() {
        ip
    } else {
        let (ip, port) = node.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(ip.parse().ok()?)
    };
    Some(ip.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(peer: &str, header: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let peer = Some(peer.parse().unwrap());
        address(peer, &trusted, header, || lines.iter().map(|l| l.as_bytes())).unwrap().to_string()
    }

    #[test]
    fn a_forwarding_header_counts_only_from_a_trusted_peer() {
        assert_eq!(walk("192.0.2.1", "x-forwarded-for", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &[]), "10.0.0.1");
    }

    #[test]
    fn lines_are_joined_and_walked_from_the_right() {
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["203.0.113.9, 198.51.100.7", "10.0.0.2"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["198.51.100.7, garbage, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["198.51.100.7:4711"]), "198.51.100.7");
    }

    #[test]
    fn the_standard_header_is_read_too() {
        assert_eq!(walk("::1", "Forwarded", &["for=\"[2001:db8::7]:80\";proto=https"]), "2001:db8::7");
        assert_eq!(walk("::1", "forwarded", &["for=unknown"]), "::1");
    }

    #[test]
    fn a_browser_update_is_no_other_fingerprint() {
        let client = |user_agent: &str| Client::new(None, user_agent.as_bytes());
        let firefox =
            |v: u32| client(&format!("Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0"));
        let info = firefox(130).info();
        assert_eq!((info.device_name.as_str(), info.device_type.as_str()), ("Firefox on Linux", "desktop"));
        assert!(firefox(130).is_as_recorded(&info) && firefox(131).is_as_recorded(&info));
        let (curl, silent) = (client("curl/8"), Client::default());
        assert!(!curl.is_as_recorded(&info) && !silent.is_as_recorded(&info));
        assert!(curl.is_as_recorded(&curl.info()) && client("curl/9").is_as_recorded(&curl.info()));
        assert!(silent.is_as_recorded(&silent.info()) && !curl.is_as_recorded(&silent.info()));
        let (unknown, control) = (client("x").info(), client("a\u{1}b"));
        assert!(!silent.is_as_recorded(&unknown) && client("y").is_as_recorded(&unknown));
        let of_other_release = ClientInfo { fingerprint: "Plan 9/Mothra".into(), ..control.info() };
        assert!(control.is_as_recorded(&of_other_release), "the very same header");
    }

    proptest! {
        #[test]
        fn any_header_is_cut_and_clean(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let client = Client::new(None, &bytes);
            let info = client.info();
            let text = &info.user_agent;
            prop_assert!(text.len() <= MAX_USER_AGENT && !text.chars().any(char::is_control));
            prop_assert!(client.is_as_recorded(&info));
        }

        #[test]
        fn any_forwarding_header_is_no_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let trusted = ["0.0.0.0/0".parse().unwrap()];
            for header in ["forwarded", "x-forwarded-for"] {
                prop_assert!(address(Some([10, 0, 0, 1].into()), &trusted, header, || [&line[..]].into_iter()).is_some());
            }
        }
    }
}
