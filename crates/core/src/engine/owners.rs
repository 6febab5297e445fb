//! One view: who owns given ranges, and what is on the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::account::{Ledger, Sums};
use super::layout::{Layout, no_such_volume};
use super::options::Options;
use super::pieces::{Answer, halves};
use super::run::Run;
use super::teller::Teller;
use super::volume::OpenVolume;
use crate::metered::Meter;
use crate::report::{
    DiskRecord, Header, LayoutReport, OwnerEnd, OwnerRecord, OwnerReport, OwnerVisitor, Region,
    VolumeRecord,
};
use crate::{RangeSet, ReadAt, Result, View};

const BLOCK: u32 = 4096;

fn header(run: &Run<'_>, disk: &Arc<dyn ReadAt>, asked: &RangeSet) -> Header {
    Header {
        overlay: None,
        base: None,
        disk_size: disk_size(run, disk.len()),
        block_size: BLOCK,
        blocks: asked.units(u64::from(BLOCK)),
        precision: None,
        disks: disk_records(run),
    }
}

/// Length of the first disk; `length` where there is one only.
pub(super) fn disk_size(run: &Run<'_>, length: u64) -> u64 {
    let mut disks = run.options.disks.iter();
    disks
        .next()
        .map_or(length, |disk| disk.length(View::Merged))
}

/// What is said of the disks, where there are several.
pub(super) fn disk_records(run: &Run<'_>) -> Vec<DiskRecord> {
    let disks = run.options.disks.iter();
    (1..)
        .zip(disks)
        .map(|(number, disk)| DiskRecord {
            disk: number,
            size: disk.length(View::Merged),
            base: disk.base.clone(),
            overlay: disk.overlay.clone(),
        })
        .collect()
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
    let meter = Arc::new(Meter::default());
    let disk = &meter.on(disk);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let chosen = chosen(&layout, options.volume.as_deref())?;
    let volumes: Vec<&OpenVolume> = chosen
        .iter()
        .filter_map(|i| layout.volumes.get(*i))
        .collect();
    let mut scope = run.within(wanted, &options.disks.whole(disk.len()));
    if options.volume.is_some() {
        scope = volumes.iter().fold(RangeSet::new(), |all, v| {
            all.union(&scope.intersection(&v.own))
        });
    }
    let header = header(&run, disk, &scope);
    let records = volumes.iter().map(|v| v.record(&options.disks));
    let records: Vec<VolumeRecord> = records.collect();
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
    summary.cost(&meter, options.progress);
    Ok(OwnerEnd {
        diagnostics: run.findings(),
        summary,
    })
}

pub(super) fn layout(disk: &Arc<dyn ReadAt>, options: &Options<'_>) -> Result<LayoutReport> {
    let run = Run::of_one_view(options);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let volumes = chosen(&layout, options.volume.as_deref())?;
    let whole = options.disks.whole(disk.len());
    let between = layout
        .volumes
        .iter()
        .fold(whole.clone(), |left, volume| left.difference(&volume.own));
    let mut ledger = Ledger::new(between);
    ledger.give_structures(&layout.structures, std::iter::empty());
    ledger.give_gaps();
    let (pieces, texts) = ledger.settle();
    let regions = pieces
        .into_iter()
        .map(|p| {
            let (disk, start) = options.disks.place(p.range.start());
            Region {
                volume: None,
                class: p.class,
                detail: texts.detail(&p),
                start,
                disk,
                length: p.range.len(),
                changed: 0,
                fields: None,
                unnamed: 0,
                more_fields: false,
            }
        })
        .collect();
    Ok(LayoutReport {
        header: header(&run, disk, &whole),
        volumes: volumes
            .into_iter()
            .filter_map(|i| layout.volumes.get(i))
            .map(|volume| volume.record(&options.disks))
            .collect(),
        regions,
        candidates: layout.candidates,
        diagnostics: run.findings(),
    })
}
