//! The settings, their defaults, and the check that they go together. Keys are passed in last, apart from the rest.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::error::ConfigError;
use crate::keys::{CookieKeys, KeyRing};
use crate::policy::expiry::Expiry;
use crate::transport::cookie::{CookieRules, MAX_LIFETIME, SameSite};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often activity is written at most, where the idle timeout is long enough for that.
const TOUCH_INTERVAL: Duration = Duration::from_mins(5);
const ROTATION_GRACE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_mins(5);
const MAX_SESSIONS: u32 = 1000;
const MAX_DATA_BYTES: usize = 8 << 20;

/// What happens when a session is used from another OS or browser family than it signed in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FingerprintChange {
    /// Nothing.
    Ignore,
    /// An [`Event`](crate::Event) tells: the default.
    Report,
    /// An event tells, and the session ends.
    End,
}

/// A checked configuration.
///
/// ```
/// use session_core::{KeyRing, SessionConfig, SigningKey};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
/// let config = SessionConfig::builder().idle_timeout(Duration::from_secs(3600)).build(keys)?;
/// assert_eq!(config.cookie_name(), "__Host-session");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionConfig {
    pub(crate) cookie_keys: CookieKeys,
    pub(crate) cookie: CookieRules,
    pub(crate) expiry: Expiry,
    pub(crate) rotation_grace: Duration,
    pub(crate) max_sessions: NonZeroU32,
    pub(crate) max_data_bytes: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) forwarding_header: String,
    pub(crate) on_fingerprint_change: FingerprintChange,
    pub(crate) purge_after: Duration,
}

impl SessionConfig {
    /// The settings at their defaults.
    pub fn builder() -> SessionConfigBuilder {
        SessionConfigBuilder::default()
    }

    /// The cookie's name.
    pub fn cookie_name(&self) -> &str {
        &self.cookie.name
    }

    /// How long a session lives at most.
    pub const fn absolute_timeout(&self) -> Duration {
        self.expiry.absolute
    }
}

/// Settings on their way to a [`SessionConfig`].
///
/// Deserialises from any format, its fields named as the methods are, durations as text; what is left out has its
/// default, and an unknown field is an error.
///
/// ```
/// use session_core::{KeyRing, SessionConfigBuilder, SigningKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings: SessionConfigBuilder = toml::from_str(
///     r#"
///     idle_timeout = "8 hours"
///     absolute_timeout = "30 days"
///     cookie_same_site = "strict"
///     "#,
/// )?;
/// let config = settings.build(KeyRing::new(SigningKey::from_bytes(&[7; 32])?))?;
/// assert_eq!(config.absolute_timeout().as_secs(), 30 * 24 * 3600);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfigBuilder {
    #[serde(deserialize_with = "duration")]
    idle_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    absolute_timeout: Duration,
    /// None for what goes with the idle timeout.
    #[serde(deserialize_with = "some_duration")]
    touch_interval: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    rotation_grace: Duration,
    max_sessions_per_user: u32,
    max_data_bytes: usize,
    cookie_name: Option<String>,
    cookie_path: String,
    cookie_domain: Option<String>,
    cookie_secure: Option<bool>,
    cookie_same_site: SameSite,
    cookie_partitioned: bool,
    trusted_proxies: Vec<IpNet>,
    forwarding_header: Option<String>,
    on_fingerprint_change: FingerprintChange,
    #[serde(deserialize_with = "duration")]
    purge_after: Duration,
    insecure_development_cookies: bool,
}

impl Default for SessionConfigBuilder {
    fn default() -> Self {
        Self {
            idle_timeout: 7 * DAY,
            absolute_timeout: 30 * DAY,
            touch_interval: None,
            rotation_grace: Duration::from_secs(60),
            max_sessions_per_user: 10,
            max_data_bytes: 64 << 10,
            cookie_name: None,
            cookie_path: "/".to_owned(),
            cookie_domain: None,
            cookie_secure: None,
            cookie_same_site: SameSite::Lax,
            cookie_partitioned: false,
            trusted_proxies: Vec::new(),
            forwarding_header: None,
            on_fingerprint_change: FingerprintChange::Report,
            purge_after: DAY,
            insecure_development_cookies: false,
        }
    }
}

