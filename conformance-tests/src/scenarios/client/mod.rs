//! META: what is recorded of a client.

use crate::scenario::Scenario;

pub mod metadata;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [metadata::SCENARIOS].into_iter().flatten().copied()
}
