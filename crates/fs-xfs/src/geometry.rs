//! What the superblock says, and the places that follow from it.

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Error, Result};

use crate::ondisk::{
    INCOMPAT_FTYPE, INCOMPAT_META_UUID, INCOMPAT_METADIR, INCOMPAT_NREXT64, INCOMPAT_PARENT,
    INCOMPAT_SPINODES, RO_FINOBT, RO_REFLINK, RO_RMAPBT, SB_MAGIC, VERSION_DIRV2, VERSION_LOGV2,
    VERSION_MOREBITS, VERSION_NUMBITS, VERSION2_FTYPE, VERSION2_PROJID32,
};

/// The superblock, as far as it says how to read the rest. It is part of every unit of a scan,
/// so that views of another geometry share nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    /// Whether metadata carry checksums and say where they belong.
    pub(crate) v5: bool,
    /// `sb_blocklog`.
    pub(crate) block_log: u32,
    /// `sb_sectlog`.
    pub(crate) sect_log: u32,
    /// `sb_inodelog`.
    pub(crate) inode_log: u32,
    /// `sb_inopblog`: inodes a block, as a power of two.
    pub(crate) inopb_log: u32,
    /// `sb_agblklog`: bits of a block number within its group.
    pub(crate) agblk_log: u32,
    /// `sb_dirblklog`: blocks a directory block, as a power of two.
    pub(crate) dirblk_log: u32,
    /// `sb_dblocks`.
    pub(crate) dblocks: u64,
    /// `sb_agblocks`.
    pub(crate) agblocks: u32,
    /// `sb_agcount`.
    pub(crate) agcount: u32,
    /// The UUID that V5 metadata carry.
    pub(crate) meta_uuid: [u8; 16],
    /// `sb_logstart`, 0 for a log on another device.
    pub(crate) logstart: u64,
    /// `sb_logblocks`.
    pub(crate) logblocks: u32,
    /// Bytes that the writes of the log are aligned to.
    pub(crate) log_sunit: u32,
    /// `sb_rootino`.
    pub(crate) rootino: u64,
    /// `sb_rbmino` and `sb_rsumino`.
    pub(crate) rt_inodes: [u64; 2],
    /// `sb_uquotino`, `sb_gquotino` and `sb_pquotino`.
    pub(crate) quota_inodes: [u64; 3],
    /// `sb_rblocks`: blocks of a realtime device.
    pub(crate) rblocks: u64,
    /// Directory entries tell the kind of file.
    pub(crate) ftype: bool,
    /// Project ids have 32 bits.
    pub(crate) projid32: bool,
    /// Inode chunks may have holes.
    pub(crate) sparse: bool,
    /// There is a btree of free inodes.
    pub(crate) finobt: bool,
    /// There is a reverse-map btree.
    pub(crate) rmapbt: bool,
    /// Blocks may be shared.
    pub(crate) reflink: bool,
    /// Attribute forks hold parent pointers.
    pub(crate) parent: bool,
    /// Metadata inodes lie in a directory tree of their own.
    pub(crate) metadir: bool,
    /// Inodes count extents in more bits.
    pub(crate) nrext64: bool,
    /// Bytes there are to read: the volume may be shorter than the filesystem.
    pub(crate) volume: u64,
}

/// A superblock with what only opening needs.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    pub(crate) geometry: Geometry,
    pub(crate) uuid: [u8; 16],
    pub(crate) label: Vec<u8>,
    pub(crate) ro_compat: u32,
    pub(crate) incompat: u32,
    pub(crate) log_incompat: u32,
    /// `sb_icount`: inodes in all chunks, used or not.
    pub(crate) inodes: u64,
}

impl Superblock {
    /// Bytes that are read of it.
    pub(crate) const LENGTH: usize = 512;

