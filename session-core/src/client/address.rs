//! Whose address a request comes from: its peer's, or the one that a trusted proxy names. Not here:
//! how forwarding headers are written, see `forwarded`, and networks, see `networks`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;

use super::forwarded::Syntax;

/// The most hops that are walked: no real chain of proxies is longer.
const MAX_HOPS: usize = 64;

/// The proxies that are trusted to name the client, and how they do.
#[derive(Debug)]
pub(crate) struct Proxies {
    networks: Vec<IpNet>,
    /// Whether a peer without an address is a trusted proxy.
    trusts_unix_socket: bool,
    /// The name of the one header that is read.
    header: String,
    syntax: Syntax,
    notices: Notices,
}

/// What was said once, or needn't be said any more.
#[derive(Debug, Default)]
struct Notices {
    /// Whether a trusted proxy has named an address in the header: then the settings are right.
    is_proven: AtomicBool,
    has_said_no_peer: AtomicBool,
    has_said_stranger: AtomicBool,
    has_said_no_header: AtomicBool,
    has_said_no_address: AtomicBool,
}

impl Proxies {
    /// `networks` are as [`meant`](super::networks::meant) returns them.
    pub(crate) fn new(networks: Vec<IpNet>, trusts_unix_socket: bool, header: String) -> Self {
        let syntax = Syntax::of(&header);
        Self { networks, trusts_unix_socket, header, syntax, notices: Notices::default() }
    }

    /// The header to read.
    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    /// The client's address. It is the peer's, unless the peer is a trusted proxy: then the
    /// header's lines are walked from right to left past trusted hops. A malformed entry ends the
    /// walk at the last good one.
    pub(crate) fn address<'a, L>(&self, peer: Option<IpAddr>, lines: impl FnOnce() -> L) -> Option<IpAddr>
    where
        L: Iterator<Item = &'a [u8]>,
    {
        match peer.map(|ip| ip.to_canonical()) {
            None if !self.trusts_unix_socket => {
                self.warn_of_no_peer();
                None
            }
            Some(ip) if !self.trusts(ip) => {
                if self.is_open(&self.notices.has_said_stranger) && lines().next().is_some() {
                    self.warn_of_a_stranger(ip);
                }
                Some(ip)
            }
            proxy => self.walk(proxy, lines()),
        }
    }

    fn walk<'a>(&self, proxy: Option<IpAddr>, lines: impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = lines.collect();
        let mut good = proxy;
        let mut names_any = false;
        for element in lines.iter().rev().flat_map(|line| self.syntax.elements(line)).take(MAX_HOPS) {
            let Some(ip) = self.syntax.address(element) else { break };
            (good, names_any) = (Some(ip), true);
            if !self.trusts(ip) {
                break;
            }
        }
        if !self.notices.is_proven.load(Ordering::Relaxed) {
            match (names_any, lines.is_empty()) {
                (true, _) => self.notices.is_proven.store(true, Ordering::Relaxed),
                (false, true) => self.warn_of_no_header(proxy),
                (false, false) => self.warn_of_no_address(proxy),
            }
        }
        good
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Whether this is still to be said: the settings aren't proven right.
    fn is_open(&self, has_said: &AtomicBool) -> bool {
        !self.notices.is_proven.load(Ordering::Relaxed) && !has_said.load(Ordering::Relaxed)
    }

    fn warn_of_no_peer(&self) {
        if is_first(&self.notices.has_said_no_peer) {
            tracing::warn!(
                "a request has no peer address, so `{}` isn't read and no address is recorded. On Axum serve the app by \
                 `into_make_service_with_connect_info::<SocketAddr>()`, or put a `ConnectInfo<SocketAddr>` into the request's \
                 extensions. If a proxy connects through a Unix socket, and nothing else does, set `trust_unix_socket`",
                self.header
            );
        }
    }

    fn warn_of_a_stranger(&self, peer: IpAddr) {
        if is_first(&self.notices.has_said_stranger) {
            tracing::warn!(
                %peer,
                "a request has the header `{}`, but its peer isn't in `trusted_proxies`, so the header isn't read. If the peer \
                 is a proxy of yours, add its address or its network; otherwise a client made the header up",
                self.header
            );
        }
    }

    fn warn_of_no_header(&self, proxy: Option<IpAddr>) {
        if is_first(&self.notices.has_said_no_header) {
            let peer = proxy.map(tracing::field::display);
            tracing::warn!(
                peer,
                "a trusted proxy has sent no header `{0}`, so its own address is recorded. If it names the client in another \
                 header, set `forwarding_header` to that; otherwise let it send `{0}`",
                self.header
            );
        }
    }

    /// Without what the header says, which could be anything.
    fn warn_of_no_address(&self, proxy: Option<IpAddr>) {
        if is_first(&self.notices.has_said_no_address) {
            let peer = proxy.map(tracing::field::display);
            tracing::warn!(
                peer,
                "a trusted proxy has sent a header `{}` whose last entry is no address, so the proxy's own address is recorded. \
                 Let the proxy write the client's address there, or set `forwarding_header` to the header in which it does",
                self.header
            );
        }
    }
}

