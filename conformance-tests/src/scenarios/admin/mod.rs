//! ADM: any user's sessions.

use crate::scenario::Scenario;

pub mod any_user;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [any_user::SCENARIOS].into_iter().flatten().copied()
}
