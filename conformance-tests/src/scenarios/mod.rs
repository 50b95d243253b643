//! The scenarios, by the part of the contract that they prove.

use crate::suite::Scenario;

mod in_flight;
mod in_process;
mod sessions;
mod stored;

pub mod admin;
pub mod auth;
pub mod caching;
pub mod carried;
pub mod commit;
pub mod cook;
pub mod cookie_rules;
pub mod data;
pub mod ended;
pub mod exp;
pub mod ext;
pub mod flt;
pub mod limit;
pub mod list;
pub mod meta;
pub mod out;
pub mod races;
pub mod refused;
pub mod releases;
pub mod replaced;
pub mod rotate;
pub mod save;
pub mod secrets;
pub mod unreadable;
pub mod values;

/// All scenarios.
pub fn all() -> impl Iterator<Item = Scenario> {
    [
        ext::SCENARIOS,
        unreadable::SCENARIOS,
        cook::SCENARIOS,
        replaced::SCENARIOS,
        carried::SCENARIOS,
        caching::SCENARIOS,
        cookie_rules::SCENARIOS,
        data::SCENARIOS,
        values::SCENARIOS,
        commit::SCENARIOS,
        ended::SCENARIOS,
        save::SCENARIOS,
        races::SCENARIOS,
        auth::SCENARIOS,
        refused::SCENARIOS,
        limit::SCENARIOS,
        rotate::SCENARIOS,
        exp::SCENARIOS,
        out::SCENARIOS,
        list::SCENARIOS,
        admin::SCENARIOS,
        meta::SCENARIOS,
        flt::SCENARIOS,
        secrets::SCENARIOS,
        releases::SCENARIOS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
