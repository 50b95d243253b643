//! Tests of the settings.

mod text;

use std::sync::Mutex;

use super::*;
use crate::error::ConfigError;
use crate::keys::{KeyRing, SigningKey};
use crate::visitor::Visitors;

pub(crate) fn keys() -> KeyRing {
    KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap())
}

#[test]
fn text_and_builder_give_the_same() {
    let from_text: SessionConfigBuilder = toml::from_str(
        "idle_timeout = \"1h\"\ntouch_interval = \"2m\"\nrotation_grace = \"30s\"\nmax_sessions_per_user = 3\ntrusted_proxies = [\"10.0.0.0/8\"]\nforwarding_header = \"X-Forwarded-For\"\non_fingerprint_change = \"end\"\n[refuse_cross_origin]\nexempt = [\"/webhooks/\"]",
    )
    .unwrap();
    let built = SessionConfig::builder()
        .idle_timeout(Duration::from_secs(3600))
        .touch_interval(Duration::from_secs(120))
        .rotation_grace(Duration::from_secs(30))
        .max_sessions_per_user(3)
        .trusted_proxies(["10.0.0.0/8".parse().unwrap()])
        .forwarding_header("X-Forwarded-For")
        .on_fingerprint_change(FingerprintChange::End)
        .refuse_cross_origin(CrossOrigin::new().exempt("/webhooks/").unwrap());
    assert_eq!(format!("{:?}", from_text.build(keys()).unwrap()), format!("{:?}", built.build(keys()).unwrap()));
}

#[test]
fn activity_is_written_every_5_minutes_or_quarter_of_the_idle_timeout() {
    let minutes = Duration::from_mins;
    for (idle, interval) in [
        (minutes(60), minutes(5)),
        (minutes(20), minutes(5)),
        (minutes(6), Duration::from_secs(90)),
        (Duration::from_millis(5), Duration::from_micros(1250)),
        (Duration::from_nanos(3), Duration::from_nanos(1)),
    ] {
        let config = SessionConfig::builder().idle_timeout(idle).build(keys()).unwrap();
        assert_eq!(config.expiry.touch_interval, interval, "{idle:?}");
        let from_text: SessionConfigBuilder = toml::from_str(&format!("idle_timeout = \"{idle:?}\"")).unwrap();
        assert_eq!(from_text.build(keys()).unwrap().expiry.touch_interval, interval, "{idle:?}");
    }
}

#[test]
fn a_preset_has_the_timeouts_of_its_standard() {
    // SP 800-63B-4, 2.1.3, 2.2.3 and 2.3.3; "Session Expiration" in OWASP's cheat sheet.
    let hour = 60;
    for (name, preset, idle, absolute) in [
        ("aal1", Preset::aal1(), 7 * 24 * hour, 30 * 24 * hour),
        ("aal2", Preset::aal2(), hour, 24 * hour),
        ("AAL3", Preset::aal3(), 15, 12 * hour),
        ("owasp_low_risk", Preset::owasp_low_risk(), 30, 8 * hour),
        ("owasp_high_value", Preset::owasp_high_value(), 5, 4 * hour),
    ] {
        let config = SessionConfig::builder().preset(preset).build(keys()).unwrap();
        assert_eq!(config.expiry.idle, Duration::from_mins(idle), "{name}");
        assert_eq!(config.expiry.absolute, Duration::from_mins(absolute), "{name}");
        let from_text: SessionConfigBuilder = toml::from_str(&format!("preset = '{name}'")).unwrap();
        assert_eq!(format!("{:?}", from_text.build(keys()).unwrap()), format!("{config:?}"), "{name}");
    }
    let default = SessionConfig::builder().build(keys()).unwrap();
    assert_eq!(default.expiry.idle, Duration::from_mins(7 * 24 * hour));
    assert_eq!(default.absolute_timeout(), Duration::from_mins(30 * 24 * hour));
}

