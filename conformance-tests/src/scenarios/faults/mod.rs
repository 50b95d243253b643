//! FLT: faults.

use crate::scenario::Scenario;

pub mod large;
pub mod outages;
pub mod releases;
pub mod secrets;
pub mod unknown;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] =
    &[outages::SCENARIOS, unknown::SCENARIOS, secrets::SCENARIOS, releases::SCENARIOS, large::SCENARIOS];
