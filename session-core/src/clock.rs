//! Where the time comes from. Not here: when a session ends, see `policy::expiry`.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

/// A source of the current time, in UTC.
///
/// [`CookieSessionService`](crate::CookieSessionService) asks it once for each store call and
/// rounds the answer down to whole microseconds, the precision that every store keeps.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> OffsetDateTime;

    /// Whether this is the operating system's clock. If it is, the clean-up compares it with the
    /// database's. False by default: a clock that a test moves would always seem wrong.
    fn is_system(&self) -> bool {
        false
    }
}

/// The operating system's clock, which a service uses unless it is given another.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// A clock that moves only when a test moves it, to test expiry without waiting.
///
/// ```
/// use session_core::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::default();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - start, time::Duration::MINUTE);
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<OffsetDateTime>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: OffsetDateTime) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward by `step`.
    pub fn advance(&self, step: Duration) {
        *self.lock() += step;
    }

    /// Moves the clock to `now`, which may lie in its past.
    pub fn set(&self, now: OffsetDateTime) {
        *self.lock() = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OffsetDateTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    /// A clock that stands at 2030-01-01 00:00 UTC.
    fn default() -> Self {
        Self::at(time::macros::datetime!(2030-01-01 0:00 UTC))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.lock()
    }
}

impl<C: Clock> Clock for std::sync::Arc<C> {
    fn now(&self) -> OffsetDateTime {
        (**self).now()
    }

    fn is_system(&self) -> bool {
        (**self).is_system()
    }
}

/// `at + by`, or the end of the calendar where that would pass it.
pub(crate) fn later(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time::Duration::try_from(by).ok().and_then(|by| at.checked_add(by)).unwrap_or(END_OF_TIME)
}

/// `at - by`, or the Unix epoch where that is before the calendar.
pub(crate) fn earlier(at: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time::Duration::try_from(by).ok().and_then(|by| at.checked_sub(by)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

const END_OF_TIME: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59 UTC);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2030-01-01 0:00 UTC);

    #[test]
    fn durations_beyond_the_calendar_are_no_panic() {
        assert_eq!(later(NOW, Duration::MAX), END_OF_TIME);
        assert_eq!(earlier(NOW, Duration::MAX), OffsetDateTime::UNIX_EPOCH);
    }
}
