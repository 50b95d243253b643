//! LIST and REV: seeing and revoking one's own sessions.

use crate::scenario::Scenario;

pub mod own_sessions;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [own_sessions::SCENARIOS].into_iter().flatten().copied()
}
