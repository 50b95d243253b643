//! META: what is recorded of a client.

use crate::scenario::Scenario;

pub mod metadata;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[metadata::SCENARIOS];
