//! Where the MFT lies, and reading of it: in slices for a sweep, or one record.

use hexz_ondisk::{read_into, read_what_can_be, with_buffer};
use hexz_resolve::{ByteRange, Error, ErrorKind, FileSet, RangeSet, ReadAt, Result, UnitReader};

use crate::bytes::Content;
use crate::ondisk::{Geometry, corrupt, size, wide};
use crate::record::{Record, Slot};

/// Bytes of one slice: small, since a slice in which a byte changed is read in both views.
const SLICE: u64 = 128 << 10;

/// The unnamed `$DATA` of `$MFT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mft {
    pub(crate) geometry: Geometry,
    /// Offset in the MFT and place on the volume, rising.
    pub(crate) pieces: Vec<(u64, ByteRange)>,
    /// Number of records that were ever written.
    pub(crate) records: u64,
    /// Its bitmap of records in use, when it can be read.
    pub(crate) bitmap: Option<Content>,
}

impl Mft {
    /// Where `length` bytes at `offset` of the MFT lie, each with its offset.
    pub(crate) fn places(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Iterator<Item = (u64, ByteRange)> + '_ {
        places(&self.pieces, offset, length)
    }

    /// Where record `number` begins in the MFT.
    pub(crate) fn offset(&self, number: u64) -> u64 {
        number.saturating_mul(self.geometry.record)
    }

    /// Where record `number` begins on the volume; 0 where it has no place.
    pub(crate) fn place(&self, number: u64) -> u64 {
        self.places(self.offset(number), 1)
            .next()
            .map_or(0, |(_, range)| range.start())
    }

    /// Reads record `number` into `buf`; `None` when there is none that is in use.
    pub(crate) fn read<'b>(
        &self,
        reader: &dyn ReadAt,
        number: u64,
        buf: &'b mut Vec<u8>,
    ) -> Result<Option<Record<'b>>> {
        if number >= self.records {
            return Ok(None);
        }
        buf.clear();
        buf.resize(size(self.geometry.record), 0);
        let at = self.offset(number);
        fill(&self.pieces, reader, at, buf)?;
        match Slot::open(buf) {
            Slot::Unused => Ok(None),
            Slot::Used => Ok(Some(Record { bytes: buf, number })),
            Slot::Bad(_) if !in_use(self.bitmap.as_ref(), number, reader) => Ok(None),
            Slot::Bad(what) => Err(corrupt("file record", self.place(number), what)
                .message(format!("record {number}"))),
        }
    }

    /// The numbers of the records that share a byte with `wanted`: ranges of numbers.
    pub(crate) fn numbers_in(&self, wanted: &RangeSet) -> RangeSet {
        let record = self.geometry.record.max(1);
        let numbers = self.pieces.iter().flat_map(|(at, range)| {
            wanted.overlapping(*range).filter_map(move |part| {
                let within = part.moved_down(range.start())?.moved_up(*at)?;
                Some(ByteRange::new(
                    within.start().checked_div(record)?,
                    within.end().div_ceil(record),
                ))
            })
        });
        let all = ByteRange::new(0, self.records);
        numbers.collect::<RangeSet>().clipped(all)
    }

    /// The records with `numbers`, in slices.
    pub(crate) fn slices_of(&self, limit: usize, numbers: &RangeSet) -> Vec<Slice> {
        let all = ByteRange::new(0, self.records);
        let parts = numbers.overlapping(all);
        parts.flat_map(|part| self.slices_in(limit, part)).collect()
    }

    /// All of the MFT, in slices.
    pub(crate) fn slices(&self, limit: usize) -> Vec<Slice> {
        self.slices_in(limit, ByteRange::new(0, self.records))
    }

    fn slices_in(&self, limit: usize, numbers: ByteRange) -> Vec<Slice> {
        let record = self.geometry.record;
        let each = SLICE
            .min(wide(limit))
            .checked_div(record)
            .unwrap_or(1)
            .max(1);
        let mut out = Vec::new();
        let mut first = numbers.start();
        while first < numbers.end() {
            // Cut at its multiples, so that a record that is left out moves no other into another
            // slice.
            let whole = each.saturating_sub(first.checked_rem(each).unwrap_or(0));
            let count = whole.min(numbers.end().saturating_sub(first));
            let offset = self.offset(first);
            let pieces = self
                .places(offset, count.saturating_mul(record))
                .map(|(at, range)| (at.saturating_sub(offset), range))
                .collect();
            let bits = ByteRange::new(first >> 3, first.saturating_add(count).div_ceil(8));
            out.push(Slice {
                geometry: self.geometry,
                first,
                count,
                pieces,
                bitmap: self.bitmap.as_ref().map(|bitmap| bitmap.part(bits)),
            });
            first = first.saturating_add(count);
        }
        out
    }

    /// The records of `files` that there may be, in groups of neighbours.
    pub(crate) fn groups(&self, files: &FileSet) -> Vec<Vec<u64>> {
        const NEAR: u64 = 512;
        let mut out: Vec<Vec<u64>> = Vec::new();
        let numbers = files.iter().filter(|key| key.subvolume == 0);
        for number in numbers.map(|key| key.number).filter(|n| *n < self.records) {
            match out.last_mut() {
                Some(group)
                    if group
                        .first()
                        .is_some_and(|first| number.saturating_sub(*first) < NEAR) =>
                {
                    group.push(number);
                }
                _ => out.push(vec![number]),
            }
        }
        out
    }
}

