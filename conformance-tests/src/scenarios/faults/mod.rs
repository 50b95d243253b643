//! FLT: faults.

use crate::scenario::Scenario;

pub mod large;
pub mod memory;
pub mod outages;
pub mod releases;
pub mod secrets;
pub mod slow;
pub mod unknown;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[
    outages::SCENARIOS,
    unknown::SCENARIOS,
    secrets::SCENARIOS,
    releases::SCENARIOS,
    large::SCENARIOS,
    slow::SCENARIOS,
    memory::SCENARIOS,
];
