//! Directory entries: 32 bytes each, with the parts of a long name before the short one.

use hexz_clusters::{Entry, Flow, Format, Set, Slot, date_and_time};
use hexz_resolve::{Attributes, Error, Result, Timestamp};

use crate::names;
use crate::ondisk::{DELETED, Kind, attr};

/// FAT12, FAT16 or FAT32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fat {
    pub(crate) kind: Kind,
}

/// The parts of a long name that came so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Long {
    /// How many it has; 0 for no long name.
    parts: u8,
    /// Number of the last one that came: they come from the last to the first.
    last: u8,
    checksum: u8,
}

/// Parts of the longest name: 255 units, 13 a part.
const PARTS: u8 = 20;
/// The bit of the part that comes first.
const FIRST: u8 = 0x40;

impl Long {
    /// With a further part, which starts another name where it does not go on with this one.
    const fn with(self, order: u8, checksum: u8) -> Self {
        let parts = order & !FIRST;
        if order & FIRST != 0 && parts >= 1 && parts <= PARTS {
            return Self {
                parts,
                last: parts,
                checksum,
            };
        }
        let goes_on = self.parts != 0 && self.last == order.wrapping_add(1);
        match goes_on && order != 0 && checksum == self.checksum {
            true => Self {
                last: order,
                ..self
            },
            false => Self {
                parts: 0,
                last: 0,
                checksum: 0,
            },
        }
    }

    /// How many parts belong to a short name: none, or all of a whole name.
    fn of(self, name: &[u8]) -> u8 {
        match self.last == 1 && self.checksum == names::checksum(name) {
            true => self.parts,
            false => 0,
        }
    }
}

impl Format for Fat {
    type State = Long;

    const NAME: &'static str = "fat";
    /// 65,536 entries, which is what Linux and Windows make at most.
    const LARGEST_DIRECTORY: u64 = 2 << 20;

    fn slot(
        &self,
        state: &mut Long,
        slot: &Slot<'_>,
        _fault: &mut dyn FnMut(Error),
    ) -> Result<Flow> {
        let fields = slot.fields();
        let (first, attributes) = (fields.u8(0)?, fields.u8(11)?);
        let long = std::mem::take(state);
        if first == 0 {
            return Ok(Flow::End);
        }
        if first == DELETED {
            return Ok(Flow::More);
        }
        if attributes & 0x3F == attr::LONG_NAME {
            *state = long.with(first, fields.u8(13)?);
            return Ok(Flow::More);
        }
        let name = fields.bytes(0, names::SHORT)?;
        let dots = name == b".          " || name == b"..         ";
        let before = long.of(name);
        let unnamed = before == 0 && names::short(slot.bytes).is_empty();
        if attributes & attr::VOLUME_ID != 0 || dots || unnamed {
            return Ok(Flow::More);
        }
        let is_directory = attributes & attr::DIRECTORY != 0;
        let high = match self.kind {
            Kind::Fat32 => u32::from(fields.le16(20)?),
            // OS/2 keeps something else there.
            Kind::Fat12 | Kind::Fat16 => 0,
        };
        let size = match is_directory {
            true => 0,
            false => u64::from(fields.le32(28)?),
        };
        Ok(Flow::File(Entry {
            offset: slot.offset,
            before,
            after: 0,
            is_directory,
            contiguous: false,
            first: high << 16 | u32::from(fields.le16(26)?),
            size,
            valid: size,
        }))
    }

    fn name(&self, set: &Set<'_>) -> Result<Option<Vec<u8>>> {
        let short = set.primary()?;
        if set.before > 0 {
            let long = names::long(
                set.entries()
                    .take(set.before)
                    .collect::<Vec<_>>()
                    .into_iter(),
            );
            // A name that no directory can have; the short one is another.
            let usable = !matches!(&long[..], b"" | b"." | b"..") && !long.contains(&b'/');
            if usable {
                return Ok(Some(long));
            }
        }
        Ok(Some(names::short(short.as_bytes())))
    }

    fn describe(&self, set: &Set<'_>, attributes: &mut Attributes) -> Result<()> {
        let fields = set.primary()?;
        attributes.flags = Some(u64::from(fields.u8(11)? & attr::SHOWN));
        attributes.mtime = date_and_time(fields.le16(24)?, fields.le16(22)?, 0);
        attributes.atime = date_and_time(fields.le16(18)?, 0, 0);
        attributes.btime = made(fields.le16(16)?, fields.le16(14)?, fields.u8(13)?);
        Ok(())
    }

    fn made(&self, set: &Set<'_>) -> Result<[u8; 6]> {
        let [a, b, c, d, e]: [u8; 5] = set.primary()?.array(13)?;
        Ok([a, b, c, d, e, 0])
    }
}

/// The hundredths of some programs are more than there can be.
fn made(date: u16, time: u16, hundredths: u8) -> Option<Timestamp> {
    date_and_time(date, time, hundredths).or_else(|| date_and_time(date, time, 0))
}
