//! META-2, META-4: which forwarding headers count, how they are read, and from whom.

use http::HeaderMap;
use serde_json::json;
use session_core::{IpNet, SessionConfig, SessionConfigBuilder};
use tracing::Level;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::logged::logged;
use crate::scenarios::support::sessions::only_row;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("META-2", "no forwarding header counts by default", no_proxy_is_trusted),
    scenario!("META-2", "a forwarding header counts only from a trusted peer", only_trusted_peers_count),
    scenario!("META-2", "all lines are walked right to left past trusted hops", lines_are_walked_from_the_right),
    scenario!("META-2", "a malformed entry ends the walk at the last good one", a_malformed_entry_ends_the_walk),
    scenario!("META-2", "only the configured header is read", only_the_configured_header),
    scenario!("META-2", "empty elements are skipped", empty_elements_are_skipped),
    scenario!("META-2", "quoted strings are read as such", quoted_strings),
    scenario!("META-2", "a zone is left out", zones_are_left_out),
    scenario!("META-2", "the address of a CloudFront viewer always has a port", a_cloudfront_viewer),
    scenario!("META-2", "proxies that can never match are refused", never_matching_is_refused),
    scenario!("META-2", "proxies that don't match are warned about once", not_matching_is_said_once),
    scenario!("META-4", "a network matches what it means", networks_match_what_they_mean),
    scenario!("META-4", "all of IPv4 or IPv6 is a warning at the start", everything_is_a_warning),
    scenario!("META-4", "a peer without an address is trusted only by name", a_peer_without_an_address),
];

/// The address that is recorded for a sign-in with these header lines.
async fn address(world: &World, lines: &[(&str, &str)]) -> String {
    let mut browser = world.browser();
    for (name, value) in lines {
        browser.header(name, value);
    }
    browser.sign_in("ada").await;
    let address = only_row(world, "ada").await.client.ip_address.clone();
    browser.run(json!([{"op": "logout"}])).await;
    address
}

/// The same with lines of `X-Forwarded-For`.
async fn forwarded_for(world: &World, lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    address(world, &lines).await
}

async fn behind(world: &World, networks: &[&str], header: &str) -> World {
    let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().expect("a network")).collect();
    world.with_config(|config| config.trusted_proxies(networks).forwarding_header(header)).await
}

async fn no_proxy_is_trusted(world: World) {
    for header in ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip"] {
        for value in ["198.51.100.7", "for=198.51.100.7"] {
            assert_eq!(address(&world, &[(header, value)]).await, "127.0.0.1", "{header}: {value}");
        }
    }
}

async fn only_trusted_peers_count(world: World) {
    let elsewhere = behind(&world, &["10.0.0.0/8", "203.0.113.0/24"], "X-Forwarded-For").await;
    assert_eq!(forwarded_for(&elsewhere, &["198.51.100.7, 10.0.0.1"]).await, "127.0.0.1");
    let here = behind(&world, &["127.0.0.0/8"], "X-Forwarded-For").await;
    assert_eq!(forwarded_for(&here, &["198.51.100.7"]).await, "198.51.100.7");
    assert_eq!(forwarded_for(&here, &["2001:db8::7"]).await, "2001:db8::7");
    assert_eq!(forwarded_for(&here, &[]).await, "127.0.0.1");
}

async fn lines_are_walked_from_the_right(world: World) {
    let world = behind(&world, &["127.0.0.0/8", "10.0.0.0/8"], "X-Forwarded-For").await;
    for (lines, expected) in [
        (&["6.6.6.6, 198.51.100.7"][..], "198.51.100.7"),
        (&["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        (&["6.6.6.6, 198.51.100.7, 10.0.0.2", "10.0.0.1"], "198.51.100.7"),
        (&["6.6.6.6", "198.51.100.7,10.0.0.2 ,  10.0.0.1"], "198.51.100.7"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["6.6.6.6, 10.0.0.9, 198.51.100.7"], "198.51.100.7"),
    ] {
        assert_eq!(forwarded_for(&world, lines).await, expected, "{lines:?}");
    }
}

async fn a_malformed_entry_ends_the_walk(world: World) {
    let world = behind(&world, &["127.0.0.0/8", "10.0.0.0/8"], "X-Forwarded-For").await;
    for (lines, expected) in [
        (&["198.51.100.7, garbage, 10.0.0.2"][..], "10.0.0.2"),
        (&["198.51.100.7, 1.2.3.4.5"], "127.0.0.1"),
        (&["198.51.100.7, unknown"], "127.0.0.1"),
        (&["198.51.100.7, <script>", "10.0.0.2, 10.0.0.3"], "10.0.0.2"),
    ] {
        assert_eq!(forwarded_for(&world, lines).await, expected, "{lines:?}");
    }
}

async fn only_the_configured_header(world: World) {
    let standard = behind(&world, &["127.0.0.0/8"], "Forwarded").await;
    let both = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=\"[2001:db8::7]:4711\";proto=https")];
    assert_eq!(address(&standard, &both).await, "2001:db8::7");
    assert_eq!(forwarded_for(&standard, &["6.6.6.6"]).await, "127.0.0.1");
    let listed = behind(&world, &["127.0.0.0/8"], "X-Forwarded-For").await;
    let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "198.51.100.7"), ("x-real-ip", "6.6.6.6")];
    assert_eq!(address(&listed, &both).await, "198.51.100.7");
}

