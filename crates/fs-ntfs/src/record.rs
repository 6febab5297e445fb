//! File records: their header, and the attributes in them.

use std::ops::Range;

use hexz_ondisk::wtf8_from_utf16le;
use hexz_resolve::ByteRange;

use crate::ondisk::{
    Geometry, Reference, STRIDE, apply_fixups, kind, le16, le32, le64, size, wide,
};
use crate::ondisk::{attribute_flags, record_flags};
use crate::runs::{Run, Runs};

/// What stands in the place of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// No file, or a deleted one.
    Unused,
    /// The record of a file, its fixups applied.
    Used,
    /// A record that can't be read, and why.
    Bad(&'static str),
}

impl Slot {
    /// Looks at the bytes of a record, and applies its fixups when it is in use.
    pub(crate) fn open(bytes: &mut [u8]) -> Self {
        match bytes.first_chunk::<4>() {
            Some(b"FILE") => {}
            Some(b"BAAD") => return Self::Bad("marked as torn by chkdsk"),
            Some([0, 0, 0, 0]) | None => return Self::Unused,
            Some(_) => return Self::Bad("no FILE signature"),
        }
        match le16(bytes, 22) {
            Some(flags) if flags & record_flags::IN_USE != 0 => {}
            _ => return Self::Unused,
        }
        match apply_fixups(bytes) {
            Ok(()) => Self::Used,
            Err(what) => Self::Bad(what),
        }
    }
}

/// A record in use, its fixups applied.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) number: u64,
}

impl<'a> Record<'a> {
    /// `sequence_number`.
    pub(crate) fn sequence(&self) -> u16 {
        le16(self.bytes, 16).unwrap_or(0)
    }

    /// `flags`.
    pub(crate) fn is_directory(&self) -> bool {
        le16(self.bytes, 22).unwrap_or(0) & record_flags::DIRECTORY != 0
    }

    /// `base_mft_record`; `None` for a base record.
    pub(crate) fn base(&self) -> Option<Reference> {
        Reference::read(self.bytes, 32).filter(|base| base.number != 0 || base.sequence != 0)
    }

    /// The file it belongs to: itself, or its base.
    pub(crate) fn file(&self) -> Reference {
        let own = Reference {
            number: self.number,
            sequence: self.sequence(),
        };
        self.base().unwrap_or(own)
    }

    /// The attributes, in the order they stand. Ends after the first that can't be.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        let used = size(le32(self.bytes, 24).unwrap_or(0)).min(self.bytes.len());
        Attributes {
            bytes: self.bytes.get(..used).unwrap_or_default(),
            at: size(le16(self.bytes, 20).unwrap_or(0)),
        }
    }

    /// Where the bytes `value` of the record lie, as offsets from its start: what a fixup stands
    /// in for lies in the update sequence array. With each piece comes its distance from the start
    /// of `value`.
    pub(crate) fn places(&self, value: Range<usize>) -> Vec<(u64, ByteRange)> {
        let usa_ofs = size(le16(self.bytes, 4).unwrap_or(0));
        let mut out: Vec<(u64, ByteRange)> = Vec::new();
        let mut at = value.start;
        while at < value.end {
            let stride = at.checked_div(STRIDE).unwrap_or(0);
            let saved = stride
                .saturating_add(1)
                .saturating_mul(STRIDE)
                .saturating_sub(2);
            let (place, length) = if at < saved {
                (at, saved.min(value.end).saturating_sub(at))
            } else {
                let entry = stride.saturating_add(1).saturating_mul(2);
                let within = at.saturating_sub(saved);
                let place = usa_ofs.saturating_add(entry).saturating_add(within);
                (
                    place,
                    saved.saturating_add(2).min(value.end).saturating_sub(at),
                )
            };
            let from_start = wide(at.saturating_sub(value.start));
            let start = wide(place);
            let range = ByteRange::new(start, start.saturating_add(wide(length)));
            out.push((from_start, range));
            at = at.saturating_add(length.max(1));
        }
        out
    }
}

/// The attributes of a record.
pub(crate) struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = match le32(self.bytes, self.at) {
            Some(kind::END) => return None,
            None if self.bytes.is_empty() => return None,
            None => {
                self.bytes = &[];
                return Some(Err("attributes without an end"));
            }
            Some(kind) => kind,
        };
        let length = size(le32(self.bytes, self.at.saturating_add(4)).unwrap_or(0));
        let end = self.at.saturating_add(length);
        let bytes = self.bytes.get(self.at..end).filter(|b| b.len() >= 24);
        let Some(bytes) = bytes.filter(|_| length.is_multiple_of(8)) else {
            self.bytes = &[];
            return Some(Err("an attribute that does not fit its record"));
        };
        let attribute = Attribute {
            kind,
            bytes,
            at: self.at,
        };
        self.at = end;
        Some(Ok(attribute))
    }
}

