//! Structures of the jbd2 log, all big-endian.
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/journal.html>

use hexz_ondisk::Fields;
use hexz_resolve::{Error, Result};

use crate::checksum::crc;

/// `h_magic` of every block of the log that is not data.
pub(crate) const JBD2_MAGIC_NUMBER: u32 = 0xC03B_3998;
/// Bytes of the header that such a block starts with.
const HEADER: usize = 12;
/// Bytes of the journal superblock that its checksum covers.
pub(crate) const SUPERBLOCK: usize = 1024;
/// Where `s_checksum` lies.
const S_CHECKSUM: usize = 0xFC;
/// Where `h_chksum` lies in a commit block.
const H_CHKSUM: usize = 16;
/// Bytes of the checksum at the end of a descriptor or revoke block, versions 2 and 3.
const TAIL: usize = 4;

/// `s_feature_compat`: the commit block sums its transaction (version 1).
const COMPAT_CHECKSUM: u32 = 0x1;
/// `s_feature_incompat`: there are revoke blocks.
const INCOMPAT_REVOKE: u32 = 0x1;
/// Block numbers have 64 bits.
const INCOMPAT_64BIT: u32 = 0x2;
/// A commit block may reach the disk before its transaction does.
const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
/// Checksums of each block, version 2: 16 bits in the tag.
const INCOMPAT_CSUM_V2: u32 = 0x8;
/// Checksums of each block, version 3: 32 bits in the tag.
const INCOMPAT_CSUM_V3: u32 = 0x10;
/// The end of the log is kept for fast commits.
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
/// What we know.
const INCOMPAT_KNOWN: u32 = INCOMPAT_REVOKE
    | INCOMPAT_64BIT
    | INCOMPAT_ASYNC_COMMIT
    | INCOMPAT_CSUM_V2
    | INCOMPAT_CSUM_V3
    | INCOMPAT_FAST_COMMIT;

/// `s_checksum_type` of versions 2 and 3.
const CRC32C: u8 = 4;
/// `h_chksum_type` of version 1.
const CRC32: u8 = 1;
/// A log is never shorter than this, without its fast-commit area.
const MINIMUM_BLOCKS: u32 = 1024;
/// Length of the fast-commit area where `s_num_fc_blks` is 0.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;

/// What `h_blocktype` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockType {
    Descriptor,
    Commit,
    SuperblockV1,
    SuperblockV2,
    Revoke,
}

/// The header of a block of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// `h_blocktype`.
    pub(crate) kind: BlockType,
    /// `h_sequence`: the transaction.
    pub(crate) sequence: u32,
}

impl Header {
    /// `None` where the block has no header, or one of an unknown type.
    pub(crate) fn parse(block: &Fields<'_>) -> Option<Self> {
        if block.be32(0).ok()? != JBD2_MAGIC_NUMBER {
            return None;
        }
        let kind = match block.be32(4).ok()? {
            1 => BlockType::Descriptor,
            2 => BlockType::Commit,
            3 => BlockType::SuperblockV1,
            4 => BlockType::SuperblockV2,
            5 => BlockType::Revoke,
            _ => return None,
        };
        let sequence = block.be32(8).ok()?;
        Some(Self { kind, sequence })
    }
}

/// How the blocks of this log are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    None,
    /// Of whole transactions, in their commit block.
    V1,
    V2,
    V3,
}

/// The journal superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// `s_blocksize`: bytes of a block.
    pub(crate) block_size: u32,
    /// `s_maxlen`: blocks of the journal, this one and the fast-commit area included.
    pub(crate) maxlen: u32,
    /// `s_first`: first block of the log.
    pub(crate) first: u32,
    /// First block after the log: `s_maxlen`, or where the fast-commit area begins.
    pub(crate) last: u32,
    /// `s_sequence`: the first transaction that may be in the log.
    pub(crate) sequence: u32,
    /// `s_start`: the block it starts at; 0 for an empty log.
    pub(crate) start: u32,
    pub(crate) checksum: Checksum,
    pub(crate) wide: bool,
    pub(crate) fast_commit: bool,
    /// Where checksums of versions 2 and 3 start from: the checksum of `s_uuid`.
    pub(crate) seed: u32,
}

