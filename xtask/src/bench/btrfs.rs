//! A million files on btrfs, against `btrfs inspect-internal logical-resolve`, which knows only of
//! extents: so no file is so small that its content is in its tree.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::ext4::diff;
use super::image::{Recipe, prepare};
use super::measure::{Cost, Figures, in_turn, run as measure, shell};

/// Blocks of which the kernel is asked.
const SAMPLE: usize = 60;

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let dir = bench.folder("btrfs")?;
    let files = bench.files.unwrap_or(1_000_000);
    let images = prepare(
        &dir,
        &Recipe {
            format: "truncate -s 8G $1 && mkfs.btrfs -q -f $1",
            mount: "btrfs device scan --forget && mount -o loop,noatime $1 $2",
            files,
            size: 20,
            least: 4096,
        },
    )?;
    let step = (images.blocks.len() / SAMPLE).max(1);
    let sample: Vec<u64> = images.blocks.iter().copied().step_by(step).collect();
    write_sample(&images.base, &dir, &sample)?;
    let share = images.blocks.len() as f64 / sample.len() as f64;
    let (ours, peer) = in_turn(
        bench.rounds,
        || measure(&mut diff(bench, &images), None),
        || logical_resolve(&dir, share),
    )?;
    let answered = fs::read_to_string(dir.join("found"))?.lines().count();
    ensure!(answered > 0, "logical-resolve found no file");
    Ok(Figures {
        title: format!(
            "{files} files, {} changed blocks, against btrfs inspect-internal logical-resolve of \
             {} of them, extrapolated",
            images.blocks.len(),
            sample.len()
        ),
        ours,
        peer,
        goal: "at least 100".to_owned(),
        notes: vec![
            format!("logical-resolve named {answered} files of the sample"),
            read_once(&dir)?,
        ],
    })
}

/// Writes the logical addresses of blocks of the disk, as the chunk tree has them.
fn write_sample(base: &Path, dir: &Path, blocks: &[u64]) -> Result<()> {
    let out = Command::new("btrfs")
        .args(["inspect-internal", "dump-tree", "-t", "chunk"])
        .arg(base)
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    let (mut stripes, mut chunk) = (Vec::new(), (0u64, 0u64));
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["item", _, "key", _, "CHUNK_ITEM", logical, ..] => {
                chunk.0 = logical.trim_end_matches(')').parse()?;
            }
            ["length", length, ..] => chunk.1 = length.parse()?,
            ["stripe", _, "devid", _, "offset", offset] => {
                stripes.push((offset.parse::<u64>()?, chunk.1, chunk.0));
            }
            _ => {}
        }
    }
    let mut list = String::new();
    for block in blocks {
        let at = block * 4096;
        let found = stripes
            .iter()
            .find(|(start, length, _)| (*start..start + length).contains(&at));
        if let Some((start, _, logical)) = found {
            list += &format!("{}\n", logical + (at - start));
        }
    }
    fs::write(dir.join("sample"), list).context("the sample")
}

/// Asks the kernel for the sample; the time is that of all blocks.
fn logical_resolve(dir: &Path, share: f64) -> Result<Cost> {
    let mount = "mkdir -p look && btrfs device scan --forget && mount -o loop,ro base.img look";
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
