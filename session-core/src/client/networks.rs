//! Networks of trusted proxies: read from text, and widened or translated to what they mean. Not
//! here: whose address a request has, see `address`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::ConfigError;

/// The IPv4 addresses as IPv6 has them (RFC 4291 2.5.5.2). The peers of a socket for both are in
/// it, and are compared as IPv4.
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// A network, or an address as the network of itself only.
///
/// # Errors
/// [`ConfigError::Network`].
pub(crate) fn parse(text: &str) -> Result<IpNet, ConfigError> {
    let text = text.trim();
    if let Ok(network) = text.parse() {
        return Ok(network);
    }
    text.parse::<IpAddr>().map(IpNet::from).map_err(|_| refused(text, reason(text)))
}

/// What to change about a text that is no network.
fn reason(text: &str) -> &'static str {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    if text.is_empty() {
        "it is empty: leave it out"
    } else if text.contains("://") {
        "a URL is no network: write the address of that proxy alone, such as `10.0.0.1`"
    } else if text.contains('*') {
        "a wildcard is no network: list those of your proxies, such as `10.0.0.0/8`"
    } else if text.starts_with("unix:") || text.starts_with('/') {
        "a socket has no address: for a proxy on a Unix socket set `trust_unix_socket`"
    } else if text.contains('%') {
        "leave out its zone, as in `fe80::/10`"
    } else if text.split_once('-').is_some_and(|(from, to)| is_address(from) && is_address(to)) {
        "a range is no network: write the networks that it holds, such as `10.0.0.0/24`"
    } else if text.contains([',', ';', '|', '#']) || text.contains(char::is_whitespace) {
        "write each network alone, or several with commas between them, as in `10.0.0.0/8, fd00::/8`"
    } else if prefix.is_some() && address.parse::<IpAddr>().is_ok() {
        "its prefix is no number up to 32 (IPv4) or 128 (IPv6), as in `10.0.0.0/8`"
    } else if text.parse::<SocketAddr>().is_ok() || text.starts_with('[') {
        "leave out its port and brackets, as in `10.0.0.1` or `fd00::1`"
    } else if text.contains(|letter: char| letter.is_alphabetic()) && text.matches(':').count() < 2 {
        "names aren't looked up: write the address or the network of that proxy, such as `10.0.0.1` or `10.0.0.0/8`"
    } else {
        "it is no address and no network: write it like `10.0.0.1` or `10.0.0.0/8`"
    }
}

fn is_address(text: &str) -> bool {
    text.trim().parse::<IpAddr>().is_ok()
}

fn refused(network: &str, reason: &'static str) -> ConfigError {
    ConfigError::Network { network: network.to_owned(), reason }
}

/// The networks with what they mean, for addresses in their canonical form: mapped IPv4 networks as
/// those of IPv4, and one of IPv6 that holds all mapped ones with all of IPv4.
///
/// # Errors
/// [`ConfigError::Network`] for one in which no proxy can be.
pub(crate) fn meant(networks: Vec<IpNet>) -> Result<Vec<IpNet>, ConfigError> {
    let mut all = Vec::with_capacity(networks.len());
    for network in networks {
        if is_mapped_by_mistake(network) {
            let reason =
                "its prefix also counts the 96 bits before the address of IPv4: write it as IPv4, such as `10.0.0.0/8`";
            return Err(refused(&network.to_string(), reason));
        }
        let meant = match network.trunc() {
            IpNet::V6(inner) if MAPPED.contains(&inner) => {
                let address = inner.network().to_ipv4_mapped().expect("it is in the mapped network");
                IpNet::V4(Ipv4Net::new(address, inner.prefix_len() - MAPPED.prefix_len()).expect("at most 32"))
            }
            IpNet::V6(outer) if outer.contains(&MAPPED) => {
                all.push(IpNet::V4(Ipv4Net::default()));
                outer.into()
            }
            network => network,
        };
        let is_none = meant.addr().is_unspecified() || meant.addr() == Ipv4Addr::BROADCAST;
        if meant.prefix_len() == meant.max_prefix_len() && is_none {
            let reason = "no proxy has this address: write that of the proxy, or its network, such as `10.0.0.0/8`";
            return Err(refused(&network.to_string(), reason));
        }
        if is_multicast(meant) {
            return Err(refused(&network.to_string(), "no proxy has a multicast address: write that of the proxy"));
        }
        all.push(meant);
    }
    Ok(all)
}

