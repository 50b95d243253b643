//! AUTH: signing in.

use crate::scenario::Scenario;

pub mod limit;
pub mod refused;
pub mod settled;
pub mod signing_in;
pub mod user_ids;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] =
    &[signing_in::SCENARIOS, user_ids::SCENARIOS, refused::SCENARIOS, settled::SCENARIOS, limit::SCENARIOS];
