//! The `hexz` binary, for the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    hexz_cli::run(hexz_cli::registry(), std::env::args_os())
}
