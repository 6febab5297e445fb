//! Fast commits applied to a filesystem of 96 blocks, built field by field after the
//! specification: 1 KiB blocks, one group, 16 inodes of 128 bytes, no checksums.

use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{
    Diagnostics, JournalMode, Limits, OpenContext, ReadAt, View as DiskView, read_vec,
};

use super::{Applied, apply};
use crate::geometry::Geometry;
use crate::journal::fast_commit::{Change, Entry};
use crate::journal::view::{Content, View};
use crate::map::{Mapped, Mapper};
use crate::ondisk::{RawInode, Superblock};

const BLOCK: usize = 1024;
const BLOCKS: usize = 96;
const BLOCK_BITMAP: usize = 3;
const INODE_BITMAP: usize = 4;
const INODE_TABLE: usize = 5;
/// The block of the root directory.
const ROOT: usize = 8;
const GENERATION: u32 = 7;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn image() -> Vec<u8> {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    let sb = BLOCK;
    for (at, value) in [
        (0x0, 16u32),
        (0x4, BLOCKS as u32),
        (0x14, 1),
        (0x20, 8192),
        (0x24, 8192),
        (0x28, 16),
        (0x4C, 1),
        (0x54, 11),
        (0x60, 0x42),
    ] {
        put(&mut bytes, sb + at, &value.to_le_bytes());
    }
    put(&mut bytes, sb + 0x38, &[0x53, 0xEF]);
    put(&mut bytes, sb + 0x58, &128u16.to_le_bytes());
    for (at, block) in [(0, BLOCK_BITMAP), (4, INODE_BITMAP), (8, INODE_TABLE)] {
        put(&mut bytes, 2 * BLOCK + at, &(block as u32).to_le_bytes());
    }
    // Blocks 1 to 8 and inodes 1 to 11 are in use.
    bytes[BLOCK_BITMAP * BLOCK] = 0xFF;
    put(&mut bytes, INODE_BITMAP * BLOCK, &[0xFF, 0x07]);
    let root = inode(0x41ED, 2, BLOCK as u32, &[(0, 1, ROOT as u32)]);
    put(&mut bytes, INODE_TABLE * BLOCK + 128, &root);
    let at = ROOT * BLOCK;
    put(&mut bytes, at, &[2, 0, 0, 0, 12, 0, 1, 2, b'.']);
    put(
        &mut bytes,
        at + 12,
        &[2, 0, 0, 0, 0xF4, 3, 2, 2, b'.', b'.'],
    );
    bytes
}

/// An inode with extents: logical, length, physical.
fn inode(mode: u16, links: u16, size: u32, extents: &[(u32, u16, u32)]) -> Vec<u8> {
    let mut raw = vec![0; 128];
    put(&mut raw, 0, &mode.to_le_bytes());
    put(&mut raw, 4, &size.to_le_bytes());
    put(&mut raw, 0x1A, &links.to_le_bytes());
    put(&mut raw, 0x20, &0x8_0000u32.to_le_bytes());
    put(
        &mut raw,
        0x28,
        &[0x0A, 0xF3, extents.len() as u8, 0, 4, 0, 0, 0],
    );
    for (n, (logical, length, physical)) in extents.iter().enumerate() {
        put(
            &mut raw,
            0x34 + 12 * n,
            &extent(*logical, *length, *physical),
        );
    }
    put(&mut raw, 0x64, &GENERATION.to_le_bytes());
    raw
}

fn extent(logical: u32, length: u16, physical: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    put(&mut bytes, 0, &logical.to_le_bytes());
    put(&mut bytes, 4, &length.to_le_bytes());
    put(&mut bytes, 8, &physical.to_le_bytes());
    bytes
}

fn entry(parent: u32, inode: u32, name: &str) -> Entry {
    Entry {
        parent,
        inode,
        name: name.as_bytes().to_vec(),
    }
}

fn file(number: u32, size: u32) -> Change {
    Change::Inode {
        inode: number,
        raw: inode(0x81A4, 1, size, &[]),
    }
}

fn add(inode: u32, logical: u32, length: u16, physical: u32) -> Change {
    Change::AddRange {
        inode,
        extent: extent(logical, length, physical),
    }
}

