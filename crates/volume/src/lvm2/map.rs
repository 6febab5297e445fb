//! From the extents of a logical volume to the bytes of the physical volumes that are here.
//!
//! All offsets are those of the members, end to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_resolve::{
    ByteMap, ByteRange, FoundVolume, Rule, Segment as Piece, StripeLayout, Stripes, Unusable,
};

use super::vg::{Group, Logical, Segment};

/// A physical volume that is here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Where its device begins.
    pub(crate) start: u64,
    /// Bytes of the device.
    pub(crate) size: u64,
}

/// A group, and what of it is here.
pub(crate) struct Here<'a> {
    pub(crate) group: &'a Group,
    /// By the name in the group.
    pub(crate) places: BTreeMap<&'a str, Place>,
    /// Images of RAID1 that are not to be read, with the reason.
    pub(crate) stale: BTreeMap<&'a str, String>,
}

impl Here<'_> {
    /// All volumes of the group, in the order of its text. Ones that can't be read have the
    /// pieces of them that are here, so that those bytes are known to be theirs.
    pub(crate) fn volumes(&self) -> Vec<FoundVolume> {
        let roles = self.snapshots();
        let logical = self.group.logical.iter();
        let shown = logical.filter(|lv| lv.segments.iter().all(|s| s.snapshot.is_none()));
        let mut shown: Vec<&Logical> = shown.collect();
        // What is made of others comes before them: bytes that both have are those of the first.
        shown.sort_by_key(|lv| !lv.visible);
        let volumes = shown.into_iter();
        volumes
            .map(|lv| self.volume(lv, roles.get(lv.name.as_str())))
            .collect()
    }

    fn volume(&self, lv: &Logical, role: Option<&Unusable>) -> FoundVolume {
        let hidden = || Unusable::Unsupported("it is a part of another logical volume".to_owned());
        let mut problem = role.cloned().or_else(|| (!lv.visible).then(hidden));
        let mut pieces = Vec::new();
        let mut extent = 0u64;
        for segment in &lv.segments {
            if segment.start != extent {
                let text = format!("its extent {extent} is described nowhere or twice");
                problem.get_or_insert(Unusable::Damaged(text));
            }
            extent = segment.start.saturating_add(segment.count);
            match self.piece(segment) {
                Ok(piece) => pieces.push(piece),
                Err(unusable) => _ = problem.get_or_insert(unusable),
            }
        }
        if extent == 0 {
            problem.get_or_insert(Unusable::Damaged("it has no extents".to_owned()));
        }
        let mut at = 0u64;
        for piece in &mut pieces {
            piece.volume = at;
            at = at.saturating_add(piece.length);
        }
        let map = match problem {
            Some(_) if pieces.len() < lv.segments.len() => self.what_is_here(lv),
            _ => ByteMap::from_segments(pieces).unwrap_or_else(|| {
                let text = "it reaches past 64 bits of bytes".to_owned();
                problem = Some(Unusable::Damaged(text));
                ByteMap::default()
            }),
        };
        FoundVolume {
            name: format!("{}/{}", self.group.name, lv.name),
            map,
            partition_type: None,
            label: None,
            unusable: problem,
        }
    }

    /// The pieces of a volume that can't be read, one after the other.
    fn what_is_here(&self, lv: &Logical) -> ByteMap {
        let mut pieces = Vec::new();
        let mut at = 0u64;
        for (on, first, count) in lv.segments.iter().flat_map(areas) {
            if let Ok(range) = self.range(on, first, count) {
                pieces.push(Piece::at(at, range.start(), range.len()));
                at = at.saturating_add(range.len());
            }
        }
        ByteMap::from_segments(pieces).unwrap_or_default()
    }

    /// Where a segment lies; its place in the volume is not set yet.
    fn piece(&self, segment: &Segment) -> Result<Piece, Unusable> {
        let damaged = |text: &str| Unusable::Damaged(text.to_owned());
        let length = segment.count.checked_mul(self.group.extent);
        let length = length.ok_or_else(|| damaged("it reaches past 64 bits of bytes"))?;
        let rule = if !segment.images.is_empty() {
            self.images(segment, length)?
        } else {
            readable(segment).map_err(Unusable::Unsupported)?;
            self.missing(segment).map_err(Unusable::Unsupported)?;
            let starts: Result<Vec<u64>, String> = areas(segment)
                .map(|(on, first, count)| Ok(self.range(on, first, count)?.start()))
                .collect();
            let starts = starts.map_err(Unusable::Damaged)?;
            match starts[..] {
                [start] => Rule::At(start),
                _ => striped(starts, segment, length).map_err(Unusable::Damaged)?,
            }
        };
        Ok(Piece {
            volume: 0,
            length,
            rule,
        })
    }

    /// A mirrored segment: each of its images that is here is a copy.
    fn images(&self, segment: &Segment, length: u64) -> Result<Rule, Unusable> {
        let mut failed = None;
        let mut maps = Vec::new();
        let mut copies = Vec::new();
        let mut at = 0u64;
        for (on, first) in &segment.images {
            match self.linear(on, *first, segment) {
                Ok(map) => {
                    copies.push(Some(at));
                    at = at.saturating_add(map.len());
                    maps.push(map);
                }
                Err(text) => {
                    copies.push(None);
                    failed.get_or_insert(text);
                }
            }
        }
        let failed = failed.unwrap_or_else(|| "it has no images".to_owned());
        if maps.is_empty() {
            return Err(Unusable::Unsupported(failed));
        }
        let copies = Piece {
            volume: 0,
            length,
            rule: Rule::Copies(copies),
        };
        let below = ByteMap::end_to_end(&maps);
        let map = ByteMap::from_segments(vec![copies]).zip(below);
        let map = map.map(|(copies, below)| copies.through(&below));
        let past = || Unusable::Damaged("it reaches past 64 bits of bytes".to_owned());
        map.map(|map| Rule::Within(Arc::new(map))).ok_or_else(past)
    }

    /// Says of each volume with copies that not all of them are here, where one is.
    pub(crate) fn partly(&self) -> Vec<String> {
        let visible = self.group.logical.iter().filter(|lv| lv.visible);
        let said = visible.filter_map(|lv| {
            let mirrored = lv.segments.iter().filter(|s| !s.images.is_empty());
            let few = mirrored.filter_map(|segment| {
                let images = segment.images.iter();
                let read = images.filter(|(on, first)| self.linear(on, *first, segment).is_ok());
                let (read, all) = (read.count(), segment.images.len());
                (0 < read && read < all).then_some((read, all))
            });
            let (read, all) = few.min()?;
            Some(format!(
                "{}/{}: {read} of {all} copies are here and read, whether or not the others were \
                 written later",
                self.group.name, lv.name
            ))
        });
        said.collect()
    }

    /// The bytes of the logical volume `on`, of which `segment` takes extents from `first` on.
    fn linear(&self, on: &str, first: u64, segment: &Segment) -> Result<ByteMap, String> {
        if let Some(reason) = self.stale.get(on) {
            return Err(reason.clone());
        }
        let image = self.logical(on);
        let image = image.ok_or_else(|| format!("it lies on {on}, which is not described"))?;
        let end = first.saturating_add(segment.count);
        let (mut next, mut pieces, mut length) = (first, Vec::new(), 0u64);
        for part in &image.segments {
            let (start, stop) = (part.start, part.start.saturating_add(part.count));
            if stop <= next || start >= end {
                continue;
            }
            if start > next {
                break;
            }
            if !part.images.is_empty() {
                return Err(format!("its image {on} is made of images itself"));
            }
            readable(part).and_then(|()| self.missing(part))?;
            let [(pv, at)] = &part.stripes[..] else {
                return Err(format!("its image {on} is striped"));
            };
            let skipped = next.saturating_sub(start);
            let count = stop.min(end).saturating_sub(next);
            let range = self.range(pv, at.saturating_add(skipped), count)?;
            pieces.push(Piece::at(length, range.start(), range.len()));
            length = length.saturating_add(range.len());
            next = stop.min(end);
        }
        match (next == end, ByteMap::from_segments(pieces)) {
            (true, Some(map)) => Ok(map),
            (true, None) => Err(format!("its image {on} reaches past 64 bits of bytes")),
            (false, _) => Err(format!("its image {on} ends before it")),
        }
    }

    /// Where the volumes lie that say how far the images of a RAID1 are.
    pub(crate) fn states(&self) -> Vec<ByteRange> {
        let segments = self.group.logical.iter().flat_map(|lv| &lv.segments);
        let states = segments.flat_map(|segment| &segment.states);
        let states = states.filter_map(|name| self.logical(name));
        let areas = states.flat_map(|lv| lv.segments.iter().flat_map(areas));
        areas
            .filter_map(|(on, first, count)| self.range(on, first, count).ok())
            .collect()
    }

    /// The logical volume with this name.
    pub(crate) fn logical(&self, name: &str) -> Option<&Logical> {
        self.group.logical.iter().find(|lv| lv.name == name)
    }

    /// Where the first byte of a logical volume lies, when it lies on a physical volume that is
    /// here.
    pub(crate) fn first_byte(&self, name: &str) -> Option<u64> {
        let (on, first, _) = areas(self.logical(name)?.segments.first()?).next()?;
        Some(self.range(on, first, 1).ok()?.start())
    }

    /// Why volumes that have to do with a snapshot are none to read, by their names. The origin
    /// of one is as any other volume.
    fn snapshots(&self) -> BTreeMap<&str, Unusable> {
        let mut roles = BTreeMap::new();
        let segments = self.group.logical.iter().flat_map(|lv| &lv.segments);
        for snapshot in segments.filter_map(|s| s.snapshot.as_ref()) {
            let (origin, store) = (snapshot.origin.as_str(), snapshot.store.as_str());
            let of_store = Unusable::Snapshot {
                origin: format!("{}/{origin}", self.group.name),
                reason: format!(
                    "it is a snapshot: it only holds what differs between it and {origin}"
                ),
            };
            roles.insert(store, of_store);
            if snapshot.merging {
                let text = format!("{store} is being merged into it");
                roles.insert(origin, Unusable::Unsupported(text));
            }
        }
        roles
    }

    /// Which physical volume a segment needs that is not here.
    fn missing(&self, segment: &Segment) -> Result<(), String> {
        for (on, _) in &segment.stripes {
            let Some(physical) = self.group.physical.get(on) else {
                return Err(format!("it lies on the logical volume {on}"));
            };
            if physical.missing {
                return Err(format!(
                    "it needs the physical volume {on}, which was not there when others were \
                     written: what it holds is old"
                ));
            }
            if !self.places.contains_key(on.as_str()) {
                let device = physical.device.as_deref().unwrap_or("unknown");
                let uuid = &physical.uuid;
                return Err(format!(
                    "it needs the physical volume {on} ({uuid}, once {device}), which is not here"
                ));
            }
        }
        Ok(())
    }

    /// Where extents of the physical volume `on`, which is here, lie.
    fn range(&self, on: &str, first: u64, count: u64) -> Result<ByteRange, String> {
        let place = self.places.get(on);
        let place = place.ok_or_else(|| format!("{on} is not here"))?;
        let (start, extents) = self
            .group
            .physical
            .get(on)
            .map_or((0, 0), |physical| (physical.start, physical.extents));
        if first.saturating_add(count) > extents {
            return Err(format!("it takes extents that {on} does not have"));
        }
        let extent = self.group.extent;
        first
            .checked_mul(extent)
            .and_then(|at| at.checked_add(start))
            .and_then(|at| ByteRange::at(at, count.checked_mul(extent)?))
            .filter(|range| range.end() <= place.size)
            .and_then(|range| range.moved_up(place.start))
            .ok_or_else(|| format!("it reaches past the device, which ends at {}", place.size))
    }
}

