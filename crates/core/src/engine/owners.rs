//! One view: who owns given ranges, and what is on the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Options;
use super::account::{Ledger, Sums};
use super::layout::{Layout, OpenVolume};
use super::pairing::no_such_volume;
use super::pieces::{Answer, halves};
use super::run::Run;
use super::teller::Teller;
use crate::report::{
    Header, LayoutReport, OwnerEnd, OwnerRecord, OwnerReport, OwnerVisitor, Region, VolumeRecord,
};
use crate::{ByteRange, RangeSet, ReadAt, Result, View};

const BLOCK: u32 = 4096;

fn header(disk: &Arc<dyn ReadAt>, asked: &RangeSet) -> Header {
    Header {
        overlay: None,
        base: None,
        disk_size: disk.len(),
        block_size: BLOCK,
        blocks: asked.units(u64::from(BLOCK)),
        precision: None,
    }
}

/// The volumes to look at, as indexes into the layout.
pub(super) fn chosen(layout: &Layout, only: Option<&str>) -> Result<Vec<usize>> {
    let all = layout.volumes.iter().enumerate();
    let chosen: Vec<usize> = all
        .filter(|(_, v)| only.is_none_or(|name| v.name == name))
        .map(|(i, _)| i)
        .collect();
    match only {
        Some(name) if chosen.is_empty() => {
            let known: Vec<_> = layout.volumes.iter().map(|v| v.name.clone()).collect();
            Err(no_such_volume(name, &known))
        }
        _ => Ok(chosen),
    }
}

/// Told everything at once.
struct Collector {
    header: Header,
    volumes: Vec<VolumeRecord>,
    owners: Mutex<Vec<OwnerRecord>>,
}

impl OwnerVisitor for Collector {
    type Made = Vec<OwnerRecord>;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        self.header = header.clone();
        self.volumes = volumes.to_vec();
        Ok(())
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        records.to_vec()
    }

    fn take(&self, mut records: Self::Made) -> Result<()> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.append(&mut records);
        Ok(())
    }
}

pub(super) fn collect(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
) -> Result<OwnerReport> {
    let mut all = Collector {
        header: Header::default(),
        volumes: Vec::new(),
        owners: Mutex::default(),
    };
    let OwnerEnd {
        diagnostics,
        summary,
    } = owners(disk, wanted, options, &mut all)?;
    let Collector {
        header,
        volumes,
        owners,
    } = all;
    Ok(OwnerReport {
        header,
        volumes,
        owners: owners.into_inner().unwrap_or_else(PoisonError::into_inner),
        diagnostics,
        summary,
    })
}

pub(super) fn owners(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
    out: &mut impl OwnerVisitor,
) -> Result<OwnerEnd> {
    let run = Run::of_one_view(options);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let chosen = chosen(&layout, options.volume.as_deref())?;
    let volumes: Vec<&OpenVolume> = chosen
        .iter()
        .filter_map(|i| layout.volumes.get(*i))
        .collect();
    let mut scope = run.within(wanted, ByteRange::new(0, disk.len()));
    if options.volume.is_some() {
        scope = volumes.iter().fold(RangeSet::new(), |all, v| {
            all.union(&scope.intersection(&v.own))
        });
    }
    let header = header(disk, &scope);
    let records: Vec<VolumeRecord> = volumes.iter().map(|v| v.record()).collect();
    out.begin(&header, &records)?;
    options.progress.stage("finding owners", Some(scope.len()));
    let mut teller = Teller::new(out);
    let mut windows = vec![scope];
    while let Some(window) = windows.pop() {
        run.check()?;
        match Answer::gather(&run, &layout, &volumes, &window)? {
            Some(answer) => answer.tell(&window, &mut teller)?,
            // Too much for one answer: the two halves, the lower one first.
            None => {
                let (low, high) = halves(&window);
                windows.push(high);
                windows.push(low);
            }
        }
    }
    let sums = Sums {
        disk: teller.finish()?,
        volumes: BTreeMap::new(),
    };
    let mut summary = sums.summary(header.blocks);
    let coverage = summary.coverage();
    summary.complete = run.diagnostics.is_complete() && coverage.resolved == coverage.bytes;
    Ok(OwnerEnd {
        diagnostics: run.diagnostics.take(),
        summary,
    })
}

pub(super) fn layout(disk: &Arc<dyn ReadAt>, options: &Options<'_>) -> Result<LayoutReport> {
    let run = Run::of_one_view(options);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let volumes = chosen(&layout, options.volume.as_deref())?;
    let whole: RangeSet = ByteRange::new(0, disk.len()).into();
    let between = layout
        .volumes
        .iter()
        .fold(whole.clone(), |left, volume| left.difference(&volume.own));
    let mut ledger = Ledger::new(between);
    ledger.give_structures(&layout.structures, std::iter::empty());
    ledger.give_gaps();
    let (pieces, _) = ledger.settle();
    let regions = pieces
        .into_iter()
        .map(|p| Region {
            volume: None,
            class: p.class,
            detail: p.detail,
            start: p.range.start(),
            length: p.range.len(),
            changed: 0,
            fields: None,
            unnamed: 0,
            more_fields: false,
        })
        .collect();
    Ok(LayoutReport {
        header: header(disk, &whole),
        volumes: volumes
            .into_iter()
            .filter_map(|i| layout.volumes.get(i).map(OpenVolume::record))
            .collect(),
        regions,
        candidates: layout.candidates,
        diagnostics: run.diagnostics.take(),
    })
}
