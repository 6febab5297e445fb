//! Undo files of e2fsprogs (`-z` of mke2fs, tune2fs, resize2fs, e2fsck, debugfs): the blocks of an
//! ext2, ext3 or ext4 as they were before the tool wrote.
//!
//! A header, a copy of the superblock as the tool left it (its magic inverted), then key blocks,
//! each followed by the data of its keys. A key is a block of the filesystem, how many bytes there
//! are, and their checksum. Facts from e2fsprogs, `lib/ext2fs/undo_io.c`.

use std::path::PathBuf;
use std::sync::Arc;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Error, Limits, Loaded, OpenGate,
    Precision, ReadAt, Result,
};

use crate::file::RawFile;
use crate::gate::DefaultGate;
use crate::hexz_overlay::OverlayReader;
use crate::moved::Moved;
use crate::num::{u64_of, usize_of};
use crate::open::Given;

/// First bytes of an undo file.
pub(crate) const MAGIC: &[u8; 8] = b"E2UNDO02";
/// `KEYBLOCK_MAGIC`.
const KEY_BLOCK: u32 = 0xCADE_CADE;
/// `E2UNDO_STATE_FINISHED`.
const FINISHED: u32 = 1;
/// `E2UNDO_FEATURE_COMPAT_FS_OFFSET`.
const HAS_OFFSET: u32 = 1;
/// `E2UNDO_MAX_EXTENT_BLOCKS`: blocks of the longest piece.
const MAX_BLOCKS: u64 = 512;
/// Bytes of a key, and of what stands before the keys of a block.
const KEY: usize = 16;
/// Bytes of the header; its checksum is the last field.
const HEADER: usize = 512;
/// Bytes of a superblock, and where it lies in the filesystem.
const SUPERBLOCK: usize = 1024;

/// An undo file, and the disk before or after it, or both.
#[derive(Clone, Debug)]
pub(crate) struct UndoFile {
    pub(crate) path: PathBuf,
    pub(crate) base: Option<Given>,
    pub(crate) merged: Option<Given>,
}

/// What an undo file says.
#[derive(Debug, Default)]
struct Undo {
    block: u32,
    /// Bytes of the filesystem, and where in the file they lie.
    pieces: Vec<(ByteRange, u64)>,
    superblock: Vec<u8>,
    /// Why blocks may be missing.
    damaged: Option<String>,
}

impl Undo {
    fn read(file: &dyn ReadAt, limits: &Limits) -> Result<Self> {
        let bytes = read(file, "undo file", 0, HEADER)?;
        let fields = Fields::new("undo file", 0, &bytes);
        if fields.array::<8>(0)? != *MAGIC {
            return Err(fields.corrupt(0).expected("E2UNDO02"));
        }
        let said = fields.le32(508)?;
        let sum = checksum(fields.bytes(0, 508)?);
        if said != sum {
            let error = fields.corrupt(508).expected(format_args!("{said:#x}"));
            return Err(error.found(format_args!("checksum {sum:#x}")));
        }
        if fields.le32(52)? != 0 || fields.le32(56)? != 0 {
            return Err(Error::unsupported("undo file", "features that are not known").at(52));
        }
        let (keys, superblock, first) = (fields.le64(8)?, fields.le64(16)?, fields.le64(24)?);
        let (block, unit) = (u64::from(fields.le32(32)?), u64::from(fields.le32(36)?));
        if !(1024..=1 << 20).contains(&block) || !(512..=1 << 20).contains(&unit) {
            return Err(fields.corrupt(32).expected("sizes of blocks"));
        }
        if fields.le32(48)? & HAS_OFFSET != 0 {
            // Seen in 1.47.0: what is kept is as far behind the filesystem as that is on the disk.
            let text = "it is of a filesystem at an offset of its device, and e2fsprogs keeps blocks of \
                        another place in it then: work on the partition itself (losetup -P)";
            return Err(Error::unsupported("undo file", text).at(64));
        }
        let mut undo = Self {
            block: u32::try_from(unit).unwrap_or(u32::MAX),
            ..Self::default()
        };
        if fields.le32(44)? & FINISHED == 0 {
            undo.damaged = Some("the tool that wrote it was interrupted".to_owned());
        }
        let at = superblock.saturating_mul(block);
        undo.superblock = read(file, "undo file", at, SUPERBLOCK)?;
        if let Some(magic) = undo.superblock.get_mut(56..58) {
            magic.iter_mut().for_each(|byte| *byte = !*byte);
        }
        undo.keys(file, keys, first, (block, unit), limits.ranges)?;
        Ok(undo)
    }

