//! Claims of what an allocation group has for itself: headers, btrees, free space, inode chunks.

use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Claim, RangeSet, Result, Role, Scan, Sink};

use crate::btree::{BNOBT, CNTBT, FINOBT, INOBT, REFCOUNTBT, RMAPBT, Root, Shape, Visitor, walk};
use crate::claims::Filter;
use crate::disk::Disk;
use crate::fs::Xfs;
use crate::geometry::Geometry;
use crate::groups::{Agf, agf, agfl, agi};
use crate::ondisk::REFC_COWFLAG;

#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupUnit {
    geometry: Arc<Geometry>,
    agno: u32,
}

impl Xfs {
    /// Claims of all groups that share a byte with `wanted`.
    pub(crate) fn group_claims(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let units: Vec<GroupUnit> = (0..self.geometry.groups())
            .filter(|agno| wanted.overlaps(self.geometry.ag_range(*agno)))
            .map(|agno| GroupUnit {
                geometry: Arc::clone(&self.geometry),
                agno,
            })
            .collect();
        cx.units(
            "xfs-groups",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut group = Group {
                    disk: &disk,
                    agno: unit.agno,
                    out: Filter::new(wanted),
                };
                group.headers();
                let used = group.free_space().or_else(|error| disk.tolerate(error));
                used.and_then(|()| group.inode_trees().or_else(|error| disk.tolerate(error)))?;
                Ok(group.out.claims)
            },
            |_, claims| claims.iter().try_for_each(|claim| out.put(claim.clone())),
        )?;
        self.chunk_claims(wanted, cx, out)
    }

    /// Inode chunks, whose unused parts are no file's.
    fn chunk_claims(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let numbers = self.inode_numbers(wanted);
        self.chunks(cx, Some(&numbers), |agno, chunks| {
            for range in chunks
                .iter()
                .flat_map(|c| Vec::from(c.ranges(&self.geometry, agno).as_slice()))
            {
                if wanted.overlaps(range) {
                    out.put(Claim::structure(range, Role::InodeTable, "inode-chunk"))?;
                }
            }
            Ok(())
        })
    }

    /// The inode numbers that would lie in `wanted`, by group.
    pub(crate) fn inode_numbers(&self, wanted: &RangeSet) -> Vec<(u32, Vec<(u32, u32)>)> {
        let geometry = &self.geometry;
        let mut out = Vec::new();
        for agno in 0..geometry.groups() {
            let group = geometry.ag_range(agno);
            let mut ranges: Vec<(u32, u32)> = Vec::new();
            for part in wanted.overlapping(group) {
                let number = |byte: u64| {
                    u32::try_from(byte.saturating_sub(group.start()) >> geometry.inode_log)
                        .unwrap_or(u32::MAX)
                };
                let from = number(part.start());
                let to = number(part.end().saturating_sub(1)).saturating_add(1);
                match ranges.last_mut() {
                    Some((_, end)) if *end >= from => *end = to,
                    _ => ranges.push((from, to)),
                }
            }
            if !ranges.is_empty() {
                out.push((agno, ranges));
            }
        }
        out
    }
}

struct Group<'a, 'b> {
    disk: &'a Disk<'b>,
    agno: u32,
    out: Filter<'a>,
}

impl Group<'_, '_> {
    /// What lies in the first sectors of each group.
    fn headers(&mut self) {
        let geometry = self.disk.geometry;
        let sector = geometry.sect_size();
        let mut at = geometry.ag_start(self.agno);
        let superblock = if self.agno == 0 {
            "superblock"
        } else {
            "backup-superblock"
        };
        let names = [
            (Role::Superblock, superblock),
            (Role::GroupDescriptors, "agf"),
            (Role::GroupDescriptors, "agi"),
            (Role::GroupDescriptors, "agfl"),
        ];
        for (role, detail) in names {
            let next = at.saturating_add(sector);
            self.out
                .put(Claim::structure(ByteRange::new(at, next), role, detail));
            at = next;
        }
        // What is left of the block, where blocks are larger than four sectors.
        let padding = ByteRange::new(at, at).aligned_out(geometry.block_size());
        let padding = ByteRange::new(at, padding.end());
        self.out.put(Claim::structure(
            padding,
            Role::GroupDescriptors,
            "ag-header-padding",
        ));
    }

