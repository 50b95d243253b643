//! When a session expires (the idle and the absolute timeout), and when activity is worth a write.
//! Pure: the time is passed in.
//!
//! An extraction is the activity. Whether it is worth a write is judged by the time of the look-up,
//! so a request that stores nothing asks the clock once. A request that stores something records
//! its activity with the time of that store call.

use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::{earlier, later};
use crate::store::Activity;

/// The default of the touch interval, where the idle timeout is long enough for it.
const TOUCH_INTERVAL: Duration = Duration::from_mins(5);

/// The three durations that decide a session's life (ASVS 5.0 7.3.1 and 7.3.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    pub(crate) touch_interval: Duration,
}

impl Expiry {
    /// The default touch interval for an idle timeout. Never zero, which would be no interval.
    pub(crate) fn default_touch_interval(idle_timeout: Duration) -> Duration {
        (idle_timeout / 4).clamp(Duration::from_nanos(1), TOUCH_INTERVAL)
    }

    /// The two ends of a session that signs in at `now`: `(expires_at, absolute_expires_at)`.
    pub(crate) fn of_sign_in(&self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let absolute = later(now, self.absolute);
        (later(now, self.idle).min(absolute), absolute)
    }

    /// The activity to record at `now`, if the last recorded activity is a touch interval old.
    pub(crate) fn due(
        &self,
        now: OffsetDateTime,
        last_active_at: OffsetDateTime,
        absolute_expires_at: OffsetDateTime,
    ) -> Option<Activity> {
        let unless_after = earlier(now, self.touch_interval);
        (last_active_at <= unless_after).then(|| Activity {
            at: now,
            expires_at: later(now, self.idle).min(absolute_expires_at),
            unless_after,
        })
    }

    /// The activity to record at `now` when a rotated token is presented for the first time, unless
    /// another request has recorded activity since the row was read.
    pub(crate) fn presentation(
        &self,
        now: OffsetDateTime,
        last_active_at: OffsetDateTime,
        absolute_expires_at: OffsetDateTime,
    ) -> Activity {
        Activity { unless_after: last_active_at, ..self.renewal(now, absolute_expires_at) }
    }

    /// The activity that a rotation records at `now`, however recent the last recorded activity is.
    pub(crate) fn renewal(&self, now: OffsetDateTime, absolute_expires_at: OffsetDateTime) -> Activity {
        Activity { at: now, expires_at: later(now, self.idle).min(absolute_expires_at), unless_after: now }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
    const EXPIRY: Expiry = Expiry {
        idle: Duration::from_secs(3600),
        absolute: Duration::from_secs(7200),
        touch_interval: Duration::from_secs(300),
    };

    #[test]
    fn activity_never_passes_the_absolute_end() {
        let (expires, absolute) = EXPIRY.of_sign_in(NOW);
        assert_eq!((expires, absolute), (NOW + EXPIRY.idle, NOW + EXPIRY.absolute));
        let late = NOW + Duration::from_secs(7000);
        assert_eq!(EXPIRY.due(late, NOW, absolute).unwrap().expires_at, absolute);
    }

    #[test]
    fn activity_is_due_at_the_interval_and_not_before() {
        let absolute = NOW + EXPIRY.absolute;
        assert!(EXPIRY.due(NOW + Duration::from_secs(299), NOW, absolute).is_none());
        assert!(EXPIRY.due(NOW + Duration::from_secs(300), NOW, absolute).is_some());
    }

    #[test]
    fn a_clock_that_jumped_back_makes_nothing_due() {
        assert!(EXPIRY.due(NOW - Duration::from_secs(86_400), NOW, NOW + EXPIRY.absolute).is_none());
    }
}