impl Superblock {
    /// Reads and checks block 0 of the journal.
    pub(crate) fn parse(block: &Fields<'_>) -> Result<Self> {
        let magic = block.be32(0)?;
        if magic != JBD2_MAGIC_NUMBER {
            return Err(block
                .corrupt(0)
                .expected(format_args!("h_magic {JBD2_MAGIC_NUMBER:#x}"))
                .found(format_args!("{magic:#x}")));
        }
        let version_2 = match Header::parse(block).map(|h| h.kind) {
            Some(BlockType::SuperblockV1) => false,
            Some(BlockType::SuperblockV2) => true,
            _ => {
                let found = block.be32(4)?;
                return Err(block.corrupt(4).expected("h_blocktype 3 or 4").found(found));
            }
        };
        // Version 1 ends before the feature fields.
        let field = |at| if version_2 { block.be32(at) } else { Ok(0) };
        let incompat = field(40)?;
        if incompat & !INCOMPAT_KNOWN != 0 || field(44)? != 0 {
            let unknown = incompat & !INCOMPAT_KNOWN;
            let message = format!(
                "features incompat {unknown:#x}, ro_compat {:#x}",
                field(44)?
            );
            return Err(Error::unsupported("journal", message).at(block.offset_of(40)));
        }
        let v1 = field(36)? & COMPAT_CHECKSUM != 0;
        let checksum = match (
            incompat & INCOMPAT_CSUM_V2 != 0,
            incompat & INCOMPAT_CSUM_V3 != 0,
        ) {
            (false, false) if v1 => Checksum::V1,
            (false, false) => Checksum::None,
            (true, false) if !v1 => Checksum::V2,
            (false, true) if !v1 => Checksum::V3,
            _ => {
                return Err(block
                    .corrupt(40)
                    .expected("one version of checksums")
                    .found("several"));
            }
        };
        if matches!(checksum, Checksum::V2 | Checksum::V3) {
            verify_superblock(block)?;
        }
        let (maxlen, first, start) = (block.be32(16)?, block.be32(20)?, block.be32(28)?);
        let fast_commit = incompat & INCOMPAT_FAST_COMMIT != 0;
        let last = match (fast_commit, field(84)?) {
            (false, _) => maxlen,
            (true, 0) => log_end(maxlen, DEFAULT_FAST_COMMIT_BLOCKS),
            (true, blocks) => log_end(maxlen, blocks),
        };
        if first == 0 || first >= last {
            let expected = format!("s_first between 1 and {last}");
            return Err(block.corrupt(20).expected(expected).found(first));
        }
        if start != 0 && !(first..last).contains(&start) {
            let expected = format!("s_start between {first} and {last}");
            return Err(block.corrupt(28).expected(expected).found(start));
        }
        Ok(Self {
            block_size: block.be32(12)?,
            maxlen,
            first,
            last,
            sequence: block.be32(24)?,
            start,
            checksum,
            wide: incompat & INCOMPAT_64BIT != 0,
            fast_commit,
            seed: crc(!0, block.bytes(48, 16).unwrap_or_default()),
        })
    }

    /// Whether each block of the log carries a checksum: of its own, or in its tag.
    pub(crate) fn sums_blocks(&self) -> bool {
        matches!(self.checksum, Checksum::V2 | Checksum::V3)
    }

    /// Bytes of a tag without its UUID.
    fn tag_bytes(&self) -> usize {
        match (self.checksum, self.wide) {
            (Checksum::V3, _) => 16,
            // Version 2 made the tag longer than its fields.
            (Checksum::V2, true) => 14,
            (Checksum::V2, false) => 10,
            (_, true) => 12,
            (_, false) => 8,
        }
    }

    /// Whether the checksum of a descriptor or revoke block is right, or it has none.
    pub(crate) fn tail_is_good(&self, block: &Fields<'_>) -> bool {
        !self.sums_blocks()
            || block
                .len()
                .checked_sub(TAIL)
                .is_some_and(|at| field_is_sum(self.seed, block, at))
    }

    /// Whether the checksum of a commit block itself is right, or it has none.
    pub(crate) fn commit_is_good(&self, block: &Fields<'_>) -> bool {
        !self.sums_blocks() || field_is_sum(self.seed, block, H_CHKSUM)
    }

    /// Whether `data`, as it lies in the log, has the checksum in its `tag`, or there is none.
    pub(crate) fn data_is_good(&self, tag: &Tag, sequence: u32, data: &[u8]) -> bool {
        if !self.sums_blocks() {
            return true;
        }
        let sum = crc(crc(self.seed, &sequence.to_be_bytes()), data);
        match self.checksum {
            Checksum::V3 => tag.checksum == sum,
            _ => tag.checksum == sum & 0xFFFF,
        }
    }

    /// The tags of a descriptor block.
    pub(crate) fn tags(&self, block: &Fields<'_>) -> Vec<Tag> {
        let end = if self.sums_blocks() {
            block.len().saturating_sub(TAIL)
        } else {
            block.len()
        };
        let mut tags = Vec::new();
        let mut at = HEADER;
        while at.saturating_add(self.tag_bytes()) <= end {
            let Ok((tag, same_uuid, last)) = self.tag(block, at) else {
                break;
            };
            tags.push(tag);
            let uuid = if same_uuid { 0 } else { 16 };
            at = at.saturating_add(self.tag_bytes()).saturating_add(uuid);
            if last {
                break;
            }
        }
        tags
    }

