//! What each row may cost: the numbers of `budgets.toml`, with a twentieth for what compilers and libraries change.

use std::collections::BTreeMap;

use serde::Deserialize;

/// By framework and row.
pub(crate) struct Budgets(BTreeMap<String, BTreeMap<String, Budget>>);

#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Budget {
    allocations: u64,
    instructions: u64,
}

impl Budgets {
    pub(crate) fn read() -> Self {
        Self(toml::from_str(include_str!("../budgets.toml")).expect("the file of this package is valid"))
    }

    /// That of a row.
    pub(crate) fn of(&self, framework: &str, row: &str) -> Budget {
        *self.0.get(framework).and_then(|rows| rows.get(row)).expect("each row has a budget")
    }
}

impl Budget {
    pub(crate) fn keeps_allocations(self, added: u64) -> bool {
        keeps("allocations", self.allocations, added)
    }

    pub(crate) fn keeps_instructions(self, added: u64) -> bool {
        keeps("instructions", self.instructions, added)
    }
}

fn keeps(what: &str, budget: u64, added: u64) -> bool {
    let most = budget + budget / 20;
    if added > most {
        println!("  {added} {what} are over the budget of {budget} and a twentieth");
    }
    added <= most
}
