//! Pass 1: who owns which blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_ondisk::{Fields, read, read_what_can_be, to_usize, with_buffer};
use hexz_resolve::{
    ByteRange, Claim, Diagnostic, Error, FileKey, FileKind, FileSet, RangeCursor, RangeSet, ReadAt,
    Result, Role, Scan, Sink, UnitReader,
};

use crate::checksum::{crc, inode_seed};
use crate::content::{Content, kind};
use crate::directory::Directory;
use crate::fs::{Ext4, telling};
use crate::geometry::Geometry;
use crate::map::{Mapped, Mapper, Piece};
use crate::ondisk::{RawInode, ro_compat};
use crate::reserved;
use crate::slack::Slack;
use crate::slices::{self, Slice};
use crate::xattr;

/// The detail word of a block of extended attributes.
const XATTR_BLOCK: &str = "xattr-block";

/// Blocks of extended attributes, which several inodes may share, with how many were met.
#[derive(Default)]
struct SharedXattrs(BTreeMap<u64, u32>);

impl SharedXattrs {
    fn note(&mut self, claim: &Claim) {
        if claim.detail == XATTR_BLOCK {
            let met = self.0.entry(claim.range.start()).or_default();
            *met = met.saturating_add(1);
        }
    }

    /// Whether all inodes were met that the blocks say they have (`h_refcount`).
    fn are_complete(&self, reader: &dyn ReadAt) -> bool {
        self.0.iter().all(|(block, met)| {
            let header = read(reader, "xattr block", *block, 8);
            let refcount =
                header.and_then(|bytes| Fields::new("xattr block", *block, &bytes).le32(4));
            refcount.is_ok_and(|refcount| refcount <= *met)
        })
    }
}

/// What a slice of inodes gave.
#[derive(Clone, Default)]
pub(crate) struct Found {
    claims: Vec<Claim>,
    /// Whose the pieces are, in their order.
    maps: Vec<Map>,
    /// What becomes a claim once it is handed on: an inode may have a million.
    pieces: Vec<Piece>,
    pub(crate) directories: Vec<Directory>,
}

/// The wanted part of the map of an inode.
#[derive(Clone)]
struct Map {
    id: FileKey,
    role: Role,
    kind: FileKind,
    generation: u64,
    /// How many pieces it has.
    pieces: usize,
}

/// So many pieces are kept to the end.
const FEW: usize = 16 << 10;

impl Map {
    fn claim(&self, geometry: &Geometry, piece: Piece) -> Option<Claim> {
        Some(Claim {
            kind: Some(self.kind),
            generation: Some(self.generation),
            ..geometry.claim(self.id, self.role, piece)?
        })
    }
}

impl Found {
    /// Hands on the claims, and gives the directories.
    fn hand_on(
        found: Arc<Self>,
        geometry: &Geometry,
        mut out: impl FnMut(Claim) -> Result<()>,
    ) -> Result<Vec<Directory>> {
        match Arc::try_unwrap(found) {
            Ok(found) => {
                found.claims.into_iter().try_for_each(&mut out)?;
                // From the end, so that memory is given up as they are taken.
                let mut pieces = found.pieces;
                for map in found.maps.iter().rev() {
                    for _ in 0..map.pieces {
                        let claim = pieces.pop().and_then(|piece| map.claim(geometry, piece));
                        claim.map_or(Ok(()), &mut out)?;
                        if pieces.len().max(FEW) < pieces.capacity() / 2 {
                            pieces.shrink_to_fit();
                        }
                    }
                }
                Ok(found.directories)
            }
            // The other view is given it too.
            Err(found) => {
                let mut claims = found.claims.iter();
                claims.try_for_each(|claim| out(claim.clone()))?;
                let mut pieces = found.pieces.iter().rev();
                for map in found.maps.iter().rev() {
                    let mut own = pieces.by_ref().take(map.pieces);
                    own.try_for_each(|piece| map.claim(geometry, *piece).map_or(Ok(()), &mut out))?;
                }
                Ok(found.directories.clone())
            }
        }
    }
}

