//! EXT and ERR: what a handler gets when it extracts the session.

use crate::scenario::Scenario;

pub mod errors;
pub mod extraction;
pub mod layers;
pub mod unreadable;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] =
    &[extraction::SCENARIOS, errors::SCENARIOS, layers::SCENARIOS, unreadable::SCENARIOS];
