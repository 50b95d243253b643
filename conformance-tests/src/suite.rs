//! How scenarios become trials: one for each mount, each in a world of its own. Not here: what a
//! scenario is, see `scenario`; how one trial runs, see `trial`.

use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::adapter::Adapter;
use crate::scenario::Scenario;
use crate::store_suite::{Fixture, StoreScenario};
use crate::world::{StoreKind, World};

pub use crate::contract::CLAUSES;
use crate::trial::{explained, name};
pub use crate::trial::{hush_panics, proves, run, untested};

/// What a test binary runs: each of its adapters over each of its kinds of store, the store suite
/// and the model.
///
/// ```no_run
/// use conformance_tests::suite::Suite;
/// # use conformance_tests::{adapter::{Adapter, Server}, app::App};
/// # struct MyFramework;
/// # impl Adapter for MyFramework {
/// #     fn name(&self) -> &'static str { "my-framework" }
/// #     async fn serve(&self, _: App) -> Server { Server::new(([127, 0, 0, 1], 0).into(), || ()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     Suite::new().adapter(MyFramework).run()
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
    /// An empty suite: all that it runs is the trial that every clause has a scenario.
    pub fn new() -> Self {
        Self { more: vec![completeness()], ..Self::default() }
    }

    /// Adds a kind of store: the store suite on it, and every adapter over it.
    #[must_use]
    pub fn store(mut self, store: impl StoreKind) -> Self {
        self.stores.push(Arc::new(store));
        self
    }

    /// Adds a kind of store that needs a server. If there is no server, a line of output says so;
    /// with `SESSION_TEST_REQUIRE=all` a trial fails instead.
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

    /// Adds an adapter. It runs over every store that was added, or over the one in memory if none
    /// was; that one's own rules, which an adapter can't break, aren't asked for then.
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

    /// Adds other trials.
    #[must_use]
    pub fn trials(mut self, trials: impl IntoIterator<Item = Trial>) -> Self {
        self.more.extend(trials);
        self
    }

    /// Runs the trials that the command line asks for: all by default.
    #[must_use = "the exit code says whether all trials passed"]
    pub fn run(self) -> ExitCode {
        hush_panics();
        let mut trials = self.more;
        if self.stores.is_empty() {
            // An adapter with nothing to run over would prove nothing.
            let memory: Arc<dyn StoreKind> = Arc::new(crate::world::Memory);
            trials.extend(self.adapters.iter().flat_map(|mount| mount(&memory)));
        }
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
    mount_scenarios(adapter, store, |_| true)
}

/// The trials of those scenarios that `choose` chooses.
pub fn mount_scenarios<A: Adapter>(
    adapter: &Arc<A>,
    store: &Arc<dyn StoreKind>,
    choose: impl Fn(&Scenario) -> bool,
) -> Vec<Trial> {
    let trial = |scenario: Scenario| {
        let (adapter, store) = (Arc::clone(adapter), Arc::clone(store));
        Trial::test(name(&[adapter.name(), store.name(), scenario.clause], scenario.name), move || {
            run(in_a_world(scenario, adapter, store)).map_err(|failed| explained(&failed, &[scenario.clause]))
        })
    };
    crate::scenarios::all().filter(choose).map(trial).collect()
}

async fn in_a_world<A: Adapter>(scenario: Scenario, adapter: Arc<A>, store: Arc<dyn StoreKind>) {
    let world = World::new(adapter, store.fresh().await).await;
    (scenario.run)(world).await;
}

/// The trials of the store suite for one kind of store.
pub fn mount_store(store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let mut trials = mount_rules(store, |_| true);
    trials.extend(crate::random::mount(store));
    trials
}

/// The trials of those rules of the store suite that `choose` chooses.
pub fn mount_rules(store: &Arc<dyn StoreKind>, choose: impl Fn(&StoreScenario) -> bool) -> Vec<Trial> {
    let trial = |rule: StoreScenario| {
        let store = Arc::clone(store);
        Trial::test(name(&["store", store.name(), rule.rule], rule.name), move || run(on_a_store(rule, store)))
    };
    crate::store_suite::all().filter(choose).map(trial).collect()
}

async fn on_a_store(rule: StoreScenario, store: Arc<dyn StoreKind>) {
    (rule.run)(Fixture::new(store.fresh().await).await).await;
}

/// The clauses about connections to a database. Only this project's own suite proves them, with
/// trials that hold locks on a server, cut connections to it, set it up otherwise, and replace a
/// file.
pub const ON_SERVERS: [&str; 5] = ["FLT-6", "FLT-7", "FLT-8", "FLT-10", "FLT-11"];

/// The trial that each of these clauses is proved by one of `trials`.
pub fn completeness_on_servers(trials: &[Trial]) -> Trial {
    let is_proved = |clause: &&str| trials.iter().any(|trial| trial.name().contains(&format!("/{clause}/")));
    let missing: Vec<_> = ON_SERVERS.into_iter().filter(|clause| !is_proved(clause)).collect();
    Trial::test("contract/every clause on servers has a trial", move || {
        if missing.is_empty() { Ok(()) } else { Err(format!("without a trial: {missing:?}").into()) }
    })
}

/// The trial that every clause has a scenario, and that every scenario names a clause and has a
/// unique name.
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

/// The trial that the scenario of this clause and name catches a `broken` adapter or store. The
/// trial passes if the scenario fails, for whatever reason: break one thing only, so that it can
/// fail for nothing else.
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
        fails(scenario.name, in_a_world(scenario, broken, store)).map_err(|failed| explained(&failed, &[clause]))
    })
}

/// The trial that a rule of the store suite catches a `broken` store, as [`catches`] does for a
/// scenario.
pub fn catches_rule(what: &str, (of, rule): (&'static str, &'static str), broken: Arc<dyn StoreKind>) -> Trial {
    let name = name(&["store", broken.name(), of], &format!("is caught: {what}"));
    Trial::test(name, move || {
        let Some(rule) = crate::store_suite::all().find(|known| (known.rule, known.name) == (of, rule)) else {
            return Err(format!("no rule {rule:?} of {of}").into());
        };
        fails(rule.name, on_a_store(rule, broken))
    })
}

/// Runs what must fail.
fn fails(what: &str, trial: impl Future<Output = ()> + Send + 'static) -> Result<(), Failed> {
    match run(trial) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{what:?} passes with it").into()),
    }
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