impl Ext4 {
    pub(crate) fn scan_claims(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let structures = self.geometry.structures(wanted);
        let mut known = self.known.claims.clone();
        let with_resize = !self.is_sound() || self.is_resize_near(&structures, wanted);
        if with_resize {
            known.extend_from_slice(self.resize_claims(cx));
        }
        let slack = Slack::of_structures(&self.geometry, &known, wanted);
        let free = self.free_space(wanted, cx)?;
        known.retain(|claim| wanted.overlaps(claim.range));
        let fixed = structures.into_iter().chain(slack);
        let fixed = fixed.chain(free.into_iter().map(Claim::free)).chain(known);
        // A sweep over all inodes is only worth it when something wanted is not explained yet.
        // With an unreplayed journal the bitmaps may lag, and explain nothing.
        let mut explained = Vec::new();
        for claim in fixed {
            explained.push(claim.range);
            out.put(claim)?;
        }
        let mut explained: RangeSet = explained.into_iter().collect();
        let lagging = self.info.state != hexz_resolve::FsState::Clean;
        let end = self.info.size.min(self.reader.len());
        let within = wanted.clipped(ByteRange::new(0, end));
        let all = lagging || !within.difference(&explained).is_empty();
        // The inodes in wanted blocks come first: mostly they own all else that is wanted.
        let slices = self.slices(cx, |table| all || wanted.overlaps(table));
        let (near, far) = match self.is_sound() {
            true => slices::cut(&slices, wanted, self.geometry.sb.s_inode_size.into()),
            false => (Vec::new(), slices),
        };
        let mut shared = SharedXattrs::default();
        let mut met = Vec::new();
        let mut directories = Vec::new();
        for (slices, is_near) in [(near, true), (far, false)] {
            let work =
                |slice: &Slice, reader: &UnitReader<'_>| self.slice(slice, reader, Some(wanted));
            cx.units_shared("ext4-inodes", &self.reader, &slices, work, |_, found| {
                let own = Found::hand_on(found, &self.geometry, |claim| {
                    if is_near {
                        shared.note(&claim);
                        met.push(claim.range);
                    }
                    out.put(claim)
                });
                directories.extend(own?);
                Ok(())
            })?;
            explained = explained.union(&std::mem::take(&mut met).into_iter().collect());
            if !is_near {
                break;
            }
            if !with_resize && !within.difference(&explained).is_empty() {
                let claims = self.resize_claims(cx).iter();
                for claim in claims.filter(|claim| wanted.overlaps(claim.range)) {
                    met.push(claim.range);
                    out.put(claim.clone())?;
                }
                explained = explained.union(&std::mem::take(&mut met).into_iter().collect());
            }
            let settled = self.is_sound() && !cx.is_partial();
            if settled
                && within.difference(&explained).is_empty()
                && shared.are_complete(&*self.reader)
            {
                return Ok(());
            }
        }
        if all && !cx.is_partial() {
            // What the naming pass would otherwise have to sweep for again.
            let _ = self.directories.set(directories);
        }
        Ok(())
    }

    /// All directories of the filesystem.
    pub(crate) fn find_directories(&self, cx: &Scan<'_>) -> Result<Vec<Directory>> {
        if let Some(known) = self.directories.get() {
            return Ok(known.clone());
        }
        let mut directories = Vec::new();
        let slices = self.slices(cx, |_| true);
        let work = |slice: &Slice, reader: &UnitReader<'_>| self.slice(slice, reader, None);
        cx.units(
            "ext4-directories",
            &self.reader,
            &slices,
            work,
            |_, found: &Found| {
                directories.extend(found.directories.iter().cloned());
                Ok(())
            },
        )?;
        Ok(directories)
    }

    pub(crate) fn slice(
        &self,
        slice: &Slice,
        reader: &UnitReader<'_>,
        wanted: Option<&RangeSet>,
    ) -> Result<Found> {
        let size = usize::from(self.geometry.sb.s_inode_size);
        let length = to_usize(slice.count).unwrap_or(0).saturating_mul(size);
        // A table that the volume cuts off is read as far as it goes.
        let there = reader.len().saturating_sub(slice.start);
        let length = length.min(to_usize(there).unwrap_or(usize::MAX));
        with_buffer(length, |bytes| {
            let mut lost = RangeSet::new();
            let mut note = |range: ByteRange, error: Error| {
                lost.insert(range);
                reader.tolerate(error.layer("ext4"))
            };
            read_what_can_be(reader, "inode table", slice.start, bytes, &mut note)?;
            if !lost.is_empty() {
                // A record of which a part is lost is none.
                let (mut at, step) = (slice.start, u64::from(self.geometry.sb.s_inode_size));
                for record in bytes.chunks_mut(size) {
                    let range = ByteRange::new(at, at.saturating_add(step));
                    if lost.overlaps(range) {
                        record.fill(0);
                    }
                    at = range.end();
                }
            }
            self.inodes(slice, bytes, reader, wanted)
        })
    }

