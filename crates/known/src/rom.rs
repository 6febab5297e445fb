//! Read-only images: squashfs, EROFS, cramfs, romfs.
//!
//! <https://dr-emann.github.io/squashfs/>; Linux, `fs/erofs/erofs_fs.h`,
//! `include/uapi/linux/cramfs_fs.h`, `Documentation/filesystems/romfs.rst`.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Window};

use crate::look::{block_size, confidence, crc32c_of, fields, label, length, place, units, uuid};

pub(crate) fn squashfs(window: &Window) -> Option<Sign> {
    let head = fields(window, "squashfs superblock", 0, 96)?;
    let (major, minor) = (head.le16(28).ok()?, head.le16(30).ok()?);
    match head.bytes(0, 4).ok()? {
        b"hsqs" if major >= 4 => {
            let block = u64::from(head.le32(12).ok()?);
            if Some(block) != block_size(head.le16(22).ok()?.into()) {
                return None;
            }
            let size = head.le64(40).ok()?;
            let sign = Sign::new("squashfs", 85, place(0, 96)?)
                .size(Some(size))
                .version(format!("{major}.{minor}"));
            Some(sign.written(0, size.max(96)))
        }
        b"hsqs" => Some(old_squashfs(major, minor)?),
        b"sqsh" => Some(old_squashfs(head.be16(28).ok()?, head.be16(30).ok()?)?),
        _ => None,
    }
}

fn old_squashfs(major: u16, minor: u16) -> Option<Sign> {
    let sign = Sign::new("squashfs3", 60, place(0, 96)?).written(0, 96);
    (major < 4).then(|| sign.version(format!("{major}.{minor}")))
}

pub(crate) fn erofs(window: &Window) -> Option<Sign> {
    let head = fields(window, "EROFS superblock", 1024, 128)?;
    if head.le32(0).ok()? != 0xE0F5_E1E2 {
        return None;
    }
    let block = block_size(head.u8(12).ok()?.into()).filter(|size| *size >= 512)?;
    // `EROFS_FEATURE_COMPAT_SB_CHKSUM`: over the rest of the block, the field as zero.
    let summed = head.le32(8).ok()? & 1 != 0;
    let sum = || {
        let rest = window.bytes(1024, length(block.checked_sub(1024)?)?)?;
        let (before, after) = (rest.get(..4)?, rest.get(8..)?);
        let whole = [before, &[0; 4], after].concat();
        Some(!crc32c_of(&whole) == head.le32(4).ok()?)
    };
    let size = units(head.le32(36).ok()?.into(), block);
    let sign = Sign::new(
        "erofs",
        confidence(summed.then(sum).flatten()),
        place(1024, 128)?,
    )
    .size(size)
    .uuid(uuid(&head, 48))
    .label(label(&head, 64, 16))
    .written(0, size.unwrap_or(2048).max(2048));
    Some(sign)
}

pub(crate) fn cramfs(window: &Window) -> Option<Sign> {
    [0, 512].into_iter().find_map(|at| {
        let head = fields(window, "cramfs superblock", at, 64)?;
        let signature = head.bytes(16, 16).ok()? == b"Compressed ROMFS";
        let little = head.le32(0).ok()? == 0x28CD_3D45;
        let big = head.be32(0).ok()? == 0x28CD_3D45;
        if !signature || !(little || big) {
            return None;
        }
        let size = if little { head.le32(4) } else { head.be32(4) };
        let size = u64::from(size.ok()?);
        let sign = Sign::new("cramfs", 85, place(at, 64)?)
            .size(Some(size))
            .label(label(&head, 48, 16));
        Some(sign.written(0, size.max(76)))
    })
}

pub(crate) fn romfs(window: &Window) -> Option<Sign> {
    let head = fields(window, "romfs superblock", 0, 512)?;
    if head.bytes(0, 8).ok()? != b"-rom1fs-" {
        return None;
    }
    let size = u64::from(head.be32(8).ok()?);
    let sign = Sign::new(
        "romfs",
        confidence(Some(sums_to_zero(&head, size)?)),
        place(0, 64)?,
    )
    .size(Some(size))
    .label(label(&head, 16, 256));
    Some(sign.written(0, size.max(64)))
}

/// Whether the first 512 bytes, or as many as there are, sum to zero.
fn sums_to_zero(head: &Fields<'_>, size: u64) -> Option<bool> {
    let bytes = head.bytes(0, length(size.min(512))?).ok()?;
    let words = bytes
        .chunks_exact(4)
        .filter_map(|word| word.try_into().ok());
    let sum = words.fold(0u32, |sum, word| sum.wrapping_add(u32::from_be_bytes(word)));
    Some(sum == 0)
}