/// Whether the bitmap has record `number` in use; where it can't be read it is taken to be.
fn in_use(bitmap: Option<&Content>, number: u64, reader: &dyn ReadAt) -> bool {
    let bits = bitmap.map(|b| b.read(reader, number >> 3, 1));
    match bits.and_then(Result::ok).as_deref() {
        Some([byte]) => byte >> (number & 7) & 1 != 0,
        _ => true,
    }
}

fn places(
    pieces: &[(u64, ByteRange)],
    offset: u64,
    length: u64,
) -> impl Iterator<Item = (u64, ByteRange)> + '_ {
    let want = ByteRange::new(offset, offset.saturating_add(length));
    let from = pieces.partition_point(|(at, r)| at.saturating_add(r.len()) <= offset);
    let pieces = pieces.get(from..).unwrap_or_default().iter();
    pieces
        .take_while(move |(at, _)| *at < want.end())
        .filter_map(move |(at, range)| {
            let own = ByteRange::new(*at, at.saturating_add(range.len()));
            let part = own.intersection(&want)?;
            let place = part.moved_down(*at)?.moved_up(range.start())?;
            Some((part.start(), place))
        })
}

/// Fills `buf` with what lies at `offset` of `pieces`; all of it must have a place.
fn fill(
    pieces: &[(u64, ByteRange)],
    reader: &dyn ReadAt,
    offset: u64,
    buf: &mut [u8],
) -> Result<()> {
    let mut rest = buf;
    let mut at = offset;
    for (start, range) in places(pieces, offset, wide(rest.len())) {
        let length = size(range.len());
        if start != at || length > rest.len() {
            break;
        }
        let (now, later) = rest.split_at_mut(length);
        read_into(reader, "file record", range.start(), now)?;
        at = at.saturating_add(range.len());
        rest = later;
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt("MFT").found(format_args!("no place for byte {at} of it")))
}

/// Some records that follow each other: a unit of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slice {
    pub(crate) geometry: Geometry,
    /// Number of the first record.
    pub(crate) first: u64,
    count: u64,
    /// Offset in the slice and place on the volume, rising.
    pieces: Vec<(u64, ByteRange)>,
    /// The bitmap of records in use, as far as it tells of these.
    bitmap: Option<Content>,
}

impl Slice {
    pub(crate) fn length(&self) -> u64 {
        self.count.saturating_mul(self.geometry.record)
    }