    fn free_space(&mut self) -> Result<()> {
        let agf = agf(self.disk, self.agno)?;
        self.tree(&BNOBT, agf.bno, Role::Allocation, "bnobt", Leaves::Free)?;
        self.tree(&CNTBT, agf.cnt, Role::Allocation, "cntbt", Leaves::Unread)?;
        if let Some(root) = agf.rmap {
            self.tree(&RMAPBT, root, Role::Allocation, "rmapbt", Leaves::Unread)?;
        }
        if let Some(root) = agf.refcount {
            self.tree(
                &REFCOUNTBT,
                root,
                Role::Allocation,
                "refcountbt",
                Leaves::Cow,
            )?;
        }
        self.free_list(&agf)
    }

    fn inode_trees(&mut self) -> Result<()> {
        let agi = agi(self.disk, self.agno)?;
        self.tree(&INOBT, agi.inobt, Role::InodeTable, "inobt", Leaves::Unread)?;
        if let Some(root) = agi.finobt {
            self.tree(&FINOBT, root, Role::InodeTable, "finobt", Leaves::Unread)?;
        }
        Ok(())
    }

    fn free_list(&mut self, agf: &Agf) -> Result<()> {
        for block in agfl(self.disk, self.agno, agf)? {
            if let Some(range) = self.disk.geometry.ag_extent(self.agno, block, 1) {
                self.out
                    .put(Claim::structure(range, Role::Allocation, "agfl-block"));
            } else {
                let text = format!(
                    "block {block} of the free list of group {} is outside",
                    self.agno
                );
                self.disk.warn(
                    "bad-free-list",
                    self.disk.geometry.ag_start(self.agno),
                    text,
                );
            }
        }
        Ok(())
    }

    fn tree(
        &mut self,
        shape: &Shape,
        root: Root,
        role: Role,
        detail: &'static str,
        leaves: Leaves,
    ) -> Result<()> {
        let mut visitor = Tree {
            disk: self.disk,
            agno: self.agno,
            role,
            detail,
            leaves,
            out: &mut self.out,
        };
        walk(self.disk, shape, root, &mut visitor)
    }
}

/// What is looked for in the leaves of a btree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Nothing: their place is enough.
    Unread,
    /// Free extents.
    Free,
    /// Staging extents of copy-on-write.
    Cow,
}

struct Tree<'a, 'b, 'c> {
    disk: &'a Disk<'b>,
    agno: u32,
    role: Role,
    detail: &'static str,
    leaves: Leaves,
    out: &'a mut Filter<'c>,
}

impl Tree<'_, '_, '_> {
    /// Whether any wanted byte lies in blocks `from..to` of the group.
    fn is_wanted(&self, from: u32, to: u32) -> bool {
        let geometry = self.disk.geometry;
        let byte = |agbno: u32| {
            let blocks = u64::from(agbno).saturating_mul(geometry.block_size());
            geometry.ag_start(self.agno).saturating_add(blocks)
        };
        self.out
            .wanted
            .overlaps(ByteRange::new(byte(from), byte(to)))
    }
}

impl Visitor for Tree<'_, '_, '_> {
    fn wants(&mut self, level: u16, key: &Fields<'_>, next: Option<&Fields<'_>>) -> Result<bool> {
        if level > 0 {
            return Ok(true);
        }
        let from = key.be32(0)?;
        let to = next.map_or(Ok(u32::MAX), |next| next.be32(0))?;
        Ok(match self.leaves {
            Leaves::Unread => false,
            Leaves::Free => self.is_wanted(from, to),
            // They have the highest bit set, and come behind all others.
            Leaves::Cow => {
                to > REFC_COWFLAG
                    && self.is_wanted(
                        if from < REFC_COWFLAG {
                            0
                        } else {
                            from & !REFC_COWFLAG
                        },
                        to & !REFC_COWFLAG,
                    )
            }
        })
    }

    fn block(&mut self, range: ByteRange) -> Result<()> {
        self.out
            .put(Claim::structure(range, self.role, self.detail));
        Ok(())
    }

    fn record(&mut self, record: &Fields<'_>) -> Result<()> {
        let (start, count) = (record.be32(0)?, record.be32(4)?);
        let start = match self.leaves {
            Leaves::Unread => return Ok(()),
            Leaves::Free => start,
            Leaves::Cow if start & REFC_COWFLAG == 0 => return Ok(()),
            Leaves::Cow => start & !REFC_COWFLAG,
        };
        let Some(range) = self.disk.geometry.ag_extent(self.agno, start, count) else {
            let text = format!("{count} blocks from {start} reach past the end of the group");
            return self.disk.tolerate(record.corrupt(0).message(text));
        };
        self.out.put(if self.leaves == Leaves::Cow {
            Claim::structure(range, Role::Allocation, "cow-staging")
        } else {
            Claim::free(range)
        });
        Ok(())
    }
}
