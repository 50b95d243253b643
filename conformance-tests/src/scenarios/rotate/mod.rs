//! ROT: rotating the token.

use crate::scenario::Scenario;

pub mod rotation;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [rotation::SCENARIOS].into_iter().flatten().copied()
}
