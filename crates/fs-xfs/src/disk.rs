//! Reading structures, with the checks that V5 metadata allow: checksum, place, owner, UUID.

use hexz_ondisk::{Fields, Kept};
use hexz_resolve::{ByteRange, Diagnostic, Error, RangeSet, ReadAt, Result, UnitReader};

use crate::geometry::Geometry;

/// Where findings go: what is odd, and what could not be had.
pub(crate) trait Findings {
    /// What is odd, and does not keep from going on.
    fn note(&self, diagnostic: Diagnostic);

    /// What ended one part of the work.
    ///
    /// # Errors
    /// `error` itself, when it ends all of it.
    fn tolerate(&self, error: Error) -> Result<()>;
}

impl Findings for UnitReader<'_> {
    fn note(&self, diagnostic: Diagnostic) {
        self.diagnose(diagnostic);
    }

    fn tolerate(&self, error: Error) -> Result<()> {
        UnitReader::tolerate(self, error)
    }
}

/// A filesystem as a part of the work reads it.
#[derive(Clone, Copy)]
pub(crate) struct Disk<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) reader: &'a dyn ReadAt,
    pub(crate) findings: &'a dyn Findings,
    /// What comes from the log: its checksums were never computed.
    pub(crate) replayed: &'a RangeSet,
    /// Records of inodes that are not read again.
    pub(crate) kept: Option<&'a Kept>,
}

/// Where a structure of V5 says what it is, as offsets in it. What it has not is `None`.
#[derive(Clone, Copy)]
pub(crate) struct Tag {
    pub(crate) crc: usize,
    pub(crate) blkno: Option<usize>,
    pub(crate) uuid: usize,
    /// Offset, and whether it has 64 bits.
    pub(crate) owner: Option<(usize, bool)>,
}

/// `struct xfs_dir3_blk_hdr`.
pub(crate) const DIR_TAG: Tag = Tag {
    crc: 4,
    blkno: Some(8),
    uuid: 24,
    owner: Some((40, true)),
};
/// `struct xfs_da3_blkinfo`.
pub(crate) const DA_TAG: Tag = Tag {
    crc: 12,
    blkno: Some(16),
    uuid: 32,
    owner: Some((48, true)),
};
/// `struct xfs_dsymlink_hdr` and `struct xfs_attr3_rmt_hdr`.
pub(crate) const REMOTE_TAG: Tag = Tag {
    crc: 12,
    blkno: Some(40),
    uuid: 16,
    owner: Some((32, true)),
};

/// The checksum of `bytes` with its own field, four bytes at `at`, taken as zeros.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> Option<u32> {
    let before = bytes.get(..at)?;
    let after = bytes.get(at.checked_add(4)?..)?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    Some(crc32c::crc32c_append(sum, after))
}

impl<'a> Disk<'a> {
    /// Reads `length` bytes of a `structure` at `offset`.
    pub(crate) fn read(
        &self,
        structure: &'static str,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>> {
        hexz_ondisk::read(self.reader, structure, offset, length)
    }

    /// Adds a warning.
    pub(crate) fn warn(&self, code: &'static str, at: u64, message: String) {
        self.findings
            .note(Diagnostic::warning(code, message).at(at));
    }

    /// Notes an error that ended a part of the work.
    pub(crate) fn tolerate(&self, error: Error) -> Result<()> {
        self.findings.tolerate(error)
    }

    /// Says aloud where a V5 structure with a good magic does not agree with its tag.
    pub(crate) fn verify(&self, block: &Fields<'_>, tag: Tag, owner: u64) -> Result<()> {
        if !self.geometry.v5 {
            return Ok(());
        }
        let (name, at) = (block.structure(), block.offset());
        self.verify_checksum(block, tag.crc)?;
        let blkno = tag.blkno.map(|f| block.be64(f)).transpose()?;
        if let Some(found) = blkno.filter(|found| *found != Geometry::daddr(at)) {
            let expected = Geometry::daddr(at);
            let text = format!("{name} says it lies at sector {found}, and lies at {expected}");
            self.warn("misplaced-block", at, text);
        }
        let uuid = block.array::<16>(tag.uuid)?;
        if uuid != self.geometry.meta_uuid {
            let text = format!("{name} carries the UUID of another filesystem");
            self.warn("foreign-block", at, text);
        }
        let found = match tag.owner {
            Some((at, true)) => Some(block.be64(at)?),
            Some((at, false)) => Some(u64::from(block.be32(at)?)),
            None => None,
        };
        if let Some(found) = found.filter(|found| *found != owner) {
            let text = format!("{name} says it belongs to {found}, and was found in {owner}");
            self.warn("wrong-owner", at, text);
        }
        Ok(())
    }

    /// Says aloud where a checksum is wrong.
    pub(crate) fn verify_checksum(&self, block: &Fields<'_>, at: usize) -> Result<()> {
        let range = ByteRange::at(block.offset(), u64::try_from(block.len()).unwrap_or(0));
        if range.is_none_or(|range| self.replayed.overlaps(range)) {
            return Ok(());
        }
        let stored = block.le32(at)?;
        let computed = checksum(block.as_bytes(), at);
        if computed != Some(stored) {
            let computed = computed.unwrap_or_default();
            let text = format!(
                "checksum of {}: {stored:08x} is stored, {computed:08x} was computed",
                block.structure()
            );
            self.warn("bad-checksum", block.offset(), text);
        }
        Ok(())
    }
}
