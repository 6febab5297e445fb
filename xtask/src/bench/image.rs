//! Images with very many files, with a large change and a small one.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::measure::shell;

const BLOCK: usize = 4096;

/// How much of an image is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Some twenty or thirty thousand blocks.
    Large,
    /// Sixteen records.
    Small,
}

impl Change {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Large, Self::Small];

    /// Its word in the names of cases and files.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Small => "small",
        }
    }

    /// Files appended to, new ones, and files renamed, removed and chmoded.
    const fn counts(self) -> [u32; 5] {
        match self {
            Self::Large => [7000, 3000, 600, 600, 600],
            Self::Small => [10, 1, 2, 1, 2],
        }
    }
}

/// A base image and an overlay over it.
pub(crate) struct Changed {
    /// The raw disk before.
    pub(crate) base: PathBuf,
    /// The overlay's data file; its `.meta` lies beside it.
    pub(crate) overlay: PathBuf,
    /// The changed blocks.
    pub(crate) blocks: Vec<u64>,
}

/// How to make one.
pub(crate) struct Recipe<'a> {
    /// Makes an empty filesystem in the file `$1`.
    pub(crate) format: &'a str,
    /// Mounts `$1` on `$2`.
    pub(crate) mount: &'a str,
    /// Number of files.
    pub(crate) files: u64,
    /// Their content is this many times 5 to 320 bytes.
    pub(crate) size: u64,
    /// Bytes that each file has at least.
    pub(crate) least: u64,
}

/// Makes the images of `change` in `dir`, or finds those made before.
pub(crate) fn prepare(dir: &Path, recipe: &Recipe<'_>, change: Change) -> Result<Changed> {
    if !dir.join("base.made").exists() {
        eprintln!("making {} files in {} …", recipe.files, dir.display());
        shell(&filled(recipe), dir)?;
    }
    overlaid(dir, change, &edited(recipe, change))
}

/// The overlay in `dir` of what `edit`, a script, does to `merged.img`, a copy of `base.img`.
pub(crate) fn overlaid(dir: &Path, change: Change, edit: &str) -> Result<Changed> {
    let (base, merged) = (dir.join("base.img"), dir.join("merged.img"));
    let word = change.as_str();
    let overlay = dir.join(format!("{word}.overlay"));
    let meta = dir.join(format!("{word}.meta"));
    if !meta.exists() {
        shell(edit, dir)?;
        write_overlay(&base, &merged, &overlay, &meta)?;
        fs::remove_file(&merged)?;
    }
    let blocks = fs::read(&meta)?
        .chunks_exact(8)
        .filter_map(|entry| entry.try_into().ok().map(u64::from_le_bytes))
        .collect();
    Ok(Changed {
        base,
        overlay,
        blocks,
    })
}

/// What both scripts begin with.
fn attached(recipe: &Recipe<'_>) -> String {
    let Recipe { format, mount, .. } = recipe;
    format!(
        r#"
mkdir -p mnt
format() {{ {format}; }}
attach() {{ {mount}; }}
detach() {{ sync -f mnt; for i in 1 2 3 4 5 6 7 8 9; do umount mnt && return; sleep 1; done; }}
"#
    )
}

/// A thousand files a directory.
fn filled(recipe: &Recipe<'_>) -> String {
    let (directories, size, least) = (recipe.files / 1000, recipe.size, recipe.least);
    attached(recipe)
        + &format!(
            r#"
rm -f *.img *.overlay *.meta
format base.img
attach base.img mnt
trap detach EXIT
python3 - <<'PY'
import os
for d in range({directories}):
    p = f"mnt/t{{d // 100}}/d{{d}}"
    os.makedirs(p)
    for n in range(1000):
        with open(f"{{p}}/file-{{n}}", "wb") as f:
            line = b"%d/%d\n" % (d, n)
            f.write(line * max((1 + n % 40) * {size}, -(-{least} // len(line))))
PY
detach
trap - EXIT
touch base.made
"#
        )
}

/// Appends, new files, renames, removals and changes of mode, spread over the tree.
fn edited(recipe: &Recipe<'_>, change: Change) -> String {
    let directories = recipe.files / 1000;
    let [appended, new, renamed, removed, chmoded] = change.counts();
    attached(recipe)
        + &format!(
            r#"
cp --sparse=always base.img merged.img
attach merged.img mnt
trap detach EXIT
python3 - <<'PY'
import os, random
r = random.Random(7)
def path():
    while True:
        d = r.randrange({directories})
        p = f"mnt/t{{d // 100}}/d{{d}}/file-{{r.randrange(1000)}}"
        if os.path.exists(p): return p
for n in range({appended}):
    with open(path(), "ab") as f: f.write(b"appended\n" * 20)
for n in range({new}):
    with open(f"mnt/t0/new-{{n}}", "wb") as f: f.write(b"new\n" * 2000)
for n in range({renamed}):
    p = path()
    os.rename(p, p + ".bak")
for n in range({removed}):
    os.unlink(path())
for n in range({chmoded}):
    os.chmod(path(), 0o600)
PY
detach
trap - EXIT
"#
        )
}

/// Writes the blocks in which the two images differ as a hexz overlay.
pub(crate) fn write_overlay(base: &Path, merged: &Path, overlay: &Path, meta: &Path) -> Result<()> {
    let (mut before, mut after) = (File::open(base)?, File::open(merged)?);
    let length = after.seek(SeekFrom::End(0))?;
    after.rewind()?;
    let data = File::create(overlay)?;
    data.set_len(length)?;
    let mut index = Vec::new();
    let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0u64;
    while at < length {
        let now = usize::try_from((length - at).min(1 << 20))?;
        before.read_exact(&mut x[..now]).context("base image")?;
        after.read_exact(&mut y[..now]).context("merged image")?;
        if x[..now] != y[..now] {
            for (n, (p, q)) in x[..now]
                .chunks(BLOCK)
                .zip(y[..now].chunks(BLOCK))
                .enumerate()
            {
                if p != q {
                    let offset = at + (n * BLOCK) as u64;
                    data.write_all_at(q, offset)?;
                    index.push(offset / BLOCK as u64);
                }
            }
        }
        at += now as u64;
    }
    let mut file = File::create(meta)?;
    for block in &index {
        file.write_all(&block.to_le_bytes())?;
    }
    eprintln!("{} changed blocks", index.len());
    Ok(())
}
