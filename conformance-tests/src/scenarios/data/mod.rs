//! DATA: values in the session.

use crate::scenario::Scenario;

pub mod commit;
pub mod ended;
pub mod races;
pub mod save;
pub mod set_and_get;
pub mod values;

/// All of them.
pub fn all() -> impl Iterator<Item = Scenario> {
    [set_and_get::SCENARIOS, values::SCENARIOS, commit::SCENARIOS, ended::SCENARIOS, save::SCENARIOS, races::SCENARIOS]
        .into_iter()
        .flatten()
        .copied()
}
