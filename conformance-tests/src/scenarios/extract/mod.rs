//! EXT, ERR and GUARD: what a handler gets when it extracts the session.

use crate::scenario::Scenario;

pub mod errors;
pub mod extraction;
pub mod guards;
pub mod layers;
pub mod policies;
pub mod unreadable;
pub mod users;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[
    extraction::SCENARIOS,
    errors::SCENARIOS,
    guards::SCENARIOS,
    layers::SCENARIOS,
    policies::SCENARIOS,
    unreadable::SCENARIOS,
    users::SCENARIOS,
];
