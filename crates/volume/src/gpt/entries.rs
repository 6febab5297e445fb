//! The array of partition entries.

use std::collections::BTreeMap;
use std::io::Cursor;

use ::gpt::disk::LogicalBlockSize;
use ::gpt::partition::{Partition, file_read_partitions};
use hexz_ondisk::{read, to_usize};
use hexz_resolve::{Error, ReadAt, Result};

use super::header::Copy;

/// Bytes of an entry that have a meaning.
const ENTRY_SIZE: u32 = 128;

/// What one array holds.
#[derive(Debug)]
pub(crate) struct Entries {
    /// By slot, from 1 on. Slots that are all zero are left out.
    pub(crate) slots: BTreeMap<u32, Partition>,
    /// The checksum in the header, where the array has another.
    pub(crate) wrong_checksum: Option<(u32, u32)>,
}

impl Entries {
    /// Reads the array that `copy` names.
    pub(crate) fn read(device: &dyn ReadAt, copy: &Copy) -> Result<Self> {
        let corrupt = || Error::corrupt("GPT entries").at(copy.range().start());
        let range = copy
            .entries
            .ok_or_else(|| corrupt().message(copy.fault()))?;
        let length = to_usize(range.len()).ok_or_else(corrupt)?;
        let array = read(device, "GPT entries", range.start(), length)?;
        let found = crc32fast::hash(&array);
        let stated = copy.header.crc32_parts;
        let size = to_usize(copy.header.part_size.into()).ok_or_else(corrupt)?;
        // The `gpt` crate reads entries of 128 bytes, and nothing where the checksum differs. What
        // an entry has beyond 128 bytes means nothing.
        let meaning = to_usize(ENTRY_SIZE.into()).ok_or_else(corrupt)?;
        let entries: Vec<u8> = array
            .chunks_exact(size)
            .flat_map(|entry| entry.iter().copied().take(meaning))
            .collect();
        let mut header = copy.header.clone();
        header.part_start = 0;
        header.part_size = ENTRY_SIZE;
        header.crc32_parts = crc32fast::hash(&entries);
        let slots =
            file_read_partitions(&mut Cursor::new(entries), &header, LogicalBlockSize::Lb512)
                .map_err(|e| corrupt().source(e))?;
        Ok(Self {
            slots,
            wrong_checksum: (found != stated).then_some((stated, found)),
        })
    }
}