#[test]
fn a_timeout_of_its_own_counts_instead_of_the_presets_in_any_order() {
    let minutes = Duration::from_mins;
    let before = SessionConfig::builder().idle_timeout(minutes(20)).preset(Preset::aal2());
    let after = SessionConfig::builder().preset(Preset::aal2()).idle_timeout(minutes(20));
    let text = |text| toml::from_str::<SessionConfigBuilder>(text).unwrap();
    let texts = [text("preset = 'aal2'\nidle_timeout = '20m'"), text("idle_timeout = '20m'\npreset = 'aal2'")];
    for settings in [before, after].into_iter().chain(texts) {
        let config = settings.build(keys()).unwrap();
        assert_eq!((config.expiry.idle, config.expiry.absolute), (minutes(20), minutes(24 * 60)));
    }
    let absolute = SessionConfig::builder().absolute_timeout(minutes(60)).preset(Preset::aal3());
    assert_eq!(absolute.build(keys()).unwrap().absolute_timeout(), minutes(60));
    let shorter = SessionConfig::builder().preset(Preset::aal2()).absolute_timeout(minutes(30));
    assert_eq!(shorter.build(keys()).unwrap_err(), ConfigError::IdleOverAbsolute { of: "" });
}

#[test]
fn a_touch_interval_over_half_of_the_idle_timeout_is_refused() {
    let idle = Duration::from_mins(10);
    let built = |interval| SessionConfig::builder().idle_timeout(idle).touch_interval(interval).build(keys());
    assert_eq!(built(idle / 2).unwrap().expiry.touch_interval, idle / 2);
    let error = built(idle / 2 + Duration::from_micros(1)).unwrap_err();
    assert_eq!(error, ConfigError::TouchOverHalfIdle);
    assert!(error.to_string().contains("`touch_interval`") && error.to_string().contains("`idle_timeout`"));
    assert_eq!(built(Duration::ZERO).unwrap_err(), ConfigError::Zero { setting: "touch_interval" });
}

#[test]
fn tokens_are_rotated_at_least_two_graces_apart() {
    let built = |every| SessionConfig::builder().rotate_every(Duration::from_secs(every)).build(keys());
    assert_eq!(SessionConfig::builder().build(keys()).unwrap().rotate_every, None);
    assert_eq!(built(120).unwrap().rotate_every, Some(Duration::from_secs(120)));
    let error = built(119).unwrap_err().to_string();
    assert!(error.contains("`rotate_every`") && error.contains("twice the `rotation_grace`"), "{error}");
}

#[test]
fn a_rotation_grace_is_from_10_seconds_to_5_minutes() {
    let built = |grace| SessionConfig::builder().rotation_grace(grace).build(keys());
    assert_eq!(SessionConfig::builder().build(keys()).unwrap().rotation_grace, Duration::from_secs(60));
    for grace in [Duration::from_secs(10), Duration::from_mins(5)] {
        assert_eq!(built(grace).unwrap().rotation_grace, grace);
    }
    let nanosecond = Duration::from_nanos(1);
    for (grace, least_or_most) in
        [(Duration::from_secs(10) - nanosecond, "10 seconds"), (Duration::from_mins(5) + nanosecond, "5 minutes")]
    {
        let error = built(grace).unwrap_err().to_string();
        assert!(error.contains("`rotation_grace`") && error.contains(least_or_most), "{error}");
    }
}

/// What `work` writes to the log.
pub(crate) fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_cookie_without_secure_warns_at_the_start() {
    let logged = |builder: SessionConfigBuilder| logged(|| drop(builder.build(keys()).unwrap()));
    assert!(logged(SessionConfig::builder().insecure_development_cookies()).contains("WARN"));
    assert!(logged(SessionConfig::builder().cookie_name("s").cookie_secure(false)).contains("WARN"));
    assert_eq!(logged(SessionConfig::builder()), "");
}