/// One attribute, as it stands in a record.
#[derive(Clone, Copy)]
pub(crate) struct Attribute<'a> {
    /// `type`.
    pub(crate) kind: u32,
    bytes: &'a [u8],
    /// Where it stands in the record.
    at: usize,
}

impl<'a> Attribute<'a> {
    pub(crate) fn is_resident(&self) -> bool {
        self.bytes.get(8) == Some(&0)
    }

    /// `flags`.
    pub(crate) fn flags(&self) -> u16 {
        le16(self.bytes, 12).unwrap_or(0)
    }

    /// The name, as UTF-16.
    pub(crate) fn raw_name(&self) -> Option<&'a [u8]> {
        let length = size(*self.bytes.get(9)?).saturating_mul(2);
        if length == 0 {
            return Some(&[]);
        }
        let offset = size(le16(self.bytes, 10)?);
        self.bytes.get(offset..offset.checked_add(length)?)
    }

    /// The name, as WTF-8.
    pub(crate) fn name(&self) -> Result<Vec<u8>, &'static str> {
        let raw = self.raw_name().ok_or("an attribute name out of bounds")?;
        Ok(wtf8_from_utf16le(raw))
    }

    /// The value of a resident attribute, and where in the record it stands.
    pub(crate) fn value(&self) -> Option<(&'a [u8], Range<usize>)> {
        let length = size(le32(self.bytes, 16)?);
        let offset = size(le16(self.bytes, 20)?);
        let value = self.bytes.get(offset..offset.checked_add(length)?)?;
        let start = self.at.checked_add(offset)?;
        Some((value, start..start.checked_add(length)?))
    }

    /// The header of a non-resident attribute.
    pub(crate) fn extent(&self) -> Result<Extent<'a>, &'static str> {
        let b = self.bytes;
        let read = || -> Option<Extent<'a>> {
            let at = size(le16(b, 32)?);
            let lowest_vcn = le64(b, 16)?;
            let head = lowest_vcn == 0;
            Some(Extent {
                lowest_vcn,
                // -1 where there is no cluster.
                end_vcn: le64(b, 24)?.wrapping_add(1),
                compression_unit: *b.get(34)?,
                flags: self.flags(),
                // The sizes are told by the first extent only.
                allocated_size: if head { le64(b, 40)? } else { 0 },
                data_size: if head { le64(b, 48)? } else { 0 },
                initialized_size: if head { le64(b, 56)? } else { 0 },
                mapping_pairs: b.get(at..).filter(|_| at >= 64)?,
            })
        };
        read().ok_or("a non-resident attribute out of bounds")
    }
}

/// One piece of a non-resident attribute, as one record tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent<'a> {
    pub(crate) lowest_vcn: u64,
    /// `highest_vcn` + 1.
    pub(crate) end_vcn: u64,
    pub(crate) compression_unit: u8,
    pub(crate) flags: u16,
    pub(crate) allocated_size: u64,
    pub(crate) data_size: u64,
    pub(crate) initialized_size: u64,
    mapping_pairs: &'a [u8],
}

impl Extent<'_> {
    pub(crate) fn runs(&self, geometry: &Geometry) -> Runs<'_> {
        Runs::new(self.mapping_pairs, self.lowest_vcn, geometry)
    }

    /// Whether this is the first extent of an attribute that has more.
    pub(crate) fn is_head_of_more(&self, geometry: &Geometry) -> bool {
        self.lowest_vcn == 0 && self.end_vcn.saturating_mul(geometry.cluster) < self.allocated_size
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.flags, self.compression_unit)
    }

    /// From where on an attribute reads as zeros whatever lies there; meant for first extents.
    pub(crate) fn boundary(&self, geometry: &Geometry) -> u64 {
        if self.initialized_size < self.data_size {
            self.initialized_size
        } else {
            self.data_size
                .checked_next_multiple_of(geometry.cluster)
                .unwrap_or(u64::MAX)
        }
    }
}

/// How the clusters of an attribute hold its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Plain,
    Encrypted,
    /// In units of so many clusters.
    Compressed(u64),
}

impl Layout {
    fn new(flags: u16, compression_unit: u8) -> Self {
        let compressed = flags & attribute_flags::COMPRESSION_MASK != 0;
        if flags & attribute_flags::ENCRYPTED != 0 {
            Self::Encrypted
        } else if compressed && (1..16).contains(&compression_unit) {
            Self::Compressed(1u64.checked_shl(compression_unit.into()).unwrap_or(1))
        } else {
            Self::Plain
        }
    }
}

