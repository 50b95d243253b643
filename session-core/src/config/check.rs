//! The check that the settings go together.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::builder::SessionConfigBuilder;
use super::{MAX_DATA_BYTES, MAX_SESSIONS, ROTATION_GRACE, SessionConfig};
use crate::client::address::Proxies;
use crate::client::networks::{hold_everything, meant};
use crate::error::ConfigError;
use crate::keys::KeyRing;
use crate::policy::expiry::Expiry;
use crate::transport::cookie::{CookieRules, MAX_LIFETIME};

/// Headers about forwarding, or taken for such, that hold no client's address.
const NOT_FORWARDING: [&str; 16] = [
    "Authorization",
    "Cookie",
    "Host",
    "Origin",
    "Referer",
    "User-Agent",
    "Via",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
];

impl SessionConfigBuilder {
    /// Checks that the settings go together. `keys` is a [`KeyRing`], or the one
    /// [`SigningKey`](crate::SigningKey) that signs.
    ///
    /// # Errors
    /// [`ConfigError`], which says what to change.
    pub fn build(self, keys: impl Into<KeyRing>) -> Result<SessionConfig, ConfigError> {
        let keys = keys.into();
        let idle_timeout = self.idle_timeout.unwrap_or(self.preset.idle_timeout());
        let absolute_timeout = self.absolute_timeout.unwrap_or(self.preset.absolute_timeout());
        let zero = |is_zero: bool, setting| if is_zero { Err(ConfigError::Zero { setting }) } else { Ok(()) };
        let most = |over: bool, setting, most| if over { Err(ConfigError::TooLarge { setting, most }) } else { Ok(()) };
        zero(idle_timeout.is_zero(), "idle_timeout")?;
        zero(absolute_timeout.is_zero(), "absolute_timeout")?;
        zero(self.touch_interval.is_some_and(|interval| interval.is_zero()), "touch_interval")?;
        zero(self.max_sessions_per_user == 0, "max_sessions_per_user")?;
        zero(self.max_data_bytes == 0, "max_data_bytes")?;
        zero(self.purge_after.is_zero(), "purge_after")?;
        most(absolute_timeout > MAX_LIFETIME, "absolute_timeout", "400 days, as browsers keep no cookie longer")?;
        most(self.max_sessions_per_user > MAX_SESSIONS, "max_sessions_per_user", "1000")?;
        most(self.max_data_bytes > MAX_DATA_BYTES, "max_data_bytes", "8 MiB: keep larger things elsewhere")?;
        if idle_timeout > absolute_timeout {
            return Err(ConfigError::IdleOverAbsolute { of: "" });
        }
        if self.touch_interval.is_some_and(|interval| interval > idle_timeout / 2) {
            return Err(ConfigError::TouchOverHalfIdle);
        }
        if self.rotation_grace < *ROTATION_GRACE.start() {
            return Err(ConfigError::TooSmall { setting: "rotation_grace", least: "10 seconds" });
        }
        most(self.rotation_grace > *ROTATION_GRACE.end(), "rotation_grace", "5 minutes")?;
        if self.rotate_every.is_some_and(|interval| interval < self.rotation_grace * 2) {
            return Err(ConfigError::TooSmall { setting: "rotate_every", least: "twice the `rotation_grace`" });
        }
        if idle_timeout < Duration::from_secs(1) {
            tracing::warn!(
                "`idle_timeout` is {:?}, so users are signed out between two requests: as text, `30m` is 30 minutes and `30ms` \
                 are milliseconds",
                idle_timeout
            );
        }
        let proxies = self.proxies()?;
        let cookie = self.cookie()?;
        let visitors = self.visitors.as_ref().map(|visitors| visitors.check(MAX_LIFETIME, self.max_data_bytes));
        Ok(SessionConfig {
            visitors: visitors.transpose()?,
            cookie_keys: keys.of_cookie(&cookie.name),
            csrf_keys: keys.of_csrf(&cookie.name),
            plain_http: cookie.secure.then(Arc::default),
            cookie: Arc::new(cookie),
            expiry: Expiry {
                idle: idle_timeout,
                absolute: absolute_timeout,
                touch_interval: self.touch_interval.unwrap_or_else(|| Expiry::default_touch_interval(idle_timeout)),
            },
            rotate_every: self.rotate_every,
            rotation_grace: self.rotation_grace,
            max_sessions: NonZeroU32::new(self.max_sessions_per_user).expect("checked above"),
            max_data_bytes: self.max_data_bytes,
            proxies: proxies.map(Arc::new),
            on_fingerprint_change: self.on_fingerprint_change,
            on_token_reuse: self.on_token_reuse,
            cross_origin: self.refuse_cross_origin,
            purge_after: self.purge_after,
        })
    }

    fn proxies(&self) -> Result<Option<Proxies>, ConfigError> {
        let refuse = |reason| Err(ConfigError::Proxies(reason));
        let trusts_some = self.trust_unix_socket || !self.trusted_proxies.is_empty();
        let header = match &self.forwarding_header {
            Some(header) if trusts_some => header,
            None if !trusts_some => return Ok(None),
            _ => {
                return refuse(
                    "`forwarding_header` goes together with `trusted_proxies` or `trust_unix_socket`: set both, or none",
                );
            }
        };
        if header.is_empty() || !header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return refuse("`forwarding_header` must be the name of one header, such as `X-Forwarded-For`");
        }
        if header.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("HTTP_")) {
            return refuse(
                "`forwarding_header` is spelt as a CGI variable: write it as in the request, such as `X-Forwarded-For`",
            );
        }
        if NOT_FORWARDING.iter().any(|other| header.eq_ignore_ascii_case(other)) {
            return refuse("`forwarding_header` names a header without addresses: it is one such as `X-Forwarded-For`");
        }
        let networks = meant(self.trusted_proxies.clone())?;
        if hold_everything(&networks) {
            tracing::warn!(
                "`trusted_proxies` holds every address, so any client that reaches this app can name any address as its own: \
                 list only the networks of your proxies, such as 10.0.0.0/8"
            );
        }
        Ok(Some(Proxies::new(networks, self.trust_unix_socket, header.clone())))
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
        if let Some(name) = rules.better_name() {
            tracing::warn!(
                "the session cookie {:?} is `Secure`, but its name doesn't say so, and a sibling domain or plain http:// can set \
                 one like it: name it `{name}`, or leave `cookie_name` out (ASVS 5.0 3.3.1)",
                rules.name
            );
        }
        Ok(rules)
    }
}
