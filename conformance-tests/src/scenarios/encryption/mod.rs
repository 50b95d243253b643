//! ENC: data at rest.

use crate::scenario::Scenario;

pub mod at_rest;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[at_rest::SCENARIOS];
