//! The records of the log: where the part that matters begins and ends, and reading them.
//!
//! The log is a ring of units of 512 bytes. Each starts with the number of the cycle in which it
//! was written (a record header has it as its second word), so the head is where the number
//! falls; the header of the last record says where the tail is.

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

/// `BBSIZE`.
pub(super) const UNIT: u64 = 512;
const UNIT_BYTES: usize = 512;
/// `XLOG_HEADER_MAGIC_NUM`.
const MAGIC: u32 = 0xFEED_BABE;
/// Units whose first words one header keeps; `XLOG_HEADER_CYCLE_SIZE` is 32 KiB.
const KEPT: usize = 64;
/// `XLOG_MAX_RECORD_BSIZE`.
const LONGEST: u32 = 256 * 1024;
/// Units that may be out of order before the head: `XLOG_TOTAL_REC_SHIFT`.
const SCANNED: u64 = 4096;
/// `XLOG_UNMOUNT_TRANS`.
const UNMOUNT: u8 = 0x20;
/// `XLOG_FMT_LINUX_LE`.
const LITTLE_ENDIAN: u32 = 1;

/// The log as a ring of units.
pub(super) struct Log<'a> {
    volume: &'a dyn ReadAt,
    start: u64,
    /// Units.
    length: u64,
    v5: bool,
    uuid: [u8; 16],
}

/// From the first record that is replayed to the end of the last one, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) tail: u64,
    pub(super) head: u64,
}

/// A record, its data with the words in place that cycle numbers stood for.
pub(super) struct Record {
    /// Unit it starts at.
    pub(super) block: u64,
    /// `h_lsn`.
    pub(super) lsn: u64,
    /// `h_num_logops`.
    pub(super) operations: u32,
    pub(super) data: Vec<u8>,
    whole: bool,
}

impl Record {
    /// Whether its checksum is right.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }
}

/// The fields of `struct xlog_rec_header` that are used.
struct Header {
    length: u32,
    lsn: u64,
    tail: u64,
    operations: u32,
    uuid: [u8; 16],
    format: u32,
    /// Units of header.
    units: u64,
}

impl Header {
    fn parse(fields: &Fields<'_>) -> Result<Self> {
        let version = fields.be32(8)?;
        if !matches!(version, 1 | 2) {
            return Err(fields.corrupt(8).expected("version 1 or 2").found(version));
        }
        let length = fields.be32(12)?;
        if length == 0 || length > LONGEST {
            return Err(fields.corrupt(12).expected("at most 256 KiB").found(length));
        }
        let size = fields.be32(320)?;
        let each = u32::try_from(KEPT.saturating_mul(UNIT_BYTES)).unwrap_or(u32::MAX);
        let units = if version == 2 && size > each && size <= LONGEST {
            u64::from(size.div_ceil(each))
        } else {
            1
        };
        Ok(Self {
            length,
            lsn: fields.be64(16)?,
            tail: fields.be64(24)?,
            operations: fields.be32(40)?,
            format: fields.be32(300)?,
            uuid: fields.array(304)?,
            units,
        })
    }

    /// Units of data.
    fn data_units(&self) -> u64 {
        u64::from(self.length).div_ceil(UNIT)
    }

    fn all_units(&self) -> u64 {
        self.units.saturating_add(self.data_units())
    }
}

/// The unit that a sequence number is about.
const fn block_of(lsn: u64) -> u64 {
    lsn & 0xFFFF_FFFF
}

impl<'a> Log<'a> {
    pub(super) fn new(volume: &'a dyn ReadAt, range: ByteRange, v5: bool, uuid: [u8; 16]) -> Self {
        Self {
            volume,
            start: range.start(),
            length: range.len() / UNIT,
            v5,
            uuid,
        }
    }

    /// The byte of the volume at which unit `block` lies.
    pub(super) fn offset(&self, block: u64) -> u64 {
        self.start.saturating_add(block.saturating_mul(UNIT))
    }

    fn wrap(&self, block: u64) -> u64 {
        if block >= self.length {
            block.saturating_sub(self.length)
        } else {
            block
        }
    }

    /// `count` units from `block` on, around the end of the ring.
    fn units(&self, block: u64, count: u64) -> Result<Vec<u8>> {
        if block >= self.length || count > self.length {
            return Err(Error::corrupt("log")
                .at(self.start)
                .message("a record is longer than it"));
        }
        let first = count.min(self.length.saturating_sub(block));
        let bytes = |units: u64| to_usize(units.saturating_mul(UNIT)).unwrap_or(0);
        let mut all = read(self.volume, "log", self.offset(block), bytes(first))?;
        if first < count {
            all.extend(read(
                self.volume,
                "log",
                self.start,
                bytes(count.saturating_sub(first)),
            )?);
        }
        Ok(all)
    }

