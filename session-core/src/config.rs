//! The checked settings. Not here: the settings on their way, see `builder`, and the check that
//! they go together, see `check`. Keys are passed to `build`, apart from the settings, so that a
//! configuration file holds no secret.

mod builder;
mod check;
mod preset;

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::client::address::Proxies;
use crate::keys::cookie::CookieKeys;
use crate::keys::csrf::CsrfKeys;
use crate::model::user_id::UserId;
use crate::policy::cross_origin::CrossOrigin;
use crate::policy::expiry::Expiry;
use crate::policy::plain_http::PlainHttpNotice;
use crate::transport::cookie::CookieRules;
use crate::visitor::VisitorRules;

pub use builder::SessionConfigBuilder;
pub use preset::Preset;

const DAY: Duration = Duration::from_secs(24 * 3600);
const ROTATION_GRACE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_mins(5);
const MAX_SESSIONS: u32 = 1000;
const MAX_DATA_BYTES: usize = 8 << 20;

/// What happens when a session is used from another OS or browser family than it signed in with, as
/// [`Device::parse`](crate::Device::parse) names both, or the application's
/// [parser](crate::CookieSessionService::with_device_parser). A browser update is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FingerprintChange {
    /// Nothing.
    Ignore,
    /// An [`Event`](crate::Event) reports it, once for a session and a client. This is the default.
    Report,
    /// An event reports it, and the session ends. This signs out honest users too: those who ask
    /// for the "desktop site" on a phone, or let the browser's developer tools show another device.
    /// Safari on an iPad says by default that it runs on a Mac, and that it runs on an iPad in a
    /// narrow window or where the user asks for the mobile site.
    End,
}

/// What happens when a token is presented though its browser has long replaced it: after the
/// rotation's grace, and after its successor was presented or replaced as well. The request isn't
/// signed in, in any case. A thief and the owner of a stolen cookie are told apart by nothing, so
/// either of them can cause this.
///
/// There is no alarm if a request is under way for less than the grace, and an answer arrives
/// before the next rotation. A browser that lost what it had stored since causes one, such as one
/// whose profile was restored from yesterday's backup, or a copied virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenReuse {
    /// An [`Event`](crate::Event) reports it, once for a session and a client. This is the default.
    Report,
    /// An event reports it, and the session ends: thief and owner have to sign in. So does a user
    /// who restores a browser's profile; and an old cookie, wherever it was kept, can end the
    /// session.
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
    pub(crate) csrf_keys: CsrfKeys,
    pub(crate) cookie: Arc<CookieRules>,
    /// None: the cookie isn't `Secure`.
    pub(crate) plain_http: Option<Arc<PlainHttpNotice>>,
    pub(crate) expiry: Expiry,
    /// None: only where the application says so.
    pub(crate) rotate_every: Option<Duration>,
    pub(crate) rotation_grace: Duration,
    pub(crate) max_sessions: NonZeroU32,
    pub(crate) max_data_bytes: usize,
    /// None: a client's address is its peer's.
    pub(crate) proxies: Option<Arc<Proxies>>,
    pub(crate) on_fingerprint_change: FingerprintChange,
    pub(crate) on_token_reuse: TokenReuse,
    /// None: cross-origin requests aren't refused.
    pub(crate) cross_origin: Option<CrossOrigin>,
    pub(crate) purge_after: Duration,
    /// None: there are no visitors.
    pub(crate) visitors: Option<VisitorRules>,
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

    /// What decides how long this row lives.
    pub(crate) fn expiry_of(&self, user: &UserId) -> &Expiry {
        self.visitor_rules(user).map_or(&self.expiry, |rules| &rules.expiry)
    }

    /// How many bytes of data this user's or visitor's session can have.
    pub(crate) fn max_data_bytes_of(&self, user: &UserId) -> usize {
        self.visitor_rules(user).map_or(self.max_data_bytes, |rules| rules.max_data_bytes)
    }

    fn visitor_rules(&self, user: &UserId) -> Option<&VisitorRules> {
        self.visitors.as_ref().filter(|_| user.is_visitor())
    }

    /// The longest time that a session can live after its sign-in.
    pub const fn absolute_timeout(&self) -> Duration {
        self.expiry.absolute
    }
}

#[cfg(test)]
pub(crate) mod tests;
