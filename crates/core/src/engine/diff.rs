//! The whole of a diff: refine, detect, pair the volumes, find owners, account, then name and compare
//! the files that were touched, volume by volume.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::account::{Ledger, Sums, befores, regions};
use super::fields::Namer;
use super::free;
use super::layout::Layout;
use super::options::Options;
use super::owners::{disk_records, disk_size};
use super::pair::{Files, PairWork};
use super::pairing::{Pairing, tell_apart};
use super::refine::Differences;
use super::run::Run;
use super::writer::Writer;
use crate::metered::Meter;
use crate::report::{Change, DiffEnd, DiffVisitor, Header, Report, VolumeRecord};
use crate::{ChangeSet, Error, ErrorKind, Loaded, Precision, RangeSet, Result, View};

pub(super) fn diff_to<V: DiffVisitor>(
    loaded: &Loaded,
    options: &Options<'_>,
    out: &mut V,
) -> Result<DiffEnd> {
    let meter = Arc::new(Meter::default());
    let [Some(base), Some(merged)] = &meter.on_both(loaded) else {
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
    let disk = options.disks.whole(base.len().max(merged.len()));
    let listed = run.within(&loaded.changes.ranges, &disk);

    let progress = options.progress;
    progress.stage("comparing changed blocks", Some(listed.len()));
    let differences = Differences::find(&run, base, merged, &listed, block)?;
    let (changes, changed) = match loaded.changes.candidates {
        true => {
            let changes = compared(&loaded.changes, &differences, &disk);
            let ranges = changes.ranges.clone();
            (Cow::Owned(changes), ranges)
        }
        false => (Cow::Borrowed(&loaded.changes), listed),
    };
    run.check()?;
    let mut layouts = [
        Layout::detect(&run, base, View::Base)?,
        Layout::detect(&run, merged, View::Merged)?,
    ];
    tell_apart(&mut layouts);
    let pairing = Pairing::of(&layouts, options.volume.as_deref())?;
    let scope = pairing.scope(&changed);

    let mut ledger = Ledger::new(scope.clone());
    let (mut second, mut work) = (Vec::new(), Vec::new());
    let mut gone: BTreeMap<usize, String> = BTreeMap::new();
    for (index, pair) in pairing.pairs.iter().enumerate() {
        let pair = PairWork {
            run: &run,
            pair: *pair,
            index,
            disk: merged,
            differences: &differences,
            changed: &scope,
            before: out.wants_before(),
        };
        let owned = pair.owners()?;
        run.check()?;
        ledger.give(owned.merged_pieces.iter(), Some(index));
        second.push((index, owned.base_pieces));
        if let Files::Gone { reason, .. } = &owned.files {
            gone.extend(reason.clone().map(|reason| (index, reason)));
        }
        work.push((pair, owned.files));
    }
    let [base_layout, merged_layout] = &layouts;
    let pairs = || pairing.pairs.iter().enumerate();
    let merged_volumes = pairs().filter_map(|(index, pair)| Some((index, pair.merged?)));
    let base_volumes = pairs().filter_map(|(index, pair)| Some((index, pair.base?)));
    let before = out.wants_before().then(|| {
        let known = options.disks.whole(base.len());
        let mut ledger = Ledger::new(scope.intersection(&known));
        for (index, pieces) in &second {
            ledger.give(pieces.iter(), Some(*index));
        }
        ledger.give_view(&run, base_layout, base_volumes.clone());
        ledger.give_gaps();
        befores(&ledger.settle().0, &options.disks)
    });
    // What no one has in merged is its owner's in base.
    for (index, pieces) in second {
        ledger.give(pieces.iter(), Some(index));
    }
    ledger.give_view(&run, merged_layout, merged_volumes);
    ledger.give_structures(&base_layout.structures, base_volumes.clone());
    for (index, volume) in base_volumes {
        ledger.give_parity(volume, index);
    }
    ledger.give_gaps();
    let identical = changed.difference(&differences.ranges().aligned_out(block));
    run.check()?;
    let (pieces, texts) = ledger.settle();
    run.check()?;
    let sums = Sums::of(&pieces, Some(&differences), &identical);
    free::tell(&run, &pairing, (&pieces, &sums), &differences, &**merged)?;
    let blocks = |set: &RangeSet| set.units(block);
    let mut summary = sums.summary(blocks(&scope));
    debug_assert_eq!(
        summary.bytes,
        scope.len(),
        "the classes don't sum to the changed bytes"
    );
    let header = Header {
        overlay: loaded.overlay_name.clone(),
        base: loaded.base_name.clone(),
        disk_size: disk_size(&run, merged.len()),
        block_size: changes.block_size,
        blocks: changes.blocks(),
        precision: Some(changes.precision),
        disks: disk_records(&run),
    };
    let volumes = pairing.records(&sums, gone, &options.disks, |own| {
        blocks(&scope.intersection(own))
    });
    out.begin(&header, &volumes)?;

    let mut writer = Writer::new(&*out, &options.disks);
    for (pair, files) in work {
        let volume = pair.pair.shown().map(|volume| volume.name.as_str());
        let told = pair.changes(files, &mut writer);
        told.or_else(|error| match error.kind() {
            // What was told of it before is right; what else there is is not known.
            ErrorKind::Limit => run.tolerate(volume, error),
            _ => Err(error),
        })?;
    }
    run.check()?;
    let (shown, kinds) = writer.finish();
    let (mut regions, mut unresolved) = regions(&pieces, &texts, &differences.counter(), &shown);
    let namer = Namer {
        run: &run,
        pairing: &pairing,
        layouts: &layouts,
        differences: &differences,
        disks: [&**base, &**merged],
    };
    namer.name(&mut regions)?;
    for region in &mut regions {
        (region.disk, region.start) = options.disks.place(region.start);
        for field in region.fields.iter_mut().flatten() {
            field.start = options.disks.place(field.start).1;
        }
    }
    for piece in &mut unresolved {
        (piece.disk, piece.start) = options.disks.place(piece.start);
    }
    summary.changes = kinds;
    summary.complete = run.diagnostics.is_complete()
        && changes.precision != Precision::MayMiss
        && summary.coverage().unresolved_changed == 0;
    summary.cost(&meter, progress);
    Ok(DiffEnd {
        regions,
        unresolved,
        before: before.unwrap_or_default(),
        diagnostics: run.findings(),
        summary,
    })
}

/// Compares the disks of `loaded` where they may differ, and gives the blocks that do. A list of
/// changes that is none of candidates is given back as it is.
pub(super) fn compare(loaded: &Loaded, options: &Options<'_>) -> Result<ChangeSet> {
    let (Some(base), Some(merged), true) =
        (&loaded.base, &loaded.merged, loaded.changes.candidates)
    else {
        return Ok(loaded.changes.clone());
    };
    let run = Run::new(options);
    let block = u64::from(loaded.changes.block_size.max(1));
    let disk = options.disks.whole(base.len().max(merged.len()));
    let listed = run.within(&loaded.changes.ranges, &disk);
    options
        .progress
        .stage("comparing images", Some(listed.len()));
    let differences = Differences::find(&run, base, merged, &listed, block)?;
    let mut changes = compared(&loaded.changes, &differences, &disk);
    changes.diagnostics.extend(run.findings());
    Ok(changes)
}

fn compared(candidates: &ChangeSet, differences: &Differences, disk: &RangeSet) -> ChangeSet {
    let block = u64::from(candidates.block_size.max(1));
    let precision = match differences.unreadable() {
        true => candidates.precision.max(Precision::Over),
        false => candidates.precision,
    };
    ChangeSet {
        ranges: differences.blocks(block, disk),
        candidates: false,
        precision,
        ..candidates.clone()
    }
}

/// [`diff_to`] into one report.
pub(super) fn diff(loaded: &Loaded, options: &Options<'_>) -> Result<Report> {
    let mut all = Collector::default();
    let end = diff_to(loaded, options, &mut all)?;
    let changes = all.changes.into_inner();
    Ok(Report {
        header: all.header,
        volumes: all.volumes,
        changes: changes.unwrap_or_else(PoisonError::into_inner),
        regions: end.regions,
        unresolved: end.unresolved,
        before: end.before,
        diagnostics: end.diagnostics,
        summary: end.summary,
    })
}

/// Keeps everything.
#[derive(Default)]
struct Collector {
    header: Header,
    volumes: Vec<VolumeRecord>,
    changes: Mutex<Vec<Change>>,
}

impl DiffVisitor for Collector {
    type Made = Vec<Change>;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        self.header = header.clone();
        self.volumes = volumes.to_vec();
        Ok(())
    }

    fn wants_before(&self) -> bool {
        true
    }

    fn make(&self, changes: Vec<Change>) -> Self::Made {
        changes
    }

    fn take(&self, mut changes: Self::Made) -> Result<()> {
        let mut all = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        all.append(&mut changes);
        Ok(())
    }
}
