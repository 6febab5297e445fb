//! Claims of what inodes own, found by reading all inodes.

use hexz_resolve::{
    ByteRange, Claim, FileKey, FileKind, FileSet, Owner, RangeCursor, RangeSet, Result, Role, Scan,
    Sink,
};

use crate::chunks::InodeUnit;
use crate::claims::Filter;
use crate::fork::{Extent, ForkVisitor, visit};
use crate::fs::Xfs;
use crate::geometry::{Geometry, Internal};
use crate::inode::{Inode, Which};
use crate::ondisk::{DIR_FREE_OFFSET, DIR_LEAF_OFFSET};
use crate::settled::Noted;

/// How the blocks of an inode are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) key: FileKey,
    generation: u64,
    kind: Option<FileKind>,
    internal: Option<(Role, &'static str)>,
}

/// What a block is to its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// In the data fork, at this byte of it.
    Data { offset: u64, unwritten: bool },
    /// In the attribute fork.
    Attr,
    /// In the btree of either.
    Bmbt,
}

impl Holder {
    pub(crate) fn of(geometry: &Geometry, inode: &Inode<'_>) -> Self {
        let internal = inode.internal(geometry).map(|internal| match internal {
            Internal::Quota => (Role::Quota, "quota"),
            Internal::Realtime => (Role::Allocation, "rt-bitmap"),
            Internal::Metadata => match inode.fields.be16(6) {
                Ok(1) => (Role::Directory, "metadir"),
                Ok(2..=4) => (Role::Quota, "quota"),
                Ok(5 | 6) => (Role::Allocation, "rt-bitmap"),
                _ => (Role::Allocation, "metafile"),
            },
        });
        Self {
            key: inode.key(),
            generation: inode.generation.into(),
            kind: inode.kind(),
            internal,
        }
    }

    /// The claim of the inode record itself; one that is no file's is a part of its chunk.
    pub(crate) fn record(&self, range: ByteRange) -> Option<Claim> {
        let claim = self.file(range, Role::InodeRecord);
        self.internal.is_none().then_some(claim)
    }

    /// A claim of the file, with what is known of that.
    fn file(&self, range: ByteRange, role: Role) -> Claim {
        Claim::file(range, self.key, role)
            .kind(self.kind)
            .generation(Some(self.generation))
    }

    /// The claim of some of its blocks.
    pub(crate) fn claim(&self, range: ByteRange, part: Part) -> Claim {
        let (role, detail, offset) = match (part, self.kind) {
            (Part::Attr, _) => (Role::Xattr, "", None),
            (Part::Bmbt, _) => (Role::ExtentMap, "bmbt", None),
            (Part::Data { offset, .. }, Some(FileKind::Directory)) => {
                let detail = if offset < DIR_LEAF_OFFSET {
                    "dir-data"
                } else if offset < DIR_FREE_OFFSET {
                    "dir-leaf"
                } else {
                    "dir-free"
                };
                (Role::Directory, detail, Some(offset))
            }
            (Part::Data { .. }, Some(FileKind::Symlink)) => (Role::Symlink, "", None),
            (Part::Data { offset, unwritten }, _) => {
                let role = if unwritten {
                    Role::Unwritten
                } else {
                    Role::Data
                };
                (role, "", Some(offset))
            }
        };
        match self.internal {
            None => {
                // A file that has no name any more has no attributes that would tell its kind.
                let claim = self.file(range, role).detail(detail);
                offset.map_or(claim.clone(), |offset| claim.offset(offset))
            }
            Some((role, detail)) if matches!(part, Part::Data { .. }) => {
                Claim::structure(range, role, detail)
            }
            Some((_, _)) => Claim::structure(range, role, detail),
        }
    }
}

struct Forks<'a, 'b> {
    holder: Holder,
    which: Which,
    out: &'a mut Filter<'b>,
}

impl ForkVisitor for Forks<'_, '_> {
    fn extent(&mut self, extent: Extent) -> Result<()> {
        let part = match self.which {
            Which::Data => Part::Data {
                offset: extent.offset,
                unwritten: extent.unwritten,
            },
            Which::Attr => Part::Attr,
        };
        if self.out.wanted.overlaps(extent.range) {
            let claim = self.holder.claim(extent.range, part);
            self.out.claims.push(claim);
        }
        Ok(())
    }

