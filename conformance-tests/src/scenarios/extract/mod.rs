//! EXT and ERR: what a handler gets when it extracts the session.

use crate::scenario::Scenario;

pub mod extraction;
pub mod unreadable;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [extraction::SCENARIOS, unreadable::SCENARIOS].into_iter().flatten().copied()
}
