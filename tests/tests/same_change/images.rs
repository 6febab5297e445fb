//! The demo's change as an image over its parent, in formats of which no program at hand writes one
//! in units of 4096 bytes: as their specifications have them.

use std::fs;
use std::path::Path;

use super::blocks_of;

const BLOCK: usize = 4096;

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    image.resize(image.len().max(at + bytes.len()), 0);
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(name), bytes).expect("a temporary folder");
}

/// An image that keeps 4096 bytes a unit, found through tables of 512 entries.
fn in_tables(
    dir: &Path,
    blocks: &[u64],
    start: usize,
    mut entry: impl FnMut(usize, usize) -> (usize, usize),
) -> Vec<(usize, Vec<u8>)> {
    let mut pieces: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut place = start;
    for (number, bytes) in blocks.iter().zip(blocks_of(dir, "merged.img", blocks)) {
        let number = usize::try_from(*number).expect("a small disk");
        let (at, value) = entry(number, place);
        pieces.push((at, value.to_le_bytes()[..4].to_vec()));
        pieces.push((place, bytes));
        place += BLOCK;
    }
    pieces
}

/// QED (`docs/specs/qed_spec.rst` of QEMU): clusters of 4096 bytes, tables of one cluster.
pub(super) fn qed(dir: &Path, blocks: &[u64]) {
    let size = fs::metadata(dir.join("merged.img")).expect("a disk").len();
    let tables = usize::try_from(size.div_ceil(2 << 20)).expect("a small disk");
    let name = b"base.img";
    let mut image = b"QED\0".to_vec();
    for number in [BLOCK as u32, 1, 1] {
        image.extend(number.to_le_bytes());
    }
    // Over another image, which is raw; the first table is in the second cluster.
    for number in [5u64, 0, 0, BLOCK as u64, size] {
        image.extend(number.to_le_bytes());
    }
    image.extend(64u32.to_le_bytes());
    image.extend((name.len() as u32).to_le_bytes());
    image.extend(name);
    for table in 0..tables {
        let at = (2 + table) * BLOCK;
        put(&mut image, BLOCK + table * 8, &(at as u64).to_le_bytes());
    }
    let pieces = in_tables(dir, blocks, (2 + tables) * BLOCK, |number, place| {
        ((2 + number / 512) * BLOCK + number % 512 * 8, place)
    });
    for (at, bytes) in pieces {
        put(&mut image, at, &bytes);
    }
    write(dir, "child.qed", &image);
}

/// VMDK (Virtual Disk Format 5.0 of VMware): a hosted sparse extent with grains of 4096 bytes, over
/// a flat one.
pub(super) fn vmdk(dir: &Path, blocks: &[u64]) {
    let size = fs::metadata(dir.join("base.img")).expect("a disk").len();
    let sectors = size / 512;
    let describe = |id: &str, parent: &str, kind: &str, extent: &str| {
        format!(
            "# Disk DescriptorFile\nversion=1\nCID={id}\nparentCID={parent}\ncreateType=\"{kind}\"\n\
             RW {sectors} {extent}\n"
        )
    };
    let flat = r#"FLAT "base.img" 0"#;
    let parent = describe("12345678", "ffffffff", "monolithicFlat", flat);
    write(dir, "base.vmdk", parent.as_bytes());
    let sparse = "SPARSE \"child.vmdk\"\nparentFileNameHint=\"base.vmdk\"";
    let child = describe("87654321", "12345678", "monolithicSparse", sparse);
    let tables = usize::try_from(sectors.div_ceil(4096)).expect("a small disk");
    let mut image = b"KDMV\x01\0\0\0\x03\0\0\0".to_vec();
    // Capacity, sectors of a grain, where the descriptor is, and its length.
    for number in [sectors, 8, 1, 7] {
        image.extend(number.to_le_bytes());
    }
    image.extend(512u32.to_le_bytes());
    // The copy of the directory, the directory, and where the grains begin.
    let first = BLOCK * 2 + tables * 2048;
    let first = first.next_multiple_of(BLOCK);
    for number in [0u64, 8, first as u64 / 512] {
        image.extend(number.to_le_bytes());
    }
    put(&mut image, 73, b"\n \r\n");
    put(&mut image, 512, child.as_bytes());
    for table in 0..tables {
        let sector = (2 * BLOCK + table * 2048) / 512;
        put(
            &mut image,
            BLOCK + table * 4,
            &(sector as u32).to_le_bytes(),
        );
    }
    let pieces = in_tables(dir, blocks, first, |number, place| {
        (2 * BLOCK + number * 4, place / 512)
    });
    for (at, bytes) in pieces {
        put(&mut image, at, &bytes);
    }
    write(dir, "child.vmdk", &image);
}