#[test]
fn a_secure_cookie_whose_name_does_not_say_so_warns_at_the_start() {
    let logged = |builder: SessionConfigBuilder| logged(|| drop(builder.build(keys()).unwrap()));
    let log = logged(SessionConfig::builder().cookie_name("sid"));
    assert!(log.contains("WARN") && log.contains("\"sid\"") && log.contains("`__Host-sid`"), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    for builder in [
        SessionConfig::builder().cookie_name("sid").cookie_domain("example.com"),
        SessionConfig::builder().cookie_name("sid").cookie_path("/app"),
    ] {
        assert!(logged(builder).contains("`__Secure-sid`"));
    }
    for name in ["__Host-sid", "__Secure-sid", "__Http-sid", "__Host-Http-sid"] {
        assert_eq!(logged(SessionConfig::builder().cookie_name(name)), "", "{name}");
    }
    assert!(!logged(SessionConfig::builder().cookie_name("sid").cookie_secure(false)).contains("__Host-"));
}

#[test]
fn an_idle_timeout_under_a_second_warns_at_the_start() {
    let logged = |idle| logged(|| drop(SessionConfig::builder().idle_timeout(idle).build(keys()).unwrap()));
    let log = logged(Duration::from_millis(30));
    assert!(log.contains("WARN") && log.contains("`idle_timeout` is 30ms") && log.contains("`30m`"), "{log}");
    assert_eq!((log.lines().count(), &*logged(Duration::from_secs(1))), (1, ""));
}

#[test]
fn networks_that_hold_every_address_warn_at_the_start() {
    let logged = |networks: &str| {
        let settings = SessionConfig::builder().forwarding_header("X-Forwarded-For");
        logged(|| drop(settings.parse_trusted_proxies(networks).unwrap().build(keys()).unwrap()))
    };
    for networks in ["0.0.0.0/0", "::/0", "10.0.0.0/8, ::ffff:0:0/96"] {
        let log = logged(networks);
        assert!(log.contains("WARN") && log.contains("`trusted_proxies` holds every address"), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
    assert_eq!(logged("10.0.0.0/8, fd00::/8"), "");
}

#[test]
fn proxies_that_can_never_match_are_refused_with_the_reason() {
    let builder = SessionConfig::builder;
    let network = |text: &str| builder().parse_trusted_proxies(text).unwrap();
    for (settings, says) in [
        (network("10.0.0.1"), "`forwarding_header`"),
        (builder().trust_unix_socket(), "`forwarding_header`"),
        (builder().forwarding_header("X-Forwarded-For"), "`trust_unix_socket`"),
        (network("10.0.0.1").forwarding_header(""), "`X-Forwarded-For`"),
        (network("10.0.0.1").forwarding_header("X-Forwarded-For:"), "`X-Forwarded-For`"),
        (network("10.0.0.1").forwarding_header("X-Forwarded-For, X-Real-IP"), "one header"),
        (network("10.0.0.1").forwarding_header("x-forwarded-proto"), "without addresses"),
        (network("10.0.0.1").forwarding_header("Host"), "without addresses"),
        (network("10.0.0.1").forwarding_header("X-Forwarded-SSL"), "without addresses"),
        (network("10.0.0.1").forwarding_header("Authorization"), "without addresses"),
        (network("10.0.0.1").forwarding_header("HTTP_X_FORWARDED_FOR"), "as in the request"),
        (network("0.0.0.0").forwarding_header("X-Forwarded-For"), "\"0.0.0.0/32\""),
        (network("ff02::1").forwarding_header("X-Forwarded-For"), "multicast"),
    ] {
        let error = settings.build(keys()).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    assert!(builder().trust_unix_socket().forwarding_header("X-Forwarded-For").build(keys()).is_ok());
    assert!(network(" , ").build(keys()).is_ok(), "an empty list is none");
}

#[test]
fn an_idle_timeout_over_the_absolute_one_is_refused_and_says_whose() {
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let users = SessionConfig::builder().idle_timeout(days(31));
    let visitors = SessionConfig::builder().visitors(Visitors::new().idle_timeout(days(31)));
    for (settings, names) in [
        (users, ["`idle_timeout`", "`absolute_timeout`"]),
        (visitors, ["`visitors.idle_timeout`", "`visitors.absolute_timeout`"]),
    ] {
        let error = settings.build(keys()).unwrap_err().to_string();
        assert!(names.iter().all(|name| error.contains(name)) && error.contains("30 days unless it is set"), "{error}");
    }
}

#[test]
fn an_error_that_leaves_main_is_readable() {
    let error = SessionConfig::builder().idle_timeout(Duration::ZERO).build(keys()).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    let error = SigningKey::from_bytes(b"short").unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn a_bad_setting_in_text_says_which_and_why() {
    for (text, says) in [
        ("idle_timeout = \"soon\"", "30 days"),
        ("idle_timeout = 5", "unit"),
        ("cookie_same_site = \"laxx\"", "lax"),
        ("idle_timout = \"1h\"", "idle_timout"),
    ] {
        let error = toml::from_str::<SessionConfigBuilder>(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}
