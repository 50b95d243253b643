//! The scenarios, by the part of the contract that they prove.

use crate::scenario::Scenario;

mod support;

pub mod admin;
pub mod client;
pub mod cookie;
pub mod data;
pub mod devices;
pub mod expiry;
pub mod extract;
pub mod faults;
pub mod rotate;
pub mod sign_in;
pub mod sign_out;

/// All scenarios.
pub fn all() -> impl Iterator<Item = Scenario> {
    let groups: [Vec<Scenario>; 11] = [
        extract::all().collect(),
        cookie::all().collect(),
        data::all().collect(),
        sign_in::all().collect(),
        rotate::all().collect(),
        sign_out::all().collect(),
        devices::all().collect(),
        admin::all().collect(),
        expiry::all().collect(),
        client::all().collect(),
        faults::all().collect(),
    ];
    groups.into_iter().flatten()
}
