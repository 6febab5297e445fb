//! Differencing VDI images, which no program at hand writes: built over what qemu-img wrote, as
//! VirtualBox has them (`VDICore.h`).
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::{Path, PathBuf};

use hexz_resolve::{ByteRange, ChangeSource, Limits, Loaded, Result, read_vec};
use hexz_source::{DefaultGate, ImageOverlay};
use hexz_testkit::{decompress, fixtures_dir};

const BLOCK: usize = 1 << 20;

/// The dynamic disk of the fixture, and a child of it: its first block is that of the parent, its
/// second its own, its third all zeros, and the last one that of the parent again.
fn chain(dir: &Path) -> (PathBuf, PathBuf) {
    let parent = decompress(&fixtures_dir().join("foreign-images/disk.vdi.zst"));
    let number = |at: usize| u32::from_le_bytes(parent[at..at + 4].try_into().unwrap()) as usize;
    let (map, data, blocks) = (number(340), number(344), number(384));
    assert_eq!((number(376), blocks), (BLOCK, 4));
    let mut child = parent[..data].to_vec();
    child[76..80].copy_from_slice(&4u32.to_le_bytes());
    child[392..408].fill(7);
    let id = parent[392..408].to_vec();
    child[424..440].copy_from_slice(&id);
    for (at, entry) in [u32::MAX, 0, u32::MAX - 1, u32::MAX].iter().enumerate() {
        child[map + at * 4..map + at * 4 + 4].copy_from_slice(&entry.to_le_bytes());
    }
    child.extend(vec![9; BLOCK]);
    let paths = (dir.join("parent.vdi"), dir.join("child.vdi"));
    std::fs::write(&paths.0, parent).unwrap();
    std::fs::write(&paths.1, child).unwrap();
    paths
}

fn load(child: &Path, base: Option<&Path>) -> Result<Loaded> {
    let mut overlay = ImageOverlay::new(child);
    overlay.base = base.map(Into::into);
    overlay.load(&Limits::default(), &DefaultGate::new())
}

#[test]
fn a_child_stands_on_the_parent_that_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, child) = chain(dir.path());
    // It names no file.
    let error = load(&child, None).err().unwrap();
    assert!(error.chain().contains("names no parent"), "{error:?}");
    let loaded = load(&child, Some(&parent)).unwrap();
    assert!(loaded.changes.diagnostics.is_empty());
    let (base, merged) = (loaded.base.unwrap(), loaded.merged.unwrap());
    let (start, end) = (BLOCK as u64, 3 * BLOCK as u64);
    assert_eq!(loaded.changes.ranges, ByteRange::new(start, end).into());
    let raw = decompress(&fixtures_dir().join("foreign-images/fixed.vdi.zst"));
    let raw = &raw[raw.len() - 4 * BLOCK..];
    assert!(read_vec(&*base, 0, 4 * BLOCK).unwrap() == raw);
    let after = [&raw[..BLOCK], &[9; BLOCK], &[0; BLOCK], &raw[3 * BLOCK..]].concat();
    assert!(read_vec(&*merged, 0, 4 * BLOCK).unwrap() == after);
}

#[test]
fn another_parent_than_it_was_made_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, child) = chain(dir.path());
    let mut other = std::fs::read(&parent).unwrap();
    other[392] ^= 1;
    std::fs::write(&parent, other).unwrap();
    let loaded = load(&child, Some(&parent)).unwrap();
    let [finding] = &loaded.changes.diagnostics[..] else {
        panic!("{:?}", loaded.changes.diagnostics);
    };
    assert_eq!(finding.code, "other-parent");
}
