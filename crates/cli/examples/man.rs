//! Writes the manual pages of `hexz` into a folder: `cargo xtask man` runs it.
#![allow(clippy::disallowed_methods)] // It writes files.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let dir = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    std::fs::create_dir_all(&dir)?;
    clap_mangen::generate_to(hexz_cli::command(&hexz_cli::registry()), dir)
}
