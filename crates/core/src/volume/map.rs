//! Where the bytes of a volume lie on the device below it, and back.

use std::sync::Arc;

use super::stripes::Stripes;
use crate::{ByteRange, RangeSet};

/// One piece of a volume that follows one rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Offset in the volume.
    pub volume: u64,
    /// Bytes.
    pub length: u64,
    /// Where they are.
    pub rule: Rule,
}

/// Where the bytes of a segment lie on the device below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// One after the other from here on.
    At(u64),
    /// The same bytes several times, each one after the other; the first to be read first. `None`
    /// for a copy that is missing.
    Copies(Vec<Option<u64>>),
    /// In chunks over several columns.
    Stripes(Stripes),
    /// As another map says: its first byte is that of the segment.
    Within(Arc<ByteMap>),
}

impl Segment {
    /// `length` bytes from `volume` on, that lie from `device` on.
    #[must_use]
    pub const fn at(volume: u64, device: u64, length: u64) -> Self {
        Self {
            volume,
            length,
            rule: Rule::At(device),
        }
    }

    fn range(&self) -> ByteRange {
        ByteRange::new(self.volume, self.volume + self.length)
    }

    /// Whether all of it lies within 64 bits, and the rule is as long as the segment.
    fn is_sound(&self) -> bool {
        let fits = |start: &u64| start.checked_add(self.length).is_some();
        match &self.rule {
            Rule::At(start) => fits(start),
            Rule::Copies(copies) => !copies.is_empty() && copies.iter().flatten().all(fits),
            Rule::Stripes(stripes) => self.length <= stripes.len(),
            Rule::Within(map) => self.length <= map.len(),
        }
    }
}

/// Where the bytes of a volume lie on the device below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ByteMap {
    segments: Vec<Segment>,
    /// The device below is itself a volume, mapped by this.
    below: Option<Arc<ByteMap>>,
}

/// Bytes of a volume that follow each other in each place where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where they are in the volume.
    pub volume: ByteRange,
    /// Where they begin on the device, the copy to be read first at the front. None where they
    /// are missing.
    pub copies: Places,
}

/// Offsets of copies; most bytes have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    first: Option<u64>,
    others: Vec<u64>,
}

impl Places {
    fn push(&mut self, place: u64) {
        match self.first {
            None => self.first = Some(place),
            Some(_) => self.others.push(place),
        }
    }

    fn append(&mut self, other: Self) {
        other.first.into_iter().for_each(|place| self.push(place));
        self.others.extend(other.others);
    }

    /// The offsets.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.first.into_iter().chain(self.others.iter().copied())
    }

    /// Whether there are several.
    #[must_use]
    pub const fn several(&self) -> bool {
        !self.others.is_empty()
    }
}

impl Piece {
    /// Where each copy lies on the device.
    pub fn on_device(&self) -> impl Iterator<Item = ByteRange> + '_ {
        let length = self.volume.len();
        self.copies
            .iter()
            .filter_map(move |at| ByteRange::at(at, length))
    }
}

impl ByteMap {
    /// One contiguous volume, such as a partition.
    #[must_use]
    pub fn contiguous(device: ByteRange) -> Self {
        Self {
            segments: vec![Segment::at(0, device.start(), device.len())],
            below: None,
        }
    }

    /// A volume of several segments, which must follow each other in the volume from 0 on without
    /// gap or overlap and stay within 64 bits; no rule may be shorter than its segment.
    #[must_use]
    pub fn from_segments(segments: Vec<Segment>) -> Option<Self> {
        let mut at = 0u64;
        for segment in &segments {
            if segment.volume != at || !segment.is_sound() {
                return None;
            }
            at = at.checked_add(segment.length)?;
        }
        Some(Self {
            segments,
            below: None,
        })
    }

