//! From the headers to the volumes.

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Diagnostic, Error, OpenContext, ReadAt, Result, Role, Structure, VolumeSet,
};

use super::copies::Copies;
use super::entries::Entries;
use super::header::Copy;
use super::probe::last_sector;
use crate::mbr::{self, Table};
use crate::place::{Slot, place};
use crate::types::{BIOS_BOOT, PREP_BOOT};

/// Reads the table, in sectors of one of these sizes.
pub(crate) fn open(
    device: &dyn ReadAt,
    sectors: &[u64],
    cx: &OpenContext<'_>,
) -> Result<VolumeSet> {
    let mbr = match read(device, "protective MBR", 0, mbr::SIZE) {
        Ok(bytes) => Table::parse(&bytes),
        Err(error) => {
            cx.diagnose(Diagnostic::from(&error));
            None
        }
    };
    let Some(copies) = Copies::find(device, sectors, mbr.as_ref(), cx) else {
        return Err(Error::corrupt("GPT header")
            .at(512)
            .message("neither it nor its backup was found"));
    };
    tell(&copies, mbr.as_ref(), device.len(), cx);
    let (copy, entries) = choose(device, &copies, cx)?;
    let slots = slots(copy, &entries);
    let mut structures = structures(&copies, copy, mbr.as_ref(), device.len());
    for slot in &slots {
        let boots = [BIOS_BOOT, PREP_BOOT].contains(&slot.partition_type.as_str());
        let range = slot.range(copy.sector);
        let range = range.and_then(|r| r.intersection(&ByteRange::new(0, device.len())));
        structures.extend(range.filter(|_| boots).map(|range| Structure {
            range,
            role: Role::Boot,
            detail: "boot-partition",
        }));
    }
    Ok(VolumeSet {
        volumes: place(slots, copy.sector, device.len(), cx),
        structures,
        sector_size: Some(copy.sector),
        left: Vec::new(),
    })
}

/// The header that is believed, with its entries: the first one of which all is well, else the
/// first one that can be read at all.
fn choose<'a>(
    device: &dyn ReadAt,
    copies: &'a Copies,
    cx: &OpenContext<'_>,
) -> Result<(&'a Copy, Entries)> {
    let mut readable: Vec<(&Copy, Entries)> = Vec::new();
    let mut failed = None;
    let found = [copies.primary.as_ref(), copies.backup.as_ref()];
    for copy in found.into_iter().flatten() {
        match Entries::read(device, copy) {
            Ok(entries) => {
                // A header that is damaged itself says nothing of its entries.
                if let Some((stated, is)) = entries.wrong_checksum
                    && copy.is_sound()
                {
                    let text = format!(
                        "the entries of the header in sector {} have the checksum {is:#010x}, and should have {stated:#010x}",
                        copy.lba
                    );
                    let at = copy.entries.map_or(0, |r| r.start());
                    cx.diagnose(Diagnostic::warning("gpt-entries-damaged", text).at(at));
                }
                readable.push((copy, entries));
            }
            // What is wrong with the header has been told.
            Err(error) if copy.entries.is_none() => failed = failed.or(Some(error)),
            Err(error) => {
                cx.diagnose(Diagnostic::from(&error));
                failed = failed.or(Some(error));
            }
        }
    }
    if let [(one, a), (two, b)] = &readable[..]
        && [(one, a), (two, b)]
            .iter()
            .all(|(c, e)| c.is_sound() && e.wrong_checksum.is_none())
        && (a.slots != b.slots || one.header.disk_guid != two.header.disk_guid)
    {
        let text = "the table and its backup are both sound and say different things; the first one is believed";
        cx.diagnose(Diagnostic::warning("gpt-copies-disagree", text).at(two.range().start()));
    }
    let order = |(copy, entries): &(&Copy, Entries)| match (
        copy.is_sound(),
        entries.wrong_checksum.is_none(),
    ) {
        (true, true) => 0,
        // The entries are those that this header was written for.
        (false, true) => 1,
        (true, false) => 2,
        (false, false) => 3,
    };
    readable.sort_by_key(order);
    readable
        .into_iter()
        .find(|both| order(both) < 3 || starts_on_disk(both, device.len()))
        .ok_or_else(|| failed.unwrap_or_else(|| Error::corrupt("GPT entries")))
}

/// Whether some partition starts on the disk: else entries that nothing vouches for are no table.
fn starts_on_disk((copy, entries): &(&Copy, Entries), disk: u64) -> bool {
    let slots = slots(copy, entries);
    let ranges = slots.iter().filter_map(|slot| slot.range(copy.sector));
    ranges.into_iter().any(|range| range.start() < disk)
}

