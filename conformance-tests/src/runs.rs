//! Names of what a run of the tests makes on a shared server, so that a later run can clear it away.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the names begin with; the time follows.
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