/// A piece of an attribute's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Piece {
    /// Offset in the attribute.
    pub(crate) offset: u64,
    /// Where it lies on the volume.
    pub(crate) range: ByteRange,
    /// Compressed or encrypted.
    pub(crate) encoded: bool,
}

/// The pieces of one run of `runs`, which are those of one extent.
pub(crate) fn run_pieces(
    index: usize,
    runs: &[Run],
    layout: Layout,
    geometry: &Geometry,
    mut put: impl FnMut(Piece),
) {
    let Some((run, lcn)) = runs.get(index).and_then(|run| Some((*run, run.lcn?))) else {
        return;
    };
    let mut piece = |from: u64, to: u64, encoded: bool| {
        if from < to {
            let lcn = lcn.saturating_add(from.saturating_sub(run.vcn));
            put(Piece {
                offset: from.saturating_mul(geometry.cluster),
                range: geometry.bytes(lcn, to.saturating_sub(from)),
                encoded,
            });
        }
    };
    let unit = match layout {
        Layout::Plain => return piece(run.vcn, run.end_vcn(), false),
        Layout::Encrypted => return piece(run.vcn, run.end_vcn(), true),
        Layout::Compressed(unit) => unit,
    };
    // Whole units are stored as they are; of a compressed one some clusters are left out.
    let end = run.end_vcn();
    let first = run
        .vcn
        .checked_next_multiple_of(unit)
        .unwrap_or(end)
        .min(end);
    let last = end.checked_rem(unit).map_or(end, |r| end.saturating_sub(r));
    let last = last.max(first);
    piece(run.vcn, first, !is_whole(runs, index, unit, run.vcn));
    piece(first, last, false);
    piece(last, end, !is_whole(runs, index, unit, last));
}

/// Whether all clusters of the unit that `vcn` lies in are allocated, as far as `runs` tell.
fn is_whole(runs: &[Run], index: usize, unit: u64, vcn: u64) -> bool {
    let start = vcn.checked_rem(unit).map_or(vcn, |r| vcn.saturating_sub(r));
    let end = start.saturating_add(unit);
    let within = |run: &&Run| run.vcn < end && run.end_vcn() > start;
    let clusters = |run: &Run| {
        let length = run.end_vcn().min(end).saturating_sub(run.vcn.max(start));
        if run.lcn.is_some() { length } else { 0 }
    };
    let (before, after) = runs.split_at(index.min(runs.len()));
    let before = before.iter().rev().take_while(within).map(clusters);
    let after = after.iter().take_while(within).map(clusters);
    before.chain(after).fold(0u64, u64::saturating_add) == unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> Record<'_> {
        Record { bytes, number: 30 }
    }

    #[test]
    fn what_fixups_stand_in_for_lies_in_the_update_sequence() {
        let mut bytes = vec![0; 1024];
        bytes[4] = 48;
        let places = record(&bytes).places(500..1023);
        let expected = [(0, 500..510), (10, 50..52), (12, 512..1022), (522, 52..53)];
        let expected = expected.map(|(n, r)| (n, ByteRange::new(r.start, r.end)));
        assert_eq!(places, expected);
        assert_eq!(record(&bytes).places(7..7), []);
    }

    #[test]
    fn compressed_units_that_are_whole_are_stored_as_they_are() {
        let geometry = Geometry {
            sector: 512,
            sectors: 8000,
            cluster: 512,
            clusters: 8000,
            record: 1024,
            mft_lcn: 4,
            mftmirr_lcn: 2,
            volume_serial_number: 0,
        };
        let run = |vcn, lcn: u64, length| Run {
            vcn,
            lcn: (lcn != 0).then_some(lcn),
            length,
        };
        // A whole unit in two runs and half of the next, its hole, and a whole one.
        let runs = [
            run(0, 100, 4),
            run(4, 200, 20),
            run(24, 0, 8),
            run(32, 300, 16),
        ];
        let mut found = Vec::new();
        for index in 0..runs.len() {
            run_pieces(index, &runs, Layout::Compressed(16), &geometry, |p| {
                found.push((
                    p.offset / 512,
                    p.range.start() / 512,
                    p.range.len() / 512,
                    p.encoded,
                ));
            });
        }
        let expected = [
            (0, 100, 4, false),
            (4, 200, 12, false),
            (16, 212, 8, true),
            (32, 300, 16, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn attributes_end_at_the_first_that_can_not_be() {
        let mut bytes = vec![0; 1024];
        bytes[20] = 56;
        bytes[24..28].copy_from_slice(&200u32.to_le_bytes());
        bytes[56] = 0x10;
        bytes[60] = 24;
        bytes[80] = 0x30;
        bytes[84] = 200;
        let found: Vec<bool> = record(&bytes).attributes().map(|a| a.is_ok()).collect();
        assert_eq!(found, [true, false]);
    }
}