impl SessionConfigBuilder {
    /// How long a session lives without activity: 7 days (ASVS 5.0 7.3.1).
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a session lives from sign-in, whatever happens: 30 days, at most 400 (ASVS 5.0 7.3.2).
    pub const fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.absolute_timeout = timeout;
        self
    }

    /// How often activity is written at most: every 5 minutes, or every quarter of the idle timeout if that is less. At
    /// most half of the idle timeout, so that who is active that often is never signed out for being idle.
    pub const fn touch_interval(mut self, interval: Duration) -> Self {
        self.touch_interval = Some(interval);
        self
    }

    /// For how long a token still works after the browser has shown that it has its successor: 60 seconds, from 10 seconds
    /// to 5 minutes.
    pub const fn rotation_grace(mut self, grace: Duration) -> Self {
        self.rotation_grace = grace;
        self
    }

    /// How many live sessions one user can have: 10, from 1 to 1000.
    pub const fn max_sessions_per_user(mut self, sessions: u32) -> Self {
        self.max_sessions_per_user = sessions;
        self
    }

    /// How large a session's data can be, in bytes of JSON: 65,536, at most 8 MiB. Keys of concurrent requests may together pass it, up
    /// to twice. Where the store can keep less, as
    /// [`max_data_bytes`](crate::store::SessionStore::max_data_bytes) tells, that is the limit, of both; a warning says so at the
    /// start.
    pub const fn max_data_bytes(mut self, bytes: usize) -> Self {
        self.max_data_bytes = bytes;
        self
    }

    /// The cookie's name: `__Host-session`.
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = Some(name.into());
        self
    }

    /// The cookie's `Path`: `/`.
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.cookie_path = path.into();
        self
    }

    /// The cookie's `Domain`: none, so that only the host that set it gets it.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie_domain = Some(domain.into());
        self
    }

    /// Whether the cookie is `Secure`: yes.
    pub const fn cookie_secure(mut self, secure: bool) -> Self {
        self.cookie_secure = Some(secure);
        self
    }

    /// The cookie's `SameSite`: `Lax`.
    pub const fn cookie_same_site(mut self, same_site: SameSite) -> Self {
        self.cookie_same_site = same_site;
        self
    }

    /// Whether the cookie is `Partitioned`: no.
    pub const fn cookie_partitioned(mut self, partitioned: bool) -> Self {
        self.cookie_partitioned = partitioned;
        self
    }

    /// Networks whose word about the client's address is believed: none. Takes a forwarding header as well.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// The one header in which trusted proxies name the client: `Forwarded` (RFC 7239), or a list of addresses such as
    /// `X-Forwarded-For`.
    pub fn forwarding_header(mut self, name: impl Into<String>) -> Self {
        self.forwarding_header = Some(name.into());
        self
    }

    /// What happens when OS or browser family change during a session: an event tells.
    pub const fn on_fingerprint_change(mut self, change: FingerprintChange) -> Self {
        self.on_fingerprint_change = change;
        self
    }

    /// How long expired rows are kept before the cleanup deletes them: 24 hours, so that no fast clock ends a session. A user
    /// without a session is remembered for a day more.
    pub const fn purge_after(mut self, age: Duration) -> Self {
        self.purge_after = age;
        self
    }

    /// For development over plain `http://` only: the cookie `session`, without prefix and `Secure`, which anyone on
    /// the network can read. A warning tells at the start.
    pub const fn insecure_development_cookies(mut self) -> Self {
        self.insecure_development_cookies = true;
        self
    }

    /// Checks that the settings go together.
    ///
    /// # Errors
    /// [`ConfigError`], which says what to change.
    pub fn build(self, keys: KeyRing) -> Result<SessionConfig, ConfigError> {
        let zero = |is_zero: bool, setting| if is_zero { Err(ConfigError::Zero { setting }) } else { Ok(()) };
        let most = |over: bool, setting, most| if over { Err(ConfigError::TooLarge { setting, most }) } else { Ok(()) };
        zero(self.idle_timeout.is_zero(), "idle_timeout")?;
        zero(self.absolute_timeout.is_zero(), "absolute_timeout")?;
        zero(self.touch_interval.is_some_and(|interval| interval.is_zero()), "touch_interval")?;
        zero(self.max_sessions_per_user == 0, "max_sessions_per_user")?;
        zero(self.max_data_bytes == 0, "max_data_bytes")?;
        zero(self.purge_after.is_zero(), "purge_after")?;
        most(self.absolute_timeout > MAX_LIFETIME, "absolute_timeout", "400 days, as browsers keep no cookie longer")?;
        most(self.max_sessions_per_user > MAX_SESSIONS, "max_sessions_per_user", "1000")?;
        most(self.max_data_bytes > MAX_DATA_BYTES, "max_data_bytes", "8 MiB: keep larger things elsewhere")?;
        if self.idle_timeout > self.absolute_timeout {
            return Err(ConfigError::IdleOverAbsolute);
        }
        if self.touch_interval.is_some_and(|interval| interval > self.idle_timeout / 2) {
            return Err(ConfigError::TouchOverHalfIdle);
        }
        if self.rotation_grace < *ROTATION_GRACE.start() {
            return Err(ConfigError::TooSmall { setting: "rotation_grace", least: "10 seconds" });
        }
        most(self.rotation_grace > *ROTATION_GRACE.end(), "rotation_grace", "5 minutes")?;
        if self.trusted_proxies.is_empty() != self.forwarding_header.is_none() {
            return Err(ConfigError::Proxies(
                "`trusted_proxies` and `forwarding_header` go together: set both or none",
            ));
        }
        if self.forwarding_header.as_deref().is_some_and(|name| {
            name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        }) {
            return Err(ConfigError::Proxies("`forwarding_header` must be the name of one header"));
        }
        let cookie = self.cookie()?;
        Ok(SessionConfig {
            cookie_keys: keys.of_cookie(&cookie.name),
            cookie,
            expiry: Expiry {
                idle: self.idle_timeout,
                absolute: self.absolute_timeout,
                touch_interval: self.touch_interval.unwrap_or_else(|| default_touch_interval(self.idle_timeout)),
            },
            rotation_grace: self.rotation_grace,
            max_sessions: NonZeroU32::new(self.max_sessions_per_user).expect("checked above"),
            max_data_bytes: self.max_data_bytes,
            trusted_proxies: self.trusted_proxies,
            forwarding_header: self.forwarding_header.unwrap_or_default(),
            on_fingerprint_change: self.on_fingerprint_change,
            purge_after: self.purge_after,
        })
    }

    fn cookie(&self) -> Result<CookieRules, ConfigError> {
        let (name, secure) =
            if self.insecure_development_cookies { ("session", false) } else { ("__Host-session", true) };
        let rules = CookieRules {
            name: self.cookie_name.clone().unwrap_or_else(|| name.to_owned()),
            path: self.cookie_path.clone(),
            domain: self.cookie_domain.clone(),
            secure: self.cookie_secure.unwrap_or(secure),
            same_site: self.cookie_same_site,
            partitioned: self.cookie_partitioned,
        };
        if self.insecure_development_cookies && (self.cookie_name.is_some() || self.cookie_secure.is_some()) {
            let reason = "`insecure_development_cookies` decides name and `Secure`: leave those settings out";
            return Err(ConfigError::Cookie { name: rules.name, reason });
        }
        let rules = rules.check()?;
        if !rules.secure {
            tracing::warn!("the session cookie is sent without `Secure`: for development only, never in production");
        }
        Ok(rules)
    }
}

