//! Formats of Linux in use today: ext2/3/4, XFS, swap, btrfs, bcachefs, bcache, F2FS, nilfs2.
//!
//! Linux, `fs/ext4/ext4.h`, `fs/xfs/libxfs/xfs_format.h`, `include/linux/swap.h`,
//! `include/uapi/linux/btrfs_tree.h`, `include/linux/f2fs_fs.h`,
//! `include/uapi/linux/nilfs2_ondisk.h`; bcachefs, `bcachefs_format.h`; bcache, `bcache.h`.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Standing, Window};

use crate::look::{
    block_size, confidence, crc32_from, crc32c_of, fields, label, last, place, units, uuid,
    wide_label,
};

/// Bytes at the end of a device that mke2fs writes, so that no RAID is seen there.
const EXT_END: u64 = 64 << 10;
/// `EXT3_FEATURE_INCOMPAT_JOURNAL_DEV`.
const JOURNAL_DEVICE: u32 = 8;

fn ext_superblock<'a>(window: &'a Window) -> Option<(Fields<'a>, u8)> {
    let sb = fields(window, "ext4 superblock", 1024, 1024)?;
    // `s_block_group_nr` tells a backup, in front of which nothing of the filesystem lies.
    let is_backup = sb.le16(90).ok()? != 0;
    if sb.le16(56).ok()? != 0xEF53 || sb.le32(24).ok()? > 6 || is_backup {
        return None;
    }
    // `metadata_csum`.
    let summed = sb.le32(100).ok()? & 0x400 != 0;
    let sum = summed.then(|| Some(!crc32c_of(sb.bytes(0, 0x3FC).ok()?) == sb.le32(0x3FC).ok()?));
    Some((sb, confidence(sum.flatten())))
}

fn ext_size(sb: &Fields<'_>) -> Option<u64> {
    let high = match sb.le32(96).ok()? & 0x80 {
        0 => 0,
        _ => u64::from(sb.le32(0x150).ok()?),
    };
    let blocks = (high << 32) | u64::from(sb.le32(4).ok()?);
    units(blocks, block_size(sb.le32(24).ok()?.checked_add(10)?)?)
}

pub(crate) fn ext(window: &Window) -> Option<Sign> {
    let (sb, confidence) = ext_superblock(window)?;
    let (compatible, incompatible, read_only) =
        (sb.le32(92).ok()?, sb.le32(96).ok()?, sb.le32(100).ok()?);
    if incompatible & JOURNAL_DEVICE != 0 {
        return None;
    }
    // What ext2 and ext3 don't have.
    let newer = incompatible & !0x16 != 0 || read_only & !0x7 != 0;
    let name = match (newer, compatible & 4 != 0) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    };
    let sign = Sign::new(name, confidence, place(1024, 1024)?)
        .size(ext_size(&sb))
        .label(label(&sb, 120, 16))
        .uuid(uuid(&sb, 104))
        // The boot block, the superblock and the group descriptors behind it.
        .written(0, 8192)
        .written_at_end(EXT_END, window);
    Some(sign)
}

pub(crate) fn journal_device(window: &Window) -> Option<Sign> {
    let (sb, confidence) = ext_superblock(window)?;
    if sb.le32(96).ok()? & JOURNAL_DEVICE == 0 {
        return None;
    }
    let sign = Sign::new("jbd", confidence, place(1024, 1024)?)
        .size(ext_size(&sb))
        .label(label(&sb, 120, 16))
        .uuid(uuid(&sb, 104))
        .written(0, 4096)
        .written_at_end(EXT_END, window);
    Some(sign)
}

pub(crate) fn xfs(window: &Window) -> Option<Sign> {
    let sb = fields(window, "XFS superblock", 0, 512)?;
    let block = u64::from(sb.be32(4).ok()?);
    if sb.bytes(0, 4).ok()? != b"XFSB" || !(512..=65_536).contains(&block) {
        return None;
    }
    let sign = Sign::new("xfs", 80, place(0, 512)?)
        .size(units(sb.be64(8).ok()?, block))
        .label(label(&sb, 108, 12))
        .uuid(uuid(&sb, 32))
        .written(0, 128 << 10)
        .written_at_end(128 << 10, window);
    Some(sign)
}

/// Signatures at the end of the first page, and whether a system sleeps there.
const SWAP: [(&[u8; 10], bool); 6] = [
    (b"SWAPSPACE2", false),
    (b"SWAP-SPACE", false),
    (b"S1SUSPEND\0", true),
    (b"S2SUSPEND\0", true),
    (b"ULSUSPEND\0", true),
    (b"LINHIB0001", true),
];

