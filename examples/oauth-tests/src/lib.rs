//! What every app must do that signs in with an OAuth 2 provider: over HTTP, and in a real browser
//! where there is one.

mod chromium;
mod flow;
mod refusals;

use std::process::{Command, ExitCode};

use app_tests::Program;
use conformance_tests::{BoxFuture, suite, trial};
use libtest_mimic::{Arguments, Trial};

/// An app under test.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// Its name.
    pub name: &'static str,
    /// The path of its program.
    pub program: &'static str,
}

impl App {
    fn trial(self, part: &str, behaviour: &str, run: fn(Program) -> BoxFuture<'static, ()>) -> Trial {
        Trial::test(trial::name(&[self.name, part], behaviour), move || {
            suite::run(async move { run(Program::start(self.name, Command::new(self.program).env_clear())).await })
        })
    }
}

/// Runs all tests of `app`.
#[must_use = "the exit code says whether all of it passed"]
pub fn run(app: App) -> ExitCode {
    suite::hush_panics();
    let mut trials = refusals::trials(app);
    trials.extend(chromium::trials(app));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
