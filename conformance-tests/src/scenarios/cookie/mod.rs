//! COOK: the cookie.

use crate::scenario::Scenario;

pub mod caching;
pub mod carried;
pub mod replaced;
pub mod sent;
pub mod settings;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [sent::SCENARIOS, carried::SCENARIOS, caching::SCENARIOS, settings::SCENARIOS, replaced::SCENARIOS]
        .into_iter()
        .flatten()
        .copied()
}
