//! Two hundred thousand files on a FAT32, against The Sleuth Kit.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Bench;
use super::ext4::diff;
use super::image::{Changed, write_overlay};
use super::measure::{Cost, Figures, in_turn, run as measure, shell};

/// Blocks that the peer is asked about. It reads the directories anew for each of them, so that all
/// five thousand would take it hours: what is measured is less than it needs.
const ASKED: usize = 10;

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let dir = bench.folder("fat")?;
    let images = prepare(&dir)?;
    // The first clusters of the volume are behind both tables.
    let step = images.blocks.len() / (ASKED + 1);
    let asked: Vec<u64> = (1..=ASKED)
        .filter_map(|n| images.blocks.get(n * step).copied())
        .collect();
    let (ours, peer) = in_turn(
        bench.rounds,
        || measure(&mut diff(bench, &images), None),
        || sleuth_kit(&images.base, &asked),
    )?;
    Ok(Figures {
        title: format!(
            "FAT32, 200,000 files, {} changed blocks, against fls -r -p and ifind for {ASKED} of them",
            images.blocks.len()
        ),
        ours,
        peer,
        goal: "at least 20".to_owned(),
        notes: Vec::new(),
    })
}

/// All names, and the owner of each of `blocks`.
fn sleuth_kit(image: &Path, blocks: &[u64]) -> Result<Cost> {
    let mut total = measure(Command::new("fls").args(["-r", "-p"]).arg(image), None)?;
    for block in blocks {
        let sector = (block * 8).to_string();
        let cost = measure(Command::new("ifind").args(["-d", &sector]).arg(image), None)?;
        total.time += cost.time;
        total.memory = total.memory.max(cost.memory);
    }
    Ok(total)
}

/// Makes the images in `dir`, or finds those made before. No root is needed.
fn prepare(dir: &Path) -> Result<Changed> {
    let (base, merged) = (dir.join("base.img"), dir.join("merged.img"));
    let (overlay, meta) = (dir.join("vm.overlay"), dir.join("vm.meta"));
    if !meta.exists() {
        eprintln!("making 200000 files in {} …", base.display());
        shell(SCRIPT, dir)?;
        write_overlay(&base, &merged, &overlay, &meta)?;
        fs::remove_file(&merged)?;
    }
    let list = fs::read(&meta).with_context(|| meta.display().to_string())?;
    let blocks = list
        .chunks_exact(8)
        .filter_map(|entry| entry.try_into().ok().map(u64::from_le_bytes))
        .collect();
    Ok(Changed {
        base,
        overlay,
        blocks,
    })
}

/// Makes an empty volume, fills it with `bench/fat.py` (mtools would take hours), and changes a copy
/// with mtools: files written anew, new ones, renames and removals, spread over the tree.
const SCRIPT: &str = concat!(
    r#"
set -eu
export MTOOLS_SKIP_CHECK=1
rm -rf new base.img merged.img
truncate -s 4G base.img
mkfs.vfat -F 32 -s 8 base.img > mkfs.log
python3 - <<'PY'
"#,
    include_str!("fat.py"),
    r#"
PY
fsck.vfat -n base.img > fsck.log
cp --sparse=always base.img merged.img
python3 - <<'PY'
import os, random, subprocess
r = random.Random(7)
def mtools(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
os.makedirs("new", exist_ok=True)
for n in range(500):
    with open(f"new/new-{n}.text", "wb") as f: f.write(b"new\n" * 2000)
mtools("mcopy", "-i", "merged.img", *(f"new/new-{n}.text" for n in range(500)), "::/t0")
for d in r.sample(range(200), 110):
    at = f"t{d // 100}/d{d}"
    names = r.sample(range(1000), 12)
    for n in names[:10]:
        with open(f"new/file-{n}.text", "wb") as f: f.write(b"%d/%d again\n" % (d, n) * 1500)
    mtools("mcopy", "-o", "-i", "merged.img", *(f"new/file-{n}.text" for n in names[:10]), f"::/{at}")
    mtools("mren", "-i", "merged.img", f"::/{at}/file-{names[10]}.text", f"::/{at}/file-{names[10]}.bak")
    mtools("mdel", "-i", "merged.img", f"::/{at}/file-{names[11]}.text")
PY
rm -rf new
"#
);