    /// The cycle in which a unit was written.
    fn cycle_in(unit: &[u8]) -> u32 {
        let word = |at: usize| {
            let bytes = unit
                .get(at..at.saturating_add(4))
                .and_then(|b| b.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes)
        };
        if word(0) == MAGIC { word(4) } else { word(0) }
    }

    fn cycle(&self, block: u64) -> Result<u32> {
        Ok(Self::cycle_in(&self.units(block, 1)?))
    }

    /// The first unit in `from..to` that is not of `cycle`, where those of it come first.
    fn first_not(&self, cycle: u32, mut from: u64, mut to: u64) -> Result<u64> {
        while from < to {
            let middle = from.midpoint(to);
            if self.cycle(middle)? == cycle {
                from = middle.saturating_add(1);
            } else {
                to = middle;
            }
        }
        Ok(from)
    }

    /// The first unit in `from..to` of `cycle`.
    pub(super) fn find(&self, cycle: u32, from: u64, to: u64) -> Result<Option<u64>> {
        if from >= to {
            return Ok(None);
        }
        let bytes = self.units(from, to.saturating_sub(from))?;
        let at = bytes
            .chunks(UNIT_BYTES)
            .position(|unit| Self::cycle_in(unit) == cycle);
        Ok(at.and_then(|at| u64::try_from(at).ok()?.checked_add(from)))
    }

    /// Where the units of the last cycle seem to end, and the cycle of those behind; `None` for a
    /// log that was never used.
    fn last_of_cycle(&self) -> Result<Option<(u64, u32)>> {
        let last = self.length.saturating_sub(1);
        let (first_cycle, last_cycle) = (self.cycle(0)?, self.cycle(last)?);
        if first_cycle == 0 {
            return Ok(None);
        }
        // What is behind the head was written one cycle earlier, or never.
        Ok(Some(if first_cycle == last_cycle {
            (self.length, last_cycle.wrapping_sub(1))
        } else {
            (self.first_not(first_cycle, 0, self.length)?, last_cycle)
        }))
    }

    /// Where the next record would be written, which is `head` or before it.
    fn head(&self, head: u64, older: u32) -> Result<u64> {
        // Records may reach the disk in another order: the first hole ends what counts.
        let scanned = SCANNED.min(self.length);
        if let Some(before) = scanned.checked_sub(head).filter(|_| older != 0) {
            let from = self.length.saturating_sub(before);
            if let Some(hole) = self.find(older.wrapping_sub(1), from, self.length)? {
                return Ok(hole);
            }
        }
        let hole = self.find(older, head.saturating_sub(scanned), head)?;
        Ok(self.wrap(hole.unwrap_or(head)))
    }

    /// The start of the last record header before `head`.
    fn last_header(&self, head: u64) -> Result<Option<u64>> {
        // Mostly it is near.
        let (mut step, longest) = (64, 1024);
        let mut end = if head == 0 { self.length } else { head };
        let mut left = self.length;
        while left > 0 {
            let count = u64::min(step, end).min(left);
            step = longest;
            let from = end.saturating_sub(count);
            let bytes = self.units(from, count)?;
            let magic = MAGIC.to_be_bytes();
            let found = bytes
                .chunks(UNIT_BYTES)
                .rposition(|unit| unit.starts_with(&magic));
            if let Some(at) = found.and_then(|at| u64::try_from(at).ok()) {
                return Ok(Some(from.saturating_add(at)));
            }
            left = left.saturating_sub(count);
            end = if from == 0 { self.length } else { from };
        }
        Ok(None)
    }

    fn header(&self, block: u64) -> Result<Header> {
        let unit = self.units(block, 1)?;
        let fields = Fields::new("log record", self.offset(block), &unit);
        let magic = fields.be32(0)?;
        if magic != MAGIC {
            let error = fields.corrupt(0).expected(format_args!("{MAGIC:08x}"));
            return Err(error.found(format_args!("{magic:08x}")));
        }
        let header = Header::parse(&fields)?;
        if header.uuid != self.uuid && header.uuid != [0; 16] {
            return Err(fields
                .corrupt(304)
                .message("the log is that of another filesystem"));
        }
        if header.format != LITTLE_ENDIAN {
            let text = format!(
                "written on a machine of another byte order (format {})",
                header.format
            );
            return Err(Error::unsupported("log", text).at(fields.offset_of(300)));
        }
        Ok(header)
    }

