//! Pass 1: who owns these bytes. What is wanted is mapped to logical addresses, looked up in the
//! extent tree, and its owners are found through the back references there.

use std::collections::BTreeMap;

use hexz_resolve::{ByteRange, Claim, FileKey, RangeSet, Result, Role, Scan, Sink, UnitReader};

use crate::backrefs::{Resolver, Shares};
use crate::btrfs::{Btrfs, View};
use crate::chunks::Use;
use crate::claimed::Claimed;
use crate::metadata;
use crate::ondisk::{DEVICE_RESERVED, SUPER_OFFSETS, SUPER_SIZE, objectid};
use crate::refs::{Extent, Share};
use crate::roots::is_subvolume;

/// Wanted ranges that one unit looks up.
const TOGETHER: usize = 32;
/// Bytes of a wanted range that one unit looks up.
const SPAN: u64 = 64 << 20;
/// Data extents of which one unit looks up the owners.
const EXTENTS: usize = 128;

/// All claims that share a byte with `wanted`.
pub(crate) fn claims(
    fs: &Btrfs,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    superblocks(fs, wanted, out)?;
    let logical = in_use(fs, wanted, out)?;
    log_blocks(fs, wanted, &logical, out)?;
    let units = units(&logical);
    let resolver = Resolver::new(cx.limits().claims);
    let mut left = units.as_slice();
    while !left.is_empty() {
        let (batch, rest) = left.split_at(batch(left));
        left = rest;
        let mut extents: Vec<Extent> = Vec::new();
        cx.units_moved(
            "btrfs-claims",
            &fs.volume,
            batch,
            |ranges, reader| {
                // Tree blocks are remembered, so what a unit depends on is more than what it reads.
                reader.do_not_share();
                let mut found = Owned::default();
                for range in ranges {
                    owners(fs, &resolver, *range, wanted, reader, &mut found)?;
                }
                Ok(found)
            },
            |_, mut found| {
                extents.append(&mut found.data);
                found
                    .claims
                    .into_iter()
                    .try_for_each(|claim| out.put(claim))
            },
        )?;
        data_claims(fs, &resolver, extents, wanted, cx, out)?;
    }
    Ok(())
}

/// Units of which the data extents are held at a time,
const UNITS: usize = 1024;
/// and bytes that these have.
const BATCH: u64 = 1 << 30;

/// How many of `units` are looked up before the data extents that they have.
fn batch(units: &[Vec<ByteRange>]) -> usize {
    let mut bytes = 0u64;
    let fitting = units.iter().take(UNITS).take_while(|ranges| {
        let fits = bytes < BATCH;
        let all = ranges.iter().map(ByteRange::len);
        bytes = all.fold(bytes, u64::saturating_add);
        fits
    });
    fitting.count().max(1)
}

/// What one unit found: claims, and the data extents whose owners are looked up with those of
/// others.
#[derive(Clone, Default)]
struct Owned {
    claims: Vec<Claim>,
    data: Vec<Extent>,
}

/// The claims of `extents`. They are looked up in the order of the files that have them, so that a
/// leaf is read once for all that it has.
fn data_claims(
    fs: &Btrfs,
    resolver: &Resolver,
    mut extents: Vec<Extent>,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    extents.sort_by_cached_key(|extent| (extent.first_file(), extent.range));
    // An extent that reaches over a range that is not wanted is met on both sides of it.
    extents.dedup_by(|next, kept| next == kept);
    let units: Vec<Vec<Extent>> = extents.chunks(EXTENTS).map(<[Extent]>::to_vec).collect();
    drop(extents);
    cx.units_moved(
        "btrfs-data",
        &fs.volume,
        &units,
        |extents, reader| {
            reader.do_not_share();
            let findings = |finding| reader.diagnose(finding);
            let view = fs.view(reader, &findings);
            let mut found = Vec::new();
            let mut out = Claimed {
                fs,
                wanted,
                found: &mut found,
            };
            for extent in extents {
                let claimed = data(&view, resolver, extent, &mut out);
                claimed.or_else(|error| reader.tolerate(error))?;
            }
            Ok(found)
        },
        |_, found| found.into_iter().try_for_each(|claim| out.put(claim)),
    )
}

