//! One pair of volumes: who owns its changed blocks, which files that touched, and what became of
//! them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::content::budget;
use super::copies;
use super::gather::replayed;
use super::gone::Gone;
use super::labels::Labels;
use super::packed::Packed;
use super::pairing::Pair;
use super::plan::plan;
use super::ranges::{FileData, Ranges};
use super::records::Records;
use super::refine::Differences;
use super::run::Run;
use super::touched::Touched;
use super::volume::OpenVolume;
use super::writer::{Made, Writer};
use crate::report::{Change, DiffVisitor};
use crate::{
    Bounded, ByteRange, Diagnostic, Diagnostics, FileKey, FileSet, Filesystem, RangeCursor,
    RangeSet, ReadAt, Result, Shared, View,
};

/// Paths whose records one thread makes at a time.
const AT_ONCE: usize = 256;

/// What is done for one pair of volumes.
pub(super) struct PairWork<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) pair: Pair<'a>,
    /// Index of the volume in the report.
    pub(super) index: usize,
    /// Of the merged view.
    pub(super) disk: &'a Arc<dyn ReadAt>,
    pub(super) differences: &'a Differences,
    pub(super) changed: &'a RangeSet,
    /// Whether what the changed blocks were before is told too.
    pub(super) before: bool,
}

/// Who owns the changed blocks of one pair of volumes.
pub(super) struct Owned {
    pub(super) merged_pieces: Labels,
    pub(super) base_pieces: Labels,
    pub(super) files: Files,
}

/// What there is to say about its files.
pub(super) enum Files {
    /// They are compared, starting with those that own a byte that differs.
    Compared {
        owners: BTreeSet<FileKey>,
        merged: Arc<FileData>,
        base: Arc<FileData>,
        /// Where the two views may differ; `None` when all of it may.
        dirty: Option<Arc<RangeSet>>,
    },
    /// The filesystem is no more.
    Gone {
        reason: Option<String>,
        root: Option<Box<Change>>,
    },
    /// One view may have some that can't be seen.
    Hidden,
}

impl<'a> PairWork<'a> {
    /// Finds the owners of the changed blocks.
    pub(super) fn owners(&self) -> Result<Owned> {
        let (run, pair) = (self.run, self.pair);
        let moved = self.moved()?;
        let derived = match &moved {
            Some(moved) => moved.clone(),
            None => self.derived()?,
        };
        let dirty = self.dirty(moved.as_ref()).map(Arc::new);
        run.options
            .progress
            .stage("finding the owners of changed blocks", None);
        let once = dirty.clone().map(|dirty| self.sharing(dirty));
        // The merged view first: it is the one that matters if the run is cut short.
        let merged = self.view(
            (View::Merged, pair.merged),
            (&derived, moved.as_ref()),
            self.changed,
            once.as_ref(),
        )?;
        // What has an owner in merged is asked for in base only where that is told too.
        let owned = merged.pieces.iter().map(|(range, ..)| range);
        let left = (!self.before).then(|| self.changed.difference(&owned.collect()));
        let base = self.view(
            (View::Base, pair.base),
            (&derived, moved.as_ref()),
            left.as_ref().unwrap_or(self.changed),
            once.as_ref(),
        )?;
        drop(once);
        if let Some(volume) = pair.merged {
            copies::compare(run, volume, &volume.wanted(self.changed), &**self.disk)?;
        }
        // Another format in its place leaves no doubt about its files: they are listed.
        let replaced = pair.merged.is_some_and(OpenVolume::is_named);
        let files = if pair.one_eyed {
            self.report_hidden();
            Files::Hidden
        } else if let ([Some(then), None], false) = (pair.filesystems(), replaced) {
            let Gone { reason, root } = Gone::find(run, &pair, then, self.disk)?;
            let root = root.map(Box::new);
            Files::Gone { reason, root }
        } else {
            let mut owners = merged.owners;
            owners.extend(base.owners);
            self.leave_out_unchanged(&mut owners, dirty.as_deref())?;
            owners.extend(self.roots_of_lone_filesystems());
            for fs in pair.filesystems().into_iter().flatten() {
                owners.extend(fs.replayed().files.iter());
            }
            // Most files lie where they lay: what both views say is kept once.
            let same = base.data == merged.data;
            let merged = Arc::new(merged.data);
            let base = if same {
                Arc::clone(&merged)
            } else {
                Arc::new(base.data)
            };
            Files::Compared {
                owners,
                merged,
                base,
                dirty,
            }
        };
        Ok(Owned {
            merged_pieces: merged.pieces,
            base_pieces: base.pieces,
            files,
        })
    }

    /// A pass over both views, which differ in `dirty`.
    fn sharing(&self, dirty: Arc<RangeSet>) -> Shared {
        let memo = self.run.options.memo.zip(self.pair.base);
        let memo = memo.map(|(memo, base)| memo.of(&base.map));
        Shared::sharing(dirty).remembering(memo)
    }

    /// Takes away the files of which their filesystem knows that they are the same in both views.
    fn leave_out_unchanged(
        &self,
        owners: &mut BTreeSet<FileKey>,
        dirty: Option<&RangeSet>,
    ) -> Result<()> {
        let Pair {
            merged: Some(volume),
            same_filesystem: true,
            ..
        } = self.pair
        else {
            return Ok(());
        };
        let (Some(dirty), [Some(base), Some(merged)]) = (dirty, self.pair.filesystems()) else {
            return Ok(());
        };
        let files: FileSet = owners.iter().copied().collect();
        let mut same = Bounded::new("files", self.run.options.limits.files);
        self.run.pass(View::Merged, volume, None, |scan| {
            merged.unchanged(base, &files, dirty, scan, &mut same)
        })?;
        for file in &same.items {
            owners.remove(file);
        }
        Ok(())
    }

