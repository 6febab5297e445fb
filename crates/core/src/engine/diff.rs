//! The whole of a diff: refine, detect, pair the volumes, run both passes, join, account.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::account::{Ledger, Sums, regions};
use super::content::{Comparer, Extents, extents};
use super::gather::{Claims, replayed};
use super::join::{Join, Joined};
use super::layout::{Layout, OpenVolume};
use super::refine::Differences;
use super::run::Run;
use super::touched::{Pair, Touched};
use crate::report::{Change, ChangedRange, Header, Report, VolumeRecord};
use crate::{
    ByteRange, Claim, Diagnostic, Error, FileKey, FileKind, FileSet, Loaded, Owner, Precision,
    RangeSet, Result, Role, Shared, View,
};

/// Unit of the ranges in change records.
const BLOCK: u64 = 4096;

pub(super) fn diff(loaded: &Loaded, options: &Options<'_>) -> Result<Report> {
    let (Some(base), Some(merged)) = (&loaded.base, &loaded.merged) else {
        return Err(Error::unsupported(
            "change set",
            "both the disk before and after are needed",
        ));
    };
    let run = Run::new(options);
    for diagnostic in &loaded.changes.diagnostics {
        run.report(None, diagnostic.clone());
    }
    let block = u64::from(loaded.changes.block_size.max(1));
    let disk = ByteRange::new(0, base.len().max(merged.len()));
    let changed = within(&run, &loaded.changes.ranges, disk);

    options
        .progress
        .stage("comparing changed blocks", Some(changed.len()));
    let differences = Differences::find(&run, base, merged, &changed, block)?;
    let layouts = [
        Layout::detect(&run, base, View::Base)?,
        Layout::detect(&run, merged, View::Merged)?,
    ];
    let pairing = Pairing::of(&layouts, options.volume.as_deref())?;
    let scope = pairing.scope(&changed);

    let mut ledger = Ledger::new(scope.clone());
    let mut second = Vec::new();
    let mut joined: Vec<(usize, Joined, Vec<ChangedRange>)> = Vec::new();
    for (index, pair) in pairing.pairs.iter().enumerate() {
        let work = PairWork {
            run: &run,
            pair: *pair,
            differences: &differences,
            changed: &scope,
        };
        let found = work.resolve()?;
        ledger.give(found.merged_pieces, Some(index));
        second.push((index, found.base_pieces));
        joined.extend(
            found
                .changes
                .into_iter()
                .map(|(j, ranges)| (index, j, ranges)),
        );
    }
    // What no one has in merged is its owner's in base.
    for (index, pieces) in second {
        ledger.give(pieces, Some(index));
    }
    let [base_layout, merged_layout] = &layouts;
    let pairs = || pairing.pairs.iter().enumerate();
    let merged_volumes = pairs().filter_map(|(index, pair)| Some((index, pair.merged?)));
    let base_volumes = pairs().filter_map(|(index, pair)| Some((index, pair.base?)));
    ledger.give_structures(&merged_layout.structures, merged_volumes.clone());
    for (index, volume) in merged_volumes {
        ledger.close(volume, index, run.is_whole(&volume.name));
    }
    ledger.give_structures(&base_layout.structures, base_volumes);
    ledger.give_gaps();

    let identical = changed.difference(&differences.ranges().aligned_out(block));
    let (pieces, reasons) = ledger.settle();
    let sums = Sums::of(&pieces, Some(&differences), &identical);
    let changes = finish_changes(joined, &differences);
    let shown = shown_ranges(&changes);
    let (regions, unresolved) = regions(&pieces, &reasons, &differences, &shown);
    let blocks = |set: &RangeSet| set.units(block);
    let mut summary = sums.summary(blocks(&scope));
    debug_assert_eq!(
        summary.bytes,
        scope.len(),
        "the classes don't sum to the changed bytes"
    );
    for change in &changes {
        *summary.changes.entry(change.change).or_default() += 1;
    }
    run.conclude();
    summary.complete = run.is_complete() && loaded.changes.precision != Precision::MayMiss;
    Ok(Report {
        header: Header {
            overlay: loaded.overlay_name.clone(),
            base: loaded.base_name.clone(),
            disk_size: merged.len(),
            block_size: loaded.changes.block_size,
            blocks: loaded.changes.blocks(),
            precision: Some(loaded.changes.precision),
        },
        volumes: pairing.records(&sums, |own| blocks(&scope.intersection(own))),
        changes,
        regions,
        unresolved,
        diagnostics: run.diagnostics.take(),
        summary,
    })
}

