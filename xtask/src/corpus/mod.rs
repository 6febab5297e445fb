//! Holds `hexz map` against images that others made and what is known to lie where in them, and
//! runs it over damaged ones. The images are not part of the project.
//!
//! The folder may hold, at any depth: `*.jsonl` truths, whose records name their image; the
//! images they name; and a folder `corrupt`, every file in which is taken for a damaged image.

mod limited;
mod truth;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, check};
use limited::{Ran, run_limited};
use truth::{Score, Truth};

/// How long one image may take, and how much memory.
const TIME: Duration = Duration::from_secs(60);
const MEMORY: u64 = 400 << 20;

/// Runs `cargo xtask corpus DIR [FILESYSTEM…]`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let verbose = args.iter().any(|a| a == "-v");
    let mut args = args.iter().filter(|a| *a != "-v");
    let dir = args
        .next()
        .context("cargo xtask corpus DIR [-v] [FILESYSTEM…]")?;
    let filesystems: Vec<&str> = match args.map(String::as_str).collect::<Vec<_>>() {
        none if none.is_empty() => vec![
            "ext2", "ext3", "ext4", "ntfs", "xfs", "fat12", "fat16", "fat32", "exfat",
        ],
        some => some,
    };
    let build = [
        "build",
        "--release",
        "--quiet",
        "--package",
        "hexz-cli",
        "--all-features",
    ];
    check(cargo(root).args(build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let hexz = target.join("release/hexz");
    let files = files(Path::new(dir))?;
    let bad = intact(&hexz, &files, &filesystems, verbose)? + damaged(&hexz, &files)?;
    match bad {
        0 => Ok(()),
        count => bail!("{count} images are not as they should be"),
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Every truth against the map of its image.
fn intact(hexz: &Path, files: &[PathBuf], filesystems: &[&str], verbose: bool) -> Result<usize> {
    let mut bad = 0;
    let mut totals: BTreeMap<String, (usize, Score)> = BTreeMap::new();
    for path in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "jsonl"))
    {
        let truth = Truth::read(path, filesystems)?;
        let Some(image) = files
            .iter()
            .find(|f| !truth.is_empty() && f.ends_with(&truth.image))
        else {
            continue;
        };
        let ran = run_limited(
            hexz,
            &["map", "--json", "--journal", "ignore"],
            image,
            TIME,
            MEMORY,
        )?;
        let score = truth.score(&ran.output);
        let good = score.is_perfect() && ran.ended_well();
        if !good {
            bad += 1;
            println!("{}: {}, {}", truth.image, score, ran);
            let shown = if verbose { usize::MAX } else { 3 };
            score
                .wrong
                .iter()
                .take(shown)
                .for_each(|w| println!("    {w}"));
        }
        let (images, total) = totals.entry(truth.filesystems()).or_default();
        *images += 1;
        total.add(&score);
    }
    for (filesystem, (images, score)) in totals {
        println!("{filesystem:<12} {images:>4} images  {score}");
    }
    Ok(bad)
}

/// No damaged image may make it fail otherwise than by saying so.
fn damaged(hexz: &Path, files: &[PathBuf]) -> Result<usize> {
    let corrupt = |f: &&PathBuf| f.components().any(|c| c.as_os_str() == "corrupt");
    let (mut bad, mut all, mut slowest, mut largest) = (0, 0, Duration::ZERO, 0);
    for image in files.iter().filter(corrupt) {
        for task in [&["map", "--json"][..], &["layout"][..]] {
            let ran: Ran = run_limited(hexz, task, image, TIME, MEMORY)?;
            all += 1;
            slowest = slowest.max(ran.time);
            largest = largest.max(ran.memory);
            if !ran.ended_well() {
                bad += 1;
                println!("{} {}: {ran}", task[0], image.display());
            }
        }
    }
    let mib = largest >> 20;
    println!("damaged: {all} runs, {bad} bad; at most {slowest:.1?} and {mib} MiB");
    Ok(bad)
}
