//! EXP: expiry.

use crate::suite::Scenario;

pub mod timeouts;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [timeouts::SCENARIOS].into_iter().flatten().copied()
}
