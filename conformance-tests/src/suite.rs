//! How scenarios become trials: each one for each mount, in its own world. Leaves what a scenario is to `scenario`, and how
//! one trial runs to `trial`.

use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::adapter::Adapter;
use crate::scenario::Scenario;
use crate::world::{StoreKind, World};

pub use crate::contract::CLAUSES;
use crate::trial::{explained, name};
pub use crate::trial::{hush_panics, proves, run, untested};

/// What a test binary runs: each of its adapters over each of its kinds of store, the store suite and the model.
///
/// ```no_run
/// use conformance_tests::{suite::Suite, world::Memory};
/// # use conformance_tests::{adapter::{Adapter, Server}, app::App};
/// # struct MyFramework;
/// # impl Adapter for MyFramework {
/// #     fn name(&self) -> &'static str { "my-framework" }
/// #     async fn serve(&self, _: App) -> Server { Server::new(([127, 0, 0, 1], 0).into(), || ()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     Suite::new().store(Memory).adapter(MyFramework).run()
/// }
/// ```
#[derive(Default)]
pub struct Suite {
    stores: Vec<Arc<dyn StoreKind>>,
    adapters: Vec<Mount>,
    more: Vec<Trial>,
}

/// The trials of one adapter over a kind of store.
type Mount = Box<dyn Fn(&Arc<dyn StoreKind>) -> Vec<Trial>>;

impl Suite {
    /// Nothing yet but the trial that every clause has a scenario.
    pub fn new() -> Self {
        Self { more: vec![completeness()], ..Self::default() }
    }

    /// Adds a kind of store: the store suite on it, and every adapter over it.
    #[must_use]
    pub fn store(mut self, store: impl StoreKind) -> Self {
        self.stores.push(Arc::new(store));
        self
    }

    /// Adds a kind of store that needs a server. Where there is none, one line says so, or a trial fails if
    /// `SESSION_TEST_REQUIRE` is `all`.
    #[must_use]
    pub fn store_if_found(mut self, found: Result<impl StoreKind, String>) -> Self {
        match found {
            Ok(store) => self.store(store),
            Err(why) => {
                self.more.extend(untested(why));
                self
            }
        }
    }

    /// Adds an adapter, which runs over every store, and over the one in memory if there is none.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        let adapter = Arc::new(adapter);
        self.adapters.push(Box::new(move |store| {
            let mut trials = mount(&adapter, store);
            trials.push(crate::model::mount(&adapter, store));
            trials
        }));
        self
    }

    /// Adds trials of one's own.
    #[must_use]
    pub fn trials(mut self, trials: impl IntoIterator<Item = Trial>) -> Self {
        self.more.extend(trials);
        self
    }

    /// Runs what the command line asks for, all of it by default.
    #[must_use = "the exit code says whether all of it passed"]
    pub fn run(mut self) -> ExitCode {
        hush_panics();
        if self.stores.is_empty() && !self.adapters.is_empty() {
            // An adapter with nothing to run over would prove nothing.
            self.stores.push(Arc::new(crate::world::Memory));
        }
        let mut trials = self.more;
        for store in &self.stores {
            trials.extend(mount_store(store));
            trials.extend(self.adapters.iter().flat_map(|mount| mount(store)));
        }
        let mut arguments = Arguments::from_args();
        // Most of a trial on a server is waiting for it.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        arguments.test_threads.get_or_insert(2 * cores);
        libtest_mimic::run(&arguments, trials).exit_code()
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("trials", &self.more.len()).finish_non_exhaustive()
    }
}

/// The trials of all scenarios for one adapter over one kind of store.
pub fn mount<A: Adapter>(adapter: &Arc<A>, store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let trial = |scenario: Scenario| {
        let (adapter, store) = (Arc::clone(adapter), Arc::clone(store));
        Trial::test(name(&[adapter.name(), store.name(), scenario.clause], scenario.name), move || {
            run(in_a_world(scenario, adapter, store)).map_err(|failed| explained(&failed, &[scenario.clause]))
        })
    };
    crate::scenarios::all().map(trial).collect()
}

