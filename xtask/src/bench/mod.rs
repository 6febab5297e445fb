//! Speed and memory, as ratios against a peer in the same run.
//!
//! Images are made in a folder (`--dir`, by default `target/bench`), one case at a time; making them
//! needs root, for loop mounts. Nothing here is part of a test.

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

use self::image::{Change, Changed};
use self::measure::{Cost, Figures, in_turn, run_report};
use crate::run::release_binary;

const HELP: &str = "\
cargo xtask bench [--dir DIR] [--rounds N] [--files N] [--hexz PROGRAM] [--earlier HEXZ] [--keep]
                  [CASE]...

Measures each case (all of them but virt and scale, when none is named) and prints a table: btrfs,
ext4, fat, ntfs, xfs and xfs-parent (XFS with parent pointers), each with a large change and a small
one, or with one of the two as in ext4-small; raw, owner, extract, virt, scale. Those of filesystems
and scale are held against the binary of an earlier build too, where one is given. Btrfs takes
another number of files. Images are up to 10 GiB a case; --keep leaves them for the next run.";

/// The cases of filesystems.
const FILESYSTEMS: [&str; 6] = ["btrfs", "ext4", "fat", "ntfs", "xfs", "xfs-parent"];

/// What a case runs with.
pub(crate) struct Bench {
    dir: PathBuf,
    hexz: PathBuf,
    rounds: usize,
    /// As many files in place of a case's own number, where it is given.
    files: Option<u64>,
    /// An earlier build to compare with.
    earlier: Option<PathBuf>,
    /// Whether images are left for another run.
    keep: bool,
}

impl Bench {
    /// A folder for the images of one case.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(dir)
    }

    /// The figures of a diff of `images` and of `peer`, in turn, and of an earlier build.
    fn row(
        &self,
        images: &Changed,
        title: String,
        goal: &str,
        peer: impl FnMut() -> Result<Cost>,
    ) -> Result<Figures> {
        let out = self.dir.join("report.json");
        let of = |hexz: &Path| run_report(&mut ext4::diff(hexz, images), &out);
        let (ours, theirs) = in_turn(self.rounds, || of(&self.hexz), peer)?;
        let mut earlier = Vec::new();
        if let Some(before) = &self.earlier {
            let (_, then) = in_turn(self.rounds, || of(&self.hexz), || of(before))?;
            earlier = then;
        }
        std::fs::remove_file(&out)?;
        Ok(Figures {
            title,
            ours,
            peer: theirs,
            earlier,
            goal: goal.to_owned(),
            notes: Vec::new(),
        })
    }

    /// Takes away the images of a case.
    fn discard(&self, case: &str) -> Result<()> {
        // Those of ext4 serve the owners too.
        let folders = match (asked(case), case) {
            (Some((filesystem, _)), _) => vec![filesystem],
            (None, "owner") => vec!["ext4", "owner"],
            (None, other) => vec![other],
        };
        for folder in folders {
            let dir = self.dir.join(folder);
            if dir.exists() {
                std::fs::remove_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
            }
        }
        Ok(())
    }

    /// One of [`FILESYSTEMS`], with one change or both.
    fn filesystem(&self, case: &str, changes: &[Change]) -> Result<()> {
        for change in changes {
            let figures = match case {
                "btrfs" => btrfs::run(self, *change)?,
                "ext4" => ext4::run(self, *change)?,
                "fat" => fat::run(self, *change)?,
                "ntfs" => ntfs::run(self, *change)?,
                "xfs" => xfs::run(self, *change, false)?,
                _ => xfs::run(self, *change, true)?,
            };
            figures.print(&format!("{case}-{}", change.as_str()));
        }
        Ok(())
    }
}

/// What a name asks for: a filesystem, and one change or both.
fn asked(name: &str) -> Option<(&str, Vec<Change>)> {
    if FILESYSTEMS.contains(&name) {
        return Some((name, Change::ALL.to_vec()));
    }
    let change = Change::ALL.into_iter().find_map(|change| {
        let case = name.strip_suffix(change.as_str())?.strip_suffix('-')?;
        Some((case, vec![change]))
    });
    change.filter(|(case, _)| FILESYSTEMS.contains(case))
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let mut bench = Bench {
        dir: root.join("target/bench"),
        hexz: PathBuf::new(),
        rounds: 5,
        files: None,
        earlier: None,
        keep: false,
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
            "--keep" => bench.keep = true,
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
            name => cases.push(name.to_owned()),
        }
    }
    if bench.hexz.as_os_str().is_empty() {
        bench.hexz = release_binary(root, &[])?;
    }
    if cases.is_empty() {
        let all = FILESYSTEMS.into_iter().chain(["raw", "owner", "extract"]);
        cases = all.map(str::to_owned).collect();
    }
    for case in &cases {
        if let Some((filesystem, changes)) = asked(case) {
            bench.filesystem(filesystem, &changes)?;
        } else {
            match case.as_str() {
                "raw" => raw::run(&bench)?.print(case),
                "owner" => owner::run(&bench)?.print(case),
                "extract" => extract::run(&bench)?.print(case),
                "virt" => virt::run(&bench)?.print(case),
                "scale" => scale::run(&bench)?,
                other => bail!("there is no case {other:?}\n\n{HELP}"),
            }
        }
        if !bench.keep {
            bench.discard(case)?;
        }
    }
    Ok(())
}
