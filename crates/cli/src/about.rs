//! What this program is, as `--version` says it.

use clap::{Command, CommandFactory as _};
use hexz_resolve::Registry;

use crate::args::Cli;

/// Images that are read.
const IMAGES: &str = "raw hxz qcow2 qed vdi parallels vhd vhdx vmdk";

/// The command line with all that it says of itself, for a program with these plugins.
pub(crate) fn command(registry: &Registry) -> Command {
    Cli::command().long_version(version(registry))
}

fn version(registry: &Registry) -> String {
    let filesystems = registry.filesystems().iter().map(|f| f.descriptor().id);
    let schemes = registry.schemes().iter().map(|s| s.descriptor().id);
    format!(
        "{}\nwhich files a change of disk blocks touched (package hexz-cli)\n\
         filesystems: {}\npartition tables and volume managers: {}\nimages: {}",
        env!("CARGO_PKG_VERSION"),
        filesystems.collect::<Vec<_>>().join(" "),
        schemes.collect::<Vec<_>>().join(" "),
        IMAGES,
    )
}
