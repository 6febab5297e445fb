//! btrfs: FIEMAP tells logical addresses, which the chunk tree brings to places on the disk.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::disk::{Loop, output};
use super::tree::{Extent, Record, Tree};
use super::{Mix, Subject};

/// Compressed: what lies there is no part of the file as it is.
const ENCODED: u64 = 0x8;

/// A mount that commits only when it is asked to, so that logs are not empty.
pub(crate) const SELDOM: &str = "commit=900";

/// The subject.
pub(crate) struct Btrfs;

impl Subject for Btrfs {
    fn name(&self) -> &'static str {
        "btrfs"
    }

    fn mixes(&self) -> &'static [Mix] {
        &MIXES
    }

    fn look(&self) -> &'static str {
        "rw,noatime,subvolid=5"
    }

    fn ignores(&self, _path: &[u8]) -> bool {
        false
    }

    fn note(&self) -> &'static str {
        "Subvolumes come and go, snapshots are made and changed, extents are shared in part, files \
         are compressed anew and defragmented, and block groups are balanced. A snapshot that came \
         or went is one record, as is said in the page about the format: what the kernel shows \
         below it is left out. Live copies have log trees: files and directories are synchronised \
         one by one, renamed, linked and unlinked, and nothing is committed after that."
    }
}

/// Whether a mix is one of these.
pub(crate) fn applies(mix: &Mix) -> bool {
    mix.filesystem == "btrfs"
}

const fn mix(
    name: &'static str,
    mebibytes: u64,
    mount: &'static str,
    format: &'static [&'static str],
) -> Mix {
    Mix {
        name,
        filesystem: "btrfs",
        format,
        mount,
        start: 0,
        mebibytes,
    }
}

const MIXES: [Mix; 10] = [
    mix("btrfs-default", 384, "rw", &["mkfs.btrfs", "-q", "-f"]),
    mix(
        "btrfs-zlib-single",
        256,
        "rw,compress-force=zlib",
        &["mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single"],
    ),
    mix(
        "btrfs-lzo-cache-v1",
        256,
        "rw,compress-force=lzo,space_cache=v1",
        &[
            "mkfs.btrfs",
            "-q",
            "-f",
            "-n",
            "4096",
            "-m",
            "single",
            "-O",
            "^no-holes",
            "-R",
            "^free-space-tree",
        ],
    ),
    mix(
        "btrfs-zstd-64k",
        384,
        "rw,compress-force=zstd",
        &["mkfs.btrfs", "-q", "-f", "-n", "65536"],
    ),
    mix(
        "btrfs-mixed",
        128,
        "rw",
        &["mkfs.btrfs", "-q", "-f", "-M", "-n", "4096"],
    ),
    mix(
        "btrfs-xxhash",
        256,
        "rw,compress=zstd",
        &["mkfs.btrfs", "-q", "-f", "-m", "single", "--csum", "xxhash"],
    ),
    mix(
        "btrfs-sha256-dup",
        384,
        "rw",
        &["mkfs.btrfs", "-q", "-f", "-d", "dup", "--csum", "sha256"],
    ),
    mix(
        "btrfs-blake2-quota",
        256,
        "rw",
        &[
            "mkfs.btrfs",
            "-q",
            "-f",
            "-m",
            "single",
            "--csum",
            "blake2",
            "-R",
            "quota",
        ],
    ),
    mix(
        "btrfs-nodatacow-8k",
        256,
        "rw,nodatacow",
        &["mkfs.btrfs", "-q", "-f", "-n", "8192", "-m", "single"],
    ),
    Mix {
        name: "btrfs-old-sector-63",
        filesystem: "btrfs",
        format: &[
            "mkfs.btrfs",
            "-q",
            "-f",
            "-m",
            "single",
            "-O",
            "^skinny-metadata,^extref,^no-holes",
        ],
        mount: "rw",
        start: 63,
        mebibytes: 256,
    },
];

/// Drops what the kernel remembers of devices that are not mounted: of two copies of one
/// filesystem it would take the older one for stale.
pub(crate) fn forget() -> Result<()> {
    output("btrfs", &["device", "scan", "--forget"]).map(drop)
}

