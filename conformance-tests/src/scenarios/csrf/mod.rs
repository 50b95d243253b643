//! CSRF: requests that other sites' pages send, and the token of a session's own pages.

use crate::scenario::Scenario;

pub mod cross_origin;
pub mod settings;
pub mod tokens;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[cross_origin::SCENARIOS, settings::SCENARIOS, tokens::SCENARIOS];
