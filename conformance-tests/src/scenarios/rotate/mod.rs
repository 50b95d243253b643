//! ROT: rotating the token.

use crate::scenario::Scenario;

pub mod automatic;
pub mod lost;
pub mod reuse;
pub mod rotation;
pub mod strict;
pub mod superseded;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[
    rotation::SCENARIOS,
    superseded::SCENARIOS,
    lost::SCENARIOS,
    strict::SCENARIOS,
    automatic::SCENARIOS,
    reuse::SCENARIOS,
];