async fn empty_elements_are_skipped(world: World) {
    let world = behind(&world, &["127.0.0.0/8", "10.0.0.0/8"], "X-Forwarded-For").await;
    for lines in [
        &["198.51.100.7", "", "10.0.0.2"][..],
        &["6.6.6.6,,198.51.100.7,,,10.0.0.2"],
        &[", 198.51.100.7 , ,\t10.0.0.2 , "],
        &["198.51.100.7", ",", " , ,"],
    ] {
        assert_eq!(forwarded_for(&world, lines).await, "198.51.100.7", "{lines:?}");
    }
    assert_eq!(forwarded_for(&world, &["", ",,"]).await, "127.0.0.1");
}

async fn quoted_strings(world: World) {
    let world = behind(&world, &["127.0.0.0/8", "10.0.0.0/8"], "Forwarded").await;
    for (line, expected) in [
        ("for=\"198.51.100.7:4711\";by=\"a,for=6.6.6.6\"", "198.51.100.7"),
        ("by=\"a;for=6.6.6.6\";for=198.51.100.7", "198.51.100.7"),
        ("by=\"a\\\";for=6.6.6.6;b=\\\"\";for=198.51.100.7", "198.51.100.7"),
        ("for=198.51.100.7;by=\"x, y\", for=10.0.0.2;by=\"x;y\"", "198.51.100.7"),
        ("for=\"[2001:db8::7]:_hidden\"", "2001:db8::7"),
        ("for=\"\\198.51.100.7\"", "198.51.100.7"),
        // What a client left open or put in front changes nothing of what the proxy added.
        ("for=\"6.6.6.6, for=198.51.100.7", "198.51.100.7"),
        ("for=6.6.6.6;x=\", for=\"198.51.100.7\"", "198.51.100.7"),
        // Malformed, or no address: the proxy's own is the last good one.
        ("for=198.51.100.7;for=6.6.6.6", "127.0.0.1"),
        ("for=\"198.51.100.7", "127.0.0.1"),
        ("for=\"198.51.100.7\"6.6.6.6", "127.0.0.1"),
        ("for=_hidden", "127.0.0.1"),
        ("for=unknown, for=10.0.0.2", "10.0.0.2"),
    ] {
        assert_eq!(address(&world, &[("forwarded", line)]).await, expected, "{line}");
    }
}

async fn zones_are_left_out(world: World) {
    let listed = behind(&world, &["127.0.0.0/8"], "X-Forwarded-For").await;
    for line in ["fe80::7%eth0", "[fe80::7%eth0]:4711", "[fe80::7%25eth0]"] {
        assert_eq!(forwarded_for(&listed, &[line]).await, "fe80::7", "{line}");
    }
    for line in ["fe80::7%", "fe80::7%<script>", "198.51.100.7%eth0"] {
        assert_eq!(forwarded_for(&listed, &[line]).await, "127.0.0.1", "{line}");
    }
    let standard = behind(&world, &["127.0.0.0/8"], "Forwarded").await;
    assert_eq!(address(&standard, &[("forwarded", "for=\"[fe80::7%eth0]\"")]).await, "fe80::7");
}

async fn a_cloudfront_viewer(world: World) {
    let world = behind(&world, &["127.0.0.0/8"], "CloudFront-Viewer-Address").await;
    for (line, expected) in [
        ("198.51.100.7:46532", "198.51.100.7"),
        ("2001:db8::7:46532", "2001:db8::7"),
        ("2001:db8:0:0:0:0:0:7:46532", "2001:db8::7"),
        ("[2001:db8::7]:46532", "2001:db8::7"),
        // Without a port it isn't CloudFront's, and the last group could be taken for one.
        ("198.51.100.7", "127.0.0.1"),
        ("2001:db8::7", "127.0.0.1"),
    ] {
        assert_eq!(address(&world, &[("cloudfront-viewer-address", line)]).await, expected, "{line}");
    }
}

