//! ADM: any user's sessions.

use crate::scenario::Scenario;

pub mod any_user;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[any_user::SCENARIOS];
