//! Marks in seconds, rates and many rounds, of the store on servers of its own: what the trials show in counts, at length.
//!
//! `cargo bench -p conformance-tests --bench marks -- flood kills crashes cuts silence idle runtimes chaos`; all of them if none is
//! named, and on one server by `--only postgres` or `--only mysql`. `chaos` runs `--rounds N`, and repeats a seed by `--seed N`. Ends in
//! an error where something was lost, done twice or refused that must not be.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use support::faults::programs::{Kind, Programs};
use support::faults::servers::Server;

mod byte_cuts;
mod chaos;
mod counted;
mod flood;
mod idle;
mod kills;
mod runtimes;
mod silence;
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../../tests/support/mod.rs"]
mod support;

const MARKS: [&str; 8] = ["flood", "kills", "crashes", "cuts", "silence", "idle", "runtimes", "chaos"];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut marks, mut only) = (Vec::new(), None);
    let mut runs = chaos::Runs { rounds: 10, seed: None };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => only = args.next(),
            "--rounds" => runs.rounds = args.next().and_then(|number| number.parse().ok()).expect("how many rounds"),
            "--seed" => runs.seed = args.next().map(|number| number.parse().expect("a number")),
            mark if MARKS.contains(&mark) => marks.push(mark.to_owned()),
            other => {
                eprintln!(
                    "no mark {other:?}: marks [--only postgres|mysql] [--rounds N] [--seed N] [{}]",
                    MARKS.join("|")
                );
                return ExitCode::FAILURE;
            }
        }
    }
    if marks.is_empty() {
        marks = MARKS.map(str::to_owned).to_vec();
    }
    for kind in [Kind::Postgres, Kind::MariaDb] {
        if only.as_deref().is_some_and(|only| only != kind.name()) {
            continue;
        }
        let programs = match Programs::find(kind) {
            Ok(programs) => programs,
            Err(why) => {
                eprintln!("{}: {why}", kind.name());
                return ExitCode::FAILURE;
            }
        };
        for mark in &marks {
            let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(mark, runs, programs.clone()));
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
    ExitCode::SUCCESS
}

async fn run(mark: &str, runs: chaos::Runs, programs: Programs) {
    let server = Server::start_new(programs).await;
    match mark {
        "flood" => flood::one_users_flood(&server).await,
        "kills" => kills::connections_killed(&server).await,
        "crashes" => kills::servers_killed(&server).await,
        "cuts" => byte_cuts::cut_at_any_byte(&server).await,
        "silence" => silence::forgotten_under_load(&server).await,
        "idle" => idle::idle_limit_of_the_server(&server).await,
        "chaos" => chaos::everything_fails(&server, runs).await,
        "runtimes" => runtimes::one_store_in_many_runtimes(&server).await,
        other => unreachable!("{other} is no mark"),
    }
}
