//! Applying the items of committed transactions.

use std::collections::BTreeMap;

use hexz_ondisk::to_usize;
use hexz_resolve::{ByteRange, Diagnostic, Error, RangeSet, Result};

use super::host::Host;
use super::transactions::Item;
use super::view::View;
use crate::geometry::Geometry;
use crate::ondisk::{DINODE_MAGIC, INODES_PER_CHUNK};

/// `XFS_LI_*`.
const EFI: u16 = 0x1236;
const IUNLINK: u16 = 0x1238;
const INODE: u16 = 0x123B;
const BUFFER: u16 = 0x123C;
const DQUOT: u16 = 0x123D;
const QUOTAOFF: u16 = 0x123E;
const ICREATE: u16 = 0x123F;
/// Intents, with what they are about; what says that one is done has the number behind it.
const INTENTS: [(u16, &str); 9] = [
    (EFI, "extents to free"),
    (0x1240, "reverse mappings to update"),
    (0x1242, "reference counts to update"),
    (0x1244, "file mappings to update"),
    (0x1246, "extended attributes to set"),
    (0x1248, "file mappings to exchange"),
    (0x124A, "realtime extents to free"),
    (0x124C, "realtime reverse mappings to update"),
    (0x124E, "realtime reference counts to update"),
];

/// `XFS_BLF_INODE_BUF`: of a buffer of inodes only the links of the unlinked list are logged.
const INODE_BUFFER: u16 = 1;
/// `XFS_BLF_CANCEL`: the buffer was freed.
const CANCEL: u16 = 2;
/// `XFS_BLF_CHUNK`: bytes a bit of the map stands for.
const CHUNK: usize = 128;
/// `di_next_unlinked`.
const NEXT_UNLINKED: u64 = 96;

/// The state of a replay.
pub(super) struct Replay<'a> {
    pub(super) geometry: &'a Geometry,
    diagnose: &'a dyn Fn(Diagnostic),
    /// Freed buffers by unit and length, with how often they are freed from here on.
    cancelled: BTreeMap<(u64, u32), u32>,
    /// By kind and id; extents to free have their ranges.
    intents: BTreeMap<(u16, u64), Vec<ByteRange>>,
    failed: bool,
}

/// The order in which the items of a transaction are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Buffer,
    Item,
    InodeBuffer,
    Cancel,
}

fn turn(item: &Item) -> Turn {
    match item.kind() {
        ICREATE => Turn::Buffer,
        BUFFER => match item.first().u16(4).unwrap_or(0) {
            flags if flags & CANCEL != 0 => Turn::Cancel,
            flags if flags & INODE_BUFFER != 0 => Turn::InodeBuffer,
            _ => Turn::Buffer,
        },
        _ => Turn::Item,
    }
}

pub(super) fn short(structure: &'static str) -> Error {
    Error::corrupt(structure).message("it is too short")
}

impl<'a> Replay<'a> {
    pub(super) fn new(geometry: &'a Geometry, diagnose: &'a dyn Fn(Diagnostic)) -> Self {
        Self {
            geometry,
            diagnose,
            cancelled: BTreeMap::new(),
            intents: BTreeMap::new(),
            failed: false,
        }
    }

