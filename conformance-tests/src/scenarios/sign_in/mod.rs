//! AUTH: signing in.

use crate::scenario::Scenario;

pub mod limit;
pub mod refused;
pub mod signing_in;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [signing_in::SCENARIOS, refused::SCENARIOS, limit::SCENARIOS].into_iter().flatten().copied()
}
