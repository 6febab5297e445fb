//! The `hexz` binary.

use std::process::ExitCode;

/// Names and records by the hundred thousand, made on several threads: the usual allocator would
/// take as long as the look-up.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hexz_cli::run(hexz_cli::registry(), std::env::args_os())
}
