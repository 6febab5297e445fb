//! Pass 1: who owns which bytes.

use hexz_clusters::Next;
use hexz_resolve::{ByteRange, Claim, FileSet, RangeSet, Result, Role, Scan, Sink};

use crate::fs::FatFs;

/// All claims that share a byte with `wanted`.
pub(crate) fn claims(
    fat: &FatFs,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    for claim in structures(fat) {
        if wanted.overlaps(claim.range) {
            out.put(claim)?;
        }
    }
    let known = fat.volume.known(cx)?;
    let heap = &fat.volume.heap;
    let free = known.table.uniform(Next::Free, heap, wanted);
    let bad = known.table.uniform(Next::Bad, heap, wanted);
    let bad = bad
        .into_iter()
        .map(|range| Claim::structure(range, Role::Gap, "bad-clusters"));
    let idle = free.into_iter().map(Claim::free).chain(bad).collect();
    fat.volume.claims(wanted, idle, cx, out)
}

/// What lies before the clusters, and behind them.
fn structures(fat: &FatFs) -> Vec<Claim> {
    let boot = &fat.boot;
    let mut claims = reserved(fat);
    for number in 0..boot.bpb_num_fats {
        let detail = match number == boot.active {
            true => "fat",
            false => "fat-backup",
        };
        claims.push(Claim::structure(
            boot.table(number),
            Role::Allocation,
            detail,
        ));
    }
    let end = boot.heap.bytes().end();
    let behind = ByteRange::new(end, boot.size.max(fat.volume.reader.len()).max(end));
    claims.push(Claim::structure(behind, Role::Gap, ""));
    claims.retain(|claim| !claim.range.is_empty());
    claims
}

/// The reserved sectors, each in one claim or in one with its neighbours.
fn reserved(fat: &FatFs) -> Vec<Claim> {
    let boot = &fat.boot;
    let mut claims = Vec::new();
    let mut named = vec![(0, Role::Boot, "")];
    if let Some(info) = boot.bpb_fs_info {
        named.push((info, Role::Superblock, "fsinfo"));
    }
    if let Some(backup) = boot.bpb_bk_boot_sec {
        named.push((backup, Role::Boot, "boot-backup"));
        let info = boot.bpb_fs_info.and_then(|info| info.checked_add(backup));
        named.extend(info.map(|info| (info, Role::Superblock, "fsinfo-backup")));
    }
    let mut rest = RangeSet::from(boot.reserved);
    for (sector, role, detail) in named {
        let free = rest.clipped(boot.sector_bytes(sector));
        // A field that names a sector of another one says nothing.
        if let Some(range) = free.bounds() {
            claims.push(Claim::structure(range, role, detail));
            rest = rest.difference(&range.into());
        }
    }
    claims.extend(
        rest.iter()
            .map(|range| Claim::structure(range, Role::Boot, "reserved")),
    );
    claims
}

/// The content of `files`.
pub(crate) fn extents(
    fat: &FatFs,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    fat.volume.extents(files, cx, out)
}