    /// Whether any item could not be replayed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Takes note of a buffer that was freed.
    pub(super) fn note_cancelled(&mut self, item: &Item) {
        if turn(item) == Turn::Cancel
            && let Some((blkno, length)) = place(item.first())
        {
            let count = self.cancelled.entry((blkno, length)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Whether the buffer is freed later.
    pub(super) fn is_cancelled(&self, blkno: u64, length: u32) -> bool {
        self.cancelled.contains_key(&(blkno, length))
    }

    /// Replays a transaction that began in the record `lsn`. An item that can't be is told.
    pub(super) fn transaction(&mut self, view: &mut View, lsn: u64, items: &[Item]) -> Result<()> {
        let mut ordered: Vec<&Item> = items.iter().collect();
        ordered.sort_by_key(|item| turn(item));
        for item in ordered {
            if let Err(error) = self.item(view, lsn, item) {
                if error.ends_scan() {
                    return Err(error);
                }
                self.failed = true;
                (self.diagnose)(Diagnostic::from(&error));
            }
        }
        Ok(())
    }

    fn item(&mut self, view: &mut View, lsn: u64, item: &Item) -> Result<()> {
        match item.kind() {
            BUFFER => self.buffer(view, lsn, item),
            INODE => self.inode(view, lsn, item),
            ICREATE => self.new_inodes(view, item),
            DQUOT => self.dquot(view, lsn, item),
            IUNLINK | QUOTAOFF => Ok(()),
            kind => self.intent(kind, item),
        }
    }

    fn intent(&mut self, kind: u16, item: &Item) -> Result<()> {
        let id = item.first().u64(8).ok_or_else(|| short("log intent"))?;
        let begun = |kind: u16| INTENTS.iter().any(|(k, _)| *k == kind);
        if begun(kind) {
            let ranges = if kind == EFI {
                self.extents_to_free(item.first())
            } else {
                Vec::new()
            };
            self.intents.insert((kind, id), ranges);
            return Ok(());
        }
        match kind.checked_sub(1).filter(|kind| begun(*kind)) {
            Some(kind) => {
                self.intents.remove(&(kind, id));
                Ok(())
            }
            None => {
                let text = format!("kind {kind:#x}");
                Err(Error::unsupported("log item", text))
            }
        }
    }

    /// `struct xfs_efi_log_format`; its extents are padded on 64-bit machines.
    fn extents_to_free(&self, format: Host<'_>) -> Vec<ByteRange> {
        let count = format
            .u32(4)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0);
        let room = format.0.len().saturating_sub(16);
        let step = if count.checked_mul(16).is_some_and(|bytes| bytes <= room) {
            16
        } else {
            12
        };
        (0..count.min(room.checked_div(step).unwrap_or(0)))
            .filter_map(|n| {
                let at = usize::checked_add(16, n.checked_mul(step)?)?;
                let (start, length) = (format.u64(at)?, format.u32(at.checked_add(8)?)?);
                self.geometry.extent(start, u64::from(length))
            })
            .collect()
    }

    /// What a mount would free, and what else it would finish, in words.
    pub(super) fn unfinished(&self) -> (RangeSet, String) {
        let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
        for (kind, _) in self.intents.keys().filter(|(kind, _)| *kind != EFI) {
            let count = counts.entry(*kind).or_default();
            *count = count.saturating_add(1);
        }
        let name = |kind: u16| {
            INTENTS
                .iter()
                .find(|(k, _)| *k == kind)
                .map_or("", |(_, n)| n)
        };
        let words: Vec<String> = counts
            .iter()
            .map(|(kind, count)| format!("{count} × {}", name(*kind)))
            .collect();
        let ranges = self.intents.values().flatten().copied().collect();
        (ranges, words.join(", "))
    }

    /// Whether what lies on the disk is as new as the transaction.
    fn is_newer(&self, view: &View, offset: u64, lsn: u64) -> Result<bool> {
        if !self.geometry.v5 {
            return Ok(false);
        }
        let head = view.read("log target", offset, 512)?;
        let found = lsn_of(Host(&head), &self.geometry.meta_uuid);
        Ok(found.is_some_and(|found| found >= lsn))
    }

    /// `struct xfs_buf_log_format` and the pieces that its map has bits for.
    fn buffer(&mut self, view: &mut View, lsn: u64, item: &Item) -> Result<()> {
        let format = item.first();
        let flags = format.u16(4).ok_or_else(|| short("log buffer"))?;
        let (blkno, length) = place(format).ok_or_else(|| short("log buffer"))?;
        if flags & CANCEL != 0 {
            if let Some(count) = self.cancelled.get_mut(&(blkno, length)) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.cancelled.remove(&(blkno, length));
                }
            }
            return Ok(());
        }
        if self.is_cancelled(blkno, length) {
            return Ok(());
        }
        let start = blkno.saturating_mul(512);
        let end = start.saturating_add(u64::from(length).saturating_mul(512));
        if end > self.geometry.size() {
            let error = Error::corrupt("log buffer").at(start);
            return Err(error.message("it lies past the end of the filesystem"));
        }
        if flags & INODE_BUFFER == 0 && self.is_newer(view, start, lsn)? {
            return Ok(());
        }
        for (n, (skip, size)) in runs(format).into_iter().enumerate() {
            let piece = item.region(n.saturating_add(1));
            let piece = piece.get(..size).unwrap_or(piece);
            let at = start.saturating_add(u64::try_from(skip).unwrap_or(u64::MAX));
            if at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX)) > end {
                return Err(Error::corrupt("log buffer")
                    .at(start)
                    .message("a piece lies past its end"));
            }
            if flags & INODE_BUFFER == 0 {
                view.write(at, piece)?;
            } else {
                self.unlinked(view, start, at, piece)?;
            }
        }
        Ok(())
    }

    /// The links of the unlinked list in `piece`, which lies at `at` of the buffer at `start`.
    fn unlinked(&self, view: &mut View, start: u64, at: u64, piece: &[u8]) -> Result<()> {
        let size = self.geometry.inode_size();
        let length = u64::try_from(piece.len()).unwrap_or(0);
        let mut inode = at.saturating_sub(start) >> self.geometry.inode_log;
        loop {
            let field = inode.saturating_mul(size).saturating_add(NEXT_UNLINKED);
            let place = start.saturating_add(field);
            if place.saturating_add(4) > at.saturating_add(length) {
                return Ok(());
            }
            let skip = place.checked_sub(at).and_then(to_usize);
            if let Some(bytes) = skip.and_then(|skip| piece.get(skip..skip.checked_add(4)?)) {
                view.write(place, bytes)?;
            }
            inode = inode.saturating_add(1);
        }
    }

    /// `struct xfs_icreate_log`: inodes that were made as a whole chunk, and not logged.
    fn new_inodes(&self, view: &mut View, item: &Item) -> Result<()> {
        let format = item.first();
        let field = |at| format.be32(at).ok_or_else(|| short("log icreate"));
        let (agno, agbno, count, isize) = (field(4)?, field(8)?, field(12)?, field(16)?);
        let (blocks, generation) = (field(20)?, field(24)?);
        let geometry = self.geometry;
        let range = geometry.ag_extent(agno, agbno, blocks);
        let bytes = u64::from(count).saturating_mul(geometry.inode_size());
        let most = INODES_PER_CHUNK.max(1u32.checked_shl(geometry.inopb_log).unwrap_or(0));
        let sound = u64::from(isize) == geometry.inode_size() && count <= most;
        let range = range
            .filter(|range| sound && bytes <= range.len())
            .ok_or_else(|| {
                Error::corrupt("log icreate")
                    .message(format!("{count} inodes at block {agbno} of {agno}"))
            })?;
        let freed = self.cancelled.keys().any(|(blkno, length)| {
            let start = blkno.saturating_mul(512);
            let end = start.saturating_add(u64::from(*length).saturating_mul(512));
            range.overlaps(&ByteRange::new(start, end))
        });
        if freed {
            return Ok(());
        }
        let first = agbno.checked_shl(geometry.inopb_log).unwrap_or(u32::MAX);
        for n in 0..count {
            let agino = first.saturating_add(n);
            let Some(place) = geometry.inode_range(agno, agino, 1) else {
                continue;
            };
            let number = geometry.inode_number(agno, agino);
            let inode = free_inode(
                geometry,
                number,
                generation,
                to_usize(place.len()).unwrap_or(0),
            );
            view.write(place.start(), &inode)?;
        }
        Ok(())
    }

    /// `struct xfs_dq_logformat` and the record.
    fn dquot(&self, view: &mut View, lsn: u64, item: &Item) -> Result<()> {
        let format = item.first();
        let parts = || Some((format.u64(8)?, format.u32(16)?, format.u32(20)?));
        let (blkno, length, skip) = parts().ok_or_else(|| short("log dquot"))?;
        if self.is_cancelled(blkno, length) {
            return Ok(());
        }
        let at = blkno.saturating_mul(512).saturating_add(u64::from(skip));
        if self.geometry.v5 {
            // `dd_lsn`.
            let found = view.read("dquot", at.saturating_add(112), 8)?;
            if Host(&found)
                .be64(0)
                .is_some_and(|found| found != 0 && found > lsn)
            {
                return Ok(());
            }
        }
        let record = item.region(1);
        view.write(at, record.get(..104).unwrap_or(record))
    }
}

