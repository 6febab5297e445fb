//! One sector with a partition table in the manner of MS-DOS: an MBR or an EBR.
//!
//! <https://en.wikipedia.org/wiki/Master_boot_record>; UEFI, "MBR Partition Table Format".

use std::io::Cursor;

use mbrman::{MBRHeader, MBRPartitionEntry};

/// Bytes of the sector that have a meaning, whatever the size of a sector is.
pub(crate) const SIZE: usize = 512;
/// Where the four entries start, and what each takes.
const ENTRIES: usize = 446;
const ENTRY_SIZE: usize = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xAA];

/// One entry that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From 1 on.
    pub(crate) slot: u32,
    /// Offset in the sector.
    pub(crate) offset: u64,
    /// Partition type (`sys`).
    pub(crate) kind: u8,
    pub(crate) starting_lba: u64,
    /// Number of sectors.
    pub(crate) sectors: u64,
}

impl Entry {
    /// One past its last sector.
    pub(crate) fn end(&self) -> u64 {
        self.starting_lba.saturating_add(self.sectors)
    }

    /// Whether it holds a chain of logical partitions.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0F | 0x85)
    }
}

/// The table of one sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Entries with a length.
    pub(crate) entries: Vec<Entry>,
    /// Whether each entry says it is active or not, and no third.
    pub(crate) status_known: bool,
    /// Whether all entries without a type or a length are zero throughout.
    pub(crate) unused_clean: bool,
}

impl Table {
    /// The table in `sector`; `None` without the signature.
    pub(crate) fn parse(sector: &[u8]) -> Option<Self> {
        let mut bytes: [u8; SIZE] = sector.get(..SIZE)?.try_into().ok()?;
        if !bytes.ends_with(&SIGNATURE) {
            return None;
        }
        // `mbrman` gives nothing at all when one entry has an odd status, so it is not shown any.
        let mut status_known = true;
        let table = bytes.get_mut(ENTRIES..)?;
        for status in table.iter_mut().step_by(ENTRY_SIZE).take(4) {
            if !matches!(*status, 0 | 0x80) {
                status_known = false;
                *status = 0;
            }
        }
        let header = MBRHeader::read_from(&mut Cursor::new(bytes.as_slice())).ok()?;
        let four = [
            &header.partition_1,
            &header.partition_2,
            &header.partition_3,
            &header.partition_4,
        ];
        // As in Linux, whatever the type says: hybrid ISOs name the whole of themselves with type 0.
        let used = |e: &MBRPartitionEntry| e.sectors != 0;
        let mut entries = Vec::new();
        for ((slot, offset), entry) in (1..).zip((446..).step_by(ENTRY_SIZE)).zip(four) {
            if used(entry) {
                entries.push(Entry {
                    slot,
                    offset,
                    kind: entry.sys,
                    starting_lba: entry.starting_lba.into(),
                    sectors: entry.sectors.into(),
                });
            }
        }
        let clean = |e: &MBRPartitionEntry| e.sys == 0 && e.sectors == 0 && e.starting_lba == 0;
        let odd = |e: &MBRPartitionEntry| (e.sys == 0 || e.sectors == 0) && !clean(e);
        Some(Self {
            entries,
            status_known,
            unused_clean: !four.into_iter().any(odd),
        })
    }

    /// Whether it has an entry that stands for a GPT.
    pub(crate) fn is_protective(&self) -> bool {
        self.protective().is_some()
    }

    /// The entry that stands for a GPT.
    pub(crate) fn protective(&self) -> Option<&Entry> {
        let protective = crate::types::MBR_PROTECTIVE;
        self.entries.iter().find(|e| e.kind == protective)
    }

    /// Whether it has entries beside the one that stands for a GPT.
    pub(crate) fn is_hybrid(&self) -> bool {
        self.is_protective() && self.entries.len() > 1
    }
}