/// The filesystem after `changes`.
struct After {
    disk: Arc<dyn ReadAt>,
    geometry: Geometry,
    applied: Applied,
}

fn after(bytes: Vec<u8>, changes: &[Change]) -> After {
    let volume: Arc<dyn ReadAt> = Arc::new(bytes);
    let findings = Diagnostics::new();
    let limits = Limits::default();
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: DiskView::Base,
        diagnostics: &findings,
    };
    let block = read_vec(&volume, 1024, 1024).unwrap();
    let superblock = Superblock::parse(Fields::new("superblock", 1024, &block)).unwrap();
    let geometry = Geometry::read(&volume, superblock, &cx).unwrap();
    let applied = apply(changes, &geometry, Arc::clone(&volume), 1 << 20).unwrap();
    let blocks = applied.blocks.iter();
    let blocks = blocks
        .map(|(n, bytes)| (*n, Content::Bytes(Arc::clone(bytes))))
        .collect();
    let disk: Arc<dyn ReadAt> = Arc::new(View::new(volume, BLOCK as u32, blocks));
    let geometry = Geometry::read(&disk, geometry.sb, &cx).unwrap();
    assert!(findings.take().is_empty());
    After {
        disk,
        geometry,
        applied,
    }
}

impl After {
    fn inode(&self, number: u32) -> Vec<u8> {
        read_vec(
            &self.disk,
            (INODE_TABLE * BLOCK) as u64 + u64::from(number - 1) * 128,
            128,
        )
        .unwrap()
    }

    fn links(&self, number: u32) -> u16 {
        u16::from_le_bytes(self.inode(number)[0x1A..0x1C].try_into().unwrap())
    }

    /// Pieces of a file: logical, length, physical; and how many blocks its map takes.
    fn map(&self, number: u32) -> (Vec<(u64, u64, u64)>, usize) {
        let raw = self.inode(number);
        let inode = RawInode::new(Fields::new("inode", 0, &raw));
        let (mut pieces, mut nodes) = (Vec::new(), 0);
        let diagnose = |finding| panic!("{finding:?}");
        let mut mapper = Mapper::new(&self.geometry, &*self.disk, &diagnose);
        let visit = &mut |piece: crate::map::Piece| {
            match piece.mapped {
                Mapped::Node(_) => nodes += 1,
                _ => pieces.push((piece.logical, piece.length, piece.physical)),
            }
            Ok(())
        };
        mapper.walk(&inode, u64::from(number), visit).unwrap();
        (pieces, nodes)
    }

    /// The names in a directory, in order, read as any reader would: entry by entry.
    fn names(&self, number: u32) -> Vec<(String, u32)> {
        let mut names = Vec::new();
        for (_, length, physical) in self.map(number).0 {
            for block in physical..physical + length {
                let bytes = read_vec(&self.disk, block * BLOCK as u64, BLOCK).unwrap();
                let mut at = 0;
                while at < BLOCK {
                    let inode = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                    let length = u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]);
                    let name = &bytes[at + 8..at + 8 + usize::from(bytes[at + 6])];
                    if inode != 0 && name != b"." && name != b".." {
                        names.push((String::from_utf8(name.to_vec()).unwrap(), inode));
                    }
                    assert!(length >= 8 && length.is_multiple_of(4));
                    at += usize::from(length);
                }
                assert_eq!(at, BLOCK);
            }
        }
        names
    }

    fn in_use(&self, block: u64) -> bool {
        let at = (BLOCK_BITMAP * BLOCK) as u64 + (block - 1) / 8;
        read_vec(&self.disk, at, 1).unwrap()[0] >> ((block - 1) % 8) & 1 != 0
    }

    fn inode_in_use(&self, number: u32) -> bool {
        let at = (INODE_BITMAP * BLOCK) as u64 + u64::from(number - 1) / 8;
        read_vec(&self.disk, at, 1).unwrap()[0] >> ((number - 1) % 8) & 1 != 0
    }
}

