//! From the table to the volumes.

use hexz_ondisk::{read, to_usize};
use hexz_resolve::{
    ByteRange, Diagnostic, Error, OpenContext, ReadAt, Result, Role, Structure, VolumeSet,
};

use super::ebr;
use super::ondisk::{Entry, SIZE, Table};
use crate::gpt::SECTORS;
use crate::place::{Slot, place};
use crate::types::MBR_PROTECTIVE;

/// Number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;

pub(crate) fn open(device: &dyn ReadAt, cx: &OpenContext<'_>) -> Result<VolumeSet> {
    let bytes = read(device, "MBR", 0, SIZE)?;
    let table = Table::parse(&bytes).ok_or_else(|| {
        Error::corrupt("MBR")
            .at(510)
            .expected("the bytes 55 aa")
            .found("others")
    })?;
    if !table.status_known {
        let text = "an entry of the MBR is neither active nor inactive";
        cx.diagnose(Diagnostic::warning("mbr-status", text).at(446));
    }
    let sector = sector_size(device, &table);
    if sector != 512 {
        let text = format!("what the MBR names starts there with sectors of {sector} bytes");
        cx.diagnose(Diagnostic::info("mbr-sector-size", text).at(0));
    }
    let mut structures = Vec::new();
    structures.extend(structure(0, sector, device.len(), "mbr"));
    let mut slots = Vec::new();
    let mut logical = ebr::Walk::new(device, sector, cx);
    for entry in table.entries.iter().filter(|e| e.kind != MBR_PROTECTIVE) {
        if entry.is_extended() {
            logical.chain(entry);
        } else {
            slots.push(slot(entry.slot, entry, entry.starting_lba, 0));
        }
    }
    let found = logical.finish();
    for (number, partition) in (FIRST_LOGICAL..).zip(&found.partitions) {
        let at = partition.table.saturating_mul(sector);
        slots.push(slot(number, &partition.entry, partition.first, at));
    }
    for lba in found.tables {
        structures.extend(structure(lba, sector, device.len(), "ebr"));
    }
    Ok(VolumeSet {
        volumes: place(slots, sector, device.len(), cx),
        structures,
    })
}

fn slot(number: u32, entry: &Entry, first: u64, table: u64) -> Slot {
    Slot {
        number,
        first,
        sectors: Some(entry.sectors),
        entry: table.saturating_add(entry.offset),
        partition_type: format!("{:#04x}", entry.kind),
        label: None,
    }
}

fn structure(lba: u64, sector: u64, disk: u64, detail: &'static str) -> Option<Structure> {
    let range = ByteRange::at(lba.checked_mul(sector)?, sector)?;
    Some(Structure {
        range: range.intersection(&ByteRange::new(0, disk))?,
        role: Role::PartitionTable,
        detail,
    })
}

/// Bytes of a sector. An MBR does not say; disks with sectors of 4096 bytes are rare, so that is
/// what they have only when something known starts where the entries point with that size, and
/// nothing with 512.
fn sector_size(device: &dyn ReadAt, table: &Table) -> u64 {
    let [small, large] = SECTORS;
    let known = |sector: u64| {
        table.entries.iter().any(|e| {
            let at = e.starting_lba.checked_mul(sector);
            at.is_some_and(|at| starts_something(device, at))
        })
    };
    let fits = |e: &Entry| {
        e.end()
            .checked_mul(large)
            .is_some_and(|end| end <= device.len())
    };
    let whole = device.len().checked_rem(large) == Some(0);
    if whole && table.entries.iter().all(fits) && !known(small) && known(large) {
        large
    } else {
        small
    }
}

/// Signatures of what partitions hold: place and bytes.
const SIGNATURES: &[(u64, &[u8])] = &[
    // Boot sectors of FAT, NTFS and exFAT, and the first EBR.
    (510, &[0x55, 0xAA]),
    // ext2, ext3, ext4.
    (1080, &[0x53, 0xEF]),
    (0, b"XFSB"),
    (65_600, b"_BHRfS_M"),
    (0, b"LUKS\xBA\xBE"),
    (512, b"LABELONE"),
    (4086, b"SWAPSPACE2"),
];

fn starts_something(device: &dyn ReadAt, at: u64) -> bool {
    SIGNATURES.iter().any(|(offset, signature)| {
        let found = at.checked_add(*offset).and_then(|at| {
            let length = u64::try_from(signature.len()).ok()?;
            read(device, "partition", at, to_usize(length)?).ok()
        });
        found.is_some_and(|bytes| bytes == *signature)
    })
}
