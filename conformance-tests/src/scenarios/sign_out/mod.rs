//! OUT: signing out.

use crate::scenario::Scenario;

pub mod signing_out;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [signing_out::SCENARIOS].into_iter().flatten().copied()
}