    /// Reads the key blocks, the first of which is block `first` of the file.
    fn keys(
        &mut self,
        file: &dyn ReadAt,
        count: u64,
        first: u64,
        (block, unit): (u64, u64),
        most: usize,
    ) -> Result<()> {
        let keys = block.checked_div(u64_of(KEY)).unwrap_or(0);
        let per_block = keys.saturating_sub(1);
        let (mut left, mut next) = (count, first);
        while left > 0 {
            let at = next.saturating_mul(block);
            let mut bytes = match read(file, "undo keys", at, usize_of(block)) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.damaged.get_or_insert(error.chain());
                    return Ok(());
                }
            };
            let fields = Fields::new("undo keys", at, &bytes);
            let (magic, said) = (fields.le32(0)?, fields.le32(4)?);
            bytes.get_mut(4..8).unwrap_or_default().fill(0);
            if magic != KEY_BLOCK || checksum(&bytes) != said {
                let text = format!("the keys at byte {at} are damaged");
                self.damaged.get_or_insert(text);
                return Ok(());
            }
            next = next.saturating_add(1);
            let fields = Fields::new("undo keys", at, &bytes);
            for n in 1..=left.min(per_block) {
                let key = usize_of(n).saturating_mul(KEY);
                let (number, sum) = (fields.le64(key)?, fields.le32(key.saturating_add(8))?);
                let size = u64::from(fields.le32(key.saturating_add(12))?);
                if self.pieces.len() >= most {
                    return Err(Error::limit("undo file", format!("more than {most} keys")));
                }
                let place = next.saturating_mul(block);
                self.add(file, number.checked_mul(unit), place, (size, sum), block);
                next = next.saturating_add(size.div_ceil(block));
            }
            left = left.saturating_sub(per_block);
        }
        Ok(())
    }

    /// Adds `size` bytes from `start` of the filesystem on, which lie at `place` of the file.
    fn add(
        &mut self,
        file: &dyn ReadAt,
        start: Option<u64>,
        place: u64,
        (size, sum): (u64, u32),
        block: u64,
    ) {
        let range = start.and_then(|start| ByteRange::at(start, size));
        let fits = size <= block.saturating_mul(MAX_BLOCKS);
        // Nothing is read of a piece that is longer than any.
        let kept = fits.then(|| read(file, "undo block", place, usize_of(size)));
        match (range, kept) {
            (Some(range), Some(Ok(bytes))) if checksum(&bytes) == sum => {
                self.pieces.push((range, place));
            }
            _ => {
                let text = format!("the block kept at byte {place} is damaged");
                self.damaged.get_or_insert(text);
            }
        }
    }
}

/// CRC32C from all ones on and without the inversion at the end, as e2fsprogs has it.
fn checksum(bytes: &[u8]) -> u32 {
    // `crc32c_append` inverts what it is given and what it gives.
    !crc32c::crc32c_append(0, bytes)
}

impl UndoFile {
    /// The blocks that it keeps, of a disk of `disk_size` bytes.
    pub(crate) fn changes(&self, disk_size: Option<u64>, found: &Diagnostics) -> Result<ChangeSet> {
        let alone = Self {
            path: self.path.clone(),
            base: None,
            merged: None,
        };
        let mut changes = alone.load(&Limits::default(), &DefaultGate::new())?.changes;
        let disk = ByteRange::new(0, disk_size.unwrap_or(u64::MAX));
        changes.ranges = changes.ranges.clipped(disk);
        changes
            .diagnostics
            .drain(..)
            .for_each(|finding| found.push(finding));
        changes.diagnostics = found.take();
        Ok(changes)
    }
}

impl ChangeSource for UndoFile {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let name = self.path.display().to_string();
        let in_file = |e: Error| {
            Error::new(e.kind(), "undo file")
                .message(name.clone())
                .source(e)
        };
        let file: Arc<dyn ReadAt> = Arc::new(RawFile::open(&self.path)?);
        let mut undo = Undo::read(&*file, limits).map_err(in_file)?;
        let open = |given: &Given| given.open_disk(limits, gate, &found);
        let given = self.base.as_ref().map(open).transpose()?;
        let merged = self.merged.as_ref().map(open).transpose()?;
        if let (Some(after), Some(of)) = (&merged, &self.merged) {
            check_superblock(&**after, &undo).map_err(|e| {
                let text = format!("{name} does not belong to {}", of.path.display());
                Error::new(e.kind(), "undo file").message(text).source(e)
            })?;
        }
        let whole = undo.damaged.is_none();
        if let Some(why) = undo.damaged.take() {
            let text = format!("{name}: {why}: changed blocks may be missing");
            found.push(Diagnostic::warning("undo-damaged", text).losing());
        }
        let views = [&given, &merged].into_iter().flatten();
        let end = views.map(ReadAt::len).max().unwrap_or(u64::MAX);
        let disk = ByteRange::new(0, end);
        let cut = |(range, at): (ByteRange, u64)| Some((range.intersection(&disk)?, at));
        let pieces = undo.pieces.into_iter().filter_map(cut).collect();
        let moved = Moved::new(file, pieces);
        let ranges = moved.ranges();
        let before = merged.as_ref().filter(|_| given.is_none()).map(|after| {
            let before = OverlayReader::new(Arc::clone(after), Arc::new(moved), ranges.clone());
            let before: Arc<dyn ReadAt> = Arc::new(before);
            before
        });
        let base_name = match &self.base {
            Some(base) => base.path.display().to_string(),
            None => format!("{name} over the disk after"),
        };
        Ok(Loaded {
            changes: ChangeSet {
                ranges,
                block_size: undo.block,
                candidates: false,
                precision: match whole {
                    true => Precision::Over,
                    false => Precision::MayMiss,
                },
                diagnostics: found.take(),
            },
            base: given.or(before),
            merged,
            overlay_name: Some(name),
            base_name: Some(base_name),
        })
    }
}

/// That the filesystem on `disk` is as the tool left it: the blocks before are those of no other.
fn check_superblock(disk: &dyn ReadAt, undo: &Undo) -> Result<()> {
    let at = 1024;
    let there = read(disk, "superblock", at, SUPERBLOCK)?;
    if there == undo.superblock {
        return Ok(());
    }
    let uuid = |superblock: &[u8]| superblock.get(104..120).map(<[u8]>::to_vec);
    let text = match uuid(&there) == uuid(&undo.superblock) {
        true => "the filesystem was written to since: undo what came later first",
        false => {
            "another filesystem is there, or none: if it lies in a partition, give that (losetup -P)"
        }
    };
    Err(Error::unsupported("superblock", text).at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_e2fsprogs() {
        // A superblock ends with its own checksum, so that all of it has none: here made by hand.
        let mut bytes = b"123456789".to_vec();
        assert_eq!(checksum(&bytes), !0xE306_9283);
        bytes.extend(checksum(&bytes).to_le_bytes());
        assert_eq!(checksum(&bytes), 0);
    }
}
