//! Runs the suite for the Axum adapter over every store that the library brings, and for what is broken on purpose.

use std::process::ExitCode;
use std::sync::Arc;

use conformance_tests::world::{Memory, StoreKind};
use conformance_tests::{model, suite};
use libtest_mimic::Arguments;

use crate::support::axum::Axum;
use crate::support::broken::Broken;
use crate::support::processes;
use crate::support::sqlite::Sqlite;

mod support;

fn main() -> ExitCode {
    suite::hush_panics();
    if let Some(task) = processes::task() {
        return processes::work(&task);
    }
    let arguments = Arguments::from_args();
    let axum = Arc::new(Axum::AsItIs);
    let memory: Arc<dyn StoreKind> = Arc::new(Memory);
    let sqlite: Arc<dyn StoreKind> = Arc::new(Sqlite);

    let mut trials = vec![suite::completeness()];
    for store in [&memory, &sqlite] {
        trials.extend(suite::mount_store(store));
        trials.extend(suite::mount(&axum, store));
        trials.push(model::mount(&axum, store));
    }
    trials.extend(processes::trials());

    let broken_adapter = |what, clause, broken| suite::catches(what, clause, Arc::new(broken), Arc::clone(&memory));
    let broken_store = |what, clause, broken: Broken| suite::catches(what, clause, Arc::clone(&axum), Arc::new(broken));
    trials.extend([
        broken_adapter("a dropped commit", "DATA-1", Axum::DropsTheCommit),
        broken_adapter("a removed cookie for an unknown token", "COOK-7", Axum::ClearsUnknownTokens),
        broken_store("an upserting save", "DATA-6", Broken::Upserts),
        broken_store("lost writes", "DATA-4", Broken::IgnoresVersions),
        broken_store("lost updates", "DATA-5", Broken::IgnoresVersions),
    ]);
    libtest_mimic::run(&arguments, trials).exit_code()
}
