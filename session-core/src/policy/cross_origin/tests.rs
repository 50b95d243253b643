//! Tests of the decision.

use super::*;
use crate::policy::answer::HeaderLines;

/// The lines of a request's head.
struct Head<'a>(&'a [(&'a str, &'a [u8])]);

impl HeaderLines for Head<'_> {
    fn visit<'a>(&'a self, name: &'a str, each: &mut dyn FnMut(&'a [u8]) -> bool) {
        self.0.iter().filter(|(own, _)| *own == name).all(|(_, value)| each(value));
    }
}

fn rules() -> CrossOrigin {
    let rules = CrossOrigin::new().allow_origin("https://admin.example").unwrap();
    rules.exempt("/webhooks/").unwrap().exempt("/callback").unwrap()
}

fn asked(method: &str, target: Option<&str>, path: &str, lines: &[(&str, &str)]) -> Result<(), Refusal> {
    let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    rules().judge(&Incoming { method, path_and_query: path, authority: target, lines: &Head(&lines) })
}

/// Of a POST to `a.example`: what its headers lead to, which is none or the header at fault.
fn post(lines: &[(&str, &str)]) -> Option<&'static str> {
    let lines: Vec<_> = [("host", "a.example")].iter().chain(lines).copied().collect();
    asked("POST", None, "/do", &lines).err().map(|refusal| refusal.header)
}

const S: &str = SITE;
const O: &str = ORIGIN;
const OWN: (&str, &str) = (O, "https://a.example");
const LISTED: (&str, &str) = (O, "https://admin.example");
const OTHER: (&str, &str) = (O, "https://evil.example");
const NULL: (&str, &str) = (O, "null");

#[test]
fn what_browsers_send_decides() {
    for (lines, at_fault) in [
        // No browser.
        (vec![], None),
        // `Sec-Fetch-Site` decides, whatever `Origin` says.
        (vec![(S, "same-origin")], None),
        (vec![(S, "same-origin"), OWN], None),
        (vec![(S, "same-origin"), OTHER], None),
        (vec![(S, "none")], None),
        (vec![(S, "none"), OWN], None),
        (vec![(S, "same-site")], Some(S)),
        (vec![(S, "same-site"), OWN], Some(S)),
        (vec![(S, "same-site"), OTHER], Some(S)),
        (vec![(S, "same-site"), LISTED], None),
        (vec![(S, "cross-site")], Some(S)),
        (vec![(S, "cross-site"), OWN], Some(S)),
        (vec![(S, "cross-site"), OTHER], Some(S)),
        (vec![(S, "cross-site"), LISTED], None),
        // No browser sends these values.
        (vec![(S, "")], Some(S)),
        (vec![(S, "Same-Origin")], Some(S)),
        (vec![(S, "unknown"), OWN], Some(S)),
        (vec![(S, "unknown"), LISTED], Some(S)),
        (vec![(S, "same-origin;a=1")], Some(S)),
        (vec![(S, "same-origin, cross-site")], Some(S)),
        (vec![(S, "same-origin"), (S, "same-origin")], Some(S)),
        (vec![(S, "same-origin"), (S, "cross-site")], Some(S)),
        // Without it, `Origin` decides.
        (vec![OWN], None),
        (vec![(O, "http://a.example")], None),
        (vec![(O, "https://A.Example:443")], None),
        (vec![LISTED], None),
        (vec![(O, "https://ADMIN.example:443")], None),
        (vec![OTHER], Some(O)),
        (vec![(O, "http://admin.example")], Some(O)),
        (vec![(O, "https://a.example:8443")], Some(O)),
        (vec![(O, "https://a.example.evil.example")], Some(O)),
        (vec![(O, "https://evil.example@a.example")], Some(O)),
        (vec![(O, "https://evil.example/a.example")], Some(O)),
        (vec![(O, "https://a.example/")], Some(O)),
        (vec![(O, "https://a.example https://evil.example")], Some(O)),
        (vec![(O, "a.example")], Some(O)),
        (vec![(O, "")], Some(O)),
        // Never.
        (vec![NULL], Some(O)),
        (vec![(S, "same-origin"), NULL], Some(O)),
        (vec![(S, "none"), NULL], Some(O)),
        (vec![(S, "cross-site"), NULL], Some(O)),
        (vec![OWN, OWN], Some(O)),
        (vec![OWN, OTHER], Some(O)),
        (vec![(S, "same-origin"), OWN, OTHER], Some(O)),
    ] {
        assert_eq!(post(&lines), at_fault, "{lines:?}");
    }
}

#[test]
fn unsafe_methods_and_websockets_are_judged() {
    for (method, lines, judged) in [
        ("GET", vec![], false),
        ("HEAD", vec![], false),
        ("OPTIONS", vec![], false),
        ("TRACE", vec![], false),
        ("POST", vec![], true),
        ("PUT", vec![], true),
        ("PATCH", vec![], true),
        ("DELETE", vec![], true),
        ("CONNECT", vec![], true),
        ("PROPFIND", vec![], true),
        ("get", vec![], true),
        ("Get", vec![], true),
        ("", vec![], true),
        ("GET", vec![("upgrade", "websocket")], true),
        ("GET", vec![("upgrade", "WebSocket")], true),
        ("GET", vec![("upgrade", "h2c, websocket/13")], true),
        ("GET", vec![("upgrade", "h2c"), ("upgrade", "websocket")], true),
        ("GET", vec![("upgrade", "h2c")], false),
        ("GET", vec![("upgrade", "websockets")], false),
    ] {
        let with = |header| [("host", "a.example"), header].iter().chain(&lines).copied().collect::<Vec<_>>();
        assert_eq!(asked(method, None, "/do", &with(OTHER)).is_err(), judged, "{method} {lines:?}");
        assert_eq!(asked(method, None, "/do", &with((S, "cross-site"))).is_err(), judged, "{method} {lines:?}");
        assert!(asked(method, None, "/do", &with(OWN)).is_ok(), "{method} {lines:?}");
    }
}

