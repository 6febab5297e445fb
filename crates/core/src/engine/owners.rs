//! One view: who owns given ranges, and what is on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Options;
use super::account::{Ledger, Piece, Sums};
use super::diff::{disk_labels, no_such_volume, within};
use super::gather::{Claims, heaviest};
use super::layout::{Layout, OpenVolume};
use super::names::Names;
use super::run::Run;
use super::touched::attributes;
use crate::report::{
    FileOwner, Header, LayoutReport, OwnerRecord, OwnerReport, PathBytes, Region, VolumeRecord,
};
use crate::{
    Attributes, ByteRange, Claim, Class, FileKey, FileKind, FileSet, Owner, RangeSet, ReadAt,
    Result, View,
};

const BLOCK: u32 = 4096;

fn header(disk: &Arc<dyn ReadAt>, asked: &RangeSet) -> Header {
    Header {
        overlay: None,
        base: None,
        disk_size: disk.len(),
        block_size: BLOCK,
        blocks: asked.aligned_out(u64::from(BLOCK)).len() / u64::from(BLOCK),
        precision: None,
    }
}

/// The volumes to look at, as indexes into the layout.
fn chosen(layout: &Layout, only: Option<&str>) -> Result<Vec<usize>> {
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

pub(super) fn owners(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
) -> Result<OwnerReport> {
    let run = Run::new(options);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let volumes = chosen(&layout, options.volume.as_deref())?;
    let mut scope = within(&run, wanted, ByteRange::new(0, disk.len()));
    if options.volume.is_some() {
        scope = volumes
            .iter()
            .filter_map(|i| layout.volumes.get(*i))
            .fold(RangeSet::new(), |all, v| {
                all.union(&scope.intersection(&v.own))
            });
    }
    let mut ledger = Ledger::new(scope.clone());
    let mut records = Vec::new();
    let mut owners = Vec::new();
    for (index, volume) in volumes
        .iter()
        .filter_map(|i| layout.volumes.get(*i))
        .enumerate()
    {
        records.push(volume.record());
        let claims = Claims::gather(&run, volume, View::Merged, &volume.wanted(&scope), None)?;
        ledger.give(disk_labels(&run, &claims, volume, &scope), Some(index));
        owners.extend(owned(&run, volume, index, &claims, &scope)?);
    }
    ledger.give_structures(&layout.structures);
    for (index, volume) in volumes
        .iter()
        .filter_map(|i| layout.volumes.get(*i))
        .enumerate()
    {
        ledger.close(volume, index);
    }
    ledger.give_gaps();
    let (pieces, reasons) = ledger.settle();
    let sums = Sums::of(&pieces, None, &RangeSet::new());
    for (index, record) in records.iter_mut().enumerate() {
        record.classes = sums.volumes.get(&index).cloned().unwrap_or_default();
    }
    // Pieces in a volume that are claimed are told with their owners; the rest as they are.
    let claimed: RangeSet = owners
        .iter()
        .filter_map(|o| ByteRange::at(o.start, o.length))
        .collect();
    let resolved: Vec<bool> = records
        .iter()
        .map(|r: &VolumeRecord| r.filesystem.is_some())
        .collect();
    owners.extend(pieces.iter().flat_map(|piece| {
        let unclaimed = RangeSet::from(piece.range).difference(&claimed);
        let records: Vec<OwnerRecord> = unclaimed
            .iter()
            .map(|range| plain(piece, range, &reasons, &resolved))
            .collect();
        records
    }));
    owners.sort_by_key(|o| o.start);
    let header = header(disk, &scope);
    let mut summary = sums.summary(header.blocks);
    summary.complete = run.is_complete();
    Ok(OwnerReport {
        header,
        volumes: records,
        owners,
        diagnostics: run.diagnostics.take(),
        summary,
    })
}

/// A piece that no claim covers.
fn plain(piece: &Piece, range: ByteRange, reasons: &[String], resolved: &[bool]) -> OwnerRecord {
    let unresolved = piece.class == Class::Unresolved;
    let known = piece
        .volume
        .and_then(|v| resolved.get(v))
        .copied()
        .unwrap_or(false);
    OwnerRecord {
        volume: piece.volume,
        start: range.start(),
        length: range.len(),
        class: piece.class,
        detail: piece.detail,
        allocated: match piece.class {
            Class::Unresolved => known.then_some(true),
            Class::Gap => None,
            _ => Some(true),
        },
        owners: Vec::new(),
        reason: unresolved
            .then(|| reasons.get(piece.reason).cloned())
            .flatten(),
    }
}

/// The claimed pieces of `scope` in `volume`, with the names of their owners.
fn owned(
    run: &Run<'_>,
    volume: &OpenVolume,
    index: usize,
    claims: &Claims,
    scope: &RangeSet,
) -> Result<Vec<OwnerRecord>> {
    let wanted = volume.wanted(scope);
    let files: FileSet = claims
        .iter()
        .filter_map(|c| match c.owner {
            Owner::File(id) => Some(id.key()),
            _ => None,
        })
        .collect();
    let files = Files::find(run, volume, &files)?;
    let mut out: Vec<OwnerRecord> = Vec::new();
    claims.for_each_piece(run, &wanted, |range, claims| {
        let Some(label) = heaviest(claims) else {
            return;
        };
        let owners = files.owners(range, claims);
        for device in volume.map.to_device(range) {
            let skipped = volume
                .map
                .to_volume(&device.into())
                .bounds()
                .map_or(0, |b| b.start().saturating_sub(range.start()));
            let record = OwnerRecord {
                volume: Some(index),
                start: device.start(),
                length: device.len(),
                class: label.class,
                detail: label.detail,
                allocated: match label.class {
                    Class::Free => Some(false),
                    Class::Gap => None,
                    _ => Some(true),
                },
                owners: moved_on(&owners, skipped),
                reason: None,
            };
            match out.last_mut() {
                Some(last) if continues(last, &record) => last.length += record.length,
                _ => out.push(record),
            }
        }
    });
    Ok(out)
}

fn moved_on(owners: &[FileOwner], by: u64) -> Vec<FileOwner> {
    let mut owners = owners.to_vec();
    for owner in &mut owners {
        owner.file_offset = owner.file_offset.map(|o| o.saturating_add(by));
    }
    owners
}

/// Whether `next` is the same answer for the bytes right behind `last`.
fn continues(last: &OwnerRecord, next: &OwnerRecord) -> bool {
    last.start + last.length == next.start
        && (last.class, last.detail, last.allocated) == (next.class, next.detail, next.allocated)
        && last.owners.len() == next.owners.len()
        && last.owners.iter().zip(&next.owners).all(|(a, b)| {
            let whole = |o: &FileOwner| (o.file, o.role, o.stream.clone());
            whole(a) == whole(b)
                && a.file_offset.map(|o| o.saturating_add(last.length)) == b.file_offset
        })
}

struct Files {
    attributes: BTreeMap<FileKey, Attributes>,
    paths: BTreeMap<FileKey, Vec<PathBytes>>,
}

impl Files {
    fn find(run: &Run<'_>, volume: &OpenVolume, files: &FileSet) -> Result<Self> {
        let mut names = Names::gather(run, volume, View::Merged, files, None)?;
        let attributes = attributes(run, volume, View::Merged, files)?;
        let paths = files
            .iter()
            .map(|key| {
                let named = names.paths_of(run, key).into_iter().map(|n| n.path);
                let mut paths: Vec<PathBytes> = named.collect();
                if let (true, Some(reserved)) = (
                    paths.is_empty(),
                    attributes.get(&key).and_then(|a| a.reserved),
                ) {
                    paths.push(reserved.as_bytes().to_vec());
                }
                (key, paths)
            })
            .collect();
        Ok(Self { attributes, paths })
    }

    fn owners(&self, range: ByteRange, claims: &[&Claim]) -> Vec<FileOwner> {
        let mut seen = BTreeSet::new();
        let mut owners = Vec::new();
        for claim in claims {
            let (Owner::File(file), Some(claim)) = (claim.owner, claim.clipped(range)) else {
                continue;
            };
            let kind: Option<FileKind> = self.attributes.get(&file.key()).map(|a| a.kind);
            let owner = FileOwner {
                file,
                kind,
                paths: self.paths.get(&file.key()).cloned().unwrap_or_default(),
                stream: claim.stream,
                role: claim.role,
                file_offset: claim.file_offset,
            };
            let key = (
                owner.file,
                owner.role,
                owner.stream.clone(),
                owner.file_offset,
            );
            if seen.insert(key) {
                owners.push(owner);
            }
        }
        owners.sort_by(|a, b| {
            (a.file, a.role, &a.stream, a.file_offset).cmp(&(
                b.file,
                b.role,
                &b.stream,
                b.file_offset,
            ))
        });
        owners
    }
}

pub(super) fn layout(disk: &Arc<dyn ReadAt>, options: &Options<'_>) -> Result<LayoutReport> {
    let run = Run::new(options);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let volumes = chosen(&layout, options.volume.as_deref())?;
    let whole: RangeSet = ByteRange::new(0, disk.len()).into();
    let mut ledger = Ledger::new(whole.clone());
    ledger.give_structures(&layout.structures);
    for volume in &layout.volumes {
        let taken = ledger.left().intersection(&volume.own);
        ledger.give(taken.iter().map(|r| (r, Class::Unresolved, "")), Some(0));
    }
    ledger.give_gaps();
    let (pieces, _) = ledger.settle();
    let regions = pieces
        .into_iter()
        .filter(|p| p.class != Class::Unresolved)
        .map(|p| Region {
            volume: None,
            class: p.class,
            detail: p.detail,
            start: p.range.start(),
            length: p.range.len(),
            changed: 0,
        })
        .collect();
    Ok(LayoutReport {
        header: header(disk, &whole),
        volumes: volumes
            .into_iter()
            .filter_map(|i| layout.volumes.get(i).map(OpenVolume::record))
            .collect(),
        regions,
        diagnostics: run.diagnostics.take(),
    })
}