    /// Where bytes of a record lie, by their offset in it.
    pub(crate) fn places(
        &self,
        number: u64,
        within: ByteRange,
    ) -> impl Iterator<Item = (u64, ByteRange)> + '_ {
        let start = number
            .saturating_sub(self.first)
            .saturating_mul(self.geometry.record);
        let from = start.saturating_add(within.start());
        places(&self.pieces, from, within.len())
            .map(move |(at, range)| (at.saturating_sub(from), range))
    }

    /// Where record `number` begins on the volume.
    pub(crate) fn place(&self, number: u64) -> u64 {
        self.places(number, ByteRange::new(0, 1))
            .next()
            .map_or(0, |(_, range)| range.start())
    }

    /// Reads the slice and hands out the records that are in use. What can't be read and what is
    /// torn is told and left out.
    pub(crate) fn records(
        &self,
        reader: &UnitReader<'_>,
        each: impl FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        with_buffer(size(self.length()), |buf| {
            self.records_in(buf, reader, each)
        })
    }

    fn records_in(
        &self,
        buf: &mut [u8],
        reader: &UnitReader<'_>,
        mut each: impl FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        if let Err(error) = fill(&self.pieces, reader, 0, buf) {
            if error.kind() != ErrorKind::Io {
                reader.tolerate(error.layer("ntfs"))?;
            }
            self.read_the_rest(reader, buf)?;
        }
        let mut number = self.first;
        for bytes in buf.chunks_exact_mut(size(self.geometry.record)) {
            match Slot::open(bytes) {
                Slot::Unused => {}
                Slot::Used => each(Record { bytes, number })?,
                Slot::Bad(_) if !in_use(self.bitmap.as_ref(), number, reader) => {}
                Slot::Bad(what) => reader.tolerate(
                    corrupt("file record", self.place(number), what)
                        .message(format!("record {number}"))
                        .layer("ntfs"),
                )?,
            }
            number = number.saturating_add(1);
        }
        Ok(())
    }

    /// Leaves zeros, which are no record, in the place of what can't be read.
    fn read_the_rest(&self, reader: &UnitReader<'_>, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        let mut lost = RangeSet::new();
        for (at, range) in &self.pieces {
            let from = size(*at);
            let to = from.saturating_add(size(range.len()));
            let Some(part) = buf.get_mut(from..to) else {
                continue;
            };
            let mut note = |bad: ByteRange, error: Error| {
                let within = bad.moved_down(range.start()).and_then(|r| r.moved_up(*at));
                if let Some(within) = within {
                    lost.insert(within.aligned_out(self.geometry.record));
                }
                reader.tolerate(error.layer("ntfs"))
            };
            read_what_can_be(reader, "file record", range.start(), part, &mut note)?;
        }
        for range in &lost {
            let end = size(range.end()).min(buf.len());
            if let Some(records) = buf.get_mut(size(range.start())..end) {
                records.fill(0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_may_lie_in_two_places() {
        let geometry = Geometry {
            sector: 512,
            sectors: 100,
            cluster: 512,
            clusters: 100,
            record: 1024,
            mft_lcn: 4,
            mftmirr_lcn: 2,
            volume_serial_number: 0,
        };
        let mft = Mft {
            geometry,
            pieces: vec![
                (0, ByteRange::new(2048, 3584)),
                (1536, ByteRange::new(8192, 9216)),
            ],
            records: 2,
            bitmap: None,
        };
        let places: Vec<_> = mft.places(1024, 1024).collect();
        let expected = [
            (1024, ByteRange::new(3072, 3584)),
            (1536, ByteRange::new(8192, 8704)),
        ];
        assert_eq!(places, expected);
        let slices = mft.slices(1024);
        assert_eq!(slices.len(), 2);
        let places: Vec<_> = slices[1].places(1, ByteRange::new(500, 520)).collect();
        let expected = [
            (0, ByteRange::new(3572, 3584)),
            (12, ByteRange::new(8192, 8200)),
        ];
        assert_eq!(places, expected);
    }
}
