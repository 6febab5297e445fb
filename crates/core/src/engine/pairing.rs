//! The volumes of the two views, side by side.

use std::collections::BTreeMap;

use super::account::Sums;
use super::briefs::Brief;
use super::layout::{Layout, no_such_volume};
use super::matching::matches;
use super::volume::OpenVolume;
use crate::report::VolumeRecord;
use crate::{ByteRange, Disks, Filesystem, RangeSet, Result, View};

/// A volume in its two views; at least one is there.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) base: Option<&'a OpenVolume>,
    pub(super) merged: Option<&'a OpenVolume>,
    /// Whether a lineage means the same file in both views: the filesystem was not made anew.
    pub(super) same_filesystem: bool,
    /// Whether one view has files and the other may have some that can't be seen, so that none can
    /// be said to have come or gone.
    pub(super) one_eyed: bool,
}

impl<'a> Pair<'a> {
    pub(super) fn sides(&self) -> [(View, Option<&'a OpenVolume>); 2] {
        [(View::Base, self.base), (View::Merged, self.merged)]
    }

    /// The volume that stands in the report for the pair.
    pub(super) fn shown(&self) -> Option<&'a OpenVolume> {
        self.merged.or(self.base)
    }

    /// The filesystems of both views.
    pub(super) fn filesystems(&self) -> [Option<&'a dyn Filesystem>; 2] {
        [self.base, self.merged].map(|volume| volume?.filesystem())
    }

    /// Whether the filesystem lies elsewhere in merged than in base, so that one place on the disk
    /// is not one place of the volume.
    pub(super) fn is_moved(&self) -> bool {
        let (Some(base), Some(merged)) = (self.base, self.merged) else {
            return false;
        };
        let common = ByteRange::new(0, base.map.len().min(merged.map.len()));
        let known = self.same_filesystem && base.filesystem().is_some();
        known && base.map != merged.map && !base.map.pieces(common).eq(merged.map.pieces(common))
    }

    /// Whether a file of base and one of merged are one file, wherever they are named: of one kind
    /// and one lineage.
    pub(super) fn same_file(&self, base: &Brief, merged: &Brief) -> bool {
        self.same_filesystem
            && base.kind == merged.kind
            && !base.lineage.is_none()
            && base.lineage == merged.lineage
    }

    /// Whether they are one file when they have one path: where one of them has no lineage the
    /// path and the kind decide.
    pub(super) fn same_at_path(&self, base: &Brief, merged: &Brief) -> bool {
        let unknown = base.lineage.is_none() || merged.lineage.is_none();
        self.same_file(base, merged)
            || (self.same_filesystem && unknown && base.kind == merged.kind)
    }
}

/// The volumes of both views, side by side, in disk order.
pub(super) struct Pairing<'a> {
    pub(super) pairs: Vec<Pair<'a>>,
    narrowed: bool,
}

impl<'a> Pairing<'a> {
    pub(super) fn of([base, merged]: &'a [Layout; 2], only: Option<&str>) -> Result<Self> {
        let matches = matches(&base.volumes, &merged.volumes);
        let mut pairs: Vec<Pair<'a>> = merged
            .volumes
            .iter()
            .zip(&matches)
            .map(|(m, b)| {
                let b = b.and_then(|b| base.volumes.get(b));
                let identity = |v: &OpenVolume| {
                    v.filesystem()
                        .map(|fs| (fs.info().identity.clone(), fs.root()))
                };
                let same_filesystem = b.and_then(identity) == identity(m);
                let one_eyed = match (b.and_then(identity), identity(m)) {
                    (None, Some(_)) => base.hides(m),
                    (Some(_), None) => m.is_hidden(),
                    _ => false,
                };
                Pair {
                    base: b,
                    merged: Some(m),
                    same_filesystem,
                    one_eyed,
                }
            })
            .collect();
        let left = base.volumes.iter().enumerate();
        let left = left.filter(|(b, _)| !matches.contains(&Some(*b)));
        pairs.extend(left.map(|(_, b)| Pair {
            base: Some(b),
            merged: None,
            same_filesystem: false,
            one_eyed: b.filesystem().is_some() && merged.hides(b),
        }));
        pairs.sort_by_key(|pair| pair.shown().map(|v| v.map.device_offset(0)));
        if let Some(name) = only {
            let known: Vec<_> = pairs
                .iter()
                .filter_map(Pair::shown)
                .map(|v| v.name.clone())
                .collect();
            let named = |v: Option<&OpenVolume>| v.is_some_and(|v| v.name == name);
            // A volume may be asked for by either of its names, and is meant by the newer one.
            let now = pairs.iter().any(|pair| named(pair.shown()));
            pairs.retain(|pair| named(if now { pair.shown() } else { pair.base }));
            if pairs.is_empty() {
                return Err(no_such_volume(name, &known));
            }
        }
        Ok(Self {
            pairs,
            narrowed: only.is_some(),
        })
    }

    /// The part of the changed bytes that is looked at.
    pub(super) fn scope(&self, changed: &RangeSet) -> RangeSet {
        if !self.narrowed {
            return changed.clone();
        }
        self.pairs.iter().fold(RangeSet::new(), |all, pair| {
            pair.sides()
                .into_iter()
                .filter_map(|(_, v)| v)
                .fold(all, |all, v| all.union(&changed.intersection(&v.own)))
        })
    }

    pub(super) fn records(
        &self,
        sums: &Sums,
        mut gone: BTreeMap<usize, String>,
        disks: &Disks,
        blocks: impl Fn(&RangeSet) -> u64,
    ) -> Vec<VolumeRecord> {
        self.pairs
            .iter()
            .enumerate()
            .filter_map(|(index, pair)| {
                let volume = pair.shown()?;
                let mut record = volume.record(disks);
                if pair.merged.is_none() {
                    record
                        .reason
                        .get_or_insert_with(|| "in the base view only".to_owned());
                }
                if let Some(reason) = gone.remove(&index) {
                    record.reason = Some(reason);
                }
                if let (Some(base), Some(merged)) = (pair.base, pair.merged) {
                    let start = |v: &OpenVolume| v.map.device_offset(0);
                    let renamed = (base.name != merged.name).then(|| base.name.clone());
                    record.base_volume = renamed;
                    let moved = start(base).filter(|at| Some(*at) != start(merged));
                    let moved = moved.map(|at| disks.place(at));
                    record.base_start = moved.map(|(_, at)| at);
                    let disk = moved.and_then(|(disk, _)| disk);
                    record.base_disk = disk.filter(|disk| Some(*disk) != record.disk);
                }
                record.changed_blocks = blocks(&volume.own);
                record.classes = sums.volumes.get(&index).cloned().unwrap_or_default();
                Some(record)
            })
            .collect()
    }
}

/// Gives each volume of base that merged has no more a name that no volume of merged has: another
/// partition may have its number by now.
pub(super) fn tell_apart([base, merged]: &mut [Layout; 2]) {
    let matches = matches(&base.volumes, &merged.volumes);
    let taken: Vec<String> = merged.volumes.iter().map(|v| v.name.clone()).collect();
    for (index, volume) in base.volumes.iter_mut().enumerate() {
        if !matches.contains(&Some(index)) && taken.contains(&volume.name) {
            volume.name.push_str("@base");
        }
    }
}