/// A chunk: logical address, length, and where its copies lie.
struct Chunk {
    logical: u64,
    length: u64,
    copies: Vec<u64>,
}

/// Brings the extents of `tree` from logical addresses to places on the volume in `image`: one for
/// each copy.
pub(crate) fn locate(image: &Path, mix: &Mix, tree: &mut Tree) -> Result<()> {
    let device = Loop::attach(image, mix)?;
    let out = output(
        "btrfs",
        &[
            "inspect-internal",
            "dump-tree",
            "-t",
            "chunk",
            device.name(),
        ],
    )?;
    let chunks = chunks(&String::from_utf8(out)?)?;
    for node in tree.values_mut() {
        let Some(extents) = &mut node.extents else {
            continue;
        };
        let mut placed = Vec::new();
        for extent in extents.iter() {
            if extent.physical == 0 {
                placed.push(*extent);
            } else if extent.flags & ENCODED == 0 {
                place(extent, &chunks, &mut placed)?;
            }
        }
        *extents = placed;
    }
    Ok(())
}

fn place(extent: &Extent, chunks: &[Chunk], placed: &mut Vec<Extent>) -> Result<()> {
    let mut done = 0;
    while done < extent.length {
        let at = extent.physical + done;
        let chunk = chunks
            .iter()
            .find(|c| (c.logical..c.logical + c.length).contains(&at))
            .with_context(|| format!("logical address {at} is in no chunk"))?;
        let inner = at - chunk.logical;
        let length = (extent.length - done).min(chunk.length - inner);
        placed.extend(chunk.copies.iter().map(|copy| Extent {
            logical: extent.logical + done,
            physical: copy + inner,
            length,
            flags: extent.flags,
        }));
        done += length;
    }
    Ok(())
}

fn chunks(dump: &str) -> Result<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut wanted = false;
    for line in dump.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> Result<u64> {
            let word = words.get(at).with_context(|| line.to_owned())?;
            Ok(word.trim_end_matches(')').parse()?)
        };
        match words.as_slice() {
            ["item", ..] => {
                wanted = words.contains(&"CHUNK_ITEM");
                if wanted {
                    chunks.push(Chunk {
                        logical: number(5)?,
                        length: 0,
                        copies: Vec::new(),
                    });
                }
            }
            ["length", length, ..] if wanted => {
                if let Some(chunk) = chunks.last_mut() {
                    chunk.length = length.parse()?;
                }
            }
            ["stripe", _, "devid", _, "offset", offset] if wanted => {
                if let Some(chunk) = chunks.last_mut() {
                    chunk.copies.push(offset.parse()?);
                }
            }
            _ => {}
        }
    }
    Ok(chunks)
}

/// Leaves out what came or went with a snapshot, but for the record of its root.
pub(crate) fn without_snapshots(records: Vec<Record>, [base, merged]: [&Tree; 2]) -> Vec<Record> {
    let kept = |record: &Record| {
        let (tree, other) = match record.change.as_str() {
            "added" => (merged, base),
            "deleted" => (base, merged),
            _ => return true,
        };
        let Some(root) = subvolume_of(tree, &record.path) else {
            return true;
        };
        let Some(node) = tree.get(&root).filter(|node| node.snapshot) else {
            return true;
        };
        // A snapshot that was there before, perhaps at another place.
        root == record.path || other.values().any(|old| old.id == node.id)
    };
    records.into_iter().filter(kept).collect()
}

/// The path of the subvolume that a path is in; `None` at the top.
fn subvolume_of(tree: &Tree, path: &[u8]) -> Option<Vec<u8>> {
    let mut at = PathBuf::from(String::from_utf8(path.to_vec()).ok()?);
    loop {
        let bytes = at.to_str()?.as_bytes().to_vec();
        if tree
            .get(&bytes)
            .is_some_and(|node| node.kind == "subvolume")
        {
            return Some(bytes);
        }
        if !at.pop() {
            return None;
        }
    }
}