fn is_first(has_said: &AtomicBool) -> bool {
    !has_said.swap(true, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::networks::{meant, parse};
    use crate::config::tests::logged;

    fn proxies(networks: &[&str], header: &str) -> Proxies {
        let networks = networks.iter().map(|network| parse(network).unwrap()).collect();
        Proxies::new(meant(networks).unwrap(), false, header.to_owned())
    }

    fn walk(peer: &str, header: &str, lines: &[&str]) -> String {
        let proxies = proxies(&["10.0.0.0/8", "::1"], header);
        let peer = Some(peer.parse().unwrap());
        proxies.address(peer, || lines.iter().map(|l| l.as_bytes())).unwrap().to_string()
    }

    #[test]
    fn a_forwarding_header_counts_only_from_a_trusted_peer() {
        assert_eq!(walk("192.0.2.1", "x-forwarded-for", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(walk("::ffff:10.0.0.1", "x-forwarded-for", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &[]), "10.0.0.1");
    }

    #[test]
    fn lines_are_joined_and_walked_from_the_right() {
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["203.0.113.9, 198.51.100.7", "10.0.0.2"]), "198.51.100.7");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["198.51.100.7, garbage, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["198.51.100.7", "", " , ", "10.0.0.2,"]), "198.51.100.7");
    }

    #[test]
    fn empty_elements_are_no_hops() {
        let empty = ",".repeat(2 * MAX_HOPS);
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &[&format!("198.51.100.7{empty}10.0.0.2")]), "198.51.100.7");
        let hops = "10.0.0.3,".repeat(MAX_HOPS);
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &[&format!("198.51.100.7,{hops}")]), "10.0.0.3");
    }

    #[test]
    fn the_standard_header_is_read_too() {
        assert_eq!(walk("::1", "Forwarded", &["for=\"[2001:db8::7]:80\";proto=https"]), "2001:db8::7");
        assert_eq!(walk("::1", "forwarded", &["for=unknown"]), "::1");
    }

    #[test]
    fn mapped_networks_and_all_of_ipv6_are_trusted_as_they_are_meant() {
        let from = |network: &str, peer: &str| {
            let lines = || [&b"198.51.100.7"[..]].into_iter();
            proxies(&[network], "x-forwarded-for").address(Some(peer.parse().unwrap()), lines).unwrap().to_string()
        };
        assert_eq!(from("::ffff:10.0.0.0/104", "10.1.2.3"), "198.51.100.7");
        assert_eq!(from("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"), "198.51.100.7");
        assert_eq!(from("::ffff:10.0.0.0/104", "11.1.2.3"), "11.1.2.3");
        assert_eq!(from("::/0", "10.1.2.3"), "198.51.100.7");
    }

    #[test]
    fn without_a_peer_nothing_is_read_and_one_warning_names_the_fix() {
        let proxies = proxies(&["10.0.0.0/8"], "x-forwarded-for");
        let ask = || logged(|| assert_eq!(proxies.address(None, || [&b"198.51.100.7"[..]].into_iter()), None));
        let log = ask();
        assert!(log.contains("WARN") && log.lines().count() == 1, "{log}");
        for part in ["`into_make_service_with_connect_info::<SocketAddr>()`", "`trust_unix_socket`", "x-forwarded-for"]
        {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert_eq!(ask(), "", "said once");
    }

    #[test]
    fn a_proxy_on_a_unix_socket_can_be_trusted() {
        let proxies = Proxies::new(Vec::new(), true, "X-Forwarded-For".to_owned());
        let ask = |lines: &[&'static str]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            proxies.address(None, || lines.into_iter())
        };
        let log = logged(|| {
            assert_eq!(ask(&["6.6.6.6, 198.51.100.7"]), Some([198, 51, 100, 7].into()));
            assert_eq!(ask(&[]), None);
            assert_eq!(ask(&["garbage"]), None);
        });
        assert_eq!(log, "");
        let stranger = proxies.address(Some([192, 0, 2, 1].into()), || [&b"6.6.6.6"[..]].into_iter());
        assert_eq!(stranger, Some([192, 0, 2, 1].into()), "only what has no address is the socket");
    }

    #[test]
    fn proxies_that_never_match_are_reported_once_until_one_does() {
        let ask = |proxies: &Proxies, peer: &str, lines: &[&'static str]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            logged(|| assert!(proxies.address(Some(peer.parse().unwrap()), || lines.into_iter()).is_some()))
        };
        let unproven = proxies(&["10.0.0.0/8"], "Forwarded");
        assert_eq!(ask(&unproven, "172.17.0.1", &[]), "", "no proxy, it seems");
        let log = ask(&unproven, "172.17.0.1", &["for=198.51.100.7"]);
        assert!(log.contains("WARN") && log.contains("172.17.0.1") && log.contains("`trusted_proxies`"), "{log}");
        assert_eq!(ask(&unproven, "172.17.0.1", &["for=198.51.100.7"]), "", "said once");
        let log = ask(&unproven, "10.0.0.1", &[]);
        assert!(log.contains("WARN") && log.contains("10.0.0.1") && log.contains("`forwarding_header`"), "{log}");
        assert_eq!(ask(&unproven, "10.0.0.1", &[]), "", "said once");

        // A header in which nothing can be read proves nothing.
        for line in ["for=unknown", "for=_hidden", "proto=https", "198.51.100.7", ""] {
            let unread = proxies(&["10.0.0.0/8"], "Forwarded");
            let log = ask(&unread, "10.0.0.1", &[line]);
            assert!(log.contains("WARN") && log.contains("last entry is no address"), "{line}: {log}");
            assert!(log.contains("10.0.0.1") && log.contains("`forwarding_header`"), "{log}");
            assert!(!log.contains("198.51.100.7") && log.lines().count() == 1, "{log}");
            assert_eq!(ask(&unread, "10.0.0.1", &[line]), "", "said once");
            assert!(ask(&unread, "10.0.0.1", &[]).contains("has sent no header"));
        }

        let proven = proxies(&["10.0.0.0/8"], "Forwarded");
        for (peer, lines) in
            [("10.0.0.1", &["for=198.51.100.7"][..]), ("10.0.0.1", &[]), ("192.0.2.1", &["for=6.6.6.6"])]
        {
            assert_eq!(ask(&proven, peer, lines), "", "{peer}");
        }
    }

    /// What one hop writes about the hop before it, and whom that names, if any.
    fn hop(header: &'static str) -> impl Strategy<Value = (String, Option<IpAddr>)> {
        let inside = (0..=255u8).prop_map(|last| IpAddr::from([10, 0, 0, last]));
        let outside = any::<u16>().prop_map(|low| IpAddr::from([198, 51, (low >> 8) as u8, low as u8]));
        let v6 = any::<u16>().prop_map(|low| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 1, low]));
        let ip = prop_oneof![inside, outside, v6];
        let named = (ip, 0..4u8).prop_map(move |(ip, form)| {
            let bare = match (header, form, ip) {
                ("cloudfront-viewer-address", _, ip) => format!("{ip}:4711"),
                (_, 1, ip) => std::net::SocketAddr::from((ip, 80)).to_string(),
                (_, 2, IpAddr::V6(ip)) => format!("[{ip}]"),
                (_, 3, IpAddr::V4(ip)) => ip.to_ipv6_mapped().to_string(),
                (_, _, ip) => ip.to_string(),
            };
            let text = match (header, form) {
                ("forwarded", 0) => format!("FOR=\"{bare}\""),
                ("forwarded", 1) => format!("proto=https;by=\"x,for=6.6.6.6;\";for=\"{bare}\""),
                ("forwarded", 2) => {
                    format!("for=\"\\{}\";host=\"\\\"\"", bare.replace('1', "\\1").trim_start_matches('\\'))
                }
                ("forwarded", _) => format!(";for=\"{bare}\" ;"),
                _ => bare,
            };
            (text, Some(ip))
        });
        let silent = prop_oneof![
            Just("unknown"),
            Just("_hidden"),
            Just("for=unknown"),
            Just("for=\"_a:_b\""),
            Just("proto=https"),
            Just("6.6.6.6.6"),
            Just("0.0.0.0"),
            Just("\u{e9}"),
        ];
        prop_oneof![4 => named, 1 => silent.prop_map(|text| (text.to_owned(), None))]
    }

    /// Whom the hops name, written without the code above: the peer is trusted, so the last hop's
    /// word counts; if that names a trusted proxy, the word before it, and so on.
    fn model(peer: IpAddr, hops: &[(String, Option<IpAddr>)]) -> IpAddr {
        let is_ours = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
        match hops.split_last() {
            Some((&(_, Some(named)), before)) if is_ours(peer) => model(named, before),
            _ => peer,
        }
    }

    proptest! {
        #[test]
        fn no_false_address_is_recorded(
            (header, hops) in prop_oneof![Just("x-forwarded-for"), Just("forwarded"), Just("cloudfront-viewer-address")]
                .prop_flat_map(|header| (Just(header), proptest::collection::vec(hop(header), 0..8))),
            spoofed in "[ -~]{0,40}",
            is_ours: bool,
            ends in proptest::collection::vec(any::<bool>(), 8),
        ) {
            let peer = IpAddr::from([if is_ours { 10 } else { 192 }, 0, 0, 1]);
            // What a client put before is the left-most element; a comma of its own ends it.
            let mut lines = vec![format!("{spoofed},?")];
            for ((text, _), is_line) in hops.iter().zip(ends) {
                match lines.last_mut() {
                    Some(line) if !is_line => *line += &format!(" ,\t,{text}"),
                    _ => lines.push(text.clone()),
                }
            }
            let found = proxies(&["10.0.0.0/8"], header).address(Some(peer), || lines.iter().map(|l| l.as_bytes()));
            prop_assert_eq!(found, Some(model(peer, &hops)), "{:?}", lines);
        }
    }
}
