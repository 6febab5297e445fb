//! The whole of a diff: refine, detect, pair the volumes, run both passes, join, account.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Options;
use super::account::{Ledger, Sums, regions};
use super::free;
use super::join::Joined;
use super::layout::Layout;
use super::pair::PairWork;
use super::pairing::Pairing;
use super::ranges::ranges_on_disk;
use super::refine::Differences;
use super::run::Run;
use crate::report::{Change, ChangedRange, Header, Report};
use crate::{ByteRange, ChangeSet, Error, Loaded, Precision, RangeSet, Result, View};

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
    let listed = run.within(&loaded.changes.ranges, disk);

    options
        .progress
        .stage("comparing changed blocks", Some(listed.len()));
    let differences = Differences::find(&run, base, merged, &listed, block)?;
    let (changes, changed) = match loaded.changes.candidates {
        true => {
            let changes = compared(&loaded.changes, &differences, disk);
            let ranges = changes.ranges.clone();
            (Cow::Owned(changes), ranges)
        }
        false => (Cow::Borrowed(&loaded.changes), listed),
    };
    let layouts = [
        Layout::detect(&run, base, View::Base)?,
        Layout::detect(&run, merged, View::Merged)?,
    ];
    let pairing = Pairing::of(&layouts, options.volume.as_deref())?;
    let scope = pairing.scope(&changed);

    let mut ledger = Ledger::new(scope.clone());
    let mut second = Vec::new();
    let mut gone: BTreeMap<usize, String> = BTreeMap::new();
    let mut joined: Vec<(usize, Joined, Vec<ChangedRange>)> = Vec::new();
    for (index, pair) in pairing.pairs.iter().enumerate() {
        let work = PairWork {
            run: &run,
            pair: *pair,
            disk: merged,
            differences: &differences,
            changed: &scope,
        };
        let found = work.resolve()?;
        ledger.give(found.merged_pieces, Some(index));
        second.push((index, found.base_pieces));
        gone.extend(found.gone.map(|reason| (index, reason)));
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
        ledger.close(volume, index, run.diagnostics.is_whole(&volume.name));
    }
    ledger.give_structures(&base_layout.structures, base_volumes);
    ledger.give_gaps();

    let identical = changed.difference(&differences.ranges().aligned_out(block));
    let (pieces, reasons) = ledger.settle();
    let sums = Sums::of(&pieces, Some(&differences), &identical);
    free::tell(&run, &pairing, (&pieces, &sums), &differences, &**merged)?;
    let records = finish_changes(joined, &differences);
    let shown = shown_ranges(&records);
    let (regions, unresolved) = regions(&pieces, &reasons, &differences, &shown);
    let blocks = |set: &RangeSet| set.units(block);
    let mut summary = sums.summary(blocks(&scope));
    debug_assert_eq!(
        summary.bytes,
        scope.len(),
        "the classes don't sum to the changed bytes"
    );
    for change in &records {
        *summary.changes.entry(change.change).or_default() += 1;
    }
    summary.complete = run.diagnostics.is_complete()
        && changes.precision != Precision::MayMiss
        && summary.coverage().unresolved_changed == 0;
    Ok(Report {
        header: Header {
            overlay: loaded.overlay_name.clone(),
            base: loaded.base_name.clone(),
            disk_size: merged.len(),
            block_size: changes.block_size,
            blocks: changes.blocks(),
            precision: Some(changes.precision),
        },
        volumes: pairing.records(&sums, gone, |own| blocks(&scope.intersection(own))),
        changes: records,
        regions,
        unresolved,
        diagnostics: run.diagnostics.take(),
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
    let disk = ByteRange::new(0, base.len().max(merged.len()));
    let listed = run.within(&loaded.changes.ranges, disk);
    options
        .progress
        .stage("comparing images", Some(listed.len()));
    let differences = Differences::find(&run, base, merged, &listed, block)?;
    let mut changes = compared(&loaded.changes, &differences, disk);
    changes.diagnostics.extend(run.diagnostics.take());
    Ok(changes)
}

fn compared(candidates: &ChangeSet, differences: &Differences, disk: ByteRange) -> ChangeSet {
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
