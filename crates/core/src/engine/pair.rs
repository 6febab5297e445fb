//! One pair of volumes: who owns its changed blocks, which files that touched, and what became of
//! them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::content::{Comparer, Extents, extents};
use super::gather::{Claims, replayed};
use super::gone::Gone;
use super::join::{Join, Joined};
use super::layout::OpenVolume;
use super::pairing::Pair;
use super::ranges::Ranges;
use super::refine::Differences;
use super::run::Run;
use super::touched::{Side, Touched};
use crate::report::ChangedRange;
use crate::{
    ByteRange, Class, Diagnostic, FileKey, FileKind, FileSet, Filesystem, Owner, RangeSet, ReadAt,
    Result, Shared, View,
};

/// A class and a detail for a piece of the disk.
type Labelled = Vec<(ByteRange, Class, &'static str)>;

/// What is done for one pair of volumes.
pub(super) struct PairWork<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) pair: Pair<'a>,
    /// Of the merged view.
    pub(super) disk: &'a Arc<dyn ReadAt>,
    pub(super) differences: &'a Differences,
    pub(super) changed: &'a RangeSet,
}

/// What was found in one pair of volumes.
pub(super) struct PairFound {
    pub(super) merged_pieces: Labelled,
    pub(super) base_pieces: Labelled,
    pub(super) changes: Vec<(Joined, Vec<ChangedRange>)>,
    /// What became of the volume, where its filesystem is no more.
    pub(super) gone: Option<String>,
}