    /// The part of the log that is not on the disk otherwise; `None` when all of it is.
    pub(super) fn active(&self) -> Result<Option<Span>> {
        if self.length < 2 {
            return Err(Error::corrupt("log")
                .at(self.start)
                .message("it has no room"));
        }
        let Some((head, older)) = self.last_of_cycle()? else {
            return Ok(None);
        };
        // Whoever unmounts waits until all else is on the disk: before such a record is no hole.
        let clean = self.before(self.wrap(head));
        if clean.as_ref().is_ok_and(Option::is_none) {
            return Ok(None);
        }
        self.before(self.head(head, older)?)
    }

    /// The same, as if the log had ended before unit `head`.
    pub(super) fn before(&self, head: u64) -> Result<Option<Span>> {
        let mut head = head;
        for _ in 0..64 {
            let Some(last) = self.last_header(head)? else {
                return Err(Error::corrupt("log")
                    .at(self.start)
                    .message("it holds no record"));
            };
            let header = self.header(last)?;
            let end = self.wrap(last.saturating_add(header.all_units()));
            if end != head {
                // The last record was not written in full.
                if last == head {
                    break;
                }
                head = last;
                continue;
            }
            if header.operations == 1 {
                let data = self.wrap(last.saturating_add(header.units));
                let unit = self.units(data, 1)?;
                // `oh_flags` of the only operation; the first word is not part of it.
                if unit.get(9).is_some_and(|flags| flags & UNMOUNT != 0) {
                    return Ok(None);
                }
            }
            return Ok(Some(Span {
                tail: block_of(header.tail),
                head,
            }));
        }
        Err(Error::corrupt("log")
            .at(self.offset(head))
            .message("no whole record near the head"))
    }

    /// Reads the record at unit `block`.
    pub(super) fn record(&self, block: u64) -> Result<Record> {
        let header = self.header(block)?;
        let heads = self.units(block, header.units)?;
        let from = self.wrap(block.saturating_add(header.units));
        let mut data = self.units(from, header.data_units())?;
        let length = to_usize(u64::from(header.length)).unwrap_or(0);
        let whole = !self.v5 || whole(&heads, data.get(..length).unwrap_or_default());
        let fields = Fields::new("log record", self.offset(block), &heads);
        for (n, unit) in data.chunks_mut(UNIT_BYTES).enumerate() {
            let (head, slot) = (n / KEPT, n % KEPT);
            // The first header keeps them behind its fields, the others behind their cycle.
            let words = if head == 0 {
                44
            } else {
                head.saturating_mul(UNIT_BYTES).saturating_add(4)
            };
            let kept = fields.array::<4>(words.saturating_add(slot.saturating_mul(4)))?;
            if let Some(word) = unit.first_chunk_mut::<4>() {
                *word = kept;
            }
        }
        data.truncate(length);
        Ok(Record {
            block,
            lsn: header.lsn,
            operations: header.operations,
            data,
            whole,
        })
    }

    /// Reads the records of `span`, in order.
    pub(super) fn for_each(
        &self,
        span: &Span,
        mut each: impl FnMut(&Record) -> Result<()>,
    ) -> Result<()> {
        let mut at = span.tail;
        let mut left = self.length;
        while at != span.head {
            let units = self.header(at)?.all_units();
            left = left.checked_sub(units).ok_or_else(|| {
                Error::corrupt("log")
                    .at(self.offset(at))
                    .message("its records do not end at its head")
            })?;
            each(&self.record(at)?)?;
            at = self.wrap(at.saturating_add(units));
        }
        Ok(())
    }
}

/// Whether the checksum of a record is right. It covers the first header as long as it was on the
/// machine that wrote it (which differs by its padding), the other headers, and the data.
fn whole(heads: &[u8], data: &[u8]) -> bool {
    let stored = heads
        .get(32..36)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    let extra = data.len().div_ceil(KEPT.saturating_mul(UNIT_BYTES));
    [328usize, 324].into_iter().any(|length| {
        let Some(sum) = heads
            .get(..length)
            .and_then(|head| crate::disk::checksum(head, 32))
        else {
            return false;
        };
        let sum = heads
            .chunks(UNIT_BYTES)
            .take(extra)
            .skip(1)
            .filter_map(|head| head.get(..260))
            .fold(sum, crc32c::crc32c_append);
        crc32c::crc32c_append(sum, data) == stored
    })
}
