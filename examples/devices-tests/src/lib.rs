//! What every devices app must do, asked of its running program: over HTTP, and in a real browser
//! where there is one. Leaves to each app's test binary to say where its program is.

mod nodes;
mod pages;
mod program;
mod two_devices;

use std::path::Path;
use std::process::ExitCode;

use app_tests::chromium;
use conformance_tests::suite;
use libtest_mimic::Arguments;

pub use program::App;

/// Runs all tests of `app`, and keeps the screenshots below `folder`.
#[must_use = "the exit code says whether all of it passed"]
pub fn run(app: App, folder: &Path) -> ExitCode {
    suite::hush_panics();
    let mut trials = pages::trials(app);
    trials.extend(nodes::trials(app));
    match chromium::missing() {
        None => trials.extend(two_devices::trials(app, folder)),
        Some(what) => trials.extend(suite::untested(format!(
            "{} in a browser: {what}; `apt-get install chromium chromium-driver` brings both",
            app.name
        ))),
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