#[test]
fn a_file_is_made_with_its_name_and_its_data() {
    let after = after(
        image(),
        &[
            file(12, 3000),
            add(12, 0, 3, 40),
            Change::Create(entry(2, 12, "new")),
            file(12, 3000),
        ],
    );
    assert_eq!(after.applied.left_out, 0);
    assert_eq!(after.names(2), [("new".to_owned(), 12)]);
    assert_eq!(after.map(12), (vec![(0, 3, 40)], 0));
    assert!(after.inode_in_use(12) && !after.inode_in_use(13));
    assert!(!after.in_use(39) && after.in_use(40) && after.in_use(42) && !after.in_use(43));
    // The table, the two bitmaps, the directory, and the descriptor they belong to.
    let blocks: Vec<u64> = after.applied.blocks.iter().map(|(n, _)| *n).collect();
    assert_eq!(blocks, [2, 3, 4, 6, 8]);
}

#[test]
fn names_come_and_go_and_a_file_without_names_is_gone() {
    let made = [
        file(12, 1000),
        add(12, 0, 1, 40),
        Change::Create(entry(2, 12, "a")),
        Change::Link(entry(2, 12, "b")),
        Change::Link(entry(2, 12, "b")),
    ];
    let both = after(image(), &made);
    assert_eq!(both.names(2), [("a".to_owned(), 12), ("b".to_owned(), 12)]);
    assert_eq!(both.links(12), 2);
    let mut one = made.to_vec();
    one.push(Change::Unlink(entry(2, 12, "a")));
    // Not this file's name, and no name at all.
    one.push(Change::Unlink(entry(2, 13, "c")));
    let after_one = after(image(), &one);
    assert_eq!(after_one.names(2), [("b".to_owned(), 12)]);
    assert_eq!(after_one.links(12), 1);
    one.push(Change::Unlink(entry(2, 12, "b")));
    let gone = after(image(), &one);
    assert!(gone.names(2).is_empty() && !gone.inode_in_use(12) && !gone.in_use(40));
    assert_eq!((gone.links(12), gone.map(12)), (0, (vec![], 0)));
}

#[test]
fn a_map_that_outgrows_its_inode_becomes_a_tree_and_shrinks_again() {
    let mut changes = vec![file(12, 20_000), Change::Create(entry(2, 12, "f"))];
    changes.extend((0..6).map(|n| add(12, 2 * n, 1, 40 + 3 * n)));
    let tree = after(image(), &changes);
    let expected: Vec<_> = (0..6).map(|n| (2 * n, 1, 40 + 3 * n)).collect();
    assert_eq!(tree.map(12), (expected, 1));
    // Another place for block 2, and a piece that joins its neighbour.
    changes.extend([add(12, 2, 1, 70), add(12, 11, 1, 56)]);
    changes.push(Change::DelRange {
        inode: 12,
        block: 3,
        length: 6,
    });
    let shrunk = after(image(), &changes);
    assert_eq!(shrunk.applied.left_out, 0);
    assert_eq!(
        shrunk.map(12),
        (vec![(0, 1, 40), (2, 1, 70), (10, 2, 55)], 0)
    );
    for (block, used) in [
        (40, true),
        (43, false),
        (46, false),
        (49, false),
        (56, true),
        (70, true),
    ] {
        assert_eq!(shrunk.in_use(block), used, "block {block}");
    }
    // The node that was taken is given back.
    let taken = (9..96).filter(|block| shrunk.in_use(*block)).count();
    assert_eq!(taken, 4);
}

#[test]
fn a_directory_is_made_and_grows() {
    let mut changes = vec![
        Change::Inode {
            inode: 12,
            raw: inode(0x41ED, 2, BLOCK as u32, &[]),
        },
        Change::Create(entry(2, 12, "d")),
        file(13, 0),
    ];
    let names: Vec<String> = (0..60)
        .map(|n| format!("a-name-of-some-length-{n}"))
        .collect();
    changes.extend(names.iter().map(|name| Change::Link(entry(12, 13, name))));
    let after = after(image(), &changes);
    assert_eq!(after.applied.left_out, 0);
    assert_eq!((after.links(2), after.links(12)), (3, 2));
    let expected: Vec<_> = names.into_iter().map(|name| (name, 13)).collect();
    assert_eq!(after.names(12), expected);
    let size = u32::from_le_bytes(after.inode(12)[4..8].try_into().unwrap());
    assert_eq!(
        u64::from(size),
        after.map(12).0.iter().map(|p| p.1).sum::<u64>() * 1024
    );
}

