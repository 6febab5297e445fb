//! `hexz` with one more filesystem.

use std::process::ExitCode;

use hexz_resolve::DuplicateId;

fn main() -> Result<ExitCode, DuplicateId> {
    let mut plugins = hexz_cli::plugins()?;
    hexz_toyfs::register(&mut plugins)?;
    Ok(hexz_cli::run(plugins.build(), std::env::args_os()))
}
