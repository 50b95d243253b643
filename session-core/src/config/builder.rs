//! The settings on their way to a configuration, and their defaults. Not here: what goes together,
//! see `check`.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use super::preset::Preset;
use super::{DAY, FingerprintChange, TokenReuse};
use crate::client::networks::parse;
use crate::error::ConfigError;
use crate::policy::cross_origin::CrossOrigin;
use crate::setting::{choice, duration, settings, switched, text, texts, truth, whole};
use crate::transport::cookie::SameSite;
use crate::visitor::Visitors;

/// Settings on their way to a [`SessionConfig`](crate::SessionConfig).
///
/// Deserialises from any format that says what its values are. Fields have the names of the
/// methods, and durations are text. A field that is left out, or `null`, has its default; an
/// unknown field is an error. As environment variables are text, so may be numbers and booleans,
/// and lists with commas between their items; `refuse_cross_origin` and `visitors` may be `true`.
/// What can't be read is refused by its name.
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
///     trusted_proxies = "10.0.0.1, fd00::/8"
///     forwarding_header = "X-Forwarded-For"
///     "#,
/// )?;
/// let config = settings.build(KeyRing::new(SigningKey::from_bytes(&[7; 32])?))?;
/// assert_eq!(config.absolute_timeout().as_secs(), 30 * 24 * 3600);
///
/// let error = toml::from_str::<SessionConfigBuilder>("trusted_proxies = ['nginx']").unwrap_err();
/// assert!(error.to_string().contains("`trusted_proxies`: network \"nginx\": names aren't"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionConfigBuilder {
    pub(super) preset: Preset,
    /// None: the preset's, as the one below.
    pub(super) idle_timeout: Option<Duration>,
    pub(super) absolute_timeout: Option<Duration>,
    /// None: derived from the idle timeout.
    pub(super) touch_interval: Option<Duration>,
    /// None: only where the application says so.
    pub(super) rotate_every: Option<Duration>,
    pub(super) rotation_grace: Duration,
    pub(super) max_sessions_per_user: u32,
    pub(super) max_data_bytes: usize,
    pub(super) cookie_name: Option<String>,
    pub(super) cookie_path: String,
    pub(super) cookie_domain: Option<String>,
    pub(super) cookie_secure: Option<bool>,
    pub(super) cookie_same_site: SameSite,
    pub(super) cookie_partitioned: bool,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) trust_unix_socket: bool,
    pub(super) forwarding_header: Option<String>,
    pub(super) on_fingerprint_change: FingerprintChange,
    pub(super) on_token_reuse: TokenReuse,
    pub(super) refuse_cross_origin: Option<CrossOrigin>,
    pub(super) purge_after: Duration,
    pub(super) insecure_development_cookies: bool,
    pub(super) visitors: Option<Visitors>,
}

settings!(SessionConfigBuilder {
    preset: choice,
    idle_timeout: |given| duration(given).map(Some),
    absolute_timeout: |given| duration(given).map(Some),
    touch_interval: |given| duration(given).map(Some),
    rotate_every: |given| duration(given).map(Some),
    rotation_grace: duration,
    max_sessions_per_user: |given| whole(given, 10),
    max_data_bytes: |given| whole(given, 65_536),
    cookie_name: |given| text(given, "__Host-session").map(Some),
    cookie_path: |given| text(given, "/"),
    cookie_domain: |given| text(given, "example.com").map(Some),
    cookie_secure: |given| truth(given).map(Some),
    cookie_same_site: choice,
    cookie_partitioned: truth,
    trusted_proxies: networks,
    trust_unix_socket: truth,
    forwarding_header: |given| text(given, "X-Forwarded-For").map(Some),
    on_fingerprint_change: choice,
    on_token_reuse: choice,
    refuse_cross_origin: switched,
    purge_after: duration,
    insecure_development_cookies: truth,
    visitors: switched,
});

fn networks(given: Value) -> Result<Vec<IpNet>, String> {
    let networks = texts(given, "10.0.0.0/8")?;
    networks.iter().map(|network| parse(network).map_err(|error| error.to_string())).collect()
}

