//! FLT: faults.

use crate::scenario::Scenario;

pub mod outages;
pub mod releases;
pub mod secrets;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [outages::SCENARIOS, secrets::SCENARIOS, releases::SCENARIOS].into_iter().flatten().copied()
}