    /// Reads the fields and checks that they agree. The features are not looked at.
    pub(crate) fn parse(sb: &Fields<'_>, volume: u64) -> Result<Self> {
        let found = sb.array::<4>(0)?;
        if found != SB_MAGIC {
            let found = found.escape_ascii().to_string();
            return Err(sb.corrupt(0).expected("magic XFSB").found(found));
        }
        let versionnum = sb.be16(100)?;
        let version = versionnum & VERSION_NUMBITS;
        if !matches!(version, 4 | 5) {
            let message = format!("version {version}");
            return Err(Error::unsupported("superblock", message).at(sb.offset_of(100)));
        }
        let v5 = version == 5;
        if !v5 && versionnum & VERSION_DIRV2 == 0 {
            return Err(Error::unsupported("directories", "version 1").at(sb.offset_of(100)));
        }
        let log = |size: u32, at: usize, log_at: usize, least: u32, most: u32| -> Result<u32> {
            let log = u32::from(sb.u8(log_at)?);
            if size.is_power_of_two()
                && size.trailing_zeros() == log
                && (least..=most).contains(&log)
            {
                Ok(log)
            } else {
                let expected = format!("a power of two, {least} to {most}, and {log} as its power");
                Err(sb.corrupt(at).expected(expected).found(size))
            }
        };
        let block_log = log(sb.be32(4)?, 4, 120, 9, 16)?;
        let sect_log = log(u32::from(sb.be16(102)?), 102, 121, 9, 15)?;
        let inode_log = log(u32::from(sb.be16(104)?), 104, 122, 8, 11)?;
        let agblocks = sb.be32(84)?;
        let agcount = sb.be32(88)?;
        let dblocks = sb.be64(8)?;
        let agblk_log = u32::from(sb.u8(124)?);
        let wanted_log = agblocks
            .checked_next_power_of_two()
            .map(u32::trailing_zeros);
        if agblocks < 16 || wanted_log != Some(agblk_log) {
            let found = format!("{agblocks} blocks and power {agblk_log}");
            return Err(sb.corrupt(84).expected("a group size").found(found));
        }
        let most = u64::from(agcount).saturating_mul(u64::from(agblocks));
        let least = most.saturating_sub(u64::from(agblocks));
        if dblocks <= least || dblocks > most || dblocks > i64::MAX.unsigned_abs() >> block_log {
            let expected = format!("{least} to {most} blocks for {agcount} groups");
            return Err(sb.corrupt(8).expected(expected).found(dblocks));
        }
        let inopb_log = block_log.checked_sub(inode_log);
        let dirblk_log = u32::from(sb.u8(192)?);
        let (Some(inopb_log), true) = (
            inopb_log.filter(|log| sb.u8(123).is_ok_and(|found| u32::from(found) == *log)),
            dirblk_log <= 16 && block_log.saturating_add(dirblk_log) <= 16,
        ) else {
            return Err(sb
                .corrupt(123)
                .message("sizes of inodes, blocks and directories disagree"));
        };
        let features2 = if versionnum & VERSION_MOREBITS == 0 {
            0
        } else {
            sb.be32(200)? | sb.be32(204)?
        };
        let v5_bits = |at| if v5 { sb.be32(at) } else { Ok(0) };
        let (ro_compat, incompat, log_incompat) = (v5_bits(212)?, v5_bits(216)?, v5_bits(220)?);
        let uuid = sb.array::<16>(32)?;
        let null_is_none = |ino: u64| if ino == u64::MAX { 0 } else { ino };
        let metadir = incompat & INCOMPAT_METADIR != 0;
        // With metadir these are found by their flag, and the fields are not in use.
        let inode = |at| {
            sb.be64(at)
                .map(|ino| if metadir { 0 } else { null_is_none(ino) })
        };
        let log_sunit = if versionnum & VERSION_LOGV2 == 0 {
            0
        } else {
            sb.be32(196)?
        };
        let mut label = sb.bytes(108, 12)?.to_vec();
        label.truncate(label.iter().position(|b| *b == 0).unwrap_or(label.len()));
        Ok(Self {
            geometry: Geometry {
                v5,
                block_log,
                sect_log,
                inode_log,
                inopb_log,
                agblk_log,
                dirblk_log,
                dblocks,
                agblocks,
                agcount,
                meta_uuid: if incompat & INCOMPAT_META_UUID == 0 {
                    uuid
                } else {
                    sb.array(248)?
                },
                logstart: sb.be64(48)?,
                logblocks: sb.be32(96)?,
                log_sunit,
                rootino: sb.be64(56)?,
                rt_inodes: [inode(64)?, inode(72)?],
                quota_inodes: [inode(160)?, inode(168)?, if v5 { inode(232)? } else { 0 }],
                rblocks: sb.be64(16)?,
                ftype: if v5 {
                    incompat & INCOMPAT_FTYPE != 0
                } else {
                    features2 & VERSION2_FTYPE != 0
                },
                projid32: v5 || features2 & VERSION2_PROJID32 != 0,
                sparse: incompat & INCOMPAT_SPINODES != 0,
                finobt: ro_compat & RO_FINOBT != 0,
                rmapbt: ro_compat & RO_RMAPBT != 0,
                reflink: ro_compat & RO_REFLINK != 0,
                parent: incompat & INCOMPAT_PARENT != 0,
                metadir,
                nrext64: incompat & INCOMPAT_NREXT64 != 0,
                volume,
            },
            uuid,
            label,
            ro_compat,
            incompat,
            log_incompat,
            inodes: sb.be64(128)?,
        })
    }
}

#[allow(clippy::arithmetic_side_effects)] // Shifts by the powers that `parse` has bounded.
impl Geometry {
    /// Bytes a block.
    pub(crate) const fn block_size(&self) -> u64 {
        1 << self.block_log
    }

    /// Bytes a sector.
    pub(crate) const fn sect_size(&self) -> u64 {
        1 << self.sect_log
    }

    /// Bytes an inode.
    pub(crate) const fn inode_size(&self) -> u64 {
        1 << self.inode_log
    }

    /// Blocks a directory block.
    pub(crate) const fn dir_blocks(&self) -> u64 {
        1 << self.dirblk_log
    }

