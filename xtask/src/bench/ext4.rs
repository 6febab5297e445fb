//! A million files on ext4, against `debugfs`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use super::Bench;
use super::image::{Change, Changed, Recipe, prepare};
use super::measure::{Cost, Figures, run as measure};

const BATCH: usize = 1000;

pub(super) fn images(bench: &Bench, change: Change) -> Result<Changed> {
    prepare(
        &bench.folder("ext4")?,
        &Recipe {
            format: "truncate -s 16G $1 && mke2fs -q -t ext4 -N 1200000 -E lazy_itable_init=0 $1",
            mount: "mount -o loop $1 $2",
            files: 1_000_000,
            size: 1,
            least: 0,
        },
        change,
    )
}

pub(super) fn run(bench: &Bench, change: Change) -> Result<Figures> {
    let images = images(bench, change)?;
    let goal = match change {
        Change::Large => "at least 100",
        Change::Small => "at most 24 MiB read",
    };
    let mut figures = bench.row(
        &images,
        format!(
            "1,000,000 files, {} changed blocks, against debugfs icheck (batches of {BATCH}) and ncheck",
            images.blocks.len()
        ),
        goal,
        || debugfs(&images),
    )?;
    figures.notes.push(bytes_once(&images.base)?);
    Ok(figures)
}

/// `hexz diff --files --json` of `images`.
pub(super) fn diff(hexz: &Path, images: &Changed) -> Command {
    let mut command = Command::new(hexz);
    command
        .args(["diff", "--files", "--json"])
        .arg(&images.overlay)
        .arg("--base")
        .arg(&images.base);
    command
}

/// The same questions: which inode has each block, and what is each inode called.
fn debugfs(images: &Changed) -> Result<Cost> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("icheck");
    let mut total = Cost::default();
    let mut inodes = BTreeSet::new();
    for batch in images.blocks.chunks(BATCH) {
        let numbers: Vec<String> = batch.iter().map(u64::to_string).collect();
        let request = format!("icheck {}", numbers.join(" "));
        let mut command = Command::new("debugfs");
        command.args(["-R", &request]).arg(&images.base);
        add(&mut total, measure(&mut command, Some(&out))?);
        let text = fs::read_to_string(&out)?;
        inodes.extend(
            text.lines()
                .filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()),
        );
    }
    let numbers: Vec<String> = inodes.iter().map(u64::to_string).collect();
    let mut command = Command::new("debugfs");
    command
        .args(["-R", &format!("ncheck {}", numbers.join(" "))])
        .arg(&images.base);
    add(&mut total, measure(&mut command, None)?);
    Ok(total)
}

fn add(total: &mut Cost, cost: Cost) {
    total.time += cost.time;
    total.cpu += cost.cpu;
    total.memory = total.memory.max(cost.memory);
}

/// How long it takes to read the inode tables once.
fn bytes_once(image: &Path) -> Result<String> {
    let text = Command::new("dumpe2fs").arg(image).output()?.stdout;
    let text = String::from_utf8_lossy(&text);
    let tables = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix("Inode table at "));
    let file = File::open(image)?;
    let mut buf = vec![0; 1 << 20];
    let mut bytes = 0u64;
    let start = Instant::now();
    for table in tables {
        let Some((from, to)) = table
            .split([' ', ','])
            .next()
            .and_then(|r| r.split_once('-'))
        else {
            continue;
        };
        let (mut at, end) = (from.parse::<u64>()? * 4096, (to.parse::<u64>()? + 1) * 4096);
        while at < end {
            let now = usize::try_from((end - at).min(1 << 20))?;
            file.read_exact_at(&mut buf[..now], at)?;
            at += now as u64;
            bytes += now as u64;
        }
    }
    Ok(format!(
        "reading the inode tables ({} MiB) once: {:.3} s",
        bytes >> 20,
        start.elapsed().as_secs_f64()
    ))
}
