//! One trial: its name, its own runtime with a time limit, and the report of its failure.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use crate::contract;

/// After this a trial counts as stuck. No scenario waits for time to pass, but a busy machine can
/// be many times slower.
const WATCHDOG: Duration = Duration::from_secs(1200);
/// What each round of a race may add to that, if more than the usual number are asked for.
const ROUND: Duration = Duration::from_secs(2);

/// A trial that proves clauses. Its name is `place/store/CLAUSE/behaviour`: `place` is an adapter
/// or another kind of test, and several clauses follow each other, with slashes. A failure quotes
/// the clauses.
///
/// # Panics
/// If a part of the name can't be typed: see [`name`].
pub fn proves<F>(
    place: &str,
    store: &str,
    clauses: &'static [&'static str],
    behaviour: &str,
    proof: impl FnOnce() -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = ()> + Send + 'static,
{
    Trial::test(name(&[&[place, store], clauses].concat(), behaviour), move || {
        run(proof()).map_err(|failed| explained(&failed, clauses))
    })
}

/// The failure with the text of its clauses.
pub(crate) fn explained(failed: &Failed, clauses: &[&str]) -> Failed {
    contract::report(failed.message().unwrap_or("failed"), clauses).into()
}

/// The name of a trial: its parts, such as adapter, store and clause, then its behaviour, separated
/// by slashes. A filter matches any part of it: `COOK-7/` runs one clause, `axum/sqlite/` one
/// adapter over one store.
///
/// # Panics
/// If a part is empty, or has a blank, a slash or a character outside ASCII. The behaviour may have
/// blanks, but not at its ends.
pub fn name(of: &[&str], behaviour: &str) -> String {
    for part in of {
        assert!(can_be_typed(part) && !part.contains(' '), "{part:?} can't be a part of a trial's name");
    }
    assert!(can_be_typed(behaviour), "{behaviour:?} can't be in a trial's name");
    [of, &[behaviour]].concat().join("/")
}

fn can_be_typed(part: &str) -> bool {
    !part.is_empty()
        && part.trim() == part
        && part.bytes().all(|byte| (byte == b' ' || byte.is_ascii_graphic()) && !br#"/`"$\"#.contains(&byte))
}

/// Prints why something can't be tested here. Returns a trial that fails if `SESSION_TEST_REQUIRE`
/// is `all`.
pub fn untested(why: String) -> Option<Trial> {
    println!("not tested: {why}");
    let required = std::env::var("SESSION_TEST_REQUIRE").is_ok_and(|all| all == "all");
    required.then(|| Trial::test("everything can be tested here", move || Err(why.into())))
}

/// Runs one trial on a runtime of its own, which ends all tasks that the trial started.
///
/// # Errors
/// If the trial panicked: with what, and where.
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

/// Keeps panics out of the output, because many trials cause them on purpose. The panic of a failed
/// trial is in its report. If `SESSION_TEST_PANICS` is set, all are printed.
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

#[cfg(test)]
mod tests {
    use super::{name, run};

    #[test]
    fn a_name_is_its_parts() {
        assert_eq!(name(&["axum", "sqlite", "COOK-7"], "every way out"), "axum/sqlite/COOK-7/every way out");
    }

    #[test]
    fn what_can_not_be_typed_is_no_name() {
        for part in ["", "my adapter", "a/b", "a×b", "a\nb"] {
            assert!(std::panic::catch_unwind(|| name(&[part], "works")).is_err(), "{part:?}");
        }
        for behaviour in ["", " a", "a ", "a/b", "a · b", "a `b`"] {
            assert!(std::panic::catch_unwind(|| name(&["axum"], behaviour)).is_err(), "{behaviour:?}");
        }
    }

    #[test]
    fn a_panic_is_a_failure_that_says_what_it_said() {
        let failed = run(async { panic!("what it said") }).expect_err("it panics");
        assert!(failed.message().is_some_and(|message| message.ends_with("what it said")));
    }
}
