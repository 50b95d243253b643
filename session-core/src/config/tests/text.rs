//! Settings as `figment` 0.10, `config` 0.15, `envy` 0.4, TOML and JSON were seen to give them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::cross_origin::CrossOrigin;
use crate::transport::cookie::SameSite;
use crate::visitor::Visitors;

/// All settings.
const NAMES: [&str; 23] = [
    "preset",
    "idle_timeout",
    "absolute_timeout",
    "touch_interval",
    "rotate_every",
    "rotation_grace",
    "max_sessions_per_user",
    "max_data_bytes",
    "cookie_name",
    "cookie_path",
    "cookie_domain",
    "cookie_secure",
    "cookie_same_site",
    "cookie_partitioned",
    "trusted_proxies",
    "trust_unix_socket",
    "forwarding_header",
    "on_fingerprint_change",
    "on_token_reuse",
    "refuse_cross_origin",
    "purge_after",
    "insecure_development_cookies",
    "visitors",
];

fn read(settings: Value) -> Result<SessionConfigBuilder, String> {
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

/// What a configuration is, as `Debug` shows it.
fn shown(settings: SessionConfigBuilder) -> String {
    format!("{:?}", settings.build(keys()).unwrap())
}

fn is_read_as(given: Value, meant: SessionConfigBuilder) {
    let read = read(given.clone()).unwrap_or_else(|error| panic!("{given}: {error}"));
    assert_eq!(shown(read), shown(meant), "{given}");
}

#[test]
fn the_environment_is_read_as_each_source_gives_it() {
    let meant = || {
        let networks = ["10.0.0.1/32", "fd00::/8"].map(|network| network.parse().unwrap());
        SessionConfig::builder()
            .purge_after(Duration::from_secs(8 * 3600))
            .max_data_bytes(65_536)
            .max_sessions_per_user(3)
            .cookie_partitioned(true)
            .cookie_same_site(SameSite::Strict)
            .on_fingerprint_change(FingerprintChange::End)
            .on_token_reuse(TokenReuse::End)
            .rotate_every(Duration::from_secs(600))
            .trusted_proxies(networks)
            .forwarding_header("X-Forwarded-For")
            .visitors(Visitors::new().max_data_bytes(2048))
    };
    // Numbers, booleans and lists in brackets: figment.
    let parsed = json!({
        "purge_after": "8 hours",
        "max_data_bytes": 65_536,
        "max_sessions_per_user": 3,
        "cookie_partitioned": true,
        "cookie_same_site": "Strict",
        "on_fingerprint_change": "END",
        "on_token_reuse": "End",
        "rotate_every": "10 min",
        "trusted_proxies": ["10.0.0.1", "fd00::/8"],
        "forwarding_header": "X-Forwarded-For",
        "visitors": {"max_data_bytes": 2048},
    });
    is_read_as(parsed.clone(), meant());
    // Everything as text: config and envy.
    let mut text = parsed;
    for (name, value) in [
        ("max_data_bytes", json!("65536")),
        ("max_sessions_per_user", json!(" 3 ")),
        ("cookie_partitioned", json!("TRUE")),
        ("trusted_proxies", json!("10.0.0.1,fd00::/8")),
        ("visitors", json!({"max_data_bytes": "2048"})),
    ] {
        text[name] = value;
    }
    is_read_as(text.clone(), meant());
    for networks in ["10.0.0.1, fd00::/8,", "[\"10.0.0.1\",\"fd00::/8\"]"] {
        text["trusted_proxies"] = json!(networks);
        is_read_as(text.clone(), meant());
    }
}

#[test]
fn null_is_what_is_left_out() {
    for name in NAMES {
        is_read_as(json!({name: null}), SessionConfig::builder());
    }
    let error = read(json!({"x": 1})).unwrap_err();
    for name in NAMES {
        assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
    }
    assert_eq!(error.matches('`').count(), 2 * (NAMES.len() + 1), "each is tried here: {error}");
    is_read_as(json!({"visitors": {"idle_timeout": null}}), SessionConfig::builder().visitors(Visitors::new()));
}

#[test]
fn what_has_settings_of_its_own_can_be_switched_on_by_true() {
    for on in [json!(true), json!("true"), json!({})] {
        is_read_as(json!({"visitors": on}), SessionConfig::builder().visitors(Visitors::new()));
        is_read_as(
            json!({"refuse_cross_origin": on}),
            SessionConfig::builder().refuse_cross_origin(CrossOrigin::new()),
        );
    }
    for off in [json!(false), json!("false"), json!(null)] {
        is_read_as(json!({"visitors": off, "refuse_cross_origin": off}), SessionConfig::builder());
    }
    let rules =
        CrossOrigin::new().allow_origin("https://a.example").unwrap().allow_origin("https://b.example").unwrap();
    let text = json!({"refuse_cross_origin": {"allow_origins": "https://a.example, https://b.example"}});
    is_read_as(text, SessionConfig::builder().refuse_cross_origin(rules));
}

#[test]
fn what_cannot_be_read_is_refused_by_name_and_with_an_example() {
    for (name, given, says) in [
        ("idle_timeout", json!(3600), "3600 has no unit: write it like \"30 days\""),
        ("idle_timeout", json!("3600"), "write it like \"30 days\""),
        ("touch_interval", json!(1.5), "1.5 has no unit"),
        ("purge_after", json!("soon"), "write it like"),
        ("purge_after", json!([]), "[] is no duration"),
        ("max_data_bytes", json!("64 KiB"), "\"64 KiB\" is no whole number: write it like 65536"),
        ("max_data_bytes", json!(-1), "-1 is no whole number"),
        ("max_data_bytes", json!(""), "\"\" is no whole number"),
        ("max_sessions_per_user", json!(10.5), "write it like 10"),
        ("max_sessions_per_user", json!(5_000_000_000_u64), "too large"),
        ("cookie_secure", json!("yes"), "\"yes\" is neither: write true or false"),
        ("cookie_partitioned", json!(1), "1 is neither: write true or false"),
        ("insecure_development_cookies", json!("1"), "write true or false"),
        ("trust_unix_socket", json!("/run/app.sock"), "write true or false"),
        ("preset", json!("aal4"), "`aal1`, `aal2`, `aal3`, `owasp_low_risk`, `owasp_high_value`"),
        ("cookie_same_site", json!("laxx"), "`strict`, `lax`, `none`"),
        ("cookie_same_site", json!(false), "`strict`, `lax`, `none`"),
        ("on_fingerprint_change", json!("kill"), "`ignore`, `report`, `end`"),
        ("cookie_name", json!(10.0), "10.0 is no text: write it in quotes, like \"__Host-session\""),
        ("cookie_domain", json!(""), "leave it out, or write it like \"example.com\""),
        ("forwarding_header", json!(["a"]), "like \"X-Forwarded-For\""),
        ("trusted_proxies", json!(["nginx"]), "network \"nginx\": names aren't looked up"),
        ("trusted_proxies", json!("10.0.0.1,nginx"), "network \"nginx\": names aren't looked up"),
        ("trusted_proxies", json!([10]), "10 is no text: write it like [\"10.0.0.0/8\"]"),
        ("trusted_proxies", json!(10.0), "10.0 is no list: write it like [\"10.0.0.0/8\"] or \"10.0.0.0/8\""),
        ("visitors", json!("on"), "write true or false, or a table"),
        ("visitors", json!({"max_data_bytes": "4 KiB"}), "`max_data_bytes`: \"4 KiB\" is no whole number"),
        ("visitors", json!({"max_bytes": 1}), "`max_bytes`"),
        ("refuse_cross_origin", json!({"allow_origins": "a.example"}), "origin \"a.example\""),
        ("refuse_cross_origin", json!({"exempt": [1]}), "`exempt`: 1 is no text: write it like [\"/webhooks/\"]"),
    ] {
        let error = read(json!({name: given})).expect_err(&given.to_string());
        assert!(error.contains(&format!("`{name}`")) && error.contains(says), "{name}: {given}: {error}");
    }
}

#[test]
fn a_key_among_the_settings_is_refused_with_the_way_out_and_not_shown() {
    // `SESSION_KEY`, where all of `SESSION_` is read as settings.
    for name in ["key", "keys", "signing_key", "secret", "KEY", "SESSION_KEY", "signingKey", "Secret"] {
        let error = read(json!({name: "AQEBAQEBAQ"})).unwrap_err();
        assert!(error.contains(&format!("`{name}`")) && error.contains("passed to `build`"), "{error}");
        assert!(!error.contains("AQEB"), "{error}");
    }
}

#[test]
fn quotes_and_blanks_around_a_setting_are_read_over() {
    // As `docker --env-file` passes on `IDLE_TIMEOUT="30m"`.
    for (quoted, meant) in [
        (json!({"idle_timeout": "\"30m\""}), json!({"idle_timeout": "30m"})),
        (json!({"idle_timeout": " '30m'\r\n"}), json!({"idle_timeout": "30m"})),
        (json!({"max_data_bytes": "\"10\""}), json!({"max_data_bytes": 10})),
        (json!({"cookie_partitioned": "'true'"}), json!({"cookie_partitioned": true})),
        (json!({"cookie_same_site": "\"Strict\""}), json!({"cookie_same_site": "strict"})),
        (json!({"cookie_name": "\" __Host-sid \""}), json!({"cookie_name": "__Host-sid"})),
        (json!({"visitors": "\"true\""}), json!({"visitors": true})),
        (json!({"visitors": {"idle_timeout": "'1h'"}}), json!({"visitors": {"idle_timeout": "1h"}})),
    ] {
        is_read_as(quoted, read(meant).unwrap());
    }
    for networks in ["\"10.0.0.1,fd00::/8\"", "'[\"10.0.0.1\",\"fd00::/8\"]'"] {
        let with = |networks| json!({"trusted_proxies": networks, "forwarding_header": "'X-Real-IP'"});
        is_read_as(with(networks), read(with("10.0.0.1,fd00::/8")).unwrap());
    }
    for text in ["\"\"", "\"", "\"30m'", "''30m''"] {
        let error = read(json!({"idle_timeout": text})).expect_err(text);
        assert!(error.contains("`idle_timeout`") && error.contains("30 days"), "{error}");
    }
}

#[test]
fn a_setting_in_another_spelling_is_refused_with_the_right_one() {
    for (given, meant) in [
        ("idleTimeout", "idle_timeout"),
        ("IDLE_TIMEOUT", "idle_timeout"),
        ("idle-timeout", "idle_timeout"),
        ("TrustedProxies", "trusted_proxies"),
        ("same_site", "cookie_same_site"),
        ("domain", "cookie_domain"),
    ] {
        let error = read(json!({given: "x"})).unwrap_err();
        assert!(error.contains(&format!("`{given}` is no setting: write it `{meant}`")), "{error}");
    }
    let error = read(json!({"cookieHttpOnly": false})).unwrap_err();
    assert!(error.contains("`cookieHttpOnly`") && error.contains("can't be switched off"), "{error}");
    for several in ["timeout", "xyz", ""] {
        let error = read(json!({several: "x"})).unwrap_err();
        assert!(error.contains("`idle_timeout`, `absolute_timeout`"), "{error}");
    }
}

#[test]
fn a_number_that_is_none_is_not_the_default() {
    for text in ["max_sessions_per_user = inf", "max_data_bytes = -inf", "idle_timeout = nan", "visitors = inf"] {
        let error = toml::from_str::<SessionConfigBuilder>(text).unwrap_err().to_string();
        let name = text.split(' ').next().unwrap();
        assert!(error.contains(&format!("`{name}`")) && error.contains("leave it out"), "{error}");
    }
}

#[test]
fn a_duration_in_m_is_neither_minutes_nor_months() {
    for text in ["30M", "30 M", "1h 30M", "PT30M"] {
        let error = read(json!({"purge_after": text})).unwrap_err();
        assert!(error.contains("`purge_after`") && error.contains("\"minutes\" or \"months\""), "{error}");
    }
}

#[test]
fn a_setting_that_is_there_twice_is_refused() {
    let twice = r#"{"idle_timeout": "1h", "idle_timeout": "2h"}"#;
    let error = serde_json::from_str::<SessionConfigBuilder>(twice).unwrap_err().to_string();
    assert!(error.contains("duplicate field `idle_timeout`"), "{error}");
}

/// What a source may give.
fn given() -> impl Strategy<Value = Value> {
    let text = "([0-9]{0,22}|[a-zA-Z]{0,6}|[ ,./:;\"'\\[\\]{}%#*-]{0,3}|.{0,4}){0,4}";
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            ("[a-z_]{0,9}", inner).prop_map(|(name, value)| json!({name: value})),
        ]
    })
}

proptest! {
    #[test]
    fn anything_is_a_setting_or_refused_by_name(name in proptest::sample::select(&NAMES[..]), given in given()) {
        match read(json!({name: given.clone()})) {
            Ok(settings) => drop(settings.build(keys())),
            Err(error) => prop_assert!(error.contains(&format!("`{name}`")), "{given}: {error}"),
        }
    }

    #[test]
    fn any_name_but_those_is_refused_and_its_value_not_shown(name in "[a-zA-Z_ -]{0,12}|[a-z_]*(key|Secret)") {
        prop_assume!(!NAMES.contains(&name.as_str()));
        let error = read(json!({name.clone(): "5e9cZq7"})).unwrap_err();
        prop_assert!(error.contains(&format!("`{name}`")) && !error.contains("5e9cZq7"), "{error}");
    }
}
