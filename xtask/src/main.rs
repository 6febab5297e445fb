//! Development tasks, run as `cargo xtask TASK`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // It is a program for a terminal.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // It makes and reads files.

mod bench;
mod browser;
mod ci;
mod corpus;
mod documents;
mod fixtures;
mod fleet;
mod oracle;
mod packages;
mod run;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const HELP: &str = "\
cargo xtask TASK

  bench [CASE…]      speed and memory as ratios against a peer (needs root once)
  browser [DIR]      the pages of --html in Chromium: pictures, search, order, hostile names
  ci                 all that CI checks
  corpus DIR         hold the map of images that others made against what is known of them
  deb [DIR]          write a Debian package with man pages and completions, into target/debian
  docs               write the pages that are made from the program (docs/cli.md, diagnostics.md,
                     interface.txt)
  fixtures [CASE…]   rebuild fixtures from their recipes; --check: only compare
  install-check      install by cargo and as a Debian package, and run both in a bare system (root)
  man [DIR]          write the manual pages, into target/man if no folder is given
  fleet              one base, many overlays and lists; tables by three engines (needs root)
  oracle SUBJECT     compare the report with the kernel (needs root), images with qemu-img
  tidy               dependency rules, circles of files, sizes, names, links, fixtures";

fn main() -> ExitCode {
    match task() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = root()?;
    let (task, rest) = args.split_first().context(HELP)?;
    match task.as_str() {
        "bench" => bench::run(&root, rest),
        "browser" => browser::run(&root, rest),
        "ci" => ci::run(&root, rest),
        "corpus" => corpus::run(&root, rest),
        "deb" => packages::deb(&root, rest).map(|package| println!("{}", package.display())),
        "docs" => documents::docs(&root),
        "install-check" => packages::install_check(&root),
        "man" => documents::man(&root, rest),
        "fleet" => fleet::run(&root, rest),
        "fixtures" => fixtures::run(&root, rest),
        "oracle" => oracle::run(&root, rest),
        "tidy" => tidy::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => bail!("no task {other:?}\n{HELP}"),
    }
}

/// The workspace: the folder above this package.
fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let root = Path::new(&package).parent().context("no workspace")?;
    Ok(root.to_owned())
}
