//! Two hundred thousand files on a FAT32, against The Sleuth Kit.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::image::{Change, overlaid};
use super::measure::{Cost, Figures, run as measure, shell};

/// Blocks that the peer is asked about. It reads the directories anew for each of them, so that all
/// five thousand would take it hours: what is measured is less than it needs.
const ASKED: usize = 10;

pub(super) fn run(bench: &Bench, change: Change) -> Result<Figures> {
    let dir = bench.folder("fat")?;
    if !dir.join("base.made").exists() {
        eprintln!("making 200000 files in {} …", dir.display());
        shell(FILL, &dir)?;
    }
    let (new, directories, goal) = match change {
        Change::Large => (3000, 180, "at least 20"),
        Change::Small => (1, 1, "none"),
    };
    let counts = format!("export NEW={new} DIRECTORIES={directories}\n");
    let images = overlaid(&dir, change, &(counts + EDIT))?;
    // The first clusters of the volume are behind both tables.
    let step = (images.blocks.len() / (ASKED + 1)).max(1);
    let asked: Vec<u64> = (1..=ASKED)
        .filter_map(|n| images.blocks.get(n * step).copied())
        .collect();
    bench.row(
        &images,
        format!(
            "FAT32, 200,000 files, {} changed blocks, against fls -r -p and ifind for {} of them",
            images.blocks.len(),
            asked.len()
        ),
        goal,
        || sleuth_kit(&images.base, &asked),
    )
}

/// All names, and the owner of each of `blocks`.
fn sleuth_kit(image: &Path, blocks: &[u64]) -> Result<Cost> {
    let mut total = measure(Command::new("fls").args(["-r", "-p"]).arg(image), None)?;
    for block in blocks {
        let sector = (block * 8).to_string();
        let cost = measure(Command::new("ifind").args(["-d", &sector]).arg(image), None)?;
        total.time += cost.time;
        total.cpu += cost.cpu;
        total.memory = total.memory.max(cost.memory);
    }
    Ok(total)
}

/// Makes an empty volume and fills it with `bench/fat.py`: mtools would take hours.
const FILL: &str = concat!(
    r#"
rm -f *.img *.overlay *.meta
truncate -s 4G base.img
mkfs.vfat -F 32 -s 8 base.img > mkfs.log
python3 - <<'PY'
"#,
    include_str!("fat.py"),
    r#"
PY
fsck.vfat -n base.img > fsck.log
touch base.made
"#
);

/// Changes a copy with mtools: files written anew, new ones, renames and removals, spread over the
/// tree. No root is needed.
const EDIT: &str = r#"
export MTOOLS_SKIP_CHECK=1
rm -rf new
cp --sparse=always base.img merged.img
python3 - <<'PY'
import os, random, subprocess
r = random.Random(7)
added, directories = int(os.environ["NEW"]), int(os.environ["DIRECTORIES"])
def mtools(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
os.makedirs("new", exist_ok=True)
for n in range(added):
    with open(f"new/new-{n}.text", "wb") as f: f.write(b"new\n" * 2000)
for n in range(0, added, 500):
    names = (f"new/new-{m}.text" for m in range(n, min(n + 500, added)))
    mtools("mcopy", "-i", "merged.img", *names, "::/t0")
for d in r.sample(range(200), directories):
    at = f"t{d // 100}/d{d}"
    names = r.sample(range(1000), 42)
    for n in names[:40]:
        with open(f"new/file-{n}.text", "wb") as f: f.write(b"%d/%d again\n" % (d, n) * 1500)
    mtools("mcopy", "-o", "-i", "merged.img", *(f"new/file-{n}.text" for n in names[:40]), f"::/{at}")
    mtools("mren", "-i", "merged.img", f"::/{at}/file-{names[40]}.text", f"::/{at}/file-{names[40]}.bak")
    mtools("mdel", "-i", "merged.img", f"::/{at}/file-{names[41]}.text")
PY
rm -rf new
"#;
