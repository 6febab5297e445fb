//! Reading a superblock, and what it says of its device and of the first chunks.

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Member, ReadAt, Result};

use crate::checksum::Checksum;
use crate::chunks::{Chunk, Device};
use crate::ondisk::{Key, MAGIC, SUPER_OFFSETS, SUPER_SIZE, Superblock};

/// The superblock at byte `at` of a device.
pub(crate) fn superblock_at(device: &dyn ReadAt, at: u64) -> Result<Superblock> {
    let bytes = read(device, "superblock", at, SUPER_SIZE)?;
    let fields = Fields::new("superblock", at, &bytes);
    if fields.bytes(64, 8)? != MAGIC {
        return Err(fields.corrupt(64).message("no btrfs magic"));
    }
    if !Checksum::of(fields.le16(196)?)?.holds(&bytes) {
        return Err(fields.corrupt(0).message("its checksum is wrong"));
    }
    Superblock::parse(&fields, at)
}

/// Where a device lies, as far as it reaches.
pub(crate) fn device(found: &Superblock, member: &Member) -> Device {
    Device {
        start: member.start,
        length: found.device_bytes.min(member.device.len()),
    }
}

/// The chunks that hold the chunk tree, from the superblock.
pub(crate) fn system_chunks(superblock: &Superblock) -> Result<Vec<Chunk>> {
    let array = &superblock.sys_chunk_array;
    let fields = Fields::new("sys_chunk_array", SUPER_OFFSETS[0], array);
    let mut chunks = Vec::new();
    let mut at = 0usize;
    while at < array.len() {
        let key = Key::parse(&fields, at)?;
        at = at.saturating_add(Key::LENGTH);
        let rest = array.len().saturating_sub(at);
        let (chunk, length) = Chunk::parse(key, &fields.sub("chunk", at, rest)?)?;
        chunks.push(chunk);
        at = at.saturating_add(length);
    }
    Ok(chunks)
}
