//! From the extents of a logical volume to the bytes of the physical volume that is here.

use std::collections::BTreeMap;

use hexz_resolve::{ByteMap, ByteRange, FoundVolume, Segment as Piece, Unusable};

use super::vg::{Group, Logical, Segment};

/// One physical volume of a group: the one that is here.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) group: &'a Group,
    /// Its name in the group; `None` where the group does not know it.
    pub(crate) name: Option<&'a str>,
    /// Bytes of the device.
    pub(crate) size: u64,
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
        let mut at = 0u64;
        for segment in &lv.segments {
            if segment.start != extent {
                let text = format!("its extent {extent} is described nowhere or twice");
                problem.get_or_insert(Unusable::Damaged(text));
            }
            extent = segment.start.saturating_add(segment.count);
            if !segment.images.is_empty() {
                match self.image(segment) {
                    Ok(ranges) => {
                        for range in ranges {
                            pieces.push(Piece {
                                volume: at,
                                device: range.start(),
                                length: range.len(),
                            });
                            at = at.saturating_add(range.len());
                        }
                    }
                    Err(text) => _ = problem.get_or_insert(Unusable::Unsupported(text)),
                }
                continue;
            }
            if let Err(text) = readable(segment).and_then(|()| self.missing(segment)) {
                problem.get_or_insert(Unusable::Unsupported(text));
            }
            for (on, first, count) in areas(segment) {
                if self.name != Some(on) {
                    continue;
                }
                match self.range(on, first, count) {
                    Ok(range) => {
                        pieces.push(Piece {
                            volume: at,
                            device: range.start(),
                            length: range.len(),
                        });
                        at = at.saturating_add(range.len());
                    }
                    Err(text) => _ = problem.get_or_insert(Unusable::Damaged(text)),
                }
            }
        }
        if extent == 0 {
            problem.get_or_insert(Unusable::Damaged("it has no extents".to_owned()));
        }
        let map = ByteMap::from_segments(pieces);
        if map.is_none() {
            let text = "it reaches past 64 bits of bytes".to_owned();
            problem.get_or_insert(Unusable::Damaged(text));
        }
        FoundVolume {
            name: format!("{}/{}", self.group.name, lv.name),
            map: map.unwrap_or_default(),
            partition_type: None,
            label: None,
            unusable: problem,
        }
    }

    /// The bytes of a mirrored segment: those of the first of its images that is here.
    fn image(&self, segment: &Segment) -> Result<Vec<ByteRange>, String> {
        let mut failed = None;
        for (on, first) in &segment.images {
            match self.linear(on, *first, segment) {
                Ok(ranges) => return Ok(ranges),
                Err(text) => _ = failed.get_or_insert(text),
            }
        }
        Err(failed.unwrap_or_else(|| "it has no images".to_owned()))
    }

    /// The bytes of the logical volume `on`, of which `segment` takes extents from `first` on.
    fn linear(&self, on: &str, first: u64, segment: &Segment) -> Result<Vec<ByteRange>, String> {
        let mut logical = self.group.logical.iter();
        let image = logical.find(|lv| lv.name == on);
        let image = image.ok_or_else(|| format!("it lies on {on}, which is not described"))?;
        let end = first.saturating_add(segment.count);
        let (mut next, mut ranges) = (first, Vec::new());
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
            for (pv, at, _) in areas(part) {
                let skipped = next.saturating_sub(start);
                let count = stop.min(end).saturating_sub(next);
                ranges.push(self.range(pv, at.saturating_add(skipped), count)?);
            }
            next = stop.min(end);
        }
        match next == end {
            true => Ok(ranges),
            false => Err(format!("its image {on} ends before it")),
        }
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
            if self.name != Some(on) {
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
            .filter(|range| range.end() <= self.size)
            .ok_or_else(|| format!("it reaches past the device, which ends at {}", self.size))
    }
}

/// Whether a segment is one piece of something.
fn readable(segment: &Segment) -> Result<(), String> {
    if !matches!(segment.kind.as_str(), "striped" | "linear") {
        return Err(format!("segments of type {} are not read", segment.kind));
    }
    match segment.stripes.len() {
        1 => Ok(()),
        n => Err(format!("it is striped over {n} areas, which is not read")),
    }
}

/// What a segment takes up: name, first extent, number of extents.
fn areas(segment: &Segment) -> impl Iterator<Item = (&str, u64, u64)> {
    let stripes = u64::try_from(segment.stripes.len()).unwrap_or(u64::MAX);
    let count = segment.count.checked_div(stripes).unwrap_or(0);
    let areas = segment.stripes.iter();
    areas.map(move |(on, first)| (on.as_str(), *first, count))
}
