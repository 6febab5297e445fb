//! What device-mapper keeps on disk: verity, integrity, snapshots, thin pools, caches.
//!
//! <https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity>; Linux, `drivers/md/dm-integrity.c`,
//! `dm-snap-persistent.c`, `dm-thin-metadata.c`, `dm-cache-metadata.c`.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Window};

use crate::look::{block_size, crc32c_of, fields, place, text, units, uuid};

pub(crate) fn verity(window: &Window) -> Option<Sign> {
    let sb = fields(window, "verity superblock", 0, 512)?;
    if sb.bytes(0, 8).ok()? != b"verity\0\0" || sb.le32(8).ok()? != 1 {
        return None;
    }
    let mut reason = "is a tree of hashes of another volume".to_owned();
    if let Some(algorithm) = text(&sb, 32, 32) {
        reason = format!("is a tree of hashes ({algorithm}) of another volume");
    }
    let sign = Sign::new("DM_verity_hash", 85, place(0, 512)?)
        .uuid(uuid(&sb, 16))
        .version(sb.le32(8).ok()?)
        .reason(reason)
        .written(0, 512);
    Some(sign)
}

pub(crate) fn integrity(window: &Window) -> Option<Sign> {
    let sb = fields(window, "integrity superblock", 0, 512)?;
    let version = sb.u8(8).ok()?;
    if sb.bytes(0, 8).ok()? != b"integrt\0" || version == 0 || version > 6 {
        return None;
    }
    Some(
        Sign::new("DM_integrity", 75, place(0, 512)?)
            .version(version)
            .written(0, 4096),
    )
}

pub(crate) fn snapshot(window: &Window) -> Option<Sign> {
    let header = fields(window, "snapshot header", 0, 16)?;
    let chunk = u64::from(header.le32(12).ok()?);
    let is = header.bytes(0, 4).ok()? == b"SnAp"
        && header.le32(4).ok()? <= 1
        && header.le32(8).ok()? == 1
        && chunk.is_power_of_two();
    let sign = Sign::new("DM_snapshot_cow", 75, place(0, 16)?)
        .version(1)
        .written(0, units(chunk, 512)?.min(1 << 20));
    is.then_some(sign)
}

/// A superblock of the library of persistent data: checksum, flags, own number, UUID, magic.
fn persistent<'a>(window: &'a Window, magic: u64, salt: u32) -> Option<(Fields<'a>, bool)> {
    let sb = fields(window, "superblock", 0, 4096)?;
    if sb.le64(32).ok()? != magic || sb.le64(8).ok()? != 0 {
        return None;
    }
    let sound = crc32c_of(sb.rest(4).ok()?) ^ !salt == sb.le32(0).ok()?;
    let plain = !crc32c_of(sb.rest(4).ok()?) ^ salt == sb.le32(0).ok()?;
    Some((sb, sound || plain))
}

pub(crate) fn thin_pool(window: &Window) -> Option<Sign> {
    let (sb, sound) = persistent(window, 27_022_010, 160_774)?;
    let sign = Sign::new(
        "DM_thin_metadata",
        if sound { 90 } else { 60 },
        place(0, 4096)?,
    )
    .version(sb.le32(40).ok()?)
    .uuid(uuid(&sb, 16))
    .written(0, 4096);
    Some(sign)
}

/// `CACHE_SUPERBLOCK_MAGIC` is written as an octal number in the kernel, perhaps by chance.
pub(crate) fn cache(window: &Window) -> Option<Sign> {
    let (sb, sound) = persistent(window, 0o6_142_003, 9_031_977)?;
    let sign = Sign::new(
        "DM_cache_metadata",
        if sound { 90 } else { 60 },
        place(0, 4096)?,
    )
    .version(sb.le32(40).ok().or_else(|| sb.le32(36).ok())?)
    .written(0, 4096);
    Some(sign)
}

/// The write-back cache of dm-writecache.
pub(crate) fn writecache(window: &Window) -> Option<Sign> {
    let sb = fields(window, "writecache superblock", 0, 64)?;
    let is = sb.le32(0).ok()? == 0x2349_4157 && sb.le32(4).ok()? == 1;
    let block = block_size(9)?.max(u64::from(sb.le32(8).ok()?));
    let sign = Sign::new("DM_writecache", 70, place(0, 64)?).written(0, block.min(4096));
    is.then_some(sign)
}
