//! DATA: values in the session.

use crate::scenario::Scenario;

pub mod asked_again;
pub mod commit;
pub mod ended;
pub mod increments;
pub mod kept_headers;
pub mod own_update;
pub mod races;
pub mod reload;
pub mod reload_rotated;
pub mod save;
pub mod set_and_get;
pub mod size;
pub mod unsaved;
pub mod values;
pub mod wrong_types;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[
    set_and_get::SCENARIOS,
    wrong_types::SCENARIOS,
    values::SCENARIOS,
    size::SCENARIOS,
    commit::SCENARIOS,
    kept_headers::SCENARIOS,
    ended::SCENARIOS,
    save::SCENARIOS,
    reload::SCENARIOS,
    reload_rotated::SCENARIOS,
    unsaved::SCENARIOS,
    own_update::SCENARIOS,
    races::SCENARIOS,
    increments::SCENARIOS,
    asked_again::SCENARIOS,
];
