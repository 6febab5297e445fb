//! All that CI checks, in the order in which it fails fastest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, check, output};
use crate::{browser, packages, tidy};

/// Runs `cargo xtask ci`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("`ci` takes no arguments");
    }
    step("format");
    check(cargo(root).args(["fmt", "--all", "--check"]))?;
    step("tidy");
    tidy::run(root, &[])?;
    step("oldest compiler, licences, packages");
    packages::minimum_rust(root)?;
    packages::deny(root)?;
    packages::crates(root)?;
    step("lints");
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    check(cargo(root).args(lints))?;
    step("docs");
    let docs = [
        "doc",
        "--no-deps",
        "--workspace",
        "--document-private-items",
    ];
    check(cargo(root).args(docs).env("RUSTDOCFLAGS", "-D warnings"))?;
    let readme = Readme::read(root)?;
    step(&readme.test);
    check(&mut command(root, &readme.test)?)?;
    step("browser");
    browser::run(root, &[])?;
    step(&readme.first);
    let shown = output(&mut command(root, &readme.first)?)?;
    print!("{shown}");
    names_files(root, &shown)
}

fn step(what: &str) {
    println!("\n== {what}");
}

/// The two commands that the README promises will work.
struct Readme {
    first: String,
    test: String,
}

impl Readme {
    fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join("README.md")).context("README.md")?;
        let find = |start: &str| {
            let mut lines = text.lines().map(|l| l.trim().trim_start_matches("$ "));
            let line = lines.find(|l| l.starts_with(start)).map(str::to_owned);
            line.with_context(|| format!("README.md shows no `{start} …`"))
        };
        Ok(Self {
            first: find("cargo run")?,
            test: find("cargo test")?,
        })
    }
}

/// A command of the README, which is plain words.
fn command(root: &Path, line: &str) -> Result<Command> {
    let mut words = line
        .split_whitespace()
        .skip_while(|w| *w != "cargo")
        .skip(1);
    if line.contains(['"', '\'', '|', '>', '$', '\\']) {
        bail!("the README's command is for a shell: {line}");
    }
    let mut command = cargo(root);
    command.args(words.by_ref());
    Ok(command)
}

/// What the first command shows are the files of the demo's truth.
fn names_files(root: &Path, shown: &str) -> Result<()> {
    let truth = fs::read_to_string(root.join("fixtures/demo/vm-state.truth.jsonl"))?;
    let mut known = 0;
    for line in truth.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let path = record["path"].as_str().context("a path")?;
        if record["type"] == "directory" {
            continue;
        }
        // Many files of one directory may be one line, which names the directory.
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        if !shown.contains(path) && !shown.contains(&format!("{parent}/")) {
            bail!("the README's first command does not show {path}");
        }
        known += usize::from(shown.contains(path));
    }
    if known == 0 {
        bail!("the README's first command shows no path");
    }
    println!("\n{known} paths of the truth are shown.");
    Ok(())
}