    /// Several volumes one after the other; `None` past 64 bits.
    #[must_use]
    pub fn end_to_end<'m>(maps: impl IntoIterator<Item = &'m Self>) -> Option<Self> {
        let mut segments = Vec::new();
        let mut at = 0u64;
        for map in maps {
            if map.is_flat() {
                for segment in &map.segments {
                    let volume = at.checked_add(segment.volume)?;
                    segments.push(Segment {
                        volume,
                        ..segment.clone()
                    });
                }
            } else {
                segments.push(Segment {
                    volume: at,
                    length: map.len(),
                    rule: Rule::Within(Arc::new(map.clone())),
                });
            }
            at = at.checked_add(map.len())?;
        }
        Self::from_segments(segments)
    }

    /// The segments, in the order of the volume.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn below(&self) -> Option<&Self> {
        self.below.as_deref()
    }

    /// Whether all of it lies one after the other in some pieces.
    fn is_flat(&self) -> bool {
        let mut segments = self.segments.iter();
        self.below.is_none() && segments.all(|s| matches!(s.rule, Rule::At(_)))
    }

    /// Length of the volume in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.volume + s.length)
    }

    /// Whether the volume has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any bytes lie in several places.
    #[must_use]
    pub fn has_copies(&self) -> bool {
        let segments = self.segments.iter().any(|s| match &s.rule {
            Rule::At(_) => false,
            Rule::Copies(copies) => copies.iter().flatten().count() > 1,
            Rule::Stripes(stripes) => stripes.has_copies(),
            Rule::Within(map) => map.has_copies(),
        });
        segments || self.below().is_some_and(Self::has_copies)
    }

    /// Whether parity could bring back bytes that are missing.
    #[must_use]
    pub fn has_parity(&self) -> bool {
        let segments = self.segments.iter().any(|s| match &s.rule {
            Rule::Stripes(stripes) => stripes.has_parity(),
            Rule::Within(map) => map.has_parity(),
            Rule::At(_) | Rule::Copies(_) => false,
        });
        segments || self.below().is_some_and(Self::has_parity)
    }

    /// Whether something of it is missing that copies or parity must stand in for.
    pub(super) fn is_degraded(&self) -> bool {
        let segments = self.segments.iter().any(|s| match &s.rule {
            Rule::At(_) => false,
            Rule::Copies(copies) => copies.iter().all(Option::is_none),
            Rule::Stripes(stripes) => !stripes.is_whole(),
            Rule::Within(map) => map.is_degraded(),
        });
        segments || self.below().is_some_and(Self::is_degraded)
    }

    /// The segments that share a byte with `range`.
    pub(super) fn within(&self, range: ByteRange) -> impl Iterator<Item = &Segment> {
        let from = self
            .segments
            .partition_point(|s| s.volume + s.length <= range.start());
        let behind = self.segments.get(from..).unwrap_or_default();
        behind.iter().take_while(move |s| s.volume < range.end())
    }

    /// The places of one byte on the device, and how many bytes follow it in all of them.
    fn locate(&self, offset: u64) -> Option<(Places, u64)> {
        let segment = self.within(ByteRange::at(offset, 1)?).next()?;
        let inner = offset - segment.volume;
        let rest = segment.length - inner;
        let mut places = Places::default();
        let length = match &segment.rule {
            Rule::At(start) => {
                places.push(start + inner);
                rest
            }
            Rule::Copies(copies) => {
                let there = copies.iter().flatten();
                there.for_each(|start| places.push(start + inner));
                rest
            }
            Rule::Stripes(stripes) => {
                let (found, length) = stripes.places(inner);
                found.for_each(|place| places.push(place));
                length.min(rest)
            }
            Rule::Within(map) => {
                let (found, length) = map.locate(inner)?;
                places = found;
                length.min(rest)
            }
        };
        let Some(below) = self.below() else {
            return Some((places, length));
        };
        let (mut lower, mut least) = (Places::default(), length);
        for place in places.iter() {
            let Some((found, length)) = below.locate(place) else {
                continue;
            };
            lower.append(found);
            least = least.min(length);
        }
        Some((lower, least))
    }

    /// The pieces of a range of the volume, in the order of the volume, each with all its copies.
    /// What lies past the end of the volume has none.
    pub fn pieces(&self, range: ByteRange) -> impl Iterator<Item = Piece> + '_ {
        let mut at = range.start();
        std::iter::from_fn(move || {
            if at >= range.end() {
                return None;
            }
            let (copies, length) = self.locate(at)?;
            let volume = ByteRange::new(at, at.saturating_add(length).min(range.end()));
            at = volume.end();
            Some(Piece { volume, copies })
        })
    }

    /// The pieces of a range of the volume on the device, in the order of the volume: of several
    /// copies the first. What is missing, or past the end of the volume, has none.
    pub fn to_device(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        self.pieces(range)
            .filter_map(|piece| ByteRange::at(piece.copies.first?, piece.volume.len()))
    }

    /// Where one byte of the volume lies on the device.
    #[must_use]
    pub fn device_offset(&self, offset: u64) -> Option<u64> {
        self.locate(offset)?.0.first
    }

    /// The part of a set of device ranges that lies in this volume, in volume offsets: the bytes
    /// of which any copy lies there. What only parity could bring back lies where its row does.
    #[must_use]
    pub fn to_volume(&self, device: &RangeSet) -> RangeSet {
        let lower = self.below().map(|below| below.to_volume(device));
        let device = lower.as_ref().unwrap_or(device);
        let mut found: Vec<ByteRange> = Vec::new();
        for s in &self.segments {
            let from = |start: u64| {
                let range = ByteRange::new(start, start + s.length);
                let parts = device.overlapping(range);
                parts.filter_map(move |r| r.moved_down(start)?.moved_up(s.volume))
            };
            let of_set = |set: RangeSet| {
                let set = set.clipped(ByteRange::new(0, s.length));
                let set = set.iter().filter_map(|r| r.moved_up(s.volume));
                set.collect::<Vec<_>>()
            };
            match &s.rule {
                Rule::At(start) => found.extend(from(*start)),
                Rule::Copies(copies) => {
                    copies.iter().flatten().for_each(|c| found.extend(from(*c)));
                }
                Rule::Stripes(stripes) => found.extend(of_set(stripes.to_segment(device))),
                Rule::Within(map) => found.extend(of_set(map.to_volume(device))),
            }
        }
        found.into_iter().collect()
    }

    /// The device ranges the volume takes up, with all copies, and with parity.
    #[must_use]
    pub fn device_ranges(&self) -> RangeSet {
        self.around(ByteRange::new(0, self.len()))
    }

    /// Device ranges that hold the bytes of `range` with all copies, and more where it is striped:
    /// as many ranges as the rules have columns, and not as many as the volume has chunks.
    pub(super) fn around(&self, range: ByteRange) -> RangeSet {
        let mut found: Vec<ByteRange> = Vec::new();
        for s in self.within(range) {
            let inner = range.intersection(&s.range());
            let Some(inner) = inner.and_then(|part| part.moved_down(s.volume)) else {
                continue;
            };
            match &s.rule {
                Rule::At(start) => found.extend(inner.moved_up(*start)),
                Rule::Copies(copies) => {
                    let there = copies.iter().flatten();
                    found.extend(there.filter_map(|start| inner.moved_up(*start)));
                }
                Rule::Stripes(stripes) if inner.len() == s.length => {
                    found.extend(stripes.device_ranges());
                }
                Rule::Stripes(stripes) => found.extend(stripes.around(inner)),
                Rule::Within(map) => found.extend(&map.around(inner)),
            }
        }
        let found: RangeSet = found.into_iter().collect();
        match self.below() {
            Some(below) => below.around_all(&found),
            None => found,
        }
    }

    fn around_all(&self, ranges: &RangeSet) -> RangeSet {
        let parts = ranges.iter().map(|range| self.around(range));
        parts.fold(RangeSet::new(), |all, part| all.union(&part))
    }

    /// What of a set of device ranges is parity of this volume.
    #[must_use]
    pub fn parity_in(&self, device: &RangeSet) -> RangeSet {
        if !self.has_parity() {
            return RangeSet::new();
        }
        let lower = self.below().map(|below| below.to_volume(device));
        let here = lower.as_ref().unwrap_or(device);
        let mut found: Vec<ByteRange> = Vec::new();
        for s in &self.segments {
            match &s.rule {
                Rule::At(_) | Rule::Copies(_) => {}
                Rule::Stripes(stripes) => found.extend(&stripes.parity_in(here)),
                Rule::Within(map) => found.extend(&map.parity_in(here)),
            }
        }
        let Some(below) = self.below() else {
            return found.into_iter().collect();
        };
        let parity = found.iter().flat_map(|range| below.pieces(*range));
        let parity = parity.flat_map(|piece| piece.on_device().collect::<Vec<_>>());
        let parity: RangeSet = parity.collect();
        parity.intersection(device).union(&below.parity_in(device))
    }

    /// This map, whose device is itself a volume mapped by `below`, as a map onto the device of
    /// `below`; cut where `below` ends.
    #[must_use]
    pub fn through(&self, below: &Self) -> Self {
        if self.is_flat() && below.is_flat() {
            return self.flat_through(below);
        }
        // One contiguous piece from the first byte on changes nothing.
        let whole = [Segment::at(0, 0, below.len())];
        if below.below.is_none() && below.segments == whole {
            return self.clone();
        }
        let below = match self.below() {
            Some(lower) => lower.through(below),
            None => below.clone(),
        };
        Self {
            segments: self.segments.clone(),
            below: Some(Arc::new(below)),
        }
    }

    fn flat_through(&self, below: &Self) -> Self {
        let mut segments = Vec::new();
        let mut volume = 0;
        for segment in &self.segments {
            let Rule::At(start) = segment.rule else {
                break;
            };
            let range = ByteRange::new(start, start + segment.length);
            let mut had = 0;
            for device in below.to_device(range) {
                segments.push(Segment::at(volume, device.start(), device.len()));
                volume += device.len();
                had += device.len();
            }
            if had < segment.length {
                break;
            }
        }
        Self {
            segments,
            below: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stripes::{Parity, StripeLayout, Turn};
    use super::*;

    fn map() -> ByteMap {
        ByteMap::from_segments(vec![Segment::at(0, 100, 10), Segment::at(10, 20, 30)]).unwrap()
    }

    fn with_rule(length: u64, rule: Rule) -> ByteMap {
        let segment = Segment {
            volume: 0,
            length,
            rule,
        };
        ByteMap::from_segments(vec![segment]).unwrap()
    }

    #[test]
    fn segments_must_follow_each_other() {
        let gap = vec![Segment::at(1, 0, 5)];
        assert_eq!(ByteMap::from_segments(gap), None);
    }

    #[test]
    fn maps_both_ways() {
        let device: Vec<_> = map().to_device(ByteRange::new(5, 15)).collect();
        assert_eq!(device, [ByteRange::new(105, 110), ByteRange::new(20, 25)]);
        let back = map().to_volume(&device.into_iter().collect());
        assert_eq!(back, ByteRange::new(5, 15).into());
    }

    #[test]
    fn a_volume_in_a_volume_is_cut_where_the_lower_one_ends() {
        let upper = ByteMap::contiguous(ByteRange::new(8, 60));
        let through = upper.through(&map());
        assert_eq!(
            through.segments(),
            [Segment::at(0, 108, 2), Segment::at(2, 20, 30)]
        );
    }

    #[test]
    fn each_copy_is_found_both_ways() {
        let mirror = with_rule(50, Rule::Copies(vec![Some(1000), None, Some(2000)]));
        assert!(mirror.has_copies());
        let piece = mirror.pieces(ByteRange::new(10, 20)).next().unwrap();
        let places: Vec<_> = piece.on_device().collect();
        assert_eq!(
            places,
            [ByteRange::new(1010, 1020), ByteRange::new(2010, 2020)]
        );
        let second: RangeSet = ByteRange::new(2005, 2500).into();
        assert_eq!(mirror.to_volume(&second), ByteRange::new(5, 50).into());
        assert_eq!(mirror.device_ranges().len(), 100);
    }

    /// Stripes over two volumes, of which one is a mirror and one is in two pieces.
    #[test]
    fn rules_lie_on_each_other() {
        let below = ByteMap::end_to_end([
            &with_rule(8192, Rule::Copies(vec![Some(0), Some(1 << 20)])),
            &ByteMap::from_segments(vec![
                Segment::at(0, 50_000, 5000),
                Segment::at(5000, 90_000, 3192),
            ])
            .unwrap(),
        ])
        .unwrap();
        let columns = vec![Some(0), Some(8192)];
        let stripes = Stripes::new(columns, 4096, 8192, StripeLayout::Striped).unwrap();
        let map = with_rule(16384, Rule::Stripes(stripes)).through(&below);
        let whole = ByteRange::new(0, 16384);
        let pieces: Vec<Piece> = map.pieces(whole).collect();
        let lengths: u64 = pieces.iter().map(|p| p.volume.len()).sum();
        assert_eq!(lengths, 16384);
        for piece in pieces {
            for device in piece.on_device() {
                assert_eq!(map.to_volume(&device.into()), piece.volume.into());
            }
        }
        assert_eq!(map.to_volume(&map.device_ranges()), whole.into());
        assert_eq!(map.device_ranges().len(), 3 * 8192);
    }

    #[test]
    fn parity_is_of_the_volume_and_no_byte_of_it() {
        let layout = StripeLayout::Parity(Parity {
            count: 1,
            turn: Turn::Left,
            symmetric: true,
            apart: false,
        });
        let columns = vec![Some(0), None, Some(1 << 20)];
        let stripes = Stripes::new(columns, 4096, 16384, layout).unwrap();
        let map = with_rule(stripes.len(), Rule::Stripes(stripes));
        assert!(map.is_degraded() && map.has_parity());
        let below = ByteMap::contiguous(ByteRange::new(1 << 21, 1 << 23));
        let map = map.through(&below);
        let all = map.device_ranges();
        let parity = map.parity_in(&all);
        // Of four rows one has its parity on the column that is missing.
        assert_eq!(parity.len(), 3 * 4096);
        let placed: u64 = map
            .pieces(ByteRange::new(0, map.len()))
            .flat_map(|p| p.on_device().collect::<Vec<_>>())
            .map(|r| r.len())
            .sum();
        assert_eq!(placed + parity.len(), all.len());
    }
}
