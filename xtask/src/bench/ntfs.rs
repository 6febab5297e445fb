//! Three hundred thousand files on NTFS, against `ntfscluster` over the whole range.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Bench;
use super::image::{Change, Changed, Recipe, prepare};
use super::measure::{Figures, in_turn, median, run as measure};
use crate::run::output;

pub(super) fn run(bench: &Bench, change: Change) -> Result<Figures> {
    let images = prepare(
        &bench.folder("ntfs")?,
        &Recipe {
            format: "truncate -s 16G $1 && mkntfs -q -F -f $1",
            mount: "ntfs-3g $1 $2",
            files: 300_000,
            // Too much for their records, so that there are clusters to name.
            size: 30,
            least: 0,
        },
        change,
    )?;
    // It names the owners of all clusters in the range, and looks at one disk only.
    let last = std::fs::metadata(&images.base)?.len() / 4096 - 1;
    let mut ntfscluster = Command::new("ntfscluster");
    ntfscluster
        .args(["-f", "-c", &format!("0-{last}")])
        .arg(&images.base);
    let goal = match change {
        Change::Large => "at least 8",
        Change::Small => "at most 8 MiB read",
    };
    let mut figures = bench.row(
        &images,
        format!(
            "300,000 files, {} changed blocks, against ntfscluster over all clusters",
            images.blocks.len()
        ),
        goal,
        || measure(&mut ntfscluster, None),
    )?;
    figures.notes.push(sweep(bench, &images)?);
    Ok(figures)
}

/// What the sweep costs over reading the same bytes. A cluster of a file is looked up, with one
/// thread: that sweeps all of `$MFT` for its owner. A cluster of `$MFT` explains itself: what that
/// takes is the start of the program, and the rest of the question.
fn sweep(bench: &Bench, images: &Changed) -> Result<String> {
    let extents = output(
        Command::new("ntfsinfo")
            .args(["-f", "-v", "-F", "/t1/d150/file-30"])
            .arg(&images.base),
    )?;
    let cluster = first_run(&extents, "")?;
    let mft = Command::new("ntfsinfo")
        .args(["-f", "-v", "-i", "0"])
        .arg(&images.base)
        .output()?
        .stdout;
    let mft = String::from_utf8_lossy(&mft).into_owned();
    let start = first_run(&mft, "attribute $DATA")?;
    let size = mft.lines().filter_map(|l| {
        let rest = l.trim().strip_prefix("Data size:")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    let size = size.max().context("the size of $MFT")?;
    let owner = |block: u64| {
        let mut command = Command::new(&bench.hexz);
        command.args(["owner", "--threads", "1", "--block", &block.to_string()]);
        measure(command.arg(&images.base), None)
    };
    let (sweeps, others) = in_turn(bench.rounds, || owner(cluster), || owner(start + 1000))?;
    let mut reads = Vec::new();
    for _ in 0..=bench.rounds {
        reads.push(read(&images.base, start * 4096, size)?);
    }
    reads.sort();
    let read = reads.get(reads.len() / 2).copied().unwrap_or_default();
    let once = median(&sweeps)
        .saturating_sub(median(&others))
        .as_secs_f64();
    Ok(format!(
        "one sweep of $MFT ({} MiB): {once:.3} s; reading its bytes: {:.3} s; ratio {:.2} (goal: at most 2)",
        size >> 20,
        read.as_secs_f64(),
        once / read.as_secs_f64()
    ))
}

/// The first LCN that ntfsinfo lists behind `mark`.
fn first_run(text: &str, mark: &str) -> Result<u64> {
    let text = match mark {
        "" => text,
        mark => text.split(mark).nth(1).context("an attribute")?,
    };
    let mut lines = text.lines().skip_while(|l| !l.contains("Runlist:")).skip(1);
    let lcn = lines.next().and_then(|l| l.split_whitespace().nth(1));
    let hex = lcn.and_then(|l| l.strip_prefix("0x")).context("a run")?;
    Ok(u64::from_str_radix(hex, 16)?)
}

fn read(image: &Path, start: u64, length: u64) -> Result<Duration> {
    let file = File::open(image)?;
    let mut buf = vec![0; 128 << 10];
    let begin = Instant::now();
    let mut done = 0;
    while done < length {
        let now = usize::try_from((length - done).min(128 << 10))?;
        file.read_exact_at(&mut buf[..now], start + done)?;
        done += now as u64;
    }
    Ok(begin.elapsed())
}
