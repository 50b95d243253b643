//! The conformance suite: what every adapter and every store of the session library must pass, through real HTTP.
//! Leaves to a mount how an adapter serves the shared routes, and how a kind of store makes fresh rows.
//!
//! A mount is a test binary of about 30 lines. It implements [`adapter::Adapter`], names its kinds of store
//! ([`world::StoreKind`]) and hands the trials of [`suite::mount`] and [`suite::mount_store`] to `libtest_mimic::run`.
//!
//! | Environment | |
//! |---|---|
//! | `SESSION_TEST_ROUNDS` | how many rounds each race runs: 200 |
//! | `SESSION_TEST_PANICS` | print every panic, also those that trials cause on purpose |

use std::pin::Pin;

pub mod adapter;
pub mod app;
pub mod browser;
pub mod faulty;
pub mod gates;
pub mod model;
pub mod scenarios;
pub mod store_suite;
pub mod suite;
pub mod world;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many rounds a race runs, unless `SESSION_TEST_ROUNDS` says otherwise.
pub const RACE_ROUNDS: usize = 200;

/// How many rounds a race runs in this process.
///
/// # Panics
/// If `SESSION_TEST_ROUNDS` is no number.
pub fn race_rounds() -> usize {
    std::env::var("SESSION_TEST_ROUNDS").map_or(RACE_ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}
