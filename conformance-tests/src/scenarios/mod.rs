//! The scenarios, by the part of the contract that they prove.

use crate::scenario::Scenario;

pub(crate) mod support;

pub mod admin;
pub mod client;
pub mod cookie;
pub mod csrf;
pub mod data;
pub mod devices;
pub mod encryption;
pub mod expiry;
pub mod extract;
pub mod faults;
pub mod rotate;
pub mod sign_in;
pub mod sign_out;
pub mod start;
pub mod visitor;

/// All scenarios.
pub fn all() -> impl Iterator<Item = Scenario> {
    [
        extract::SCENARIOS,
        cookie::SCENARIOS,
        data::SCENARIOS,
        sign_in::SCENARIOS,
        rotate::SCENARIOS,
        sign_out::SCENARIOS,
        devices::SCENARIOS,
        admin::SCENARIOS,
        expiry::SCENARIOS,
        client::SCENARIOS,
        csrf::SCENARIOS,
        start::SCENARIOS,
        encryption::SCENARIOS,
        faults::SCENARIOS,
        visitor::SCENARIOS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .flatten()
    .copied()
}