fn swap_with(window: &Window, suspended: bool) -> Option<Sign> {
    let pages = [4u64 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
    let (page, at) = pages.into_iter().find_map(|page| {
        let at = page.checked_sub(10)?;
        let signature = window.bytes(at, 10)?;
        let known = SWAP.iter().find(|(bytes, _)| *bytes == signature)?;
        (known.1 == suspended).then_some((page, at))
    })?;
    let header = fields(window, "swap header", 1024, 512)?;
    let size = header.le32(4).ok()?.checked_add(1)?;
    let name = if suspended { "swsuspend" } else { "swap" };
    let sign = Sign::new(name, 80, place(at, 10)?)
        .size(units(size.into(), page))
        .uuid(uuid(&header, 12))
        .label(label(&header, 28, 16))
        .written(0, page);
    Some(sign)
}

pub(crate) fn swap(window: &Window) -> Option<Sign> {
    swap_with(window, false)
}

pub(crate) fn suspended(window: &Window) -> Option<Sign> {
    swap_with(window, true)
}

pub(crate) fn btrfs(window: &Window) -> Option<Sign> {
    const AT: u64 = 64 << 10;
    let sb = fields(window, "btrfs superblock", AT, 4096)?;
    if sb.bytes(64, 8).ok()? != b"_BHRfS_M" || sb.le64(48).ok()? != AT {
        return None;
    }
    // `csum_type` 0 is CRC-32C; the others are not checked here.
    let sum = || Some(crc32c_of(sb.rest(32).ok()?) == sb.le32(0).ok()?);
    let sum = (sb.le16(0xC4).ok()? == 0).then(sum).flatten();
    let devices = sb.le64(0x88).ok()?;
    let sign = Sign::new("btrfs", confidence(sum), place(AT, 4096)?)
        // Of this device: `dev_item.total_bytes`.
        .size(sb.le64(0xD1).ok())
        .label(label(&sb, 0x12B, 256))
        .uuid(uuid(&sb, 32))
        .written(0, 1 << 20)
        .written_at_end(128 << 10, window);
    Some(match devices {
        0 | 1 => sign,
        n => sign.reason(format!("is one of {n} disks and is not read")),
    })
}

const BCACHE: [u8; 16] = [
    0xC6, 0x85, 0x73, 0xF6, 0x4E, 0x1A, 0x45, 0xCA, 0x82, 0x65, 0xF5, 0x7F, 0x48, 0xBA, 0x6D, 0x81,
];
const BCACHEFS: [u8; 16] = [
    0xC6, 0x85, 0x73, 0xF6, 0x66, 0xCE, 0x90, 0xA9, 0xD9, 0x6A, 0x60, 0xCF, 0x80, 0x3D, 0xF7, 0xEF,
];

pub(crate) fn bcache(window: &Window) -> Option<Sign> {
    let sb = fields(window, "bcache superblock", 4096, 512)?;
    let version = sb.le64(16).ok()?;
    // `offset`: the sector it is in.
    if sb.bytes(24, 16).ok()? != BCACHE || sb.le64(8).ok()? != 8 || version > 6 {
        return None;
    }
    let sign = Sign::new("bcache", 85, place(4096, 512)?)
        .uuid(uuid(&sb, 40))
        .label(label(&sb, 72, 32))
        .version(version)
        .written(0, 6656);
    Some(match version {
        1 | 4 | 6 => sign.reason("is a disk behind a cache: what is in the cache only is not here"),
        _ => sign.reason("is the cache of another disk"),
    })
}

pub(crate) fn bcachefs(window: &Window) -> Option<Sign> {
    let sb = fields(window, "bcachefs superblock", 4096, 512)?;
    let magic = sb.bytes(24, 16).ok()?;
    let version = sb.le16(16).ok()?;
    // Older ones have the magic of bcache, and a version of their own.
    let old = magic == BCACHE && version > 6 && sb.le64(8).ok()? != 8;
    if !(magic == BCACHEFS || old) || sb.le64(104).ok()? != 8 {
        return None;
    }
    let devices = sb.u8(123).ok()?;
    let sign = Sign::new("bcachefs", 85, place(4096, 512)?)
        .uuid(uuid(&sb, 56))
        .label(label(&sb, 72, 32))
        .version(version)
        .written(0, 8192);
    Some(match devices {
        0 | 1 => sign,
        n => sign.reason(format!("is one of {n} disks and is not read")),
    })
}

pub(crate) fn f2fs(window: &Window) -> Option<Sign> {
    let sb = fields(window, "F2FS superblock", 1024, 3072)?;
    let block = block_size(sb.le32(16).ok()?)?;
    if sb.le32(0).ok()? != 0xF2F5_2010 || block < 4096 {
        return None;
    }
    let (major, minor) = (sb.le16(4).ok()?, sb.le16(6).ok()?);
    // `crc`, where `checksum_offset` says; made with the magic as its start.
    let at = usize::try_from(sb.le32(32).ok()?).ok()?;
    let sum = || Some(crc32_from(0xF2F5_2010, &[sb.bytes(0, at).ok()?]) == sb.le32(at).ok()?);
    let sum = (at != 0).then(sum).flatten();
    let sign = Sign::new("f2fs", confidence(sum), place(1024, 3072)?)
        .size(units(sb.le64(36).ok()?, block))
        .uuid(uuid(&sb, 108))
        .label(&wide_label(&sb, 124, 1024))
        .version(format!("{major}.{minor}"))
        .written(0, 8192);
    Some(sign)
}

pub(crate) fn nilfs2(window: &Window) -> Option<Sign> {
    if let Some(sign) = nilfs2_at(window, 1024) {
        return Some(sign);
    }
    // The second superblock: in the last whole block of 4 KiB but for one.
    let second = last(window, 4096)?;
    let mut sign = nilfs2_at(window, second)?;
    sign.confidence = 60;
    sign.standing = Standing::Copy;
    Some(sign)
}

fn nilfs2_at(window: &Window, at: u64) -> Option<Sign> {
    let sb = fields(window, "nilfs2 superblock", at, 1024)?;
    let bytes = usize::from(sb.le16(8).ok()?);
    if sb.le16(6).ok()? != 0x3434 || !(248..=1024).contains(&bytes) {
        return None;
    }
    // `s_sum` is counted as zero.
    let parts = [
        sb.bytes(0, 16).ok()?,
        &[0; 4],
        sb.bytes(20, bytes.checked_sub(20)?).ok()?,
    ];
    if crc32_from(sb.le32(12).ok()?, &parts) != sb.le32(16).ok()? {
        return None;
    }
    let sign = Sign::new("nilfs2", 95, place(at, 1024)?)
        .size(sb.le64(32).ok())
        .uuid(uuid(&sb, 152))
        .label(label(&sb, 168, 80))
        .version(sb.le32(0).ok()?)
        .written(0, 8192)
        .written_at_end(4096, window);
    Some(sign)
}