    /// Bytes of the filesystem.
    pub(crate) const fn size(&self) -> u64 {
        self.dblocks << self.block_log
    }

    /// Groups of which any byte can be read.
    pub(crate) fn groups(&self) -> u32 {
        let bytes = u64::from(self.agblocks) << self.block_log;
        let present = self.volume.div_ceil(bytes.max(1));
        self.agcount.min(u32::try_from(present).unwrap_or(u32::MAX))
    }

    /// Blocks of group `agno`; the last one may be short.
    pub(crate) fn ag_blocks(&self, agno: u32) -> u32 {
        let before = u64::from(agno).saturating_mul(u64::from(self.agblocks));
        let left = self.dblocks.saturating_sub(before);
        u32::try_from(left).map_or(self.agblocks, |left| left.min(self.agblocks))
    }

    /// First byte of group `agno`.
    pub(crate) fn ag_start(&self, agno: u32) -> u64 {
        u64::from(agno).saturating_mul(u64::from(self.agblocks)) << self.block_log
    }

    /// All bytes of group `agno`.
    pub(crate) fn ag_range(&self, agno: u32) -> ByteRange {
        let start = self.ag_start(agno);
        ByteRange::new(
            start,
            start.saturating_add(u64::from(self.ag_blocks(agno)) << self.block_log),
        )
    }

    /// The bytes of `count` blocks from block `agbno` of group `agno`, when they are in it.
    pub(crate) fn ag_extent(&self, agno: u32, agbno: u32, count: u32) -> Option<ByteRange> {
        let end = agbno.checked_add(count)?;
        if agno >= self.agcount || count == 0 || end > self.ag_blocks(agno) {
            return None;
        }
        let start = self
            .ag_start(agno)
            .checked_add(u64::from(agbno) << self.block_log)?;
        ByteRange::at(start, u64::from(count) << self.block_log)
    }

    /// The group and the block in it of a filesystem block number.
    pub(crate) fn split_block(&self, fsblock: u64) -> Option<(u32, u32)> {
        let agno = u32::try_from(fsblock >> self.agblk_log).ok()?;
        let agbno = u32::try_from(fsblock & ((1 << self.agblk_log) - 1)).ok()?;
        (agno < self.agcount && agbno < self.ag_blocks(agno)).then_some((agno, agbno))
    }

    /// The bytes of `count` blocks from filesystem block `fsblock`, when all are in one group.
    pub(crate) fn extent(&self, fsblock: u64, count: u64) -> Option<ByteRange> {
        let (agno, agbno) = self.split_block(fsblock)?;
        self.ag_extent(agno, agbno, u32::try_from(count).ok()?)
    }

    /// Bits of an inode number within its group.
    const fn agino_log(&self) -> u32 {
        self.agblk_log + self.inopb_log
    }

    /// The group of an inode and its number in it.
    pub(crate) fn split_inode(&self, ino: u64) -> Option<(u32, u32)> {
        let agno = u32::try_from(ino >> self.agino_log()).ok()?;
        let agino = u32::try_from(ino & ((1 << self.agino_log()) - 1)).ok()?;
        let agbno = agino >> self.inopb_log;
        (agno < self.agcount && agbno < self.ag_blocks(agno)).then_some((agno, agino))
    }

    /// The number of inode `agino` of group `agno`.
    pub(crate) fn inode_number(&self, agno: u32, agino: u32) -> u64 {
        u64::from(agno) << self.agino_log() | u64::from(agino)
    }

    /// The bytes of `count` inodes from `agino` of group `agno`, when they are in it.
    pub(crate) fn inode_range(&self, agno: u32, agino: u32, count: u32) -> Option<ByteRange> {
        let start = self
            .ag_start(agno)
            .checked_add(u64::from(agino) << self.inode_log)?;
        let range = ByteRange::at(start, u64::from(count) << self.inode_log)?;
        (agno < self.agcount && range.end() <= self.ag_range(agno).end()).then_some(range)
    }

    /// Whether an inode belongs to the filesystem and not to a user: what it is, in the word of
    /// the report.
    pub(crate) fn internal(&self, ino: u64) -> Option<Internal> {
        if ino == 0 {
            return None;
        }
        if self.quota_inodes.contains(&ino) {
            return Some(Internal::Quota);
        }
        self.rt_inodes.contains(&ino).then_some(Internal::Realtime)
    }

    /// Bytes of the log, when it is on this device.
    pub(crate) fn log(&self) -> Option<ByteRange> {
        if self.logstart == 0 {
            return None;
        }
        self.extent(self.logstart, u64::from(self.logblocks))
    }

    /// Whether the V5 tag of a block says it lies at `offset`: it counts units of 512 bytes.
    pub(crate) const fn daddr(offset: u64) -> u64 {
        offset >> 9
    }
}

/// Inodes of the filesystem itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Internal {
    /// Quota records.
    Quota,
    /// Bitmap or summary of a realtime device.
    Realtime,
    /// In the metadata directory tree.
    Metadata,
}
