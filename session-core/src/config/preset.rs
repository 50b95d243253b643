//! Timeouts as standards name them.

use std::time::Duration;

use serde::Deserialize;

use super::DAY;

/// The idle and the absolute timeout that a standard names: pass it to
/// [`preset`](crate::SessionConfigBuilder::preset). In settings as text they are `aal1`, `aal2`,
/// `aal3`, `owasp_low_risk` and `owasp_high_value`.
///
/// It is about timeouts only. What else these standards ask of an application is in
/// [`session_core::security`](crate::security).
///
/// ```
/// use session_core::{KeyRing, Preset, SessionConfig, SigningKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
/// let config = SessionConfig::builder().preset(Preset::aal2()).build(keys)?;
/// assert_eq!(config.absolute_timeout().as_secs(), 24 * 3600);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Preset(Named);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    Aal1,
    Aal2,
    Aal3,
    OwaspLowRisk,
    OwaspHighValue,
}

impl Preset {
    /// NIST SP 800-63B-4, 2.1.3: after 30 days users sign in again. It asks for no idle timeout,
    /// and 7 days are this library's. These are the defaults.
    pub const fn aal1() -> Self {
        Self(Named::Aal1)
    }

    /// NIST SP 800-63B-4, 2.2.3: after 24 hours, or 1 hour without activity, users sign in again.
    pub const fn aal2() -> Self {
        Self(Named::Aal2)
    }

    /// NIST SP 800-63B-4, 2.3.3: after 12 hours, or 15 minutes without activity, users sign in
    /// again.
    pub const fn aal3() -> Self {
        Self(Named::Aal3)
    }

    /// The longest that OWASP's session management cheat sheet names for applications of low risk,
    /// used through a working day: 30 minutes without activity, and 8 hours.
    pub const fn owasp_low_risk() -> Self {
        Self(Named::OwaspLowRisk)
    }

    /// The longest idle timeout that OWASP's session management cheat sheet names for applications
    /// of high value, 5 minutes, and the shorter of its absolute ones, 4 hours.
    pub const fn owasp_high_value() -> Self {
        Self(Named::OwaspHighValue)
    }

    pub(super) const fn idle_timeout(self) -> Duration {
        match self.0 {
            Named::Aal1 => Duration::from_secs(7 * DAY.as_secs()),
            Named::Aal2 => Duration::from_hours(1),
            Named::Aal3 => Duration::from_mins(15),
            Named::OwaspLowRisk => Duration::from_mins(30),
            Named::OwaspHighValue => Duration::from_mins(5),
        }
    }

    pub(super) const fn absolute_timeout(self) -> Duration {
        match self.0 {
            Named::Aal1 => Duration::from_secs(30 * DAY.as_secs()),
            Named::Aal2 => Duration::from_hours(24),
            Named::Aal3 => Duration::from_hours(12),
            Named::OwaspLowRisk => Duration::from_hours(8),
            Named::OwaspHighValue => Duration::from_hours(4),
        }
    }
}
