//! Runs what every cart app must do against this one's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cart_tests::run("cart-actix", env!("CARGO_BIN_EXE_cart-actix"))
}