#[test]
fn the_host_is_the_targets_or_the_only_host_line() {
    let host = |name| ("host", name);
    for (target, hosts, own) in [
        (Some("a.example"), vec![], true),
        (Some("a.example:443"), vec![], true),
        (Some("a.example"), vec![host("a.example")], true),
        (Some("a.example"), vec![host("A.example")], true),
        (None, vec![host("a.example:443")], true),
        (None, vec![], false),
        (Some("b.example"), vec![], false),
        (Some("a.example"), vec![host("b.example")], false),
        (Some("b.example"), vec![host("a.example")], false),
        (Some("a.example"), vec![host("a.example"), host("a.example")], false),
        (Some("ada@a.example"), vec![], false),
        (None, vec![host("a.example"), host("a.example")], false),
        (None, vec![host("a.example"), host("b.example")], false),
        (None, vec![host("ada@a.example")], false),
        (None, vec![host("a.example, b.example")], false),
        (None, vec![host("")], false),
        (Some(""), vec![host("a.example")], false),
    ] {
        let lines: Vec<_> = hosts.iter().copied().chain([OWN]).collect();
        assert_eq!(asked("POST", target, "/do", &lines).is_ok(), own, "{target:?} {hosts:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let raw: &[u8] = &[0xff, 0xfe];
    for lines in [vec![(S, raw)], vec![(O, raw)], vec![("host", raw), (O, raw)]] {
        let request = Incoming { method: "POST", path_and_query: "/", authority: None, lines: &Head(&lines) };
        assert!(rules().judge(&request).is_err(), "{lines:?}");
    }
}

#[test]
fn an_exempt_path_is_matched_as_it_is() {
    for (path, exempt) in [
        ("/webhooks/", true),
        ("/webhooks/paid", true),
        ("/webhooks/paid/1?next=/../do", true),
        ("/callback", true),
        ("/callback?a=%2e%2e", true),
        ("/webhooks", false),
        ("/webhooks-admin", false),
        ("/Webhooks/paid", false),
        ("/callback/", false),
        ("/callback/a", false),
        ("/do?/webhooks/", false),
        ("/do/webhooks/", false),
        ("/webhooks/../do", false),
        ("/webhooks/..", false),
        ("/webhooks/./paid", false),
        ("/webhooks/%2e%2e/do", false),
        ("/webhooks/..%2fdo", false),
        ("/webhooks/a%20b", false),
        ("/webhooks/..\\do", false),
        ("/webhooks/..;/do", false),
        ("/webhooks//do", false),
        ("//webhooks/paid", false),
        ("/%77ebhooks/paid", false),
        ("", false),
        ("*", false),
    ] {
        assert_eq!(asked("POST", None, path, &[OTHER]).is_ok(), exempt, "{path}");
        assert!(asked("POST", None, path, &[]).is_ok(), "{path}: what isn't exempt is judged, and may pass");
    }
}

#[test]
fn a_refusal_names_an_origin_that_can_be_listed_and_no_other() {
    let refused = |origin: &str| asked("POST", None, "/do", &[("host", "a.example"), (O, origin)]).unwrap_err().origin;
    assert_eq!(refused("https://evil.example").as_deref(), Some("https://evil.example"));
    assert_eq!(refused("https://evil.example\u{1b}[2J"), None);
    assert_eq!(refused(&format!("https://{}.example", "a".repeat(MOST_ORIGIN))), None);
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let error = CrossOrigin::new().allow_origin("https://*.example").unwrap_err();
    assert!(error.to_string().contains("\"https://*.example\"") && error.to_string().contains("wildcard"), "{error}");
    for (path, says) in [
        ("", "slash"),
        ("webhooks/", "slash"),
        ("/", "everything"),
        ("/webhooks/*", "patterns"),
        ("/webhooks/{id}", "patterns"),
        ("/webhooks?a", "queries"),
        ("/a b", "as it is"),
        ("/a%20b", "`%`"),
        ("//", "empty"),
        ("/a/../b", "dots"),
    ] {
        let error = CrossOrigin::new().exempt(path).unwrap_err();
        assert!(matches!(error, ConfigError::ExemptPath { .. }) && error.to_string().contains(says), "{path}: {error}");
    }
}

#[test]
fn rules_are_read_from_text() {
    let read = toml::from_str::<CrossOrigin>;
    let rules = read("allow_origins = [\"https://admin.example\"]\nexempt = [\"/webhooks/\", \"/callback\"]").unwrap();
    assert_eq!(format!("{rules:?}"), format!("{:?}", self::rules()));
    assert!(read("").unwrap().listed.is_empty());
    for (text, says) in [
        ("allow_origins = [\"a.example\"]", "no scheme"),
        ("exempt = [\"webhooks\"]", "begins with a slash"),
        ("exmpt = []", "exmpt"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}
