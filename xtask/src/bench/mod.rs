//! Speed and memory, as ratios against a peer in the same run.
//!
//! Images are made once, in a folder that is kept (`--dir`, by default `target/bench`); making
//! them needs root, for loop mounts. Nothing here is part of a test.

mod btrfs;
mod ext4;
mod extract;
mod fat;
mod image;
pub(crate) mod measure;
mod ntfs;
mod owner;
mod raw;
mod scale;
mod virt;
mod xfs;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::run::release_binary;

const HELP: &str = "\
cargo xtask bench [--dir DIR] [--rounds N] [--files N] [--hexz PROGRAM] [--earlier HEXZ]
                  [btrfs] [ext4] [fat] [ntfs] [xfs] [raw] [owner] [extract] [virt] [scale]

Measures each case (all of them but virt and scale, when none is named) and prints a table. Scale is held
against the binary of an earlier build, where one is given. Btrfs takes another number of files.";

/// What a case runs with.
pub(crate) struct Bench {
    dir: PathBuf,
    hexz: PathBuf,
    rounds: usize,
    /// As many files in place of a case's own number, where it is given.
    files: Option<u64>,
    /// An earlier build to compare with.
    earlier: Option<PathBuf>,
}

impl Bench {
    /// A folder for the images of one case.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(dir)
    }
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let mut bench = Bench {
        dir: root.join("target/bench"),
        hexz: PathBuf::new(),
        rounds: 5,
        files: None,
        earlier: None,
    };
    let mut cases = Vec::new();
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            "--hexz" => bench.hexz = args.next().context("--hexz wants a program")?.into(),
            "--dir" => bench.dir = args.next().context("--dir wants a folder")?.into(),
            "--rounds" => bench.rounds = args.next().context("--rounds wants a number")?.parse()?,
            "--files" => {
                let files = args.next().context("--files wants a number")?.parse()?;
                bench.files = Some(files);
            }
            "--earlier" => {
                let path = args.next().context("--earlier wants a binary")?;
                bench.earlier = Some(std::path::absolute(path)?);
            }
            name => cases.push(name),
        }
    }
    if bench.hexz.as_os_str().is_empty() {
        bench.hexz = release_binary(root, &[])?;
    }
    if cases.is_empty() {
        cases = vec![
            "btrfs", "ext4", "fat", "ntfs", "xfs", "raw", "owner", "extract",
        ];
    }
    for case in cases {
        let figures = match case {
            "btrfs" => btrfs::run(&bench)?,
            "ext4" => ext4::run(&bench)?,
            "fat" => fat::run(&bench)?,
            "ntfs" => ntfs::run(&bench)?,
            "xfs" => xfs::run(&bench)?,
            "raw" => raw::run(&bench)?,
            "owner" => owner::run(&bench)?,
            "extract" => extract::run(&bench)?,
            "virt" => virt::run(&bench)?,
            "scale" => {
                scale::run(&bench)?;
                continue;
            }
            other => bail!("there is no case {other:?}\n\n{HELP}"),
        };
        figures.print(case);
    }
    Ok(())
}