    /// What the inodes of `slice` give, whose table starts with `bytes`.
    fn inodes(
        &self,
        slice: &Slice,
        bytes: &[u8],
        reader: &UnitReader<'_>,
        wanted: Option<&RangeSet>,
    ) -> Result<Found> {
        let size = usize::from(self.geometry.sb.s_inode_size);
        let diagnose = |finding: Diagnostic| reader.diagnose(finding);
        let mut mapper = Mapper::new(&self.geometry, reader, &diagnose);
        // One for the records, which lie here, and one for what they map, which lies elsewhere.
        let records = wanted.map(RangeCursor::new);
        let wanted = wanted.map(RangeCursor::new);
        let mut found = Found::default();
        let size64 = u64::from(self.geometry.sb.s_inode_size);
        for (n, raw) in (0u64..).zip(bytes.chunks_exact(size)) {
            // Most of a table is unused: no mode, no map.
            if raw.get(..2) == Some(&[0, 0]) && raw.get(0x28..0x2C) == Some(&[0; 4]) {
                continue;
            }
            let number = slice.first.saturating_add(n);
            let offset = slice.start.saturating_add(n.saturating_mul(size64));
            let inode = RawInode::new(Fields::new("inode", offset, raw));
            if self.in_use(number, &inode)? {
                let before = (found.claims.len(), found.pieces.len());
                let record = ByteRange::at(offset, size64);
                let record = record.filter(|r| records.as_ref().is_some_and(|w| w.overlaps(*r)));
                if let Some(record) = record {
                    let id = FileKey::new(number);
                    found
                        .claims
                        .push(Claim::file(record, id, Role::InodeRecord));
                }
                let role = self.inode(&mut mapper, number, inode, wanted.as_ref(), &mut found)?;
                let pieces = found.pieces.len().saturating_sub(before.1);
                if pieces == 0 && found.claims.len() == before.0 {
                    continue;
                }
                let kind = kind(&inode)?;
                let generation = inode.i_generation()?.into();
                for claim in found.claims.iter_mut().skip(before.0) {
                    claim.kind = Some(kind);
                    claim.generation = Some(generation);
                }
                if pieces > 0 {
                    found.maps.push(Map {
                        id: FileKey::new(number),
                        role,
                        kind,
                        generation,
                        pieces,
                    });
                }
            }
        }
        Ok(found)
    }

    /// Adds what an inode has beside its record. Gives the role of the pieces that it maps.
    fn inode(
        &self,
        mapper: &mut Mapper<'_>,
        number: u64,
        inode: RawInode<'_>,
        wanted: Option<&RangeCursor<'_>>,
        found: &mut Found,
    ) -> Result<Role> {
        let id = FileKey::new(number);
        let content = self.content(number, &inode)?;
        let wants = |range: ByteRange| wanted.is_some_and(|w| w.overlaps(range));
        let mut slack = Slack::new(&self.geometry, wanted.map(RangeCursor::set));
        let acl = self.xattr_block(&inode).unwrap_or_else(|error| {
            if wanted.is_some() {
                mapper.finding(&error.layer("ext4"));
            }
            None
        });
        if let Some(range) = acl {
            if let Some(slack) = &mut slack {
                slack.used(range);
            }
            if wants(range) {
                found
                    .claims
                    .push(Claim::file(range, id, Role::Xattr).detail(XATTR_BLOCK));
            }
        }
        let is_directory = content == Content::Mapped(Role::Directory);
        if content == Content::InlineDirectory {
            found
                .directories
                .push(Directory::new(number, &inode, None)?);
        }
        let Content::Mapped(role) = content else {
            // It has no block but that of its attributes.
            let slack = slack.iter().flat_map(|s| s.of_file(id, Role::Xattr));
            found.claims.extend(slack);
            return Ok(Role::Data);
        };
        let known = self.known.numbers.contains(&number);
        if known || !is_directory && wanted.is_none() {
            return Ok(role);
        }
        let mut pieces = Vec::new();
        mapper.walk(&inode, number, &mut |piece| {
            let Some(range) = self.geometry.blocks(piece.physical, piece.length) else {
                return Ok(());
            };
            if let Some(slack) = &mut slack {
                slack.used(range);
            }
            if wants(range) {
                found.pieces.push(piece);
            }
            if is_directory && piece.mapped == Mapped::Data {
                pieces.push(piece);
            }
            Ok(())
        })?;
        let slack = slack.iter().flat_map(|s| s.of_file(id, role));
        found.claims.extend(slack);
        if is_directory {
            found
                .directories
                .push(Directory::new(number, &inode, Some(pieces))?);
        }
        Ok(role)
    }

