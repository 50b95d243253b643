//! START: keys and settings.

use crate::scenario::Scenario;

pub mod keys;
pub mod text;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[keys::SCENARIOS, text::SCENARIOS];
