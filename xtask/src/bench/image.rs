//! Images with very many files, and a change of some five thousand blocks.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::measure::shell;

const BLOCK: usize = 4096;

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

/// Makes the images in `dir`, or finds those made before.
pub(crate) fn prepare(dir: &Path, recipe: &Recipe<'_>) -> Result<Changed> {
    let base = dir.join("base.img");
    let merged = dir.join("merged.img");
    let overlay = dir.join("vm.overlay");
    let meta = dir.join("vm.meta");
    if !meta.exists() {
        eprintln!("making {} files in {} …", recipe.files, base.display());
        shell(&script(recipe), dir)?;
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

/// A thousand files a directory; then appends, overwrites, new files, renames and removals spread
/// over the tree until some five thousand blocks differ.
fn script(recipe: &Recipe<'_>) -> String {
    let Recipe {
        format,
        mount,
        files,
        size,
        least,
    } = recipe;
    let directories = files / 1000;
    format!(
        r#"
rm -rf base.img merged.img mnt && mkdir mnt
format() {{ {format}; }}
attach() {{ {mount}; }}
detach() {{ sync; for i in 1 2 3 4 5 6 7 8 9; do umount mnt && return; sleep 1; done; }}
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
cp --sparse=always base.img merged.img
attach merged.img mnt
python3 - <<'PY'
import os, random
r = random.Random(7)
def path():
    d = r.randrange({directories})
    return f"mnt/t{{d // 100}}/d{{d}}/file-{{r.randrange(1000)}}"
for n in range(1100):
    with open(path(), "ab") as f: f.write(b"appended\n" * 20)
for n in range(500):
    with open(f"mnt/t0/new-{{n}}", "wb") as f: f.write(b"new\n" * 2000)
for n in range(100):
    p = path()
    if os.path.exists(p): os.rename(p, p + ".bak")
for n in range(100):
    p = path()
    if os.path.exists(p): os.unlink(p)
for n in range(100):
    p = path()
    if os.path.exists(p): os.chmod(p, 0o600)
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