/// Whether it is written like a part of IPv4, and holds all of it.
fn is_mapped_by_mistake(network: IpNet) -> bool {
    let IpNet::V6(network) = network else { return false };
    let mapped = network.addr().to_ipv4_mapped();
    network.prefix_len() < MAPPED.prefix_len() && mapped.is_some_and(|address| !address.is_unspecified())
}

fn is_multicast(network: IpNet) -> bool {
    network.network().is_multicast() && network.broadcast().is_multicast()
}

/// Whether the networks together hold every address of IPv4 or of IPv6.
pub(crate) fn hold_everything(networks: &[IpNet]) -> bool {
    IpNet::aggregate(&networks.to_vec()).iter().any(|network| network.prefix_len() == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(networks: &[&str]) -> Vec<IpNet> {
        meant(networks.iter().map(|network| parse(network).unwrap()).collect()).unwrap()
    }

    fn holds(networks: &[IpNet], address: &str) -> bool {
        let address = address.parse::<IpAddr>().unwrap().to_canonical();
        networks.iter().any(|network| network.contains(&address))
    }

    #[test]
    fn an_address_is_a_network_of_its_own() {
        for (text, network) in [
            ("10.0.0.1", "10.0.0.1/32"),
            (" 10.0.0.1 ", "10.0.0.1/32"),
            ("fd00::1", "fd00::1/128"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), network, "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_an_example() {
        for (text, says) in [
            ("nginx", "names aren't looked up"),
            ("localhost", "names aren't looked up"),
            ("http://nginx", "URL"),
            ("tcp://10.0.0.1:80", "URL"),
            ("nginx:80", "names aren't looked up"),
            ("10.0.0.1-10.0.0.9", "range"),
            ("10.0.0.1 - 10.0.0.9", "range"),
            ("10.0.0.0/8 fd00::/8", "commas"),
            ("10.0.0.1,10.0.0.2", "commas"),
            ("10.0.0.1;10.0.0.2", "commas"),
            ("10.0.0.0/8,", "alone"),
            ("10.0.0.0 /8", "alone"),
            ("10.0.0.0/8 # vpc", "alone"),
            ("proxy.example.com/24", "names aren't looked up"),
            ("loopback", "names aren't looked up"),
            ("*", "wildcard"),
            ("10.0.0.*", "wildcard"),
            ("unix:", "`trust_unix_socket`"),
            ("/run/app.sock", "`trust_unix_socket`"),
            ("fe80::1%eth0", "zone"),
            ("10.0.0.0/33", "prefix"),
            ("10.0.0.0/255.0.0.0", "prefix"),
            ("fd00::/129", "prefix"),
            ("10.0.0.0/", "prefix"),
            ("10.0.0.1:8080", "port"),
            ("[fd00::1]", "brackets"),
            ("[fd00::1]:80", "port"),
            ("10.0.0.1 10.0.0.2", "commas"),
            ("10.0.0.256", "no address"),
            ("10", "no address"),
            ("", "empty"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, ConfigError::Network { .. }), "{text}");
            assert!(error.to_string().contains(says) && error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_mapped_network_is_the_one_of_ipv4() {
        let mapped = all(&["::ffff:10.0.0.0/104"]);
        for (address, inside) in [
            ("10.0.0.1", true),
            ("10.255.255.255", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.0", false),
            ("::a00:1", false),
        ] {
            assert_eq!(holds(&mapped, address), inside, "{address}");
        }
        for network in ["::ffff:10.0.0.0/8", "::ffff:10.1.2.3/24"] {
            let error = meant(vec![parse(network).unwrap()]).unwrap_err().to_string();
            assert!(error.contains("96 bits") && error.contains(network), "{error}");
        }
        let one = all(&["::ffff:192.0.2.7"]);
        assert!(holds(&one, "192.0.2.7") && !holds(&one, "192.0.2.8"));
    }

    #[test]
    fn a_network_of_ipv6_that_holds_the_mapped_ones_holds_ipv4() {
        for network in ["::/0", "::/80", "::ffff:0:0/96", "::fffe:0:0/95"] {
            assert!(holds(&all(&[network]), "192.0.2.1"), "{network}");
        }
        for address in ["2001:db8::1", "::1", "192.0.2.1", "::ffff:192.0.2.1"] {
            assert!(holds(&all(&["::/0"]), address), "{address}");
        }
        assert!(!holds(&all(&["fd00::/8"]), "192.0.2.1") && !holds(&all(&["0.0.0.0/0"]), "2001:db8::1"));
    }

    #[test]
    fn networks_that_hold_everything_are_found() {
        for networks in [
            &["0.0.0.0/0"][..],
            &["::/0"],
            &["10.0.0.0/8", "::/0"],
            &["::ffff:0:0/96"],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["::/1", "8000::/1"],
            &["::/1"],
            &["1.2.3.4/0"],
        ] {
            assert!(hold_everything(&all(networks)), "{networks:?}");
        }
        for networks in [&[][..], &["10.0.0.0/8", "fd00::/8"], &["0.0.0.0/1"], &["8000::/1", "fe80::/10"]] {
            assert!(!hold_everything(&all(networks)), "{networks:?}");
        }
    }

    #[test]
    fn a_network_without_proxies_is_refused() {
        for text in [
            "0.0.0.0",
            "::",
            "0.0.0.0/32",
            "::ffff:0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "239.0.0.0/8",
            "ff02::1",
            "ff00::/8",
        ] {
            let error = meant(vec![parse(text).unwrap()]).unwrap_err().to_string();
            assert!(error.contains("no proxy has"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_in_a_network_if_their_first_bits_are_equal(own: u32, bits in 0..=32u8, flipped in 0..32u32, is_mapped: bool) {
            let own = own.max(1);
            prop_assume!(bits < 32 || (own >> 28 != 0xe && own != u32::MAX));
            prop_assume!(bits < 4 || own >> 28 != 0xe);
            let text = |address: Ipv4Addr| if is_mapped && bits > 0 {
                format!("{}/{}", address.to_ipv6_mapped(), 96 + bits)
            } else {
                format!("{address}/{bits}")
            };
            let networks = all(&[&text(own.into())]);
            let other = own ^ (1 << (31 - flipped));
            for (address, is_inside) in [(own, true), (other, flipped >= u32::from(bits))] {
                let address = Ipv4Addr::from(address);
                prop_assert_eq!(holds(&networks, &address.to_string()), is_inside, "{} in {}", address, text(own.into()));
                prop_assert_eq!(holds(&networks, &address.to_ipv6_mapped().to_string()), is_inside);
            }
            prop_assert_eq!(hold_everything(&networks), bits == 0);
        }

        #[test]
        fn any_text_is_a_network_that_holds_itself_or_an_error_that_shows_it(
            text in "([0-9a-f:./]{0,20}|.{0,20}|(10\\.){0,5}|[0-9,;/ #%*-]{0,12}){0,3}",
        ) {
            match parse(&text) {
                Ok(network) => {
                    if let Ok(meant) = meant(vec![network]) {
                        prop_assert!(holds(&meant, &network.addr().to_string()), "{text}");
                    }
                }
                Err(error) => prop_assert!(error.to_string().contains(&format!("{:?}", text.trim())), "{error}"),
            }
        }
    }
}