async fn never_matching_is_refused(world: World) {
    for (networks, header, says) in [
        ("10.0.0.1", None, "`forwarding_header`"),
        ("", Some("X-Forwarded-For"), "`trust_unix_socket`"),
        ("10.0.0.1", Some("X-Forwarded-For, X-Real-IP"), "one header"),
        ("10.0.0.1", Some("X-Forwarded-Proto"), "without addresses"),
        ("0.0.0.0", Some("X-Forwarded-For"), "no proxy has this address"),
        ("224.0.0.0/8", Some("X-Forwarded-For"), "multicast"),
    ] {
        let settings = SessionConfig::builder().parse_trusted_proxies(networks).expect("networks");
        let settings = header.into_iter().fold(settings, |settings, header| settings.forwarding_header(header));
        let error = settings.build(world.keys.clone()).expect_err(says).to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// What is warned about when a request with these headers is extracted from this peer.
fn warned(world: &World, peer: Option<[u8; 4]>, lines: &[(&'static str, &'static str)]) -> Vec<String> {
    let headers: HeaderMap =
        lines.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
    let guard = world.service.begin(None);
    let all = logged(|| drop(guard.scope().read(&headers, peer.map(Into::into))));
    all.into_iter().filter(|(level, _)| *level == Level::WARN).map(|(_, text)| text).collect()
}

async fn not_matching_is_said_once(world: World) {
    let here = [127, 0, 0, 1];
    let fresh = || behind(&world, &["127.0.0.0/8"], "Forwarded");
    for (peer, lines, says) in [
        (None, &[("forwarded", "for=198.51.100.7")][..], "`into_make_service_with_connect_info::<SocketAddr>()`"),
        (None, &[], "`trust_unix_socket`"),
        (Some([172, 17, 0, 1]), &[("forwarded", "for=198.51.100.7")], "172.17.0.1"),
        (Some(here), &[("x-forwarded-for", "198.51.100.7")], "`forwarding_header`"),
        (Some(here), &[("forwarded", "for=unknown")], "last entry is no address"),
        (Some(here), &[("forwarded", "198.51.100.7")], "last entry is no address"),
    ] {
        let world = fresh().await;
        let first = warned(&world, peer, lines);
        assert!(first.len() == 1 && first[0].contains(says), "{says}: {first:?}");
        assert!(warned(&world, peer, lines).is_empty(), "{says}: once");
    }
    // Once a proxy has named an address, a client's own is no sign of wrong settings.
    let world = fresh().await;
    for (peer, lines) in [
        (here, &[("forwarded", "for=198.51.100.7")][..]),
        (here, &[]),
        (here, &[("forwarded", "for=unknown")]),
        ([192, 0, 2, 1], &[("forwarded", "for=6.6.6.6")]),
    ] {
        assert!(warned(&world, Some(peer), lines).is_empty(), "{peer:?}");
    }
}

async fn networks_match_what_they_mean(world: World) {
    for (networks, trusts) in [
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("::ffff:127.0.0.0/104", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:10.0.0.0/104", false),
        ("::/0", true),
        ("0.0.0.0/0", true),
        ("fd00::/8, 127.0.0.1", true),
        ("fd00::/8", false),
        ("127.0.0.9/8", true),
    ] {
        let change = |config: SessionConfigBuilder| {
            config.parse_trusted_proxies(networks).expect("networks").forwarding_header("X-Forwarded-For")
        };
        let world = world.with_config(change).await;
        let expected = if trusts { "2001:db8::7" } else { "127.0.0.1" };
        assert_eq!(forwarded_for(&world, &["2001:db8::7"]).await, expected, "{networks}");
    }
}

async fn everything_is_a_warning(world: World) {
    for (networks, warns) in [
        ("0.0.0.0/0", true),
        ("::/0", true),
        ("10.0.0.0/8, ::ffff:0:0/96", true),
        ("0.0.0.0/1, 128.0.0.0/1", true),
        ("10.0.0.0/8, fd00::/8", false),
    ] {
        let settings = SessionConfig::builder().parse_trusted_proxies(networks).expect("networks");
        let settings = settings.forwarding_header("X-Forwarded-For");
        let all = logged(|| drop(settings.build(world.keys.clone()).expect("settings")));
        assert_eq!(all.len(), usize::from(warns), "{networks}: {all:?}");
        assert!(all.iter().all(|(level, text)| *level == Level::WARN && text.contains("every address")), "{all:?}");
    }
}

async fn a_peer_without_an_address(world: World) {
    let recorded = async |world: &World| {
        let headers = [("x-forwarded-for", "6.6.6.6, 198.51.100.7")];
        let headers: HeaderMap = headers
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .into_iter()
            .collect();
        let guard = world.service.begin(None);
        let session = guard.scope().load(guard.scope().read(&headers, None)).await.expect("the store works");
        session.authenticate("ada").await.expect("signed in");
        let address = only_row(world, "ada").await.client.ip_address.clone();
        session.logout().await.expect("signed out");
        address
    };
    let tcp = behind(&world, &["127.0.0.0/8"], "X-Forwarded-For").await;
    assert_eq!(recorded(&tcp).await, "", "whose header it is isn't known");
    let socket = world.with_config(|config| config.trust_unix_socket().forwarding_header("X-Forwarded-For")).await;
    assert_eq!(recorded(&socket).await, "198.51.100.7");
    assert_eq!(forwarded_for(&socket, &["6.6.6.6"]).await, "127.0.0.1", "a peer with an address is no such socket");
    assert_eq!(warned(&socket, None, &[]), Vec::<String>::new());
}
