//! EXP: expiry.

use crate::scenario::Scenario;

pub mod activity;
pub mod cleanup;
pub mod intervals;
pub mod presented;
pub mod timeouts;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] =
    &[timeouts::SCENARIOS, cleanup::SCENARIOS, activity::SCENARIOS, presented::SCENARIOS, intervals::SCENARIOS];