/// Whether a segment is one piece of something, or several that are striped.
fn readable(segment: &Segment) -> Result<(), String> {
    let known = matches!(segment.kind.as_str(), "striped" | "linear");
    match known && !segment.stripes.is_empty() {
        true => Ok(()),
        false => Err(format!("segments of type {} are not read", segment.kind)),
    }
}

/// Stripes that begin at `starts`.
fn striped(starts: Vec<u64>, segment: &Segment, length: u64) -> Result<Rule, String> {
    let count = u64::try_from(starts.len()).unwrap_or(u64::MAX);
    let columns = starts.into_iter().map(Some).collect();
    let chunk = segment.stripe_size.unwrap_or(0);
    let whole = length.checked_rem(count) == Some(0);
    let column = length.checked_div(count).filter(|_| whole);
    let stripes =
        column.and_then(|column| Stripes::new(columns, chunk, column, StripeLayout::Striped));
    let stripes = stripes.filter(|stripes| stripes.len() == length);
    let text =
        || format!("it has {count} stripes in chunks of {chunk} bytes, which do not make {length}");
    stripes.map(Rule::Stripes).ok_or_else(text)
}

/// What a segment takes up: name, first extent, number of extents.
fn areas(segment: &Segment) -> impl Iterator<Item = (&str, u64, u64)> {
    let stripes = u64::try_from(segment.stripes.len()).unwrap_or(u64::MAX);
    let count = segment.count.checked_div(stripes).unwrap_or(0);
    let areas = segment.stripes.iter();
    areas.map(move |(on, first)| (on.as_str(), *first, count))
}