/// Tells what is odd about the headers.
fn tell(copies: &Copies, mbr: Option<&Table>, disk: u64, cx: &OpenContext<'_>) {
    let warn = |code, at: u64, text: String| cx.diagnose(Diagnostic::warning(code, text).at(at));
    match &copies.primary {
        None => warn(
            "gpt-primary-damaged",
            copies.sector,
            "there is no GPT header in sector 1; the backup is used".to_owned(),
        ),
        Some(copy) if !copy.is_sound() => warn(
            "gpt-primary-damaged",
            copy.range().start(),
            format!("the GPT header in sector 1: {}", copy.fault()),
        ),
        Some(_) => {}
    }
    let last = last_sector(disk, copies.sector);
    match &copies.backup {
        None => warn(
            "gpt-backup-damaged",
            last.unwrap_or(0).saturating_mul(copies.sector),
            "the backup GPT header was not found".to_owned(),
        ),
        Some(copy) if !copy.is_sound() => {
            let text = format!(
                "the backup GPT header in sector {}: {}",
                copy.lba,
                copy.fault()
            );
            warn("gpt-backup-damaged", copy.range().start(), text);
        }
        Some(copy) if Some(copy.lba) != last => {
            let text = format!(
                "the backup GPT header is in sector {}, and the disk's last is {}",
                copy.lba,
                last.unwrap_or(0)
            );
            let found = Diagnostic::info("gpt-backup-not-at-end", text);
            cx.diagnose(found.at(copy.range().start()));
        }
        Some(_) => {}
    }
    match mbr {
        Some(table) if table.is_hybrid() => {
            let text = "the MBR has partitions of its own beside the GPT; they are not looked at";
            cx.diagnose(Diagnostic::info("gpt-hybrid-mbr", text).at(0));
        }
        Some(table) if table.is_protective() => {}
        _ => {
            let text = "no protective MBR stands before the GPT";
            cx.diagnose(Diagnostic::info("gpt-no-protective-mbr", text).at(0));
        }
    }
}

fn slots(copy: &Copy, entries: &Entries) -> Vec<Slot> {
    let first_entry = copy.entries.map_or(0, |r| r.start());
    let used = entries.slots.iter().filter(|(_, p)| p.is_used());
    used.map(|(number, p)| {
        let index = u64::from(number.saturating_sub(1));
        let skipped = index.saturating_mul(copy.header.part_size.into());
        let length = p.last_lba.checked_sub(p.first_lba);
        Slot {
            number: *number,
            first: p.first_lba,
            sectors: length.map(|n| n.saturating_add(1)),
            entry: first_entry.saturating_add(skipped),
            partition_type: p.part_type_guid.guid.to_string().to_lowercase(),
            label: Some(p.name.clone()).filter(|name| !name.is_empty()),
        }
    })
    .collect()
}

/// The table's own ranges: what `used` says, and both headers where they should be.
fn structures(copies: &Copies, used: &Copy, mbr: Option<&Table>, disk: u64) -> Vec<Structure> {
    let mut structures: Vec<Structure> = Vec::new();
    let mut add = |range: ByteRange, detail| {
        let range = range.intersection(&ByteRange::new(0, disk));
        let clear = |r: &ByteRange| structures.iter().all(|s| !s.range.overlaps(r));
        if let Some(range) = range.filter(clear) {
            structures.push(Structure {
                range,
                role: Role::PartitionTable,
                detail,
            });
        }
    };
    let sectors = |first: u64, count: u64| {
        let start = first.checked_mul(copies.sector)?;
        ByteRange::at(start, count.checked_mul(copies.sector)?)
    };
    if let Some(table) = mbr {
        let detail = match (table.is_protective(), table.is_hybrid()) {
            (_, true) => "hybrid-mbr",
            (true, false) => "protective-mbr",
            (false, false) => "mbr",
        };
        sectors(0, 1).into_iter().for_each(|r| add(r, detail));
    }
    sectors(1, 1).into_iter().for_each(|r| add(r, "gpt-header"));
    let believed = |c: &&Copy| c.is_sound() || c.lba == used.lba;
    let primary = copies.primary.as_ref().filter(believed);
    if let Some(range) = primary.and_then(|c| c.entries) {
        add(range, "gpt-entries");
    } else if let Some(range) = used.entries {
        // Where everyone puts them, when partitions start behind that.
        let start = copies.sector.saturating_mul(2);
        let usual = ByteRange::at(start, range.len());
        let first = used.header.first_usable.saturating_mul(copies.sector);
        let usual = usual.filter(|r| r.end() <= first);
        usual.into_iter().for_each(|r| add(r, "gpt-entries"));
    }
    if let Some(copy) = &copies.backup {
        add(copy.range(), "backup-gpt-header");
        let entries = Some(copy).filter(believed).and_then(|c| c.entries);
        entries
            .into_iter()
            .for_each(|r| add(r, "backup-gpt-entries"));
    }
    structures
}
