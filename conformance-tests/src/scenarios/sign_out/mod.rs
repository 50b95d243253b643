//! OUT: signing out.

use crate::scenario::Scenario;

pub mod crossing;
pub mod order;
pub mod signing_out;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[signing_out::SCENARIOS, crossing::SCENARIOS, order::SCENARIOS];