async fn in_a_world<A: Adapter>(scenario: Scenario, adapter: Arc<A>, store: Arc<dyn StoreKind>) {
    let world = World::new(adapter, store.fresh().await).await;
    (scenario.run)(world).await;
}

/// The trials of the store suite for one kind of store.
pub fn mount_store(store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let trial = |scenario: crate::store_suite::StoreScenario| {
        let (store, run_it) = (Arc::clone(store), scenario.run);
        Trial::test(name(&["store", store.name(), scenario.rule], scenario.name), move || {
            run(async move { run_it(crate::store_suite::Fixture::new(store.fresh().await).await).await })
        })
    };
    let mut trials: Vec<_> = crate::store_suite::all().map(trial).collect();
    trials.extend(crate::random::mount(store));
    trials
}

/// The clauses that are about connections to a server: only this project's own suite proves them, with trials that hold locks and
/// cut connections at one.
pub const ON_SERVERS: [&str; 3] = ["FLT-6", "FLT-7", "FLT-8"];

/// The trial that each of these clauses is proved by one of `trials`.
pub fn completeness_on_servers(trials: &[Trial]) -> Trial {
    let is_proved = |clause: &&str| trials.iter().any(|trial| trial.name().contains(&format!("/{clause}/")));
    let missing: Vec<_> = ON_SERVERS.into_iter().filter(|clause| !is_proved(clause)).collect();
    Trial::test("contract/every clause on servers has a trial", move || {
        if missing.is_empty() { Ok(()) } else { Err(format!("without a trial: {missing:?}").into()) }
    })
}

/// The trial that every clause has a scenario, and every scenario a clause and a name of its own.
pub fn completeness() -> Trial {
    Trial::test("contract/every clause has a scenario", || {
        let clauses: BTreeSet<_> = CLAUSES.iter().map(|clause| &*clause.id).collect();
        let proved: BTreeSet<_> = crate::scenarios::all().map(|scenario| scenario.clause).collect();
        let missing: Vec<_> = clauses.difference(&proved).filter(|clause| !ON_SERVERS.contains(clause)).collect();
        let unknown: Vec<_> = proved.difference(&clauses).collect();
        let mut names = BTreeSet::new();
        let twice: Vec<_> =
            crate::scenarios::all().map(|s| (s.clause, s.name)).filter(|name| !names.insert(*name)).collect();
        if missing.is_empty() && unknown.is_empty() && twice.is_empty() {
            return Ok(());
        }
        Err(format!("without a scenario: {missing:?}; no such clause: {unknown:?}; named twice: {twice:?}").into())
    })
}

/// The trial that the scenario of this clause and name catches a `broken` adapter or store: it fails, or the suite is blind.
/// That it fails for the mistake and nothing else is for the mistake to see to.
pub fn catches<A: Adapter>(
    what: &str,
    (clause, scenario): (&'static str, &'static str),
    broken: Arc<A>,
    store: Arc<dyn StoreKind>,
) -> Trial {
    let name = name(&[broken.name(), store.name(), clause], &format!("is caught: {what}"));
    Trial::test(name, move || {
        let mut all = crate::scenarios::all();
        let Some(scenario) = all.find(|known| (known.clause, known.name) == (clause, scenario)) else {
            return Err(format!("no scenario {scenario:?} of {clause}").into());
        };
        match run(in_a_world(scenario, broken, store)) {
            Err(_) => Ok(()),
            Ok(()) => Err(explained(&format!("{:?} passes with it", scenario.name).into(), &[clause])),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::name;
    use crate::{scenarios, store_suite};

    #[test]
    fn all_names_can_be_typed_and_are_unique() {
        let scenarios = scenarios::all().map(|scenario| name(&[scenario.clause], scenario.name));
        let rules = store_suite::all().map(|rule| name(&["store", rule.rule], rule.name));
        let mut names = BTreeSet::new();
        for name in scenarios.chain(rules) {
            assert!(names.insert(name.clone()), "{name:?} is there twice");
        }
        assert!(names.len() > 300, "{} names", names.len());
    }
}
