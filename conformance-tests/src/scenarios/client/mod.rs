//! META: what is recorded of a client.

use crate::scenario::Scenario;

pub mod devices;
pub mod metadata;
pub mod proxies;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[devices::SCENARIOS, metadata::SCENARIOS, proxies::SCENARIOS];
