//! A million files on btrfs, against `btrfs inspect-internal logical-resolve`, which knows only of
//! extents: so no file is so small that its content is in its tree.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::image::{Change, Changed, Recipe, prepare};
use super::measure::{Cost, Figures, shell};

/// Blocks of which the kernel is asked.
const SAMPLE: usize = 60;

pub(super) fn run(bench: &Bench, change: Change) -> Result<Figures> {
    let dir = bench.folder("btrfs")?;
    let files = bench.files.unwrap_or(1_000_000);
    let images = prepare(
        &dir,
        &Recipe {
            format: "truncate -s 16G $1 && mkfs.btrfs -q -f $1",
            // One transaction: each further one would write the leaves once more.
            mount: "btrfs device scan --forget && mount -o loop,noatime,commit=900 $1 $2",
            files,
            size: 20,
            least: 4096,
        },
        change,
    )?;
    apply(&images, &dir)?;
    let data = data_blocks(&dir, &images.blocks)?;
    let step = (data.len() / SAMPLE).max(1);
    let sample: Vec<u64> = data.iter().copied().step_by(step).collect();
    let lines: Vec<String> = sample.iter().map(|at| format!("{at}\n")).collect();
    fs::write(dir.join("sample"), lines.concat()).context("the sample")?;
    let share = data.len() as f64 / sample.len().max(1) as f64;
    let goal = match change {
        Change::Large => "at least 100",
        Change::Small => "none",
    };
    let mut figures = bench.row(
        &images,
        format!(
            "{files} files, {} changed blocks, against btrfs inspect-internal logical-resolve of \
             {} of the {} among them that hold content, extrapolated",
            images.blocks.len(),
            sample.len(),
            data.len()
        ),
        goal,
        || logical_resolve(&dir, share),
    )?;
    let answered = fs::read_to_string(dir.join("found"))?.lines().count();
    ensure!(answered > 0, "logical-resolve found no file");
    figures.notes = vec![
        format!("logical-resolve named {answered} files of the sample"),
        read_once(&dir)?,
    ];
    Ok(figures)
}

/// Makes the disk after, of which the kernel is asked.
fn apply(images: &Changed, dir: &Path) -> Result<()> {
    shell("cp --sparse=always base.img merged.img", dir)?;
    let overlay = File::open(&images.overlay)?;
    let merged = File::options().write(true).open(dir.join("merged.img"))?;
    let mut block = [0; 4096];
    for number in &images.blocks {
        overlay.read_exact_at(&mut block, number * 4096)?;
        merged.write_all_at(&block, number * 4096)?;
    }
    Ok(())
}

/// The logical addresses of those blocks of the disk that are in chunks of content: of others
/// logical-resolve does not know.
fn data_blocks(dir: &Path, blocks: &[u64]) -> Result<Vec<u64>> {
    let out = Command::new("btrfs")
        .args(["inspect-internal", "dump-tree", "-t", "chunk"])
        .arg(dir.join("merged.img"))
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    let (mut stripes, mut chunk, mut length, mut data) = (Vec::new(), 0u64, 0u64, false);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["item", _, "key", _, "CHUNK_ITEM", logical, ..] => {
                chunk = logical.trim_end_matches(')').parse()?;
            }
            ["length", bytes, .., kind] => {
                length = bytes.parse()?;
                data = kind.starts_with("DATA");
            }
            ["stripe", _, "devid", _, "offset", offset] if data => {
                stripes.push((offset.parse::<u64>()?, length, chunk));
            }
            _ => {}
        }
    }
    let logical = |block: &u64| {
        let at = block * 4096;
        let mut stripes = stripes.iter();
        let found = stripes.find(|(start, length, _)| (*start..start + length).contains(&at));
        found.map(|(start, _, logical)| logical + (at - start))
    };
    Ok(blocks.iter().filter_map(logical).collect())
}

/// Asks the kernel for the sample; the time is that of all blocks.
fn logical_resolve(dir: &Path, share: f64) -> Result<Cost> {
    let mount = "mkdir -p look && btrfs device scan --forget && mount -o loop,ro merged.img look";
    shell(mount, dir)?;
    let start = Instant::now();
    let asked = shell(
        "while read -r at; do btrfs inspect-internal logical-resolve \"$at\" look 2> lost || true; \
         done < sample > found",
        dir,
    );
    let time = start.elapsed().mul_f64(share);
    shell("umount look", dir)?;
    asked?;
    Ok(Cost {
        time,
        ..Cost::default()
    })
}

/// How long btrfs-progs take to read each block of the tree of files once.
fn read_once(dir: &Path) -> Result<String> {
    // The first time brings it to memory, where it is when others are measured.
    let stats = "for i in 1 2; do btrfs inspect-internal tree-stats base.img > stats; done";
    shell(stats, dir)?;
    let text = fs::read_to_string(dir.join("stats"))?;
    let of_files = text.split("Calculating size of fs tree").nth(1);
    let mut lines = of_files.unwrap_or_default().lines().map(str::trim);
    let mut said = |what| lines.find(|line| line.starts_with(what)).unwrap_or(what);
    Ok(format!(
        "btrfs inspect-internal tree-stats reads the tree of files once: {}, {}",
        said("Total read time"),
        said("Total nodes")
    ))
}