    /// The whole content of files.
    pub(crate) fn read_extents(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let diagnose = telling(cx);
        let mut mapper = Mapper::new(&self.geometry, &*self.reader, &diagnose);
        self.each_file(files, cx, |number, inode| {
            let id = FileKey::new(number);
            match self.content(number, &inode)? {
                Content::Inline => {
                    xattr::inline_ranges(&inode)?
                        .into_iter()
                        .try_for_each(|(range, offset)| {
                            out.put(Claim::file(range, id, Role::Data).offset(offset))
                        })
                }
                Content::Mapped(Role::Data) => mapper.walk(&inode, number, &mut |piece| {
                    let claim = self.geometry.claim(id, Role::Data, piece);
                    let content = |c: &Claim| matches!(c.role, Role::Data | Role::Unwritten);
                    claim.filter(content).map_or(Ok(()), |claim| out.put(claim))
                }),
                _ => Ok(()),
            }
        })
    }

    /// Tells when an inode does not match its checksum.
    pub(crate) fn check_inode(
        &self,
        number: u64,
        inode: &RawInode<'_>,
        cx: &Scan<'_>,
    ) -> Result<()> {
        if !self.geometry.sb.ro_compat(ro_compat::METADATA_CSUM) {
            return Ok(());
        }
        let f = inode.fields();
        let generation = inode.i_generation()?;
        let seed = inode_seed(self.geometry.sb.checksum_seed(), number, generation);
        // i_checksum_lo stands in osd2, i_checksum_hi in the extra part; both count as zero.
        let mut sum = crc(crc(seed, f.bytes(0, 0x7C)?), &[0; 2]);
        sum = crc(sum, f.bytes(0x7E, 2)?);
        let (stored, sum) = if inode.i_extra_isize() >= 4 {
            sum = crc(crc(crc(sum, f.bytes(0x80, 2)?), &[0; 2]), f.rest(0x84)?);
            (
                u32::from(f.le16(0x82)?) << 16 | u32::from(f.le16(0x7C)?),
                sum,
            )
        } else {
            sum = crc(sum, f.rest(0x80)?);
            (f.le16(0x7C)?.into(), sum & 0xFFFF)
        };
        if stored != sum {
            let text = format!("inode {number} does not match its checksum");
            cx.diagnose(Diagnostic::warning("ext4-checksum", text).at(f.offset()));
        }
        Ok(())
    }
}

impl Geometry {
    /// The claim of one piece of a file's map.
    pub(crate) fn claim(&self, id: FileKey, role: Role, piece: Piece) -> Option<Claim> {
        let range = self.blocks(piece.physical, piece.length)?;
        let number = id.number;
        let sb = &self.sb;
        let offset = piece.logical.saturating_mul(self.block());
        let is = |inum: u32| u64::from(inum) == number && inum != 0;
        Some(match piece.mapped {
            Mapped::Node(detail) => Claim::file(range, id, Role::ExtentMap).detail(detail),
            // Its map is made of the primary reserved group descriptors, its content of the backups.
            _ if number == reserved::RESIZE => return None,
            _ if number == reserved::BAD_BLOCKS => Claim::file(range, id, Role::Data)
                .detail("bad-blocks")
                .offset(offset),
            _ if is(sb.s_journal_inum) => Claim::file(range, id, Role::Journal)
                .detail("jbd2")
                .offset(offset),
            _ if is(sb.s_usr_quota_inum) || is(sb.s_grp_quota_inum) || is(sb.s_prj_quota_inum) => {
                Claim::file(range, id, Role::Quota).offset(offset)
            }
            _ if is(sb.s_orphan_file_inum) => Claim::file(range, id, Role::Data)
                .detail("orphan-file")
                .offset(offset),
            Mapped::Unwritten => Claim::file(range, id, Role::Unwritten).offset(offset),
            Mapped::Data => Claim::file(range, id, role).offset(offset),
        })
    }
}
