//! LIST and REV: seeing and revoking one's own sessions.

use crate::scenario::Scenario;

pub mod others_data;
pub mod own_sessions;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[own_sessions::SCENARIOS, others_data::SCENARIOS];
