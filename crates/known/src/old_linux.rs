//! Formats that Linux mounts and few still make: JFS, ReiserFS, Reiser4, Minix, GFS2, OCFS2, BFS.
//!
//! jfsutils, `jfs_superblock.h`; reiserfsprogs, `reiserfs_fs.h`; Linux, `include/uapi/linux/minix_fs.h`,
//! `include/uapi/linux/gfs2_ondisk.h`, `fs/ocfs2/ocfs2_fs.h`, `include/uapi/linux/bfs_fs.h`.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Window};

use crate::look::{block_size, fields, label, place, units, uuid};

pub(crate) fn jfs(window: &Window) -> Option<Sign> {
    let sb = fields(window, "JFS superblock", 32 << 10, 512)?;
    let (block, sector) = (sb.le32(16).ok()?, sb.le32(24).ok()?);
    let logs = (sb.le16(20).ok()?, sb.le16(28).ok()?);
    let agree = block_size(logs.0.into()) == Some(block.into())
        && block_size(logs.1.into()) == Some(sector.into());
    if sb.bytes(0, 4).ok()? != b"JFS1" || !agree {
        return None;
    }
    let sign = Sign::new("jfs", 85, place(32 << 10, 512)?)
        .size(units(sb.le64(8).ok()?, sector.into()))
        .uuid(uuid(&sb, 136))
        .label(label(&sb, 152, 16))
        .version(sb.le32(4).ok()?)
        .written(0, 68 << 10);
    Some(sign)
}

pub(crate) fn reiserfs(window: &Window) -> Option<Sign> {
    [64u64 << 10, 8 << 10].into_iter().find_map(|at| {
        let sb = fields(window, "ReiserFS superblock", at, 204)?;
        let version = match sb.bytes(52, 10).ok()? {
            [b'R', b'e', b'I', b's', b'E', b'r', b'F', b's', ..] => "3.5",
            b"ReIsEr2Fs\0" => "3.6",
            b"ReIsEr3Fs\0" => "JR",
            _ => return None,
        };
        let block = u64::from(sb.le16(44).ok()?);
        if !(512..=65_536).contains(&block) || !block.is_power_of_two() {
            return None;
        }
        let sign = Sign::new("reiserfs", 80, place(at, 204)?)
            .size(units(sb.le32(0).ok()?.into(), block))
            .uuid(uuid(&sb, 84))
            .label(label(&sb, 100, 16))
            .version(version)
            .written(0, at.checked_add(4096)?);
        Some(sign)
    })
}

pub(crate) fn reiser4(window: &Window) -> Option<Sign> {
    let sb = fields(window, "Reiser4 master superblock", 64 << 10, 64)?;
    if sb.bytes(0, 7).ok()? != b"ReIsEr4" {
        return None;
    }
    let sign = Sign::new("reiser4", 70, place(64 << 10, 64)?)
        .uuid(uuid(&sb, 20))
        .label(label(&sb, 36, 16))
        .version("4")
        .written(0, 68 << 10);
    Some(sign)
}

/// What a superblock of Minix says, in either form.
struct Minix {
    inodes: u64,
    zones: u64,
    imap: u64,
    zmap: u64,
    first: u64,
    log_zone: u16,
    block: u64,
    /// Bytes of an inode.
    inode: u64,
    version: u8,
}

impl Minix {
    fn read(sb: &Fields<'_>) -> Option<Self> {
        let (small, large) = (sb.le16(16).ok()?, sb.le16(24).ok()?);
        let version = match (small, large) {
            (0x137F | 0x138F, _) => 1,
            (0x2468 | 0x2478, _) => 2,
            (_, 0x4D5A) => 3,
            _ => return None,
        };
        let short = |at: usize| sb.le16(at).ok().map(u64::from);
        let long = |at: usize| sb.le32(at).ok().map(u64::from);
        Some(match version {
            3 => Self {
                inodes: long(0)?,
                zones: long(20)?,
                imap: short(6)?,
                zmap: short(8)?,
                first: short(10)?,
                log_zone: sb.le16(12).ok()?,
                block: short(28)?,
                inode: 64,
                version,
            },
            _ => Self {
                inodes: short(0)?,
                zones: if version == 1 { short(2)? } else { long(20)? },
                imap: short(4)?,
                zmap: short(6)?,
                first: short(8)?,
                log_zone: sb.le16(10).ok()?,
                block: 1024,
                inode: if version == 1 { 32 } else { 64 },
                version,
            },
        })
    }

