//! A million files on btrfs, against `btrfs inspect-internal logical-resolve`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Bench;
use super::ext4::diff;
use super::image::{Recipe, prepare};
use super::measure::{Cost, Figures, in_turn, run as measure, shell};

/// Blocks of which the kernel is asked.
const SAMPLE: usize = 60;

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let dir = bench.folder("btrfs")?;
    let images = prepare(
        &dir,
        &Recipe {
            format: "truncate -s 8G $1 && mkfs.btrfs -q -f $1",
            mount: "btrfs device scan --forget && mount -o loop,noatime $1 $2",
            files: 1_000_000,
            size: 20,
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
    Ok(Figures {
        title: format!(
            "1,000,000 files, {} changed blocks, against btrfs inspect-internal logical-resolve of \
             {} of them, extrapolated",
            images.blocks.len(),
            sample.len()
        ),
        ours,
        peer,
        goal: "at least 100".to_owned(),
        notes: Vec::new(),
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
        "while read -r at; do btrfs inspect-internal logical-resolve \"$at\" look > found 2> lost \
         || true; done < sample",
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
