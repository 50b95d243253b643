//! Runs what every app must do that signs in with a provider against this one's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    oauth_tests::run(oauth_tests::App { name: "oauth-actix", program: env!("CARGO_BIN_EXE_oauth-actix") })
}
