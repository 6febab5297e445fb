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
    ClassBytes, FileOwner, Header, LayoutReport, OwnerEnd, OwnerRecord, OwnerReport, OwnerVisitor,
    PathBytes, Region, VolumeRecord,
};
use crate::{
    Attributes, ByteRange, Claim, Class, Error, FileKey, FileKind, FileSet, Owner, RangeSet,
    ReadAt, Result, View,
};

const BLOCK: u32 = 4096;
/// A window that is not cut further.
const SMALLEST_WINDOW: u64 = 4096;

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

/// Told everything at once.
struct Collector {
    header: Header,
    volumes: Vec<VolumeRecord>,
    owners: Vec<OwnerRecord>,
}

impl OwnerVisitor for Collector {
    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        self.header = header.clone();
        self.volumes = volumes.to_vec();
        Ok(())
    }

    fn owner(&mut self, record: OwnerRecord) -> Result<()> {
        self.owners.push(record);
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
        owners: Vec::new(),
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
        owners,
        diagnostics,
        summary,
    })
}

pub(super) fn owners(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
    out: &mut dyn OwnerVisitor,
) -> Result<OwnerEnd> {
    let run = Run::new(options);
    let layout = Layout::detect(&run, disk, View::Merged)?;
    let chosen = chosen(&layout, options.volume.as_deref())?;
    let volumes: Vec<&OpenVolume> = chosen
        .iter()
        .filter_map(|i| layout.volumes.get(*i))
        .collect();
    let mut scope = within(&run, wanted, ByteRange::new(0, disk.len()));
    if options.volume.is_some() {
        scope = volumes.iter().fold(RangeSet::new(), |all, v| {
            all.union(&scope.intersection(&v.own))
        });
    }
    let header = header(disk, &scope);
    let records: Vec<VolumeRecord> = volumes.iter().map(|v| v.record()).collect();
    out.begin(&header, &records)?;
    options.progress.stage("finding owners", Some(scope.len()));
    let mut teller = Teller {
        out,
        last: None,
        sums: BTreeMap::new(),
    };
    let mut windows = vec![scope];
    while let Some(window) = windows.pop() {
        run.check()?;
        match answer(&run, &layout, &volumes, &window)? {
            Some(records) => {
                options.progress.advance(window.len());
                records
                    .into_iter()
                    .try_for_each(|record| teller.tell(record))?;
            }
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
    summary.complete = run.is_complete();
    Ok(OwnerEnd {
        diagnostics: run.diagnostics.take(),
        summary,
    })
}

/// Passes pieces on, those that are one answer as one.
struct Teller<'a> {
    out: &'a mut dyn OwnerVisitor,
    last: Option<OwnerRecord>,
    sums: BTreeMap<Class, ClassBytes>,
}

impl Teller<'_> {
    fn tell(&mut self, record: OwnerRecord) -> Result<()> {
        self.sums.entry(record.class).or_default().bytes += record.length;
        match &mut self.last {
            Some(last) if continues(last, &record) => last.length += record.length,
            last => {
                if let Some(done) = last.replace(record) {
                    self.out.owner(done)?;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<BTreeMap<Class, ClassBytes>> {
        if let Some(done) = self.last.take() {
            self.out.owner(done)?;
        }
        Ok(self.sums)
    }
}

/// Cuts a set in two at a block border, with about as many bytes in each half.
fn halves(set: &RangeSet) -> (RangeSet, RangeSet) {
    let mut left = set.len() / 2;
    let end = set.bounds().map_or(0, |b| b.end());
    let mut at = end;
    for range in set {
        if range.len() > left {
            at = (range.start() + left)
                .next_multiple_of(u64::from(BLOCK))
                .min(range.end());
            break;
        }
        left -= range.len();
    }
    (
        set.clipped(ByteRange::new(0, at)),
        set.clipped(ByteRange::new(at, end)),
    )
}

/// The pieces of `window`, by start; `None` when there are too many claims, and it can be cut.
fn answer(
    run: &Run<'_>,
    layout: &Layout,
    volumes: &[&OpenVolume],
    window: &RangeSet,
) -> Result<Option<Vec<OwnerRecord>>> {
    let most = if window.len() <= SMALLEST_WINDOW {
        run.options.limits.claims
    } else {
        run.options.limits.claims_at_once
    };
    let mut ledger = Ledger::new(window.clone());
    let mut owners = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let wanted = volume.wanted(window);
        let claims = Claims::gather_few(run, volume, View::Merged, &wanted, most)?;
        let Some(claims) = claims else {
            if window.len() > SMALLEST_WINDOW {
                return Ok(None);
            }
            let text = "more claims than are looked at";
            run.tolerate(Some(&volume.name), Error::limit("claims", text))?;
            continue;
        };
        ledger.give(disk_labels(run, &claims, volume, window), Some(index));
        owners.extend(owned(run, volume, index, &claims, window)?);
    }
    ledger.give_structures(&layout.structures);
    for (index, volume) in volumes.iter().enumerate() {
        ledger.close(volume, index);
    }
    ledger.give_gaps();
    let (pieces, reasons) = ledger.settle();
    // Pieces in a volume that are claimed are told with their owners; the rest as they are.
    let claimed: RangeSet = owners
        .iter()
        .filter_map(|o| ByteRange::at(o.start, o.length))
        .collect();
    for piece in &pieces {
        let unclaimed = RangeSet::from(piece.range).difference(&claimed);
        owners.extend(
            unclaimed
                .iter()
                .map(|range| plain(piece, range, &reasons, volumes)),
        );
    }
    owners.sort_by_key(|o| o.start);
    Ok(Some(owners))
}

/// A piece that no claim covers.
fn plain(
    piece: &Piece,
    range: ByteRange,
    reasons: &[String],
    volumes: &[&OpenVolume],
) -> OwnerRecord {
    let unresolved = piece.class == Class::Unresolved;
    let known = piece
        .volume
        .and_then(|v| volumes.get(v))
        .is_some_and(|v| v.filesystem().is_some());
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
            out.push(OwnerRecord {
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
            });
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
        && (last.volume, &last.reason) == (next.volume, &next.reason)
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
    let between = layout
        .volumes
        .iter()
        .fold(whole.clone(), |left, volume| left.difference(&volume.own));
    let mut ledger = Ledger::new(between);
    ledger.give_structures(&layout.structures);
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