/// The touch interval that goes with an idle timeout; never zero, which would be no interval.
fn default_touch_interval(idle_timeout: Duration) -> Duration {
    (idle_timeout / 4).clamp(Duration::from_nanos(1), TOUCH_INTERVAL)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// A duration as text, such as `30 days` or `5m`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format_args!("{text:?} is no duration: {error}; write it like \"30 days\" or \"5m\""))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::keys::SigningKey;

    fn keys() -> KeyRing {
        KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap())
    }

    #[test]
    fn text_and_builder_give_the_same() {
        let from_text: SessionConfigBuilder = toml::from_str(
            "idle_timeout = \"1h\"\ntouch_interval = \"2m\"\nrotation_grace = \"30s\"\nmax_sessions_per_user = 3\ntrusted_proxies = [\"10.0.0.0/8\"]\nforwarding_header = \"X-Forwarded-For\"\non_fingerprint_change = \"end\"",
        )
        .unwrap();
        let built = SessionConfig::builder()
            .idle_timeout(Duration::from_secs(3600))
            .touch_interval(Duration::from_secs(120))
            .rotation_grace(Duration::from_secs(30))
            .max_sessions_per_user(3)
            .trusted_proxies(["10.0.0.0/8".parse().unwrap()])
            .forwarding_header("X-Forwarded-For")
            .on_fingerprint_change(FingerprintChange::End);
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
    fn a_bad_setting_in_text_says_which_and_why() {
        for (text, says) in [
            ("idle_timeout = \"soon\"", "30 days"),
            ("idle_timeout = 5", "string"),
            ("cookie_same_site = \"laxx\"", "lax"),
            ("idle_timout = \"1h\"", "idle_timout"),
        ] {
            let error = toml::from_str::<SessionConfigBuilder>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