#[test]
fn a_hash_tree_becomes_a_list_before_a_name_is_added() {
    let mut bytes = image();
    // A root with one leaf, block 9, which has one name.
    let root = inode(0x41ED, 2, 2048, &[(0, 2, ROOT as u32)]);
    put(&mut bytes, INODE_TABLE * BLOCK + 128, &root);
    put(
        &mut bytes,
        INODE_TABLE * BLOCK + 128 + 0x20,
        &0x8_1000u32.to_le_bytes(),
    );
    put(
        &mut bytes,
        ROOT * BLOCK + 24,
        &[0, 0, 0, 0, 1, 8, 0, 0, 124, 0, 1, 0, 1, 0, 0, 0],
    );
    put(&mut bytes, 9 * BLOCK, &[11, 0, 0, 0, 0, 4, 1, 1, b'x']);
    bytes[BLOCK_BITMAP * BLOCK + 1] = 1;
    let after = after(bytes, &[file(12, 0), Change::Create(entry(2, 12, "y"))]);
    let mut names = after.names(2);
    names.sort();
    assert_eq!(names, [("x".to_owned(), 11), ("y".to_owned(), 12)]);
    let flags = u32::from_le_bytes(after.inode(2)[0x20..0x24].try_into().unwrap());
    assert_eq!(flags, 0x8_0000);
}

#[test]
fn what_cannot_be_applied_is_counted_and_the_rest_is() {
    let after = after(
        image(),
        &[
            Change::Link(entry(11, 12, "in-what-is-no-directory")),
            file(17, 0),
            Change::Link(entry(2, 11, "a/b")),
            Change::Inode {
                inode: 12,
                raw: vec![0; 20],
            },
            add(12, 0, 1, 40),
            file(13, 0),
            Change::Create(entry(2, 13, "good")),
        ],
    );
    assert_eq!(after.applied.left_out, 5);
    assert!(after.applied.reason.is_some());
    assert_eq!(after.names(2), [("good".to_owned(), 13)]);
}

#[test]
fn no_damage_to_the_filesystem_or_the_changes_panics() {
    let mut changes = vec![file(12, 20_000), Change::Create(entry(2, 12, "f"))];
    changes.extend((0..6).map(|n| add(12, 2 * n, 1, 40 + 3 * n)));
    changes.extend([
        Change::Inode {
            inode: 13,
            raw: inode(0x41ED, 2, BLOCK as u32, &[]),
        },
        Change::Create(entry(2, 13, "d")),
        Change::Link(entry(13, 12, "g")),
        Change::DelRange {
            inode: 12,
            block: 1,
            length: 5,
        },
        Change::Unlink(entry(2, 12, "f")),
        Change::Unlink(entry(13, 12, "g")),
    ]);
    let clean = image();
    let findings = Diagnostics::new();
    let limits = Limits::default();
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: DiskView::Base,
        diagnostics: &findings,
    };
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..3000 {
        let (mut bytes, mut changes) = (clean.clone(), changes.clone());
        // Anything of the superblock up to the root directory; mostly zeros are hit else.
        for _ in 0..1 + next() % 3 {
            let at = [BLOCK, 2 * BLOCK, 5 * BLOCK + 128, ROOT * BLOCK][next() as usize % 4];
            bytes[at + next() as usize % 128] = next() as u8;
        }
        let hit = next() as usize % changes.len();
        match &mut changes[hit] {
            Change::Inode { raw, .. } => raw[next() as usize % 128] = next() as u8,
            Change::AddRange { extent, .. } => extent[next() as usize % 12] = next() as u8,
            Change::DelRange { length, .. } => *length = next() as u32,
            Change::Create(e) | Change::Link(e) | Change::Unlink(e) => {
                e.parent = next() as u32 % 20;
            }
        }
        let volume: Arc<dyn ReadAt> = Arc::new(bytes);
        let block = read_vec(&volume, 1024, 1024).unwrap();
        let Ok(superblock) = Superblock::parse(Fields::new("superblock", 1024, &block)) else {
            continue;
        };
        let Ok(geometry) = Geometry::read(&volume, superblock, &cx) else {
            continue;
        };
        // What it can't do is counted; only its memory may end it.
        let _ = apply(&changes, &geometry, volume, 1 << 20).map_err(|e| assert!(e.ends_scan()));
    }
}
