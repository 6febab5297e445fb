//! The owners of a whole XFS, held against the reverse map that the kernel shows (`fsmap`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::disk::{self, Mount, output};
use super::extents::Checked;
use super::{Mix, Subject};

/// What the kernel says of a range.
struct Mapping {
    start: u64,
    end: u64,
    owner: String,
    inode: Option<u64>,
    /// Offset in the file, where it is in the data fork.
    offset: Option<u64>,
}

/// Whether the kernel has a reverse map of such a filesystem.
pub(crate) fn applies(mix: &Mix) -> bool {
    mix.filesystem == "xfs" && mix.format.iter().any(|o| o.contains("rmapbt=1"))
}

/// Compares the owners in `image`, which was cleanly unmounted.
pub(crate) fn check(
    hexz: &Path,
    subject: &dyn Subject,
    mix: &Mix,
    image: &Path,
    dir: &Path,
) -> Result<Checked> {
    let copy = dir.join("scratch.img");
    disk::copy(image, &copy)?;
    let mount = Mount::new(&copy, mix, subject.look(), &dir.join("look"))?;
    let root = mount.root().to_str().context("path of the mount")?;
    let text = String::from_utf8(output("xfs_io", &["-r", "-c", "fsmap", root])?)?;
    mount.unmount()?;
    std::fs::remove_file(copy)?;
    let mappings = text.lines().filter_map(parse).collect::<Vec<_>>();
    if mappings.is_empty() {
        bail!("xfs_io tells no mapping");
    }
    let out = Command::new(hexz)
        .args(["map", "--json"])
        .arg(image)
        .output()
        .context("hexz map")?;
    let owners: Vec<Value> = String::from_utf8(out.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let mut checked = Checked::default();
    for mapping in &mappings {
        checked.extents += 1;
        let mut at = mapping.start;
        for owner in &owners {
            let (Some(start), Some(length)) = (owner["start"].as_u64(), owner["length"].as_u64())
            else {
                continue;
            };
            if owner["type"] == "owner"
                && (start..start + length).contains(&at)
                && agrees(mapping, owner, start)
            {
                at = start + length;
            }
        }
        if at < mapping.end {
            checked.complaints.push(format!(
                "fsmap: {} at {}..{}: not from {at} on",
                mapping.owner, mapping.start, mapping.end
            ));
        }
    }
    Ok(checked)
}

/// `9: 7:1 [32..41]: inode 67 data 0..9 10`, in units of 512 bytes; `inode 67 attr extent map 2`.
fn parse(line: &str) -> Option<Mapping> {
    let (_, rest) = line.split_once('[')?;
    let (range, owner) = rest.split_once("]:")?;
    let (start, last) = range.split_once("..")?;
    let unit = |text: &str| text.parse::<u64>().ok().map(|n| n * 512);
    let words: Vec<&str> = owner.split_whitespace().collect();
    let (inode, offset) = match words.as_slice() {
        ["inode", inode, "data", offset, ..] => (inode.parse().ok(), offset.split_once("..")),
        ["inode", inode, ..] => (inode.parse().ok(), None),
        _ => (None, None),
    };
    Some(Mapping {
        start: unit(start)?,
        end: unit(last)? + 512,
        owner: words.join(" "),
        inode,
        offset: offset.and_then(|(from, _)| unit(from)),
    })
}

/// Whether an answer of ours, which begins at `start`, says the same.
fn agrees(mapping: &Mapping, owner: &Value, start: u64) -> bool {
    let (class, detail) = (
        owner["class"].as_str().unwrap_or_default(),
        owner["detail"].as_str().unwrap_or_default(),
    );
    let Some(inode) = mapping.inode else {
        let words: &[&str] = match mapping.owner.as_str() {
            o if o.starts_with("free space") => return class == "free",
            o if o.starts_with("static fs metadata") => {
                return matches!(class, "superblock" | "group-descriptors");
            }
            o if o.starts_with("journalling log") => &["xlog"],
            o if o.starts_with("per-AG metadata") => &["bnobt", "cntbt", "rmapbt", "agfl-block"],
            o if o.starts_with("inode btree") => &["inobt", "finobt"],
            o if o.starts_with("inodes") => return class == "inode-table",
            o if o.starts_with("refcount btree") => &["refcountbt"],
            o if o.starts_with("copy on write") => &["cow-staging"],
            _ => &[],
        };
        return words.contains(&detail);
    };
    let number = format!("{inode}:");
    let owners = owner["owners"].as_array().into_iter().flatten();
    owners
        .filter(|o| {
            o["file"]
                .as_str()
                .is_some_and(|file| file.starts_with(&number))
        })
        .any(
            |o| match (o["role"].as_str().unwrap_or_default(), mapping.offset) {
                ("data" | "unwritten" | "directory", Some(offset)) => {
                    let skipped = start.checked_sub(mapping.start);
                    o["file_offset"].as_u64() == skipped.map(|skipped| offset + skipped)
                }
                ("symlink", Some(_)) => true,
                ("extent-map", None) => mapping.owner.contains("extent map"),
                ("xattr", None) => mapping.owner.contains(" attr "),
                _ => false,
            },
        )
}