    /// Whether the maps have a bit for all, and the data starts behind the inodes.
    fn is_sound(&self) -> Option<bool> {
        let bits = |blocks: u64| blocks.checked_mul(self.block)?.checked_mul(8);
        let table = self
            .inodes
            .checked_mul(self.inode)?
            .div_ceil(self.block.max(1));
        let first = 2u64.checked_add(self.imap)?.checked_add(self.zmap)?;
        let first = first.checked_add(table)?;
        Some(
            self.inodes > 0
                && self.log_zone == 0
                && (1024..=65_536).contains(&self.block)
                && bits(self.imap)? > self.inodes
                && bits(self.zmap)? >= self.zones.checked_sub(self.first)?
                && self.first >= first,
        )
    }
}

pub(crate) fn minix(window: &Window) -> Option<Sign> {
    let sb = fields(window, "Minix superblock", 1024, 1024)?;
    let minix = Minix::read(&sb)?;
    if minix.is_sound() != Some(true) {
        return None;
    }
    // What is behind the fields was zero when it was made.
    let clean = sb.bytes(32, 992).ok()?.iter().all(|b| *b == 0);
    let sign = Sign::new("minix", if clean { 75 } else { 45 }, place(1024, 32)?)
        .size(units(minix.zones, minix.block))
        .version(minix.version)
        .written(0, 512)
        .written(1024, 8192);
    Some(sign)
}

pub(crate) fn gfs2(window: &Window) -> Option<Sign> {
    let sb = fields(window, "GFS2 superblock", 64 << 10, 512)?;
    let is = sb.be32(0).ok()? == 0x0116_1970 && sb.be32(4).ok()? == 1;
    let format = sb.be32(24).ok()?;
    if !is || block_size(sb.be32(40).ok()?) != Some(sb.be32(36).ok()?.into()) {
        return None;
    }
    let name = if format >= 1800 { "gfs2" } else { "gfs" };
    let sign = Sign::new(name, 85, place(64 << 10, 512)?)
        .label(label(&sb, 160, 64))
        .uuid(uuid(&sb, 256))
        .version(sb.be32(28).ok()?)
        .written(0, 68 << 10);
    Some(sign)
}

pub(crate) fn ocfs2(window: &Window) -> Option<Sign> {
    [1024u64, 2048, 4096, 8192].into_iter().find_map(|block| {
        let at = block.checked_mul(2).filter(|at| *at >= 2048)?;
        let inode = fields(window, "OCFS2 superblock", at, 1024)?;
        if inode.bytes(0, 6).ok()? != b"OCFSV2" {
            return None;
        }
        let sb = inode.sub("OCFS2 superblock", 192, 512).ok()?;
        let (bits, cluster) = (sb.le32(56).ok()?, sb.le32(60).ok()?);
        if block_size(bits)? != block {
            return None;
        }
        let sign = Sign::new("ocfs2", 80, place(at, 1024)?)
            .size(units(inode.le32(20).ok()?.into(), block_size(cluster)?))
            .label(label(&sb, 80, 64))
            .uuid(uuid(&sb, 144))
            .version(format!("{}.{}", sb.le16(0).ok()?, sb.le16(2).ok()?))
            .written(0, at.checked_add(block)?);
        Some(sign)
    })
}

pub(crate) fn bfs(window: &Window) -> Option<Sign> {
    let sb = fields(window, "BFS superblock", 0, 512)?;
    let (start, end) = (sb.le32(4).ok()?, sb.le32(8).ok()?);
    if sb.le32(0).ok()? != 0x1BAD_FACE || start < 512 || end <= start {
        return None;
    }
    let sign = Sign::new("bfs", 70, place(0, 512)?)
        .size(u64::from(end).checked_add(1))
        .written(0, 512);
    Some(sign)
}