/// VDI (`VDICore.h` of VirtualBox): a fixed disk, and a differencing one with the MiBs that changed.
pub(super) fn vdi(dir: &Path, blocks: &[u64]) {
    const UNIT: usize = 1 << 20;
    let of = |name: &str| fs::read(dir.join(name)).expect("a disk");
    let (before, after) = (of("base.img"), of("merged.img"));
    let count = before.len().div_ceil(UNIT);
    let head = |kind: u32, id: u8, parent: u8, map: &[u32]| {
        let mut image = b"<<< Oracle VM VirtualBox Disk Image >>>\n".to_vec();
        let words = [
            (64, 0xBEDA_107F),
            (68, 0x0001_0001),
            (72, 400),
            (76, kind),
            (340, 512),
            (344, UNIT as u32),
            (360, 512),
            (376, UNIT as u32),
            (384, count as u32),
            (
                388,
                map.iter().filter(|entry| **entry != u32::MAX).count() as u32,
            ),
        ];
        for (at, word) in words {
            put(&mut image, at, &word.to_le_bytes());
        }
        put(&mut image, 368, &(before.len() as u64).to_le_bytes());
        put(&mut image, 392, &[id; 16]);
        put(&mut image, 424, &[parent; 16]);
        put(&mut image, 472, &[0; 40]);
        let map: Vec<u8> = map.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        put(&mut image, 512, &map);
        image.resize(UNIT, 0);
        image
    };
    let whole: Vec<u32> = (0u32..).take(count).collect();
    let mut parent = head(2, 1, 0, &whole);
    parent.extend(&before);
    parent.resize((1 + count) * UNIT, 0);
    write(dir, "base.vdi", &parent);
    let mut changed: Vec<usize> = blocks
        .iter()
        .map(|block| *block as usize * BLOCK / UNIT)
        .collect();
    changed.sort_unstable();
    changed.dedup();
    let mut map = vec![u32::MAX; count];
    for (entry, unit) in (0u32..).zip(&changed) {
        map[*unit] = entry;
    }
    let mut child = head(4, 2, 1, &map);
    for unit in changed {
        let bytes = &after[unit * UNIT..after.len().min((unit + 1) * UNIT)];
        child.extend(bytes);
        child.resize(child.len().next_multiple_of(UNIT), 0);
    }
    write(dir, "child.vdi", &child);
}

/// The demo's qcow2 image (`docs/interop/qcow2.rst` of QEMU) with an internal snapshot, `before`, in
/// which all is that of the image below, and a persistent bitmap, `changed`.
pub(super) fn qcow2(dir: &Path, blocks: &[u64]) {
    let mut image = fs::read(dir.join("vm-state.qcow2")).expect("a fixture");
    let number = |image: &[u8], at: usize, width: usize| {
        let bytes = &image[at..at + width];
        bytes
            .iter()
            .fold(0usize, |all, byte| all << 8 | usize::from(*byte))
    };
    let (name_at, name_length) = (number(&image, 8, 8), number(&image, 16, 4));
    let name = image[name_at..name_at + name_length].to_vec();
    let disk = number(&image, 24, 8) as u64;
    let (tables, length) = (number(&image, 36, 4), number(&image, 100, 4));
    let mut append = |bytes: &[u8]| {
        let at = image.len().next_multiple_of(BLOCK);
        put(&mut image, at, bytes);
        let end = image.len().next_multiple_of(BLOCK);
        image.resize(end, 0);
        at as u64
    };
    let table = append(&vec![0; tables * 8]);
    let mut snapshot = table.to_be_bytes().to_vec();
    snapshot.extend((tables as u32).to_be_bytes());
    snapshot.extend([0, 1, 0, 6]);
    snapshot.extend([0; 20]);
    snapshot.extend(16u32.to_be_bytes());
    snapshot.extend(0u64.to_be_bytes());
    snapshot.extend(disk.to_be_bytes());
    snapshot.extend(b"1before");
    let snapshots = append(&snapshot);
    let mut bits = vec![0; BLOCK];
    for block in blocks {
        bits[usize::try_from(block / 8).expect("a small disk")] |= 1 << (block % 8);
    }
    let bits = append(&bits);
    let of_bits = append(&bits.to_be_bytes());
    let mut bitmap = of_bits.to_be_bytes().to_vec();
    bitmap.extend(1u32.to_be_bytes());
    // No flags; dirty tracking, in units of 2^12 bytes.
    bitmap.extend([0, 0, 0, 0, 1, 12, 0, 7, 0, 0, 0, 0]);
    bitmap.extend(b"changed\0");
    let directory = append(&bitmap);
    let mut extension = 0x2385_2875_u32.to_be_bytes().to_vec();
    extension.extend(24u32.to_be_bytes());
    extension.extend(1u32.to_be_bytes());
    extension.extend(0u32.to_be_bytes());
    extension.extend((bitmap.len() as u64).to_be_bytes());
    extension.extend(directory.to_be_bytes());
    extension.extend([0; 8]);
    let name_at = length + extension.len();
    extension.extend(name);
    put(&mut image, length, &extension);
    put(&mut image, 8, &(name_at as u64).to_be_bytes());
    put(&mut image, 60, &1u32.to_be_bytes());
    put(&mut image, 64, &snapshots.to_be_bytes());
    // Autoclear: the bitmaps are as the image is.
    image[95] |= 1;
    write(dir, "kept.qcow2", &image);
}