    /// Asks for the claims of one view, and keeps what is needed of them: there may be millions.
    /// `labels` are the bytes of the disk whose owners are told.
    fn view(
        &self,
        (view, volume): (View, Option<&OpenVolume>),
        (derived, moved): (&RangeSet, Option<&RangeSet>),
        labels: &RangeSet,
        shared: Option<&Shared>,
    ) -> Result<OwnedView> {
        let Some(volume) = volume else {
            return Ok(OwnedView::default());
        };
        let wanted = volume.wanted(self.changed).union(derived);
        let claims = Packed::gather(self.run, volume, view, &wanted, shared)?;
        self.run.check()?;
        let (pieces, (owners, data)) = self.run.beside(
            || disk_labels(self.run, &claims, volume, labels),
            || {
                let touching = match moved {
                    Some(moved) => moved.clone(),
                    None => volume.wanted(self.differences.ranges()).union(derived),
                };
                let owners = owners_of(&claims, &touching);
                self.run.check()?;
                Ok((owners, FileData::of(self.run, &claims)))
            },
        )?;
        self.run.check()?;
        Ok(OwnedView {
            pieces,
            owners,
            data,
        })
    }

    /// Finds the files that were touched, and writes what became of them.
    pub(super) fn changes<V: DiffVisitor>(
        &self,
        files: Files,
        writer: &mut Writer<'_, V>,
    ) -> Result<()> {
        let (run, pair) = (self.run, self.pair);
        let (owners, merged, base, dirty) = match files {
            Files::Compared {
                owners,
                merged,
                base,
                dirty,
            } => (owners, merged, base, dirty),
            Files::Gone { root, .. } => {
                let changes = root.into_iter().map(|mut root| {
                    root.volume = self.index;
                    *root
                });
                let made = Made::of(writer.visitor(), changes.collect(), Vec::new());
                return writer.take(made);
            }
            Files::Hidden => return Ok(()),
        };
        let shared = || dirty.clone().map(|dirty| self.sharing(dirty));
        run.options.progress.stage("naming files", None);
        let touched = Touched::find(run, pair, owners, dirty.as_deref(), shared)?;
        let steps = plan(run, &touched)?;
        run.options.progress.stage("comparing files", None);
        let ranges = Ranges {
            run,
            pair,
            differences: self.differences,
            merged,
            base,
        };
        let replayed = self.in_place();
        let records = Records {
            run,
            touched: &touched,
            volume: self.index,
            ranges: &ranges,
            dirty: dirty.as_deref(),
            replayed: replayed.as_ref(),
            budget: &budget(pair.filesystems()),
        };
        let visitor = writer.visitor();
        let starts = (0..steps.len()).step_by(AT_ONCE);
        let parts: Vec<_> = starts
            .map(|from| from..(from + AT_ONCE).min(steps.len()))
            .collect();
        let make = |part: &Range<usize>| {
            let findings = Diagnostics::new();
            let steps = steps.range(part.clone()).unwrap_or_default();
            let found = records.of(&steps, &findings)?;
            run.memory.check()?;
            Ok((Made::of(visitor, found.changes, found.names), findings))
        };
        run.in_order(&parts, make, |_, made: Result<_>| {
            let (made, findings) = made?;
            run.diagnostics.absorb(&findings, |finding| finding);
            writer.take(made)
        })
    }

    fn report_hidden(&self) {
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
            let disks = &self.run.options.disks;
            let text = format!(
                "it was {} at {} and lies at {} now; both were compared as a whole",
                then.name,
                then.record(disks).place(),
                now.record(disks).place()
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

    /// Where the views read otherwise than the disks do. `None` where the comparison of the disks
    /// tells nothing of this volume: it lies elsewhere in the other view, or could not all be read.
    fn in_place(&self) -> Option<RangeSet> {
        let (base, merged) = (self.pair.base?, self.pair.merged?);
        let told = base.map == merged.map && !self.differences.unreadable();
        told.then(|| replayed(self.pair.filesystems()))
    }

    /// Where a filesystem is in one view only, or was made anew, all its files came or went.
    fn roots_of_lone_filesystems(&self) -> Vec<FileKey> {
        match self.pair.filesystems() {
            [Some(_), Some(_)] if self.pair.same_filesystem => Vec::new(),
            both => both.into_iter().flatten().map(Filesystem::root).collect(),
        }
    }
}

/// What is kept of the claims of one view.
#[derive(Default)]
struct OwnedView {
    pieces: Labels,
    /// The files that own a byte that differs.
    owners: BTreeSet<FileKey>,
    data: FileData,
}

fn owners_of(claims: &Packed, touching: &RangeSet) -> BTreeSet<FileKey> {
    let touching = RangeCursor::new(touching);
    let mut owners: Vec<FileKey> = claims
        .iter()
        .filter_map(|claim| claim.file().filter(|_| touching.overlaps(claim.range)))
        .collect();
    owners.dedup();
    owners.sort_unstable();
    owners.dedup();
    owners.into_iter().collect()
}

/// The claimed pieces of `wanted` (in bytes of the disk) in `volume`, on the disk, rising.
fn disk_labels(
    run: &Run<'_>,
    claims: &Packed,
    volume: &OpenVolume,
    wanted: &RangeSet,
) -> Result<Labels> {
    let mut out = Labels::default();
    claims.labelled(run, &volume.wanted(wanted), |range, label| {
        let mut pieces = volume.map.pieces(range);
        pieces.try_for_each(|piece| out.add(piece.on_device(), label))
    })?;
    out.sort(run);
    Ok(out)
}
