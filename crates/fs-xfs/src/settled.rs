//! When no more inodes need be read: all that was asked for has an owner, and no block of it has
//! another one.
//!
//! A block belongs to one file, unless the refcount btree says that several share it. So once the
//! claims of the changed inodes explain all changed blocks, the other inodes own none of them.

use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Claim, FsState, RangeSet, Result, Scan, Sink};

use crate::btree::{REFCOUNTBT, Visitor, walk};
use crate::fs::Xfs;
use crate::geometry::Geometry;
use crate::groups::agf;
use crate::ondisk::REFC_COWFLAG;

/// Passes claims on, and notes what they cover.
pub(crate) struct Noted<'a> {
    out: &'a mut dyn Sink<Claim>,
    ranges: Vec<ByteRange>,
}

impl<'a> Noted<'a> {
    pub(crate) fn new(out: &'a mut dyn Sink<Claim>) -> Self {
        Self {
            out,
            ranges: Vec::new(),
        }
    }
}

impl Sink<Claim> for Noted<'_> {
    fn put(&mut self, claim: Claim) -> Result<()> {
        self.ranges.push(claim.range);
        self.out.put(claim)
    }
}

/// A group whose shared extents are looked at.
#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupUnit {
    geometry: Arc<Geometry>,
    agno: u32,
}

impl Xfs {
    /// Whether what was `noted` explains all of `wanted`, and nothing else could own any of it.
    pub(crate) fn is_settled(
        &self,
        wanted: &RangeSet,
        noted: &Noted<'_>,
        cx: &Scan<'_>,
    ) -> Result<bool> {
        let explained: RangeSet = noted.ranges.iter().copied().collect();
        let sound = !cx.is_partial() && self.info.state == FsState::Clean;
        if !sound || !wanted.difference(&explained).is_empty() {
            return Ok(false);
        }
        if !self.geometry.reflink {
            return Ok(true);
        }
        let units: Vec<GroupUnit> = (0..self.geometry.groups())
            .filter(|agno| wanted.overlaps(self.geometry.ag_range(*agno)))
            .map(|agno| GroupUnit {
                geometry: Arc::clone(&self.geometry),
                agno,
            })
            .collect();
        let mut any = false;
        cx.units(
            "xfs-shared",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut shared = SharedExtents {
                    unit,
                    wanted,
                    any: false,
                };
                if let Some(root) = agf(&disk, unit.agno)?.refcount {
                    walk(&disk, &REFCOUNTBT, root, &mut shared)?;
                }
                Ok(shared.any)
            },
            |_, shared| {
                any |= *shared;
                Ok(())
            },
        )?;
        // What could not be read might have told of more.
        Ok(!any && !cx.is_partial())
    }
}

/// Looks for extents that several files share, among those that are wanted.
struct SharedExtents<'a> {
    unit: &'a GroupUnit,
    wanted: &'a RangeSet,
    any: bool,
}

impl SharedExtents<'_> {
    fn is_wanted(&self, from: u32, to: u32) -> bool {
        let geometry = &self.unit.geometry;
        let byte = |agbno: u32| {
            let blocks = u64::from(agbno).saturating_mul(geometry.block_size());
            geometry.ag_start(self.unit.agno).saturating_add(blocks)
        };
        from < to && self.wanted.overlaps(ByteRange::new(byte(from), byte(to)))
    }
}

impl Visitor for SharedExtents<'_> {
    fn wants(&mut self, level: u16, key: &Fields<'_>, next: Option<&Fields<'_>>) -> Result<bool> {
        let to = next.map_or(Ok(u32::MAX), |next| next.be32(0))?;
        let staging = key.be32(0)? & REFC_COWFLAG != 0;
        Ok(level > 0 || (!staging && self.is_wanted(key.be32(0)?, to.min(REFC_COWFLAG))))
    }

    fn record(&mut self, record: &Fields<'_>) -> Result<()> {
        let (start, count, owners) = (record.be32(0)?, record.be32(4)?, record.be32(8)?);
        let shared = start & REFC_COWFLAG == 0 && owners > 1;
        self.any |= shared && self.is_wanted(start, start.saturating_add(count));
        Ok(())
    }
}