impl PairWork<'_> {
    /// Finds owners, touched files and changes.
    pub(super) fn resolve(&self) -> Result<PairFound> {
        let (run, pair) = (self.run, self.pair);
        let moved = self.moved()?;
        let derived = match &moved {
            Some(moved) => moved.clone(),
            None => self.derived()?,
        };
        let dirty = self.dirty(moved.as_ref());
        let shared = || dirty.clone().map(Shared::new);
        let progress = run.options.progress;

        progress.stage("finding the owners of changed blocks", None);
        let once = shared();
        let gather = |view, volume: Option<&OpenVolume>| match volume {
            None => Ok(Claims::default()),
            Some(v) => {
                let wanted = v.wanted(self.changed).union(&derived);
                Claims::gather(run, v, view, &wanted, once.as_ref())
            }
        };
        // The merged view first: it is the one that matters if the run is cut short.
        let merged = gather(View::Merged, pair.merged)?;
        let base = gather(View::Base, pair.base)?;
        drop(once);

        let label = |claims: &Claims, volume: Option<&OpenVolume>| {
            volume.map_or_else(Vec::new, |v| disk_labels(run, claims, v, self.changed))
        };
        let merged_pieces = label(&merged, pair.merged);
        let base_pieces = label(&base, pair.base);

        if pair.one_eyed {
            self.tell_one_eyed();
            return Ok(PairFound {
                merged_pieces,
                base_pieces,
                changes: Vec::new(),
                gone: None,
            });
        }
        // Another format in its place leaves no doubt about its files: they are listed.
        let replaced = pair.merged.is_some_and(OpenVolume::is_named);
        if let ([Some(then), None], false) = (pair.filesystems(), replaced) {
            let Gone { reason, root } = Gone::find(run, &pair, then, self.disk)?;
            return Ok(PairFound {
                merged_pieces,
                base_pieces,
                changes: Vec::from_iter(root.map(|root| (Joined::of_volume(root), Vec::new()))),
                gone: reason,
            });
        }
        let touching = |volume: Option<&OpenVolume>| {
            volume.map_or_else(RangeSet::new, |v| match &moved {
                Some(moved) => moved.clone(),
                None => v.wanted(self.differences.ranges()).union(&derived),
            })
        };
        let mut owners = self.owners_of(&merged, &touching(pair.merged));
        owners.extend(self.owners_of(&base, &touching(pair.base)));
        owners.extend(self.roots_of_lone_filesystems());
        for fs in pair.filesystems().into_iter().flatten() {
            owners.extend(fs.replayed().files.iter());
        }
        progress.stage("naming files", None);
        let touched = Touched::find(run, pair, owners, shared)?;
        let changes = self.join(&touched, dirty.as_ref())?;
        let ranges = Ranges::new(pair, self.differences, &merged, &base);
        let changes = changes
            .into_iter()
            .map(|j| {
                let r = ranges.of(&j);
                (j, r)
            })
            .collect();
        Ok(PairFound {
            merged_pieces,
            base_pieces,
            changes,
            gone: None,
        })
    }

    fn tell_one_eyed(&self) {
        let seen = match self.pair.filesystems() {
            [Some(_), _] => "before",
            _ => "after",
        };
        let text = format!("its files can be seen {seen} the change only, so none are compared");
        let volume = self.pair.shown().map(|v| v.name.as_str());
        self.run.report(
            volume,
            Diagnostic::warning("one-view-unreadable", text).losing(),
        );
    }

    /// Where the volume reads differently in the two views once the journals are replayed, beyond
    /// the changed blocks: in volume offsets.
    fn derived(&self) -> Result<RangeSet> {
        let [Some(base), Some(merged)] = self.pair.filesystems() else {
            return Ok(replayed(self.pair.filesystems()));
        };
        let wanted = replayed([Some(base), Some(merged)]);
        if wanted.is_empty() {
            return Ok(wanted);
        }
        let found = Differences::find(self.run, base.reader(), merged.reader(), &wanted, 4096)?;
        Ok(found.ranges().clone())
    }

    /// Of a filesystem that lies elsewhere in the other view, where the volume reads differently:
    /// what differs on the disk says nothing of that. Both views are read as a whole.
    fn moved(&self) -> Result<Option<RangeSet>> {
        let [Some(base), Some(merged)] = self.pair.filesystems() else {
            return Ok(None);
        };
        if !self.pair.is_moved() {
            return Ok(None);
        }
        let (base, merged) = (base.reader(), merged.reader());
        let whole = ByteRange::new(0, base.len().max(merged.len())).into();
        let progress = self.run.options.progress;
        progress.stage("comparing a volume that was moved", None);
        let found = Differences::find(self.run, base, merged, &whole, 4096)?;
        if let (Some(then), Some(now)) = (self.pair.base, self.pair.merged) {
            let start = |v: &OpenVolume| v.map.device_offset(0).unwrap_or_default();
            let text = format!(
                "it was {} at byte {} and lies at byte {} now; both were compared as a whole",
                then.name,
                start(then),
                start(now)
            );
            let finding = Diagnostic::info("volume-moved", text);
            self.run.report(Some(&now.name), finding);
        }
        Ok(Some(found.ranges().clone()))
    }

    /// The bytes of the volume in which the views may differ; `None` where offsets in one don't
    /// mean the same place in the other.
    fn dirty(&self, moved: Option<&RangeSet>) -> Option<RangeSet> {
        let (base, merged) = (self.pair.base?, self.pair.merged?);
        if moved.is_some() && base.map.len() == merged.map.len() {
            return moved.cloned();
        }
        if base.map != merged.map || base.own != merged.own {
            return None;
        }
        let raw = merged.map.to_volume(self.differences.ranges());
        Some(raw.union(&replayed(self.pair.filesystems())))
    }

    fn owners_of(&self, claims: &Claims, touching: &RangeSet) -> BTreeSet<FileKey> {
        claims
            .iter()
            .filter_map(|claim| match claim.owner {
                Owner::File(key) if touching.overlaps(claim.range) => Some(key),
                _ => None,
            })
            .collect()
    }

    /// Where a filesystem is in one view only, or was made anew, all its files came or went.
    fn roots_of_lone_filesystems(&self) -> Vec<FileKey> {
        match self.pair.filesystems() {
            [Some(_), Some(_)] if self.pair.same_filesystem => Vec::new(),
            both => both.into_iter().flatten().map(Filesystem::root).collect(),
        }
    }

    fn join(&self, touched: &Touched<'_>, dirty: Option<&RangeSet>) -> Result<Vec<Joined>> {
        let run = self.run;
        let files = |side: &Side| -> FileSet {
            let regular = side
                .attributes
                .iter()
                .filter(|(_, a)| a.kind == FileKind::File);
            regular
                .map(|(key, _)| *key)
                .filter(|key| side.paths.contains_key(key))
                .collect()
        };
        run.options.progress.stage("comparing contents", None);
        let mut of = [Extents::new(), Extents::new()];
        for ((view, volume), (side, out)) in self
            .pair
            .sides()
            .into_iter()
            .zip([&touched.base, &touched.merged].into_iter().zip(&mut of))
        {
            if let Some(volume) = volume {
                *out = extents(run, volume, view, &files(side))?;
            }
        }
        let comparer = match (self.pair.filesystems(), self.pair.merged) {
            ([Some(base), Some(merged)], Some(volume)) => {
                Some(Comparer::new(run, volume, [base, merged], dirty))
            }
            _ => None,
        };
        let [base, merged] = &of;
        Join::new(touched, base, merged, comparer).changes()
    }
}

/// The claimed pieces of `wanted` (in bytes of the disk) in `volume`, on the disk, rising.
fn disk_labels(run: &Run<'_>, claims: &Claims, volume: &OpenVolume, wanted: &RangeSet) -> Labelled {
    let mut out = Labelled::new();
    for (range, label) in claims.labelled(run, &volume.wanted(wanted)) {
        out.extend(
            volume
                .map
                .to_device(range)
                .map(|r| (r, label.class, label.detail)),
        );
    }
    out.sort_unstable();
    out
}