impl Default for SessionConfigBuilder {
    fn default() -> Self {
        Self {
            preset: Preset::aal1(),
            idle_timeout: None,
            absolute_timeout: None,
            touch_interval: None,
            rotate_every: None,
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
            trust_unix_socket: false,
            forwarding_header: None,
            on_fingerprint_change: FingerprintChange::Report,
            on_token_reuse: TokenReuse::Report,
            refuse_cross_origin: None,
            purge_after: DAY,
            insecure_development_cookies: false,
            visitors: None,
        }
    }
}

impl SessionConfigBuilder {
    /// The timeouts that a standard names. A timeout that is set as well counts instead of the
    /// preset's, in whatever order they are set. Default: [`Preset::aal1`].
    pub const fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// How long a session lives without activity (ASVS 5.0 7.3.1). Default: the
    /// [`preset`](Self::preset)'s, which is 7 days if none is set.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// How long a session lives after its sign-in, however active it is (ASVS 5.0 7.3.2). Default:
    /// the [`preset`](Self::preset)'s, which is 30 days if none is set. At most 400 days.
    pub const fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.absolute_timeout = Some(timeout);
        self
    }

    /// The shortest time between two writes of activity. Default: 5 minutes, or a quarter of the
    /// idle timeout if that is less. At most half of the idle timeout, so that a user who is active
    /// at least that often is never signed out for being idle.
    pub const fn touch_interval(mut self, interval: Duration) -> Self {
        self.touch_interval = Some(interval);
        self
    }

    /// Rotates tokens by the way: the response to a request whose token is older than this sends
    /// the token's successor, made in the same step that stores the request's data and activity:
    /// what OWASP's session management cheat sheet calls a renewal timeout. A token that was copied
    /// is worth no more than this, and its use is noticed soon: see
    /// [`on_token_reuse`](Self::on_token_reuse). It also renews the cookie where browsers keep
    /// cookies for 7 days only. Default: none, tokens are rotated where the application says so. 10
    /// minutes are a good choice. At least twice the [`rotation_grace`](Self::rotation_grace).
    pub const fn rotate_every(mut self, interval: Duration) -> Self {
        self.rotate_every = Some(interval);
        self
    }

    /// How long after a rotation the replaced token works even though its successor has been
    /// presented. Default: 60 seconds. From 10 seconds to 5 minutes.
    pub const fn rotation_grace(mut self, grace: Duration) -> Self {
        self.rotation_grace = grace;
        self
    }

    /// How many live sessions one user can have. Default: 10. From 1 to 1000.
    pub const fn max_sessions_per_user(mut self, sessions: u32) -> Self {
        self.max_sessions_per_user = sessions;
        self
    }

    /// How large a session's data can be, in bytes of JSON. Default: 65,536. At most 8 MiB.
    /// Concurrent requests that set different keys may together reach twice that. If the store can
    /// keep less (its [`max_data_bytes`](crate::store::SessionStore::max_data_bytes)), the store's
    /// limit applies to both, and a warning says so at the start.
    pub const fn max_data_bytes(mut self, bytes: usize) -> Self {
        self.max_data_bytes = bytes;
        self
    }

    /// The cookie's name. Default: `__Host-session`.
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = Some(name.into());
        self
    }

    /// The cookie's `Path`. Default: `/`.
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.cookie_path = path.into();
        self
    }

    /// The cookie's `Domain`. Default: none, so that browsers send the cookie only to the host that
    /// set it.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie_domain = Some(domain.into());
        self
    }

    /// Whether the cookie is `Secure`. Default: yes.
    pub const fn cookie_secure(mut self, secure: bool) -> Self {
        self.cookie_secure = Some(secure);
        self
    }

    /// The cookie's `SameSite`. Default: `Lax`.
    pub const fn cookie_same_site(mut self, same_site: SameSite) -> Self {
        self.cookie_same_site = same_site;
        self
    }

    /// Whether the cookie is `Partitioned`. Default: no.
    pub const fn cookie_partitioned(mut self, partitioned: bool) -> Self {
        self.cookie_partitioned = partitioned;
        self
    }

    /// Networks of proxies that are trusted to name the client's address. Default: none. Needs a
    /// [`forwarding_header`](Self::forwarding_header) too. An IPv4 network that is mapped into IPv6
    /// is that network, and `::/0` is IPv4 too. With all addresses of IPv4 or of IPv6 among them, a
    /// warning says at the start that any client can name any address.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// The same as text: networks, and addresses for themselves only, with commas between them.
    ///
    /// ```
    /// use session_core::SessionConfig;
    ///
    /// let settings = SessionConfig::builder().parse_trusted_proxies("10.0.0.1, fd00::/8");
    /// assert!(settings.is_ok());
    /// let error = SessionConfig::builder().parse_trusted_proxies("nginx").unwrap_err();
    /// assert!(error.to_string().contains("names aren't looked up"));
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::Network`], which says what to change.
    pub fn parse_trusted_proxies(self, networks: &str) -> Result<Self, ConfigError> {
        let parts = networks.split(',').filter(|part| !part.trim().is_empty());
        Ok(self.trusted_proxies(parts.map(parse).collect::<Result<Vec<_>, _>>()?))
    }

    /// Trusts a peer without an address, which is a proxy on a Unix socket, to name the client's
    /// address. Only for apps that listen on nothing else: a server that doesn't pass on the
    /// addresses of its peers would let any client name any address. Default: none is trusted.
    /// Needs a [`forwarding_header`](Self::forwarding_header) too.
    pub const fn trust_unix_socket(mut self) -> Self {
        self.trust_unix_socket = true;
        self
    }

    /// The one header in which trusted proxies name the client. Default: none. The name says how it
    /// is written: `Forwarded` as RFC 7239 says; `CloudFront-Viewer-Address` as an address that
    /// always has a port, IPv6 too and without brackets; any other, such as `X-Forwarded-For`, as a
    /// list of addresses. It is read from its end. Empty elements are skipped, and one that names
    /// no address ends the list.
    pub fn forwarding_header(mut self, name: impl Into<String>) -> Self {
        self.forwarding_header = Some(name.into());
        self
    }

    /// What happens when the OS or browser family changes during a session. Default: an event
    /// reports it.
    pub const fn on_fingerprint_change(mut self, change: FingerprintChange) -> Self {
        self.on_fingerprint_change = change;
        self
    }

    /// What happens when a token is presented that its browser has long replaced: two browsers have
    /// the cookie. Default: an event reports it.
    pub const fn on_token_reuse(mut self, reuse: TokenReuse) -> Self {
        self.on_token_reuse = reuse;
        self
    }

    /// Refuses requests of other origins' pages that could change something (ASVS 5.0 3.5.1), by
    /// the rules of [`CrossOrigin`]. Default: none is refused.
    ///
    /// ```
    /// use session_core::{CrossOrigin, KeyRing, SessionConfig, SigningKey};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// let config = SessionConfig::builder().refuse_cross_origin(CrossOrigin::new()).build(keys);
    /// assert!(config.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn refuse_cross_origin(mut self, rules: CrossOrigin) -> Self {
        self.refuse_cross_origin = Some(rules);
        self
    }

    /// How long expired rows are kept before the clean-up deletes them. Default: 24 hours, so that
    /// a clock that is less than a day fast ends no session. A user without a session is remembered
    /// for a day more.
    pub const fn purge_after(mut self, age: Duration) -> Self {
        self.purge_after = age;
        self
    }

    /// Sessions for visitors too, who haven't signed in: `set` and the other methods for values
    /// then work for every request. Default: none, and values are only kept for signed-in users.
    pub const fn visitors(mut self, visitors: Visitors) -> Self {
        self.visitors = Some(visitors);
        self
    }

    /// For development over plain `http://` only: the cookie is `session`, without prefix and
    /// without `Secure`, so anyone on the network can read it. A warning says so at the start.
    pub const fn insecure_development_cookies(mut self) -> Self {
        self.insecure_development_cookies = true;
        self
    }
}
