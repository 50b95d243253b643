//! What a scenario is, and how scenarios become trials: each one for each mount, in its own world, under a watchdog.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::BoxFuture;
use crate::adapter::Adapter;
use crate::world::{StoreKind, World};

pub use crate::scenario;

/// After this a trial counts as stuck. No scenario waits for time to pass.
const WATCHDOG: Duration = Duration::from_secs(300);
/// What a round of a race may take beside that, where more of them are asked for than usual.
const ROUND: Duration = Duration::from_secs(2);

/// Every clause of the contract. A run fails if one of them has no scenario.
pub const CLAUSES: &[&str] = &[
    "ERR-1", "EXT-1", "EXT-2", "EXT-3", "EXT-4", "EXT-5", "EXT-6", "EXT-7", "EXT-8", "EXT-9", "COOK-1", "COOK-2",
    "COOK-3", "COOK-4", "COOK-5", "COOK-6", "COOK-7", "COOK-8", "COOK-9", "COOK-10", "COOK-11", "COOK-12", "DATA-1",
    "DATA-2", "DATA-3", "DATA-4", "DATA-5", "DATA-6", "DATA-7", "DATA-8", "DATA-9", "DATA-10", "DATA-11", "DATA-12",
    "DATA-13", "DATA-14", "DATA-15", "AUTH-1", "AUTH-2", "AUTH-3", "AUTH-4", "AUTH-5", "AUTH-6", "ROT-1", "ROT-2",
    "ROT-3", "ROT-4", "ROT-5", "OUT-1", "OUT-2", "OUT-3", "OUT-4", "LIST-1", "REV-1", "REV-2", "REV-3", "REV-4",
    "ADM-1", "ADM-2", "ADM-3", "EXP-1", "EXP-2", "EXP-3", "EXP-4", "EXP-5", "EXP-6", "META-1", "META-2", "META-3",
    "FLT-1", "FLT-2", "FLT-3", "FLT-4", "FLT-5",
];

/// One behaviour, proved through HTTP. A panic is a failure.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The clause that it proves.
    pub clause: &'static str,
    /// What it shows, in words.
    pub name: &'static str,
    /// Runs it in a world of its own.
    pub run: fn(World) -> BoxFuture<'static, ()>,
}

/// A [`Scenario`] of a clause, a name and an `async fn(World)`.
#[macro_export]
macro_rules! scenario {
    ($clause:literal, $name:literal, $run:expr $(,)?) => {
        $crate::suite::Scenario { clause: $clause, name: $name, run: |world| ::std::boxed::Box::pin($run(world)) }
    };
}

/// What a test binary runs: each of its adapters over each of its kinds of store, the store suite and the model.
///
/// ```no_run
/// use conformance_tests::{suite::Suite, world::Memory};
/// # use conformance_tests::{adapter::{Adapter, Server}, app::App};
/// # struct MyFramework;
/// # impl Adapter for MyFramework {
/// #     fn name(&self) -> &'static str { "my framework" }
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

/// Says that something can't be tested here, and why; a trial that fails, if `SESSION_TEST_REQUIRE` is `all`.
pub fn untested(why: String) -> Option<Trial> {
    println!("not tested: {why}");
    let required = std::env::var("SESSION_TEST_REQUIRE").is_ok_and(|all| all == "all");
    required.then(|| Trial::test("everything can be tested here", move || Err(why.into())))
}

/// The trials of all scenarios for one adapter over one kind of store.
pub fn mount<A: Adapter>(adapter: &Arc<A>, store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let trial = |scenario: Scenario| {
        let (adapter, store) = (Arc::clone(adapter), Arc::clone(store));
        Trial::test(name(adapter.name(), &*store, scenario.clause, scenario.name), move || {
            run(async move {
                let world = World::new(adapter, store.fresh().await).await;
                (scenario.run)(world).await;
            })
        })
    };
    crate::scenarios::all().map(trial).collect()
}

/// The trials of the store suite for one kind of store.
pub fn mount_store(store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let trial = |scenario: crate::store_suite::StoreScenario| {
        let (store, run_it) = (Arc::clone(store), scenario.run);
        Trial::test(name("store", &*store, scenario.rule, scenario.name), move || {
            run(async move { run_it(crate::store_suite::Fixture::new(store.fresh().await).await).await })
        })
    };
    crate::store_suite::all().map(trial).collect()
}

/// The trial that every clause has a scenario, and every scenario a clause and a name of its own.
pub fn completeness() -> Trial {
    Trial::test("every clause has a scenario", || {
        let clauses: BTreeSet<_> = CLAUSES.iter().copied().collect();
        let proved: BTreeSet<_> = crate::scenarios::all().map(|scenario| scenario.clause).collect();
        let missing: Vec<_> = clauses.difference(&proved).collect();
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
    let name = name(broken.name(), &*store, clause, &format!("is caught: {what}"));
    Trial::test(name, move || {
        let mut all = crate::scenarios::all();
        let Some(scenario) = all.find(|known| (known.clause, known.name) == (clause, scenario)) else {
            return Err(format!("no scenario {scenario:?} of {clause}").into());
        };
        let outcome = run(async move {
            let world = World::new(broken, store.fresh().await).await;
            (scenario.run)(world).await;
        });
        match outcome {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("{:?} passes with it", scenario.name).into()),
        }
    })
}

/// The name of a trial: mount, clause, behaviour.
fn name(adapter: &str, store: &dyn StoreKind, clause: &str, behaviour: &str) -> String {
    format!("{adapter} × {} · {clause} · {behaviour}", store.name())
}

/// Runs one trial on a runtime of its own, which takes everything with it that the trial left behind.
///
/// # Errors
/// What it panicked with, and where.
pub fn run(trial: impl Future<Output = ()> + Send + 'static) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let place = Arc::new(Mutex::new(String::new()));
    let outcome = runtime.block_on(async {
        let task = tokio::spawn(PANICKED_AT.scope(Arc::clone(&place), trial));
        let more = crate::race_rounds().saturating_sub(crate::RACE_ROUNDS);
        tokio::time::timeout(WATCHDOG + ROUND * u32::try_from(more).unwrap_or(u32::MAX), task).await
    });
    runtime.shutdown_background();
    let place = place.lock().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.is_panic() => Err(format!("{place}: {}", message(&*error.into_panic())).into()),
        Ok(Err(error)) => Err(error.to_string().into()),
        Err(_) => Err("stuck".into()),
    }
}

tokio::task_local! {
    static PANICKED_AT: Arc<Mutex<String>>;
}

/// Keeps panics out of the output, as many trials cause them on purpose; a failed trial's own is in its report. With
/// `SESSION_TEST_PANICS` set all are printed too.
pub fn hush_panics() {
    let print = std::env::var_os("SESSION_TEST_PANICS").map(|_| std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // Outside a trial's own task there is nothing to note.
        let _outside = PANICKED_AT.try_with(|slot| *slot.lock().unwrap_or_else(PoisonError::into_inner) = place);
        if let Some(print) = &print {
            print(panic);
        }
    }));
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}
