//! The `hexz` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hexz_cli::run(hexz_cli::registry(), std::env::args_os())
}
