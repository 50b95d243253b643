//! The conformance suite: what every adapter and every store of the session library must pass,
//! through real HTTP.
//!
//! The README shows how to run it for your own adapter ([`adapter::Adapter`]) or store
//! ([`world::StoreKind`]).

use std::pin::Pin;

pub mod adapter;
pub mod app;
pub mod browser;
pub mod contract;
pub mod cross;
pub mod faulty;
pub mod gates;
pub mod model;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
mod random;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
mod runs;
pub mod scenario;
pub mod scenarios;
#[cfg(test)]
mod security;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod store_suite;
pub mod suite;
pub mod trial;
mod wire;
pub mod world;

pub use session_core::testing::intercept;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many rounds a race runs, unless `SESSION_TEST_ROUNDS` says otherwise.
pub const RACE_ROUNDS: usize = 200;

/// How many rounds a race runs in this process.
///
/// # Panics
/// If `SESSION_TEST_ROUNDS` is no number.
pub fn race_rounds() -> usize {
    race_rounds_or(RACE_ROUNDS)
}

/// The same, for races whose rounds take longer: `default` unless `SESSION_TEST_ROUNDS` says
/// otherwise.
///
/// # Panics
/// If `SESSION_TEST_ROUNDS` is no number.
pub fn race_rounds_or(default: usize) -> usize {
    std::env::var("SESSION_TEST_ROUNDS").map_or(default, |rounds| rounds.parse().expect("a number of rounds"))
}

/// The examples of the workspace's README, and of this crate's own, compiled.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../../README.md")]
    struct Workspace;
    #[doc = include_str!("../README.md")]
    struct Suite;
}
