//! A volume as bytes.

use std::sync::Arc;

use super::map::{ByteMap, Rule};
use super::rebuild::rebuild;
use super::stripes::Stripes;
use crate::{ByteRange, RangeSet, ReadAt, ReadError, check_bounds};

/// A volume as bytes: its map over the device below. What can't be read of one copy is read of
/// another one, and what is missing is computed from parity where there is some.
pub struct MappedReader {
    device: Arc<dyn ReadAt>,
    map: ByteMap,
}

impl MappedReader {
    /// The bytes of `device` in the order of `map`.
    #[must_use]
    pub fn new(device: Arc<dyn ReadAt>, map: ByteMap) -> Self {
        Self { device, map }
    }
}

impl ReadAt for MappedReader {
    fn len(&self) -> u64 {
        self.map.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        read(&self.map, &*self.device, offset, buf)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let whole = ByteRange::new(0, self.len());
        let Some(range) = range.intersection(&whole) else {
            return RangeSet::new();
        };
        // Nothing is known of what parity would give.
        if self.map.is_degraded() {
            return range.into();
        }
        let device: RangeSet = self
            .map
            .around(range)
            .iter()
            .flat_map(|r| Vec::from(self.device.data_in(r).as_slice()))
            .collect();
        self.map.to_volume(&device).clipped(range)
    }
}

/// Fills `buf` with the bytes of a volume at `offset`.
fn read(map: &ByteMap, device: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
    let wanted = ByteRange::new(offset, offset + buf.len() as u64);
    let mut rest = buf;
    for segment in map.within(wanted) {
        let range = ByteRange::new(segment.volume, segment.volume + segment.length);
        let Some(part) = range.intersection(&wanted) else {
            continue;
        };
        // A part is never longer than what is left of `buf`.
        let (now, later) = rest.split_at_mut(part.len() as usize);
        let inner = part.start() - segment.volume;
        match &segment.rule {
            Rule::At(start) => read_below(map, device, start + inner, now)?,
            Rule::Copies(copies) => {
                let copies = copies.iter().flatten().map(|start| start + inner);
                read_any(map, device, copies, (part.start(), now))?;
            }
            Rule::Stripes(stripes) => {
                read_striped(map, device, stripes, (inner, now)).map_err(|lost| match lost {
                    Lost::Failed(error) => error,
                    Lost::Missing(at) => missing(segment.volume + at),
                })?;
            }
            Rule::Within(lower) => read(lower, &Below { map, device }, inner, now)?,
        }
        rest = later;
    }
    match rest.is_empty() {
        true => Ok(()),
        false => Err(missing(wanted.end() - rest.len() as u64)),
    }
}

/// Bytes that no device here has.
fn missing(offset: u64) -> ReadError {
    let reason = "it lies on a device that is not here".to_owned();
    ReadError::Damaged { offset, reason }
}

/// Why striped bytes can't be had.
enum Lost {
    Failed(ReadError),
    /// They are on no device; the offset in the segment.
    Missing(u64),
}

/// The device that the rules of a map speak of.
struct Below<'a> {
    map: &'a ByteMap,
    device: &'a dyn ReadAt,
}

impl ReadAt for Below<'_> {
    fn len(&self) -> u64 {
        self.map.below().map_or(self.device.len(), ByteMap::len)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        read_below(self.map, self.device, offset, buf)
    }
}

/// Reads from the device that the rules of `map` speak of.
fn read_below(
    map: &ByteMap,
    device: &dyn ReadAt,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), ReadError> {
    let Some(below) = map.below() else {
        return device.read_exact_at(offset, buf);
    };
    check_bounds(offset, buf.len(), below.len())?;
    read(below, device, offset, buf)
}

/// Reads the first of several copies that can be read.
fn read_any(
    map: &ByteMap,
    device: &dyn ReadAt,
    copies: impl Iterator<Item = u64>,
    (at, buf): (u64, &mut [u8]),
) -> Result<(), ReadError> {
    let mut failed = None;
    for copy in copies {
        match read_below(map, device, copy, buf) {
            Ok(()) => return Ok(()),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| missing(at)))
}

