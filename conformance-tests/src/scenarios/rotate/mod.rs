//! ROT: rotating the token.

use crate::scenario::Scenario;

pub mod rotation;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[rotation::SCENARIOS];