/// Superblocks, and what lies before the first one.
fn superblocks(fs: &Btrfs, wanted: &RangeSet, out: &mut dyn Sink<Claim>) -> Result<()> {
    let size = u64::try_from(SUPER_SIZE).unwrap_or_default();
    for device in fs.blocks.chunks.devices().values() {
        let boot = ByteRange::at(device.start, SUPER_OFFSETS[0].min(device.length));
        let boot = boot.map(|range| Claim::structure(range, Role::Boot, "boot-area"));
        let copies = SUPER_OFFSETS.iter().filter_map(|at| {
            let end = at.checked_add(size)?;
            let range = ByteRange::at(device.start.checked_add(*at)?, size)?;
            let within = end <= device.length;
            within.then(|| Claim::structure(range, Role::Superblock, ""))
        });
        for claim in boot.into_iter().chain(copies) {
            if wanted.overlaps(claim.range) {
                out.put(claim)?;
            }
        }
    }
    Ok(())
}

/// Blocks of log trees, which the extent tree takes for free.
fn log_blocks(
    fs: &Btrfs,
    wanted: &RangeSet,
    logical: &RangeSet,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    let mut found = Vec::new();
    let mut claimed = Claimed {
        fs,
        wanted,
        found: &mut found,
    };
    for range in &fs.logged.blocks {
        if logical.overlaps(range) {
            claimed.put(range, |range| {
                Claim::structure(range, Role::Journal, "log-tree")
            });
        }
    }
    for inline in fs.logged.inline() {
        let role = match inline.symlink {
            true => Role::Symlink,
            false => Role::Data,
        };
        let offset = (!inline.symlink).then_some(inline.file_offset);
        claimed.put_at(inline.range, offset, |range| {
            let mut claim = Claim::file(range, inline.owner, role);
            claim.encoded = inline.encoded && !inline.symlink;
            claim
        });
    }
    found.into_iter().try_for_each(|claim| out.put(claim))
}

/// The logical addresses of what is wanted. What is in no chunk is claimed here, and parity.
fn in_use(fs: &Btrfs, wanted: &RangeSet, out: &mut dyn Sink<Claim>) -> Result<RangeSet> {
    let (mut logical, mut claims) = (Vec::new(), Vec::new());
    for device in fs.blocks.chunks.devices().values() {
        let Some(own) = ByteRange::at(device.start, device.length) else {
            continue;
        };
        for range in wanted.overlapping(own) {
            let Some(range) = range.intersection(&own) else {
                continue;
            };
            fs.blocks.chunks.uses(range, |part, used| match used {
                Use::Logical(at) => logical.extend(ByteRange::at(at, part.len())),
                Use::Parity => claims.push(Claim::structure(part, Role::Parity, "")),
                Use::Nothing => claims.extend(unused(part, device.start)),
            });
        }
    }
    claims.into_iter().try_for_each(|claim| out.put(claim))?;
    Ok(logical.into_iter().collect())
}

/// A range of a device that is in no chunk: free, but for what is claimed at its start.
fn unused(part: ByteRange, start: u64) -> Option<Claim> {
    let boot = start.saturating_add(SUPER_OFFSETS[0]);
    let from = part.start().max(boot);
    let reserved = start.saturating_add(DEVICE_RESERVED);
    let detail = if part.end() <= reserved {
        "reserved"
    } else {
        "unallocated"
    };
    (from < part.end()).then(|| Claim::free(ByteRange::new(from, part.end())).detail(detail))
}

fn units(logical: &RangeSet) -> Vec<Vec<ByteRange>> {
    let mut units: Vec<Vec<ByteRange>> = Vec::new();
    for range in logical {
        let mut at = range.start();
        while at < range.end() {
            let end = at.saturating_add(SPAN).min(range.end());
            let part = ByteRange::new(at, end);
            let whole = part.len() == SPAN;
            match units
                .last_mut()
                .filter(|unit| !whole && unit.len() < TOGETHER)
            {
                Some(unit) => unit.push(part),
                None => units.push(vec![part]),
            }
            at = end;
        }
    }
    units
}