fn read_striped(
    map: &ByteMap,
    device: &dyn ReadAt,
    stripes: &Stripes,
    (inner, buf): (u64, &mut [u8]),
) -> Result<(), Lost> {
    let mut at = inner;
    let mut rest = buf;
    while !rest.is_empty() {
        let (columns, length) = stripes.locate(at);
        let length = rest
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        let (now, later) = rest.split_at_mut(length);
        let places = columns.iter().filter_map(|(c, o)| stripes.place(*c, *o));
        let copies: Vec<u64> = places.collect();
        let there = !copies.is_empty();
        let mut found = read_any(map, device, copies.into_iter(), (at, now));
        if found.is_err()
            && let Some((column, offset)) = columns.first()
            && rebuild(&Below { map, device }, stripes, (*column, *offset), now).is_some()
        {
            found = Ok(());
        }
        found.map_err(|error| match there {
            true => Lost::Failed(error),
            false => Lost::Missing(at),
        })?;
        at += length as u64;
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::map::Segment;
    use super::super::stripes::{Parity, StripeLayout, Turn};
    use super::*;

    #[test]
    fn reads_across_segments() {
        let map = ByteMap::from_segments(vec![Segment::at(0, 100, 10), Segment::at(10, 20, 30)]);
        let disk: Vec<u8> = (0..=255).collect();
        let reader = MappedReader::new(Arc::new(disk), map.unwrap());
        let mut buf = [0; 4];
        reader.read_exact_at(8, &mut buf).unwrap();
        assert_eq!(buf, [108, 109, 20, 21]);
        assert!(reader.read_exact_at(38, &mut buf).is_err());
    }

    /// A map within a segment speaks of the device of the segment, wherever that lies.
    #[test]
    fn reads_a_map_within_a_map_through_the_one_below() {
        let inner = ByteMap::from_segments(vec![Segment::at(0, 5, 3), Segment::at(3, 1, 2)]);
        let segment = Segment {
            volume: 0,
            length: 5,
            rule: Rule::Within(Arc::new(inner.unwrap())),
        };
        let below = ByteMap::from_segments(vec![Segment::at(0, 200, 4), Segment::at(4, 100, 4)]);
        let map = ByteMap::from_segments(vec![segment]).unwrap();
        let map = map.through(&below.unwrap());
        let disk: Vec<u8> = (0..=255).collect();
        let reader = MappedReader::new(Arc::new(disk), map.clone());
        assert_eq!(content(&reader).unwrap(), [101, 102, 103, 201, 202]);
        let places: Vec<_> = map.to_device(ByteRange::new(0, 5)).collect();
        assert_eq!(places, [ByteRange::new(101, 104), ByteRange::new(201, 203)]);
    }

    /// A device of which a part can't be read.
    struct Torn(Vec<u8>, ByteRange);

    impl ReadAt for Torn {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            let range = ByteRange::new(offset, offset + buf.len() as u64);
            match self.1.overlaps(&range) {
                true => Err(missing(offset)),
                false => self.0.read_exact_at(offset, buf),
            }
        }
    }

    fn mapped(rule: Rule, length: u64, torn: Torn) -> MappedReader {
        let segment = Segment {
            volume: 0,
            length,
            rule,
        };
        let map = ByteMap::from_segments(vec![segment]).unwrap();
        MappedReader::new(Arc::new(torn), map)
    }

    fn content(reader: &MappedReader) -> Result<Vec<u8>, ReadError> {
        crate::read_vec(reader, 0, reader.len() as usize)
    }

    #[test]
    fn another_copy_is_read_where_one_fails() {
        let disk = vec![7; 1000];
        let copies = |second| Rule::Copies(vec![None, Some(100), second]);
        let torn = || Torn(disk.clone(), ByteRange::new(100, 110));
        let both = mapped(copies(Some(600)), 50, torn());
        assert_eq!(content(&both).unwrap(), vec![7; 50]);
        assert!(content(&mapped(copies(None), 50, torn())).is_err());
    }

    /// Bytes that are other ones everywhere.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 12_345u64;
        let step = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(step).collect()
    }

    #[test]
    fn what_one_or_two_columns_had_is_computed() {
        const CHUNK: usize = 4096;
        const ROWS: usize = 6;
        for (count, parities) in [(3usize, 1u32), (5, 1), (4, 2), (6, 2)] {
            for (turn, symmetric) in [(Turn::Left, true), (Turn::Right, false)] {
                let layout = StripeLayout::Parity(Parity {
                    count: parities,
                    turn,
                    symmetric,
                    apart: false,
                });
                let columns: Vec<Option<u64>> = (0..count)
                    .map(|n| Some((n * CHUNK * ROWS) as u64))
                    .collect();
                let column = (CHUNK * ROWS) as u64;
                let whole = Stripes::new(columns.clone(), CHUNK as u64, column, layout).unwrap();
                let expected = noise(whole.len() as usize);
                let mut disk = vec![0; count * CHUNK * ROWS];
                for (number, chunk) in expected.chunks(CHUNK).enumerate() {
                    let at = whole.places((number * CHUNK) as u64).0.next().unwrap() as usize;
                    disk[at..at + CHUNK].copy_from_slice(chunk);
                }
                super::super::rebuild::write_parity(&whole, &mut disk);
                for one in 0..count {
                    for two in 0..count {
                        if parities == 1 && one != two {
                            continue;
                        }
                        let mut left = columns.clone();
                        let mut damaged = disk.clone();
                        for gone in [one, two] {
                            left[gone] = None;
                            let at = gone * CHUNK * ROWS;
                            damaged[at..at + CHUNK * ROWS].fill(0xEE);
                        }
                        let stripes = Stripes::new(left, CHUNK as u64, column, layout).unwrap();
                        let torn = Torn(damaged, ByteRange::new(0, 0));
                        let reader = mapped(Rule::Stripes(stripes), whole.len(), torn);
                        assert_eq!(
                            content(&reader).unwrap(),
                            expected,
                            "{count} {parities} {one} {two}"
                        );
                    }
                }
            }
        }
    }
}