    fn tag(&self, block: &Fields<'_>, at: usize) -> Result<(Tag, bool, bool)> {
        let field = |n: usize| at.saturating_add(n);
        // Version 3 has 32 bits of flags, of which the lower 16 are used.
        let flags = block.be16(field(6))?;
        let high = if self.wide { block.be32(field(8))? } else { 0 };
        let tag = Tag {
            block: u64::from(high) << 32 | u64::from(block.be32(at)?),
            escaped: flags & 0x1 != 0,
            checksum: match self.checksum {
                Checksum::V3 => block.be32(field(12))?,
                _ => u32::from(block.be16(field(4))?),
            },
        };
        Ok((tag, flags & 0x2 != 0, flags & 0x8 != 0))
    }

    /// The filesystem blocks that a revoke block names.
    pub(crate) fn revoked(&self, block: &Fields<'_>) -> Result<Vec<u64>> {
        let used = block.be32(HEADER)?;
        let tail = if self.sums_blocks() { TAIL } else { 0 };
        let room = block.len().saturating_sub(tail);
        let used = usize::try_from(used).ok().filter(|used| *used <= room);
        let Some(used) = used else {
            let found = block.be32(HEADER)?;
            let expected = format!("r_count up to {room}");
            return Err(block.corrupt(HEADER).expected(expected).found(found));
        };
        let header = HEADER.saturating_add(4);
        let records = block.bytes(header, used.saturating_sub(header))?;
        Ok(if self.wide {
            records
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| u64::from_be_bytes(*b))
                .collect()
        } else {
            records
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| u64::from(u32::from_be_bytes(*b)))
                .collect()
        })
    }
}

/// What a descriptor block says of one block that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// `t_blocknr`: the filesystem block it belongs at.
    pub(crate) block: u64,
    /// Whether its first four bytes were the magic, and are zero in the log.
    pub(crate) escaped: bool,
    /// `t_checksum`, versions 2 and 3.
    pub(crate) checksum: u32,
}

/// What a commit block says, beside that its transaction is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// `h_commit_sec`, `h_commit_nsec`: when.
    pub(crate) seconds: u64,
    /// Version 1: whether `sum` is one, or may be missing.
    summed: Option<bool>,
    sum: u32,
}

impl Commit {
    pub(crate) fn parse(block: &Fields<'_>) -> Result<Self> {
        let sum = block.be32(H_CHKSUM)?;
        let summed = match (block.u8(12)?, block.u8(13)?, sum) {
            (CRC32, 4, _) => Some(true),
            (0, 0, 0) => Some(false),
            _ => None,
        };
        let seconds = block.be64(48)?;
        Ok(Self {
            seconds,
            summed,
            sum,
        })
    }

    /// Version 1: whether `sum`, of the blocks of the transaction, is the one given, or none is.
    pub(crate) fn matches(&self, sum: u32) -> bool {
        match self.summed {
            Some(true) => self.sum == sum,
            Some(false) => true,
            None => false,
        }
    }
}

/// Where the log ends when `blocks` at the end of the journal are kept for fast commits; they are
/// not, where that would leave too short a log.
fn log_end(maxlen: u32, blocks: u32) -> u32 {
    maxlen
        .checked_sub(blocks)
        .filter(|last| *last >= MINIMUM_BLOCKS)
        .unwrap_or(maxlen)
}

fn verify_superblock(block: &Fields<'_>) -> Result<()> {
    let kind = block.u8(80)?;
    if kind != CRC32C {
        return Err(block.corrupt(80).expected("s_checksum_type 4").found(kind));
    }
    let summed = block.sub("journal superblock", 0, SUPERBLOCK)?;
    if field_is_sum(!0, &summed, S_CHECKSUM) {
        return Ok(());
    }
    let expected = format!("s_checksum {:#x}", sum_without(!0, &summed, S_CHECKSUM));
    let found = format!("{:#x}", block.be32(S_CHECKSUM)?);
    Err(block.corrupt(S_CHECKSUM).expected(expected).found(found))
}

/// The CRC-32C of `block` with the four bytes at `at` taken as zero.
fn sum_without(seed: u32, block: &Fields<'_>, at: usize) -> u32 {
    let (before, rest) = block.as_bytes().split_at_checked(at).unwrap_or_default();
    let after = rest.get(4..).unwrap_or_default();
    crc(crc(crc(seed, before), &[0; 4]), after)
}

fn field_is_sum(seed: u32, block: &Fields<'_>, at: usize) -> bool {
    block
        .be32(at)
        .is_ok_and(|sum| sum == sum_without(seed, block, at))
}
