//! COOK: the cookie.

use crate::scenario::Scenario;

pub mod caching;
pub mod carried;
pub mod keys;
pub mod private;
pub mod removed;
pub mod replaced;
pub mod sent;
pub mod settings;
pub mod several;
pub mod siblings;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[
    sent::SCENARIOS,
    removed::SCENARIOS,
    carried::SCENARIOS,
    several::SCENARIOS,
    keys::SCENARIOS,
    caching::SCENARIOS,
    private::SCENARIOS,
    settings::SCENARIOS,
    replaced::SCENARIOS,
    siblings::SCENARIOS,
];
