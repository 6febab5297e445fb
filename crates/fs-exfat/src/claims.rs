//! Pass 1: who owns which bytes.

use hexz_clusters::Known;
use hexz_resolve::{ByteRange, Claim, FileSet, RangeSet, Result, Role, Scan, Sink};

use crate::bitmap;
use crate::fs::ExfatFs;
use crate::ondisk::REGION;
use crate::system::Stream;

/// All claims that share a byte with `wanted`.
pub(crate) fn claims(
    exfat: &ExfatFs,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    let known = exfat.volume.known(cx)?;
    let mut structures = regions(exfat);
    structures.extend(streams(exfat, &known));
    structures.retain(|claim| wanted.overlaps(claim.range));
    let free = bitmap::free(exfat, &known, wanted, cx)?;
    let in_heap = |claim: &&Claim| exfat.volume.heap.bytes().overlaps(&claim.range);
    // What is not lost: free clusters, and those of the bitmaps and of the table of capitals.
    let idle: Vec<Claim> = structures.iter().filter(in_heap).cloned().collect();
    let idle = idle.into_iter().chain(free.into_iter().map(Claim::free));
    structures.retain(|claim| !exfat.volume.heap.bytes().overlaps(&claim.range));
    structures
        .into_iter()
        .try_for_each(|claim| out.put(claim))?;
    exfat.volume.claims(wanted, idle.collect(), cx, out)
}

/// What lies before the clusters, and behind them.
fn regions(exfat: &ExfatFs) -> Vec<Claim> {
    let boot = &exfat.boot;
    let region = boot.sector.saturating_mul(REGION);
    let both = region.saturating_mul(2);
    let heap = exfat.volume.heap.bytes();
    let mut claims = vec![
        Claim::structure(ByteRange::new(0, region), Role::Boot, ""),
        Claim::structure(ByteRange::new(region, both), Role::Boot, "boot-backup"),
    ];
    let mut end = both;
    for number in 0..boot.number_of_fats {
        let bytes = boot.table_bytes(number);
        let detail = match number == boot.active() {
            true => "fat",
            false => "fat-backup",
        };
        claims.push(gap(end, bytes.start()));
        claims.push(Claim::structure(bytes, Role::Allocation, detail));
        end = bytes.end();
    }
    claims.push(gap(end, heap.start()));
    claims.push(gap(heap.end(), boot.size.max(exfat.volume.reader.len())));
    claims.retain(|claim| !claim.range.is_empty());
    claims
}

/// What only aligns what lies behind it.
fn gap(start: u64, end: u64) -> Claim {
    Claim::structure(ByteRange::new(start, end.max(start)), Role::Gap, "")
}

/// The bitmaps and the table of capitals, which lie in clusters.
fn streams(exfat: &ExfatFs, known: &Known) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut add = |stream: &Option<Stream>, role, detail| {
        let bytes = stream.iter().flat_map(|s| bitmap::extents(exfat, known, s));
        claims.extend(bytes.map(|range| Claim::structure(range, role, detail)));
    };
    let counts = usize::from(exfat.boot.active());
    for (number, stream) in exfat.system.bitmaps.iter().enumerate() {
        let detail = match number == counts {
            true => "allocation-bitmap",
            false => "allocation-bitmap-backup",
        };
        add(stream, Role::Allocation, detail);
    }
    add(
        &exfat.system.up_case_table,
        Role::Superblock,
        "upcase-table",
    );
    claims
}

/// The content of `files`.
pub(crate) fn extents(
    exfat: &ExfatFs,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    exfat.volume.extents(files, cx, out)
}