/// What of `ranges` lies on the disk; the rest is a finding.
pub(super) fn within(run: &Run<'_>, ranges: &RangeSet, disk: ByteRange) -> RangeSet {
    let inside = ranges.clipped(disk);
    let outside = ranges.len() - inside.len();
    if outside > 0 {
        let text = format!("{outside} bytes that were asked for lie past the end of the disk");
        run.report(None, Diagnostic::warning("past-end", text).at(disk.end()));
    }
    inside
}

/// The volumes of both views, side by side, in disk order.
struct Pairing<'a> {
    pairs: Vec<Pair<'a>>,
    narrowed: bool,
}

impl<'a> Pairing<'a> {
    fn of([base, merged]: &'a [Layout; 2], only: Option<&str>) -> Result<Self> {
        let place = |v: &OpenVolume| (v.name.clone(), v.map.device_offset(0));
        let mut before: BTreeMap<_, &OpenVolume> =
            base.volumes.iter().map(|v| (place(v), v)).collect();
        let mut pairs: Vec<Pair<'a>> = merged
            .volumes
            .iter()
            .map(|m| {
                let b = before.remove(&place(m));
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
        pairs.extend(before.into_values().map(|b| Pair {
            base: Some(b),
            merged: None,
            same_filesystem: false,
            one_eyed: b.filesystem().is_some() && merged.hides(b),
        }));
        pairs.sort_by_key(|pair| shown(pair).map(|v| v.map.device_offset(0)));
        if let Some(name) = only {
            let known: Vec<_> = pairs
                .iter()
                .filter_map(shown)
                .map(|v| v.name.clone())
                .collect();
            pairs.retain(|pair| shown(pair).is_some_and(|v| v.name == name));
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
    fn scope(&self, changed: &RangeSet) -> RangeSet {
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

    fn records(&self, sums: &Sums, blocks: impl Fn(&RangeSet) -> u64) -> Vec<VolumeRecord> {
        self.pairs
            .iter()
            .enumerate()
            .filter_map(|(index, pair)| {
                let volume = shown(pair)?;
                let mut record = volume.record();
                if pair.merged.is_none() {
                    record
                        .reason
                        .get_or_insert_with(|| "in the base view only".to_owned());
                }
                record.changed_blocks = blocks(&volume.own);
                record.classes = sums.volumes.get(&index).cloned().unwrap_or_default();
                Some(record)
            })
            .collect()
    }
}

/// The volume that stands in the report for a pair.
fn shown<'a>(pair: &Pair<'a>) -> Option<&'a OpenVolume> {
    pair.merged.or(pair.base)
}

pub(super) fn no_such_volume(name: &str, known: &[String]) -> Error {
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Error::unsupported(
        "volume",
        format!("there is no volume {name:?}; there are: {known}"),
    )
}

/// A class and a detail for a piece of the disk.
type Labelled = Vec<(ByteRange, crate::Class, &'static str)>;

struct PairWork<'a> {
    run: &'a Run<'a>,
    pair: Pair<'a>,
    differences: &'a Differences,
    changed: &'a RangeSet,
}

struct PairFound {
    merged_pieces: Labelled,
    base_pieces: Labelled,
    changes: Vec<(Joined, Vec<ChangedRange>)>,
}

impl PairWork<'_> {
    fn resolve(&self) -> Result<PairFound> {
        let (run, pair) = (self.run, self.pair);
        let derived = self.derived()?;
        let dirty = self.dirty();
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
            });
        }
        let touching = |volume: Option<&OpenVolume>| {
            volume.map_or_else(RangeSet::new, |v| {
                v.wanted(self.differences.ranges()).union(&derived)
            })
        };
        let mut owners = self.owners_of(&merged, &touching(pair.merged));
        owners.extend(self.owners_of(&base, &touching(pair.base)));
        owners.extend(self.roots_of_lone_filesystems());
        progress.stage("naming files", None);
        let touched = Touched::find(run, pair, owners, shared)?;
        let changes = self.join(&touched, dirty.as_ref())?;
        let ranges = Ranges {
            work: self,
            merged: by_file(&merged),
            base: by_file(&base),
        };
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
        })
    }

    fn tell_one_eyed(&self) {
        self.run.note_partial();
        let seen = match self.filesystems() {
            [Some(_), _] => "before",
            _ => "after",
        };
        let text = format!("its files can be seen {seen} the change only, so none are compared");
        let volume = shown(&self.pair).map(|v| v.name.as_str());
        self.run
            .report(volume, Diagnostic::warning("one-view-unreadable", text));
    }

    fn filesystems(&self) -> [Option<&dyn crate::Filesystem>; 2] {
        [
            self.pair.base.and_then(OpenVolume::filesystem),
            self.pair.merged.and_then(OpenVolume::filesystem),
        ]
    }

    /// Where the volume reads differently in the two views once the journals are replayed, beyond
    /// the changed blocks: in volume offsets.
    fn derived(&self) -> Result<RangeSet> {
        let [Some(base), Some(merged)] = self.filesystems() else {
            return Ok(replayed(self.filesystems()));
        };
        let wanted = replayed([Some(base), Some(merged)]);
        if wanted.is_empty() {
            return Ok(wanted);
        }
        let found = Differences::find(self.run, base.reader(), merged.reader(), &wanted, 4096)?;
        Ok(found.ranges().clone())
    }

    /// The bytes of the volume in which the views may differ; `None` where offsets in one don't
    /// mean the same place in the other.
    fn dirty(&self) -> Option<RangeSet> {
        let (base, merged) = (self.pair.base?, self.pair.merged?);
        if base.map != merged.map || base.own != merged.own {
            return None;
        }
        let raw = merged.map.to_volume(self.differences.ranges());
        Some(raw.union(&replayed(self.filesystems())))
    }

    fn owners_of(&self, claims: &Claims, touching: &RangeSet) -> BTreeSet<FileKey> {
        claims
            .iter()
            .filter_map(|claim| match claim.owner {
                Owner::File(id) if touching.overlaps(claim.range) => Some(id.key()),
                _ => None,
            })
            .collect()
    }

    /// Where a filesystem is in one view only, or was made anew, all its files came or went.
    fn roots_of_lone_filesystems(&self) -> Vec<FileKey> {
        match self.filesystems() {
            [Some(_), Some(_)] if self.pair.same_filesystem => Vec::new(),
            both => both
                .into_iter()
                .flatten()
                .map(crate::Filesystem::root)
                .collect(),
        }
    }

    fn join(&self, touched: &Touched<'_>, dirty: Option<&RangeSet>) -> Result<Vec<Joined>> {
        let run = self.run;
        let files = |side: &super::touched::Side| -> FileSet {
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
        let comparer = match (self.filesystems(), self.pair.merged) {
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
pub(super) fn disk_labels(
    run: &Run<'_>,
    claims: &Claims,
    volume: &OpenVolume,
    wanted: &RangeSet,
) -> Labelled {
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

fn by_file(claims: &Claims) -> BTreeMap<FileKey, Vec<&Claim>> {
    let mut by_file: BTreeMap<FileKey, Vec<&Claim>> = BTreeMap::new();
    for claim in claims.iter().filter(|c| c.role == Role::Data) {
        if let Owner::File(id) = claim.owner {
            by_file.entry(id.key()).or_default().push(claim);
        }
    }
    by_file
}

/// Where the data of changed files lies in changed blocks.
struct Ranges<'a> {
    work: &'a PairWork<'a>,
    merged: BTreeMap<FileKey, Vec<&'a Claim>>,
    base: BTreeMap<FileKey, Vec<&'a Claim>>,
}

impl Ranges<'_> {
    fn of(&self, joined: &Joined) -> Vec<ChangedRange> {
        let pair = self.work.pair;
        let mut out = Vec::new();
        let now = joined
            .merged
            .zip(joined.change.merged.as_ref())
            .zip(pair.merged);
        if let Some(((key, attributes), volume)) = now {
            let claims = self.merged.get(&key).map_or(&[][..], Vec::as_slice);
            self.collect(&mut out, View::Merged, volume, claims, attributes.size);
        }
        let then = joined.base.zip(joined.change.base.as_ref()).zip(pair.base);
        if let Some(((key, attributes), volume)) = then {
            let kept: RangeSet = ranges_on_disk(&out);
            let mut before = Vec::new();
            let claims = self.base.get(&key).map_or(&[][..], Vec::as_slice);
            self.collect(&mut before, View::Base, volume, claims, attributes.size);
            // What the file still has there is told once.
            before.retain(|r| {
                ByteRange::at(r.disk_offset, r.length).is_some_and(|r| !kept.overlaps(r))
            });
            out.append(&mut before);
        }
        out
    }

    fn collect(
        &self,
        out: &mut Vec<ChangedRange>,
        view: View,
        volume: &OpenVolume,
        claims: &[&Claim],
        size: u64,
    ) {
        let from = out.len();
        for claim in claims {
            let content = match (claim.file_offset, claim.encoded, &claim.stream) {
                // Bytes behind the end of the file are its space and not its content.
                (Some(offset), false, None) => {
                    let length = size.saturating_sub(offset).min(claim.range.len());
                    ByteRange::new(claim.range.start(), claim.range.start() + length)
                }
                _ => claim.range,
            };
            let Some(content) = claim.clipped(content) else {
                continue;
            };
            for device in volume.map.to_device(content.range) {
                for piece in self.differing_blocks(device) {
                    let back = volume.map.to_volume(&piece.into()).bounds();
                    let skipped =
                        back.map_or(0, |b| b.start().saturating_sub(content.range.start()));
                    out.push(ChangedRange {
                        view,
                        stream: content.stream.clone(),
                        file_offset: content
                            .file_offset
                            .filter(|_| !content.encoded)
                            .map(|o| o.saturating_add(skipped)),
                        length: piece.len(),
                        disk_offset: piece.start(),
                    });
                }
            }
        }
        let mut found = out.split_off(from);
        found.sort_by(|a, b| {
            (&a.stream, a.file_offset, a.disk_offset).cmp(&(
                &b.stream,
                b.file_offset,
                b.disk_offset,
            ))
        });
        found.dedup_by(|next, kept| {
            let follows = kept.stream == next.stream
                && kept.disk_offset + kept.length == next.disk_offset
                && kept.file_offset.map(|o| o.saturating_add(kept.length)) == next.file_offset;
            if follows {
                kept.length += next.length;
            }
            follows
        });
        out.append(&mut found);
    }

    /// The parts of `device` within each block of 4 KiB, where they differ: the same whatever the
    /// unit in which changes were recorded.
    fn differing_blocks(&self, device: ByteRange) -> Vec<ByteRange> {
        let mut out = Vec::new();
        let differing = self
            .work
            .differences
            .ranges()
            .clipped(device)
            .aligned_out(BLOCK);
        for range in &differing {
            let mut at = range.start();
            while at < range.end() {
                let block = ByteRange::new(at, at.saturating_add(BLOCK));
                if let Some(part) = block.intersection(&device)
                    && self.work.differences.count(part) > 0
                {
                    out.push(part);
                }
                at = block.end();
            }
        }
        out
    }
}

fn ranges_on_disk(ranges: &[ChangedRange]) -> RangeSet {
    ranges
        .iter()
        .filter_map(|r| ByteRange::at(r.disk_offset, r.length))
        .collect()
}

fn finish_changes(
    joined: Vec<(usize, Joined, Vec<ChangedRange>)>,
    differences: &Differences,
) -> Vec<Change> {
    joined
        .into_iter()
        .map(|(volume, joined, ranges)| {
            let mut change = joined.change;
            change.volume = volume;
            change.changed_bytes = ranges_on_disk(&ranges)
                .iter()
                .map(|r| differences.count(r))
                .sum();
            change.ranges = ranges;
            change
        })
        .collect()
}

/// What change records show of the changed blocks, as the merged view has it.
fn shown_ranges(changes: &[Change]) -> RangeSet {
    let merged = changes
        .iter()
        .flat_map(|c| &c.ranges)
        .filter(|r| r.view == View::Merged);
    merged
        .filter_map(|r| ByteRange::at(r.disk_offset, r.length))
        .collect()
}
