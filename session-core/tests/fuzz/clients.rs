//! What a request says of its client: forwarding headers and `User-Agent`.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use session_core::{CookieSessionService, FingerprintChange, MemoryStore, Session, SessionConfig};

use super::{attack, keys, request, runtime, with_cookie};

const HEADERS: [&str; 3] = ["X-Forwarded-For", "Forwarded", "CloudFront-Viewer-Address"];
/// Longest `User-Agent` that is recorded, as the docs of `Session` say.
const MAX_USER_AGENT: usize = 512;

/// A header's line, of what parsers of addresses stumble over.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::from(octets).to_string().into_bytes()),
        any::<[u8; 16]>().prop_map(|octets| IpAddr::from(octets).to_string().into_bytes()),
        any::<[u8; 4]>().prop_map(|octets| format!("::ffff:{}", IpAddr::from(octets)).into_bytes()),
        select(
            &["10.1.2.3", "::1", "unknown", "_hidden", "for=", "For=\"", "\"", "[", "]", ":80", ":99999", "%eth0"][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        select(&[",", ", ", ";", "; ", "=", "\\\"", "\\", " ", "\t", ";proto=http", ";by=", "host=x"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        vec(0x20u8.., 0..12),
        "[0-9a-fA-F:.]{0,45}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// All addresses that could be meant by any run of characters in `line`.
fn addresses(line: &[u8]) -> Vec<IpAddr> {
    let runs = line.split(|byte| !(byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')));
    let texts = runs.filter_map(|run| str::from_utf8(run).ok());
    let both = texts.flat_map(|text| [Some(text), text.rsplit_once(':').map(|(address, _)| address)]);
    both.flatten().filter_map(|text| text.parse::<IpAddr>().ok()).map(|address| address.to_canonical()).collect()
}

fn service(header: &str) -> CookieSessionService {
    let settings = SessionConfig::builder().forwarding_header(header).parse_trusted_proxies("10.0.0.0/8, ::1");
    CookieSessionService::new(
        MemoryStore::new(),
        settings.and_then(|settings| settings.build(keys(7))).expect("settings"),
    )
}

#[test]
fn forwarding_headers() {
    let runtime = runtime();
    let services = HEADERS.map(service);
    let peers = prop_oneof![
        Just(Some(IpAddr::from([10, 0, 0, 1]))),
        Just(Some(IpAddr::from([10, 9, 9, 9]))),
        Just(Some(IpAddr::from([203, 0, 113, 9]))),
        Just(None)
    ];
    attack("forwarding headers", (0..HEADERS.len(), peers, vec(line(), 0..4)), |(which, peer, lines)| {
        let mut headers = HeaderMap::new();
        let mut named = Vec::new();
        for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
            named.extend(addresses(value.as_bytes()));
            let name = HeaderName::from_bytes(HEADERS[which].to_ascii_lowercase().as_bytes()).expect("a name");
            headers.append(name, value);
        }
        let address = runtime.block_on(async {
            let guard = services[which].begin(None);
            let session = guard.scope().load(guard.scope().read(&headers, peer)).await.expect("the store works");
            session.authenticate("ada").await.expect("signed in");
            session.current().expect("signed in").ip_address
        });
        let own = peer.map(|peer| peer.to_string()).unwrap_or_default();
        let is_trusted = peer.is_some_and(|peer| peer.to_string().starts_with("10."));
        let is_named = address.parse().is_ok_and(|address: IpAddr| is_trusted && named.contains(&address));
        prop_assert!(address == own || is_named, "{address:?} for the peer {own:?}");
        Ok(())
    });
}

/// Pieces of real `User-Agent`s in any order, and anything else that a header can hold.
fn user_agent() -> impl Strategy<Value = Vec<u8>> {
    let known = select(
        &[
            "Mozilla/5.0 ",
            "(X11; Linux x86_64) ",
            "(iPhone; CPU iPhone OS 18_0 like Mac OS X) ",
            "(Windows NT 10.0; Win64) ",
            "AppleWebKit/537.36 ",
            "(KHTML, like Gecko) ",
            "Chrome/130.0 ",
            "Safari/537.36 ",
            "Firefox/131.0 ",
            "Edg/130 ",
            "Mobile ",
            "Android 14",
            "; wv",
            "curl/8.5",
            "Googlebot/2.1",
            "Version/",
            "SmartTV",
            "PlayStation 5",
            "(",
            ")",
            "/",
            ";",
            "\t",
            "OPR/",
            "CrOS ",
            "iPad",
            "Dalvik/",
            "okhttp/",
            "FBAN/",
            "[",
            "]",
        ][..],
    );
    let piece = prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(0x20u8.., 0..30),
        1 => "\\PC{0,20}".prop_map(String::into_bytes),
        1 => "[0-9._/;() ]{0,700}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

#[test]
fn user_agents() {
    let runtime = runtime();
    let config = SessionConfig::builder().on_fingerprint_change(FingerprintChange::End).build(keys(7));
    let service = CookieSessionService::new(MemoryStore::new(), config.expect("a configuration"));
    attack("user agents", user_agent(), |bytes| {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let (recorded, again) = runtime.block_on(async {
            let headers = HeaderMap::from_iter([(USER_AGENT, value.clone())]);
            let (guard, session) = request(&service, &headers).await;
            let session = session.expect("the store works");
            session.authenticate("ada").await.expect("signed in");
            let mut response = http::Response::new(());
            guard.commit(200).await.apply(&mut response);
            let sent = response.headers()["set-cookie"].to_str().expect("a cookie");
            let mut headers = with_cookie(sent.split(';').next().expect("a pair"));
            headers.insert(USER_AGENT, value);
            let (_, next) = request(&service, &headers).await;
            (session.current().expect("signed in"), next.expect("the store works").user_id())
        });
        prop_assert_eq!(again.as_deref(), Some("ada"), "the same client is no change");
        let Session { user_agent, device_name, device_type, fingerprint, .. } = recorded;
        prop_assert!(user_agent.len() <= MAX_USER_AGENT);
        for text in [&user_agent, &device_name, &device_type, &fingerprint] {
            prop_assert!(text.len() <= MAX_USER_AGENT && !text.contains(char::is_control), "{text:?}");
        }
        Ok(())
    });
}
