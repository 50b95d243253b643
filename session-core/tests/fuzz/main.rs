//! Attacks at random on whatever reads what comes from outside, through the doors that adapters and
//! stores use. Each attack takes a few thousand inputs; with `SESSION_FUZZ_SECONDS` it goes on for
//! so long, and prints how many it tried.
//!
//! A failure prints the smallest input that fails. It becomes a test of its own next to the parser
//! that it broke, and stays there. There is no attack on bearer tokens, as there are none yet.

use std::env;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{COOKIE, HeaderMap, HeaderValue};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use session_core::adapter::ScopeGuard;
use session_core::{CookieSession, CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
use tokio::runtime::Runtime;

mod clients;
mod cookies;
mod forms;
mod rows;
#[cfg(feature = "sqlite")]
mod tables;

/// Inputs of an attack, unless it goes on for a time.
const INPUTS: u32 = 2000;
/// Between two looks at the clock.
const BATCH: u32 = 500;

/// Runs an attack. It fails by a panic, or by its own result.
fn attack<S: Strategy>(name: &str, inputs: S, attack: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let seconds = env::var("SESSION_FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    let (begun, tried) = (Instant::now(), AtomicU64::new(0));
    loop {
        let cases = if seconds.is_some() { BATCH } else { INPUTS };
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&inputs, |input| {
            tried.fetch_add(1, Ordering::Relaxed);
            attack(input)
        });
        if let Err(failure) = outcome {
            panic!("{name}: {failure}");
        }
        if seconds.is_none_or(|seconds| begun.elapsed() >= Duration::from_secs(seconds)) {
            break;
        }
    }
    println!("{name}: {} inputs in {:?}", tried.into_inner(), begun.elapsed());
}

fn keys(seed: u8) -> KeyRing {
    KeyRing::new(SigningKey::from_bytes(&[seed; 32]).expect("a key"))
}

fn service() -> CookieSessionService {
    CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys(7)).expect("a configuration"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// A request with these headers, extracted, and what its layer holds.
async fn request(
    service: &CookieSessionService,
    headers: &HeaderMap,
) -> (ScopeGuard, session_core::Result<CookieSession>) {
    let guard = service.begin(None);
    let facts = guard.scope().read(headers, None);
    let session = guard.scope().load(facts).await;
    (guard, session)
}

/// A head with one cookie.
fn with_cookie(cookie: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).expect("a header value"))])
}

/// One value for all inputs.
fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