/// The claims of a logical range: of its tree blocks, and of the free space between extents; and its
/// data extents. What a log allocated is in the extent tree only if it was there before.
fn owners(
    fs: &Btrfs,
    resolver: &Resolver,
    range: ByteRange,
    wanted: &RangeSet,
    reader: &UnitReader<'_>,
    found: &mut Owned,
) -> Result<()> {
    let findings = |finding| reader.diagnose(finding);
    let view = fs.view(reader, &findings);
    let Owned { claims, data } = found;
    let mut out = Claimed {
        fs,
        wanted,
        found: claims,
    };
    let mut reached = range.start();
    let logged = |part: ByteRange| fs.logged.extents(part).map(|extent| extent.range);
    let mut added: BTreeMap<u64, ByteRange> = logged(range).map(|r| (r.start(), r)).collect();
    let free = |gap: ByteRange, out: &mut Claimed<'_>| {
        if fs.logged.unknown {
            return;
        }
        let gaps: RangeSet = [gap].into_iter().collect();
        let taken: RangeSet = logged(gap)
            .chain(fs.logged.blocks.overlapping(gap))
            .collect();
        for gap in &gaps.difference(&taken) {
            out.put(gap, Claim::free);
        }
    };
    let mut owner = |extent: Extent, out: &mut Claimed<'_>| match extent.level {
        Some(level) => metadata::claims(&view, resolver, &extent, level, out)
            .or_else(|error| reader.tolerate(error)),
        None => {
            data.push(extent);
            Ok(())
        }
    };
    let read = Resolver::extents(&view, range, |extent| {
        let from = extent.range.start().max(range.start());
        if from > reached {
            free(ByteRange::new(reached, from), &mut out);
        }
        added.remove(&extent.range.start());
        reached = reached.max(extent.range.end());
        owner(extent, &mut out)
    });
    match read {
        Ok(()) if reached < range.end() => free(ByteRange::new(reached, range.end()), &mut out),
        Ok(()) => {}
        Err(error) => {
            reader.tolerate(error)?;
            // What no tree has either stays unresolved.
            let rest = ByteRange::new(reached.min(range.end()), range.end());
            let swept = resolver.swept(&view).filter(|_| !rest.is_empty());
            for extent in swept.into_iter().flat_map(|swept| swept.within(rest)) {
                added.remove(&extent.range.start());
                owner(extent.clone(), &mut out)?;
            }
        }
    }
    data.extend(added.into_values().map(|range| Extent {
        range,
        level: None,
        refs: Vec::new(),
    }));
    Ok(())
}

/// The claims of a data extent: the parts that files have of it, and the rest, which lies there
/// as long as any of them does.
fn data(
    view: &View<'_>,
    resolver: &Resolver,
    extent: &Extent,
    out: &mut Claimed<'_>,
) -> Result<()> {
    let shares = resolver.shares(view, extent)?;
    let mut covered = RangeSet::new();
    let mut owners: BTreeMap<FileKey, ()> = BTreeMap::new();
    for share in &shares.files {
        let Some(owner) = owner_of(view, share) else {
            continue;
        };
        owners.insert(owner, ());
        let role = if share.prealloc {
            Role::Unwritten
        } else {
            Role::Data
        };
        if !share.plain {
            covered.insert(extent.range);
            out.put_at(extent.range, Some(share.file_offset), |range| {
                let mut claim = Claim::file(range, owner, role);
                claim.encoded = true;
                claim
            });
            continue;
        }
        let part = share.inner.moved_up(extent.range.start());
        let Some(part) = part.and_then(|part| part.intersection(&extent.range)) else {
            continue;
        };
        covered.insert(part);
        out.put_at(part, Some(share.file_offset), |range| {
            Claim::file(range, owner, role)
        });
    }
    let rest: RangeSet = [extent.range].into_iter().collect();
    for part in &rest.difference(&covered) {
        if owners.is_empty() {
            out.put(part, |range| no_file(range, &shares));
        }
        for owner in owners.keys() {
            out.put(part, |range| {
                Claim::file(range, *owner, Role::Data).detail("unreferenced")
            });
        }
    }
    Ok(())
}

/// The file that has a share; `None` where a tree has it that holds no files of users.
fn owner_of(view: &View<'_>, share: &Share) -> Option<FileKey> {
    view.fs.roots.subvolume(share.root)?;
    Some(FileKey {
        subvolume: share.root,
        number: share.objectid,
    })
}

/// The claim of an extent that no file of a user has.
fn no_file(range: ByteRange, shares: &Shares) -> Claim {
    let has = |id: u64| shares.files.iter().any(|share| share.root == id);
    if shares.files.is_empty() && shares.dropped {
        // A mount gives it free.
        return Claim::free(range);
    }
    if has(objectid::ROOT_TREE) {
        Claim::structure(range, Role::Allocation, "free-space-cache")
    } else if has(objectid::DATA_RELOC_TREE) {
        Claim::structure(range, Role::VolumeMetadata, "relocation")
    } else if shares.files.iter().any(|share| is_subvolume(share.root)) {
        Claim::structure(range, Role::Data, "deleted-subvolume")
    } else {
        Claim::structure(range, Role::Data, "no-owner")
    }
}
