//! Visitors, who have values without having signed in: their settings, and what is said where there
//! are none. Not here: the row of a visitor and its cookie, see `request`.

pub(crate) mod flash;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::ConfigError;
use crate::policy::expiry::Expiry;
use crate::setting::{duration, settings, whole};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Of how many keys the process remembers that it has warned.
const MAX_WARNED: usize = 1000;

/// Sessions for visitors, who haven't signed in: pass it to
/// [`visitors`](crate::SessionConfigBuilder::visitors). The first value that a request stores makes
/// the visitor's row and sends its cookie; a request that stores nothing leaves no trace.
///
/// ```
/// use session_core::{KeyRing, SessionConfig, SigningKey, Visitors};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let visitors = Visitors::new().idle_timeout(Duration::from_secs(3600)).max_data_bytes(1024);
/// let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
/// assert!(SessionConfig::builder().visitors(visitors).build(keys).is_ok());
///
/// let text = "visitors = { idle_timeout = '2 days' }";
/// let settings: session_core::SessionConfigBuilder = toml::from_str(text)?;
/// # let _ = settings;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Visitors {
    idle_timeout: Duration,
    absolute_timeout: Duration,
    max_data_bytes: usize,
}

settings!(Visitors { idle_timeout: duration, absolute_timeout: duration, max_data_bytes: |given| whole(given, 4096) });

impl Default for Visitors {
    fn default() -> Self {
        Self { idle_timeout: DAY, absolute_timeout: 30 * DAY, max_data_bytes: 4096 }
    }
}

impl Visitors {
    /// The settings at their defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a visitor's values are kept without a request that uses the session. Default: 1
    /// day.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a visitor's values are kept at most, and the cookie's `Max-Age`. Default: 30 days.
    /// At most 400 days.
    #[must_use]
    pub const fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.absolute_timeout = timeout;
        self
    }

    /// How large a visitor's values can be, in bytes of JSON. Default: 4,096, because anyone can
    /// fill the store with them. At most what a user's session can have.
    #[must_use]
    pub const fn max_data_bytes(mut self, bytes: usize) -> Self {
        self.max_data_bytes = bytes;
        self
    }

    /// The settings, checked. `longest` is the longest absolute timeout, and `most_data` what a
    /// user's session can have.
    pub(crate) fn check(&self, longest: Duration, most_data: usize) -> Result<VisitorRules, ConfigError> {
        let zero = |is_zero: bool, setting| if is_zero { Err(ConfigError::Zero { setting }) } else { Ok(()) };
        let most = |over: bool, setting, most| if over { Err(ConfigError::TooLarge { setting, most }) } else { Ok(()) };
        zero(self.idle_timeout.is_zero(), "visitors.idle_timeout")?;
        zero(self.absolute_timeout.is_zero(), "visitors.absolute_timeout")?;
        zero(self.max_data_bytes == 0, "visitors.max_data_bytes")?;
        let browsers = "400 days, as browsers keep no cookie longer";
        most(self.absolute_timeout > longest, "visitors.absolute_timeout", browsers)?;
        most(self.max_data_bytes > most_data, "visitors.max_data_bytes", "`max_data_bytes`")?;
        if self.idle_timeout > self.absolute_timeout {
            return Err(ConfigError::IdleOverAbsolute { of: "visitors." });
        }
        let expiry = Expiry {
            idle: self.idle_timeout,
            absolute: self.absolute_timeout,
            touch_interval: Expiry::default_touch_interval(self.idle_timeout),
        };
        Ok(VisitorRules { expiry, max_data_bytes: self.max_data_bytes })
    }
}

/// Checked settings of visitors.
#[derive(Debug, Clone)]
pub(crate) struct VisitorRules {
    pub(crate) expiry: Expiry,
    pub(crate) max_data_bytes: usize,
}

/// Reports that a value wasn't stored, because the request isn't signed in and there are no
/// visitors: once for each key, as a warning.
pub(crate) fn warn_unstored(key: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_first = {
        let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
        warned.len() < MAX_WARNED && !warned.contains(key) && warned.insert(key.to_owned())
    };
    if is_first {
        tracing::warn!(
            key,
            "the value was not stored, because the request is not signed in. To store values of visitors too, switch them on: \
             `SessionConfig::builder().visitors(Visitors::new())`"
        );
    } else {
        tracing::debug!(key, "the value was not stored, because the request is not signed in");
    }
}