    fn node(&mut self, range: ByteRange) -> Result<()> {
        self.out.put(self.holder.claim(range, Part::Bmbt));
        Ok(())
    }
}

/// The bytes of an inode record.
pub(crate) fn record_range(inode: &Inode<'_>) -> ByteRange {
    let length = u64::try_from(inode.fields.len()).unwrap_or(0);
    let start = inode.fields.offset();
    ByteRange::new(start, start.saturating_add(length))
}

impl Xfs {
    /// Claims of inode records and of all their blocks that share a byte with `wanted`. The inodes
    /// in wanted blocks are read first; the others only when something is not explained by then.
    pub(crate) fn claims_by_inodes(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut Noted<'_>,
    ) -> Result<()> {
        let mut directories: Vec<u64> = Vec::new();
        let near = self.inodes_of(cx, &[], Some(wanted))?;
        self.claims_of(&near, wanted, cx, out, &mut directories)?;
        if self.is_settled(wanted, out, cx)? {
            return Ok(());
        }
        let far = self.all_inodes(cx)?.into_iter();
        let far: Vec<InodeUnit> = far.map(|unit| unit.without(wanted)).collect();
        self.claims_of(&far, wanted, cx, out, &mut directories)?;
        if !cx.is_partial() {
            // They are what names are looked for in.
            directories.sort_unstable();
            self.directories.get_or_init(|| directories);
        }
        Ok(())
    }

    fn claims_of(
        &self,
        units: &[InodeUnit],
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut Noted<'_>,
        directories: &mut Vec<u64>,
    ) -> Result<()> {
        cx.units(
            "xfs-inodes",
            &self.reader,
            units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut found = Filter::new(wanted);
                let mut directories = Vec::new();
                let records = RangeCursor::new(wanted);
                let any = wanted.overlaps(unit.span());
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    let holder = Holder::of(&unit.geometry, inode);
                    if self.is_directory(inode) {
                        directories.push(inode.number);
                    }
                    let record = record_range(inode);
                    if any && records.overlaps(record) {
                        found.claims.extend(holder.record(record));
                    }
                    for which in [Which::Data, Which::Attr] {
                        let mut forks = Forks {
                            holder,
                            which,
                            out: &mut found,
                        };
                        visit(&disk, inode, which, &mut forks)
                            .or_else(|error| disk.tolerate(error))?;
                    }
                    Ok(())
                })?;
                Ok((found.claims, directories))
            },
            |_, (claims, found)| {
                directories.extend(found);
                claims.iter().try_for_each(|claim| out.put(claim.clone()))
            },
        )
    }

    /// The content of `files`.
    pub(crate) fn extents_of(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let units = self.some_inodes(cx, files)?;
        cx.units(
            "xfs-extents",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk_with_kept(reader);
                let everything = RangeSet::from(ByteRange::new(0, u64::MAX));
                let mut found = Filter::new(&everything);
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    let holder = Holder::of(&unit.geometry, inode);
                    let plain = inode.kind() == Some(FileKind::File);
                    if !plain || !inode.is_linked() || holder.internal.is_some() {
                        return Ok(());
                    }
                    if inode.is_realtime() {
                        let text =
                            format!("inode {} has its data on a realtime device", inode.number);
                        disk.warn("realtime-file", inode.fields.offset(), text);
                        return Ok(());
                    }
                    visit(
                        &disk,
                        inode,
                        Which::Data,
                        &mut Content {
                            holder,
                            out: &mut found,
                        },
                    )
                })?;
                Ok(found.claims)
            },
            |_, claims| claims.iter().try_for_each(|claim| out.put(claim.clone())),
        )
    }
}

/// Data without what maps them.
struct Content<'a, 'b> {
    holder: Holder,
    out: &'a mut Filter<'b>,
}

impl ForkVisitor for Content<'_, '_> {
    fn extent(&mut self, extent: Extent) -> Result<()> {
        let part = Part::Data {
            offset: extent.offset,
            unwritten: extent.unwritten,
        };
        let claim = self.holder.claim(extent.range, part);
        if matches!(claim.owner, Owner::File(_)) {
            self.out.put(claim);
        }
        Ok(())
    }
}
