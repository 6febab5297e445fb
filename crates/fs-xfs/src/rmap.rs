//! Claims of what inodes own, found in the reverse-map btrees: by the number of wanted blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Claim, Error, RangeSet, Result, Scan, Sink};

use crate::btree::{RMAPBT, Visitor, walk};
use crate::disk::Disk;
use crate::fs::Xfs;
use crate::geometry::Geometry;
use crate::groups::agf;
use crate::inode_claims::{Holder, Part, record_range};
use crate::ondisk::rmap;

/// Blocks of a group whose records make a unit.
const WINDOW: u32 = 1 << 16;

#[derive(Clone, PartialEq, Eq, Hash)]
struct RmapUnit {
    geometry: Arc<Geometry>,
    agno: u32,
    /// First block.
    from: u32,
    /// One past the last.
    to: u32,
}

impl RmapUnit {
    /// The bytes of blocks `from..to` of the group, whether they are there or not.
    fn bytes(&self, from: u32, to: u32) -> ByteRange {
        let byte = |agbno: u32| {
            let blocks = u64::from(agbno).saturating_mul(self.geometry.block_size());
            self.geometry.ag_start(self.agno).saturating_add(blocks)
        };
        ByteRange::new(byte(from), byte(to))
    }
}

/// Blocks of an inode, by `struct xfs_rmap_rec`.
#[derive(Clone, Copy, Debug)]
struct Owned {
    range: ByteRange,
    inode: u64,
    part: Part,
}

struct Query<'a, 'b> {
    disk: &'a Disk<'b>,
    unit: &'a RmapUnit,
    wanted: &'a RangeSet,
    found: Vec<Owned>,
    limit: usize,
}

impl Visitor for Query<'_, '_> {
    fn wants(&mut self, _level: u16, key: &Fields<'_>, _next: Option<&Fields<'_>>) -> Result<bool> {
        // The lowest and the highest block of all records below.
        let (low, high) = (key.be32(0)?, key.be32(20)?);
        let (from, to) = (
            low.max(self.unit.from),
            high.saturating_add(1).min(self.unit.to),
        );
        Ok(from < to && self.wanted.overlaps(self.unit.bytes(from, to)))
    }

    fn record(&mut self, record: &Fields<'_>) -> Result<()> {
        let (start, count) = (record.be32(0)?, record.be32(4)?);
        let (owner, offset) = (record.be64(8)?, record.be64(16)?);
        if owner & rmap::NON_INODE != 0 {
            return Ok(());
        }
        let range = self.disk.geometry.ag_extent(self.unit.agno, start, count);
        let Some(range) = range else {
            let text = format!("{count} blocks from {start} reach past the end of the group");
            return self.disk.tolerate(record.corrupt(0).message(text));
        };
        let window = self.unit.bytes(self.unit.from, self.unit.to);
        let mine = range
            .intersection(&window)
            .is_some_and(|r| self.wanted.overlaps(r));
        // What reaches in from before is found there, when any of it is wanted there.
        let before = ByteRange::new(range.start(), window.start());
        if !mine || (range.start() < window.start() && self.wanted.overlaps(before)) {
            return Ok(());
        }
        if self.found.len() >= self.limit {
            return Err(Error::limit(
                "rmapbt",
                format!("more than {} records", self.limit),
            ));
        }
        let byte = (offset & rmap::OFF_MASK).checked_mul(self.disk.geometry.block_size());
        let part = if offset & rmap::OFF_BMBT != 0 {
            Part::Bmbt
        } else if offset & rmap::OFF_ATTR_FORK != 0 {
            Part::Attr
        } else {
            let offset = byte.filter(|byte| byte.checked_add(range.len()).is_some());
            Part::Data {
                offset: offset.ok_or_else(|| record.corrupt(16).expected("an offset"))?,
                unwritten: record.be64(16)? & rmap::OFF_UNWRITTEN != 0,
            }
        };
        self.found.push(Owned {
            range,
            inode: owner,
            part,
        });
        Ok(())
    }
}

impl Xfs {
    fn rmap_units(&self, wanted: &RangeSet) -> Vec<RmapUnit> {
        let mut units = Vec::new();
        for agno in 0..self.geometry.groups() {
            let group = self.geometry.ag_range(agno);
            let window = u64::from(WINDOW).saturating_mul(self.geometry.block_size());
            let mut last = None;
            for part in wanted.overlapping(group) {
                let index = |byte: u64| {
                    byte.saturating_sub(group.start())
                        .checked_div(window)
                        .unwrap_or(0)
                };
                let from = index(part.start());
                let to = index(part.end().saturating_sub(1));
                for number in from..=to {
                    if last == Some(number) {
                        continue;
                    }
                    last = Some(number);
                    let from = u32::try_from(number)
                        .unwrap_or(u32::MAX)
                        .saturating_mul(WINDOW);
                    units.push(RmapUnit {
                        geometry: Arc::clone(&self.geometry),
                        agno,
                        from,
                        to: from
                            .saturating_add(WINDOW)
                            .min(self.geometry.ag_blocks(agno)),
                    });
                }
            }
        }
        units
    }

    /// Claims of inode records and of all blocks of inodes that share a byte with `wanted`.
    pub(crate) fn claims_by_rmap(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let limit = cx.limits().claims;
        let mut owned: Vec<Owned> = Vec::new();
        cx.units(
            "xfs-rmap",
            &self.reader,
            &self.rmap_units(wanted),
            |unit, reader| {
                let disk = self.disk(reader);
                let mut query = Query {
                    disk: &disk,
                    unit,
                    wanted,
                    found: Vec::new(),
                    limit,
                };
                if let Some(root) = agf(&disk, unit.agno)?.rmap {
                    walk(&disk, &RMAPBT, root, &mut query)?;
                }
                Ok(query.found)
            },
            |_, found| {
                if owned.len().saturating_add(found.len()) > limit {
                    return Err(Error::limit("rmapbt", format!("more than {limit} records")));
                }
                owned.extend(found);
                Ok(())
            },
        )?;
        let holders = self.holders(wanted, &owned, cx, out)?;
        for piece in &owned {
            // An inode that can't be read has been told of.
            if let Some(holder) = holders.get(&piece.inode) {
                out.put(holder.claim(piece.range, piece.part))?;
            }
        }
        Ok(())
    }

    /// The inodes that own any of `owned`, by number; claims the records that are wanted.
    fn holders(
        &self,
        wanted: &RangeSet,
        owned: &[Owned],
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<BTreeMap<u64, Holder>> {
        let mut numbers: Vec<u64> = owned.iter().map(|o| o.inode).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let units = self.inodes_of(cx, &numbers, Some(wanted))?;
        let mut holders = BTreeMap::new();
        cx.units(
            "xfs-owners",
            &self.reader,
            &units,
            |unit, reader| {
                let mut found = Vec::new();
                let disk = self.disk(reader);
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    found.push((record_range(inode), Holder::of(&unit.geometry, inode)));
                    Ok(())
                })?;
                Ok(found)
            },
            |_, found| {
                for (range, holder) in found {
                    if let Some(record) = holder.record(*range).filter(|_| wanted.overlaps(*range))
                    {
                        out.put(record)?;
                    }
                    if numbers.binary_search(&holder.key.number).is_ok() {
                        holders.insert(holder.key.number, *holder);
                    }
                }
                Ok(())
            },
        )?;
        for number in numbers.iter().filter(|n| !holders.contains_key(n)) {
            let text = format!("inode {number} owns blocks by the rmapbt and is not in use");
            cx.diagnose(hexz_resolve::Diagnostic::warning("lost-owner", text));
        }
        Ok(holders)
    }
}
