//! How the SQL stores behave as their tables grow, on a real server: the latency of each operation on tables of several
//! sizes, bytes for each session, and what a clean-up of many rows does to the reads beside it.
//!
//! `cargo bench -p conformance-tests --bench growth -- --sizes 10000,100000,1000000,5000000 --expired 1000000`. Makes databases
//! of its own on the server of `--url`, a few GB for millions, and removes them. No test: nothing fails by being slow.
//!
//! How fast the clean-up is, on the servers of `--url` and `--beside` and in SQLite, idle and for a minute under load: `cargo bench -p
//! conformance-tests --bench growth -- --sizes none --expired 0 --backlog 20000 --load 60`.

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::database::Server;
use crate::options::Options;

mod backlog;
mod cleanup;
mod database;
mod figures;
mod operations;
mod options;
mod sessions;
mod sizes;

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::at(&options.url)?;
    if !options.sizes.is_empty() {
        println!("{}: {} rounds, in turns, after one to warm up", server.name(), options.rounds);
        // One request after the other: what is timed is the store and the server.
        Builder::new_current_thread().enable_all().build()?.block_on(sizes::compare(&server, options))?;
    }
    if options.expired > 0 && options.cleanups > 0 {
        Builder::new_multi_thread().enable_all().build()?.block_on(cleanup::under_load(&server, options))?;
    }
    if options.backlog > 0 {
        Builder::new_multi_thread().enable_all().build()?.block_on(backlog::measure(options))?;
    }
    Ok(())
}
