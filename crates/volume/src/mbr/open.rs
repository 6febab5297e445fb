//! From the table to the volumes.

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Diagnostic, Error, OpenContext, ReadAt, Result, Role, Structure, VolumeSet,
};

use super::ebr;
use super::ondisk::{Entry, SIZE, Table};
use crate::place::{Slot, place};
use crate::types::MBR_PROTECTIVE;

/// Number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;

pub(crate) fn open(device: &dyn ReadAt, sector: u64, cx: &OpenContext<'_>) -> Result<VolumeSet> {
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
    if sector != 512 {
        let text = format!("the MBR counts in sectors of {sector} bytes");
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
        sector_size: Some(sector),
        left: Vec::new(),
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
