//! Names for what a test run creates on a shared server, so that a later run can remove it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The start of each name, before the time.
const PREFIX: &str = "session_test_";
/// A run that began longer ago is over.
const RUN: Duration = Duration::from_secs(3 * 3600);

/// A name that no other run has.
pub(crate) fn name() -> String {
    format!("{PREFIX}{}_{}", now().as_secs(), std::process::id())
}

/// Whether `name` was made by a run that is over.
pub(crate) fn is_over(name: &str) -> bool {
    let began = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse().ok());
    began.is_some_and(|began: u64| began + RUN.as_secs() < now().as_secs())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
