//! EXP: expiry.

use crate::scenario::Scenario;

pub mod timeouts;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [timeouts::SCENARIOS].into_iter().flatten().copied()
}
