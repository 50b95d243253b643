//! ROT: rotating the token.

use crate::scenario::Scenario;

pub mod lost;
pub mod rotation;
pub mod strict;
pub mod superseded;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[rotation::SCENARIOS, superseded::SCENARIOS, lost::SCENARIOS, strict::SCENARIOS];