/// `blf_blkno` and `blf_len`.
fn place(format: Host<'_>) -> Option<(u64, u32)> {
    Some((format.u64(8)?, u32::from(format.u16(6)?)))
}

/// The runs of set bits in `blf_data_map`, as bytes of the buffer: where, and how many.
fn runs(format: Host<'_>) -> Vec<(usize, usize)> {
    let words = format
        .u32(16)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for word in 0..words {
        let at = usize::saturating_add(20, word.saturating_mul(4));
        let Some(bits) = format.u32(at) else {
            break;
        };
        for bit in (0..32).filter(|bit| bits.checked_shr(*bit).unwrap_or(0) & 1 != 0) {
            let index = word
                .saturating_mul(32)
                .saturating_add(usize::try_from(bit).unwrap_or(0));
            let start = index.saturating_mul(CHUNK);
            match runs.last_mut() {
                Some((from, length)) if from.saturating_add(*length) == start => {
                    *length = length.saturating_add(CHUNK);
                }
                _ => runs.push((start, CHUNK)),
            }
        }
    }
    runs
}

/// The sequence number that a V5 block carries; `None` for one that carries none, or that is not
/// of this filesystem: those are replayed whatever they hold.
fn lsn_of(block: Host<'_>, uuid: &[u8; 16]) -> Option<u64> {
    let magic = block.be32(0)?.to_be_bytes();
    let (lsn, uuid_at): (usize, usize) = match &magic {
        b"AB3B" | b"AB3C" | b"ABTB" | b"ABTC" | b"IABT" | b"IAB3" | b"FIBT" | b"FIB3" | b"RMB3"
        | b"R3FC" => (24, 32),
        b"BMA3" | b"BMAP" => (32, 40),
        b"XAGF" => (208, 64),
        b"XAFL" => (24, 8),
        b"XAGI" => (320, 296),
        b"XSLM" => (48, 16),
        b"XDB3" | b"XDD3" | b"XDF3" => (16, 24),
        // The UUID that metadata carry is another field, where it is not that of the filesystem.
        b"XFSB" => (240, if block.be64(248)? == 0 { 32 } else { 248 }),
        _ => match block.be16(8)? {
            0x3DF1 | 0x3DFF | 0x3EBE | 0x3BEE => (24, 32),
            _ => return None,
        },
    };
    let found = block.0.get(uuid_at..uuid_at.checked_add(16)?)?;
    let lsn = block.be64(lsn)?;
    (found == uuid && lsn != 0 && lsn != u64::MAX).then_some(lsn)
}

/// An inode that is not in use.
fn free_inode(geometry: &Geometry, number: u64, generation: u32, length: usize) -> Vec<u8> {
    let mut inode = vec![0; length];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(field) = inode.get_mut(at..at.saturating_add(bytes.len())) {
            field.copy_from_slice(bytes);
        }
    };
    put(0, &DINODE_MAGIC.to_be_bytes());
    put(4, &[if geometry.v5 { 3 } else { 2 }]);
    put(92, &generation.to_be_bytes());
    put(96, &u32::MAX.to_be_bytes());
    if geometry.v5 {
        put(152, &number.to_be_bytes());
        put(160, &geometry.meta_uuid);
    }
    inode
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
