//! Runs what every devices app must do against this one's program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let app = devices_tests::App { name: "devices-actix", program: env!("CARGO_BIN_EXE_devices-actix") };
    devices_tests::run(app, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"))
}
