//! Sets of directory entries: a primary one for the file, and behind it one for its content and
//! some for its name.

use hexz_clusters::{ENTRY, Entry, Flow, Format, Set, Slot, date_and_time};
use hexz_ondisk::{Fields, wtf8_from_utf16le};
use hexz_resolve::{Attributes, Error, Result, Timestamp};

use crate::ondisk::{entry_type, set_checksum};

/// exFAT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exfat;

/// Attributes that a user sees: read-only, hidden, system, archive.
const SHOWN: u16 = 0x27;
const DIRECTORY: u16 = 0x10;
/// `GeneralSecondaryFlags`.
const NO_FAT_CHAIN: u8 = 0x02;
/// `SecondaryCount` of a file: content and name at least, 17 parts of a name at most.
const LEAST: u8 = 2;

/// The set whose entries are coming.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    /// Where its primary entry lies in the directory and on the volume.
    offset: u32,
    place: u64,
    /// Entries that are still to come.
    missing: u8,
}

impl Format for Exfat {
    type State = Pending;

    const NAME: &'static str = "exfat";
    const LARGEST_DIRECTORY: u64 = 256 << 20;

    fn slot(
        &self,
        state: &mut Pending,
        slot: &Slot<'_>,
        fault: &mut dyn FnMut(Error),
    ) -> Result<Flow> {
        let kind = slot.fields().u8(0)?;
        if state.missing > 0 {
            let follows = kind & (entry_type::IN_USE | entry_type::SECONDARY);
            if follows == entry_type::IN_USE | entry_type::SECONDARY {
                return Ok(state.with(slot, fault)?.map_or(Flow::More, Flow::File));
            }
            let error = Error::corrupt("directory entry").at(state.place);
            fault(error.message("entries of the file are missing"));
            *state = Pending::default();
        }
        match kind {
            entry_type::END => return Ok(Flow::End),
            entry_type::FILE => {
                let count = slot.fields().u8(1)?;
                if count < LEAST {
                    let error = slot.fields().corrupt(1).expected("two further entries");
                    fault(error.found(count));
                    return Ok(Flow::More);
                }
                *state = Pending {
                    bytes: slot.bytes.to_vec(),
                    offset: slot.offset,
                    place: slot.place,
                    missing: count,
                };
            }
            // Entries of the volume, those not in use, and benign ones that no one must know.
            _ => {}
        }
        Ok(Flow::More)
    }

    /// Linux takes what is there up to a zero, whatever `NameLength` says, which counts to 255 and
    /// is 0 for a longer name.
    fn name(&self, set: &Set<'_>) -> Result<Option<Vec<u8>>> {
        let mut units = Vec::new();
        for entry in set.entries().skip(2) {
            match entry.split_first() {
                Some((&entry_type::FILE_NAME, rest)) => {
                    units.extend_from_slice(rest.get(1..).unwrap_or_default());
                }
                _ => break,
            }
        }
        let zero = units.chunks_exact(2).position(|unit| unit == [0, 0]);
        let end = zero.map_or(units.len(), |at| at.saturating_mul(2));
        Ok(units.get(..end).map(wtf8_from_utf16le))
    }

    fn describe(&self, set: &Set<'_>, attributes: &mut Attributes) -> Result<()> {
        let fields = set.primary()?;
        attributes.flags = Some(u64::from(fields.le16(4)? & SHOWN));
        attributes.btime = time(fields.le32(8)?, fields.u8(20)?);
        attributes.mtime = time(fields.le32(12)?, fields.u8(21)?);
        attributes.atime = time(fields.le32(16)?, 0);
        if let Some(zone) = zone(fields.u8(23)?) {
            attributes.special.push(("utc-offset", zone));
        }
        Ok(())
    }

    fn made(&self, set: &Set<'_>) -> Result<[u8; 6]> {
        let fields = set.primary()?;
        let [a, b, c, d]: [u8; 4] = fields.array(8)?;
        Ok([a, b, c, d, fields.u8(20)?, fields.u8(22)?])
    }
}

impl Pending {
    /// With a further entry; the file, when it was the last one.
    fn with(&mut self, slot: &Slot<'_>, fault: &mut dyn FnMut(Error)) -> Result<Option<Entry>> {
        self.bytes.extend_from_slice(slot.bytes);
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return Ok(None);
        }
        let set = std::mem::take(self);
        let fields = Fields::new("directory entry", set.place, &set.bytes);
        let (expected, found) = (set_checksum(&set.bytes), fields.le16(2)?);
        if expected != found {
            let error = fields
                .corrupt(2)
                .expected(format_args!("checksum {expected:#06x}"));
            fault(error.found(format_args!("{found:#06x}")));
        }
        let stream = fields.sub("stream extension entry", ENTRY, ENTRY)?;
        if stream.u8(0)? != entry_type::STREAM_EXTENSION {
            fault(
                stream
                    .corrupt(0)
                    .message("no entry for the content of the file"),
            );
            return Ok(None);
        }
        let (valid, size) = (stream.le64(8)?, stream.le64(24)?);
        Ok(Some(Entry {
            offset: set.offset,
            before: 0,
            after: fields.u8(1)?,
            is_directory: fields.le16(4)? & DIRECTORY != 0,
            contiguous: stream.u8(1)? & NO_FAT_CHAIN != 0,
            first: stream.le32(20)?,
            size,
            valid: valid.min(size),
        }))
    }
}

/// A time as it was on the clock of who wrote it.
fn time(timestamp: u32, hundredths: u8) -> Option<Timestamp> {
    let [low, high, date_low, date_high] = timestamp.to_le_bytes();
    let (time, date) = (
        u16::from_le_bytes([low, high]),
        u16::from_le_bytes([date_low, date_high]),
    );
    date_and_time(date, time, hundredths).or_else(|| date_and_time(date, time, 0))
}

/// How far that clock was ahead of UTC, where it says so: quarters of an hour in seven bits.
fn zone(offset: u8) -> Option<String> {
    if offset & 0x80 == 0 {
        return None;
    }
    let quarters = i16::from(offset & 0x7F);
    let quarters = match quarters {
        64.. => quarters.checked_sub(128)?,
        quarters => quarters,
    };
    let sign = if quarters < 0 { '-' } else { '+' };
    let (hours, rest) = (quarters.abs() / 4, quarters.abs() % 4);
    Some(format!("{sign}{hours:02}:{:02}", rest.checked_mul(15)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_quarters_of_an_hour() {
        assert_eq!(zone(0x00), None);
        assert_eq!(zone(0x80).as_deref(), Some("+00:00"));
        assert_eq!(zone(0x88).as_deref(), Some("+02:00"));
        assert_eq!(zone(0x80 | 0x7F).as_deref(), Some("-00:15"));
        assert_eq!(zone(0xEC).as_deref(), Some("-05:00"));
        assert_eq!(zone(0x97).as_deref(), Some("+05:45"));
    }
}
