//! Formats of Apple: APFS, HFS+, HFS.
//!
//! Apple, "Apple File System Reference"; Technical Note TN1150, "HFS Plus Volume Format".

use hexz_resolve::{Sign, Window};

use crate::look::{confidence, fields, label, length, place, units, uuid};

/// The checksum of an object of APFS: Fletcher's over words of 32 bits, behind itself.
fn fletcher64(object: &[u8]) -> Option<u64> {
    const MODULUS: u64 = 0xFFFF_FFFF;
    let (mut low, mut high) = (0u64, 0u64);
    for word in object.get(8..)?.chunks_exact(4) {
        let word = u64::from(u32::from_le_bytes(word.try_into().ok()?));
        low = low.checked_add(word)?.checked_rem(MODULUS)?;
        high = high.checked_add(low)?.checked_rem(MODULUS)?;
    }
    let sum = low.checked_add(high)?.checked_rem(MODULUS)?;
    let first = MODULUS.checked_sub(sum)?;
    let sum = low.checked_add(first)?.checked_rem(MODULUS)?;
    let second = MODULUS.checked_sub(sum)?;
    second.checked_shl(32)?.checked_add(first)
}

pub(crate) fn apfs(window: &Window) -> Option<Sign> {
    let head = fields(window, "nx_superblock_t", 0, 4096)?;
    let block = u64::from(head.le32(36).ok()?);
    if head.bytes(32, 4).ok()? != b"NXSB" || !(4096..=65_536).contains(&block) {
        return None;
    }
    let object = window.bytes(0, length(block)?)?;
    let sound = fletcher64(object)? == head.le64(0).ok()?;
    let sign = Sign::new("apfs", confidence(Some(sound)), place(0, 4096)?)
        .size(units(head.le64(40).ok()?, block))
        .uuid(uuid(&head, 72))
        .written(0, 64 << 10);
    Some(sign)
}

pub(crate) fn hfsplus(window: &Window) -> Option<Sign> {
    let header = fields(window, "HFSPlusVolumeHeader", 1024, 512)?;
    let version = header.be16(2).ok()?;
    let is = matches!((header.bytes(0, 2).ok()?, version), (b"H+", 4) | (b"HX", 5));
    let (block, blocks) = (header.be32(40).ok()?, header.be32(44).ok()?);
    if !is || block < 512 || !block.is_power_of_two() || blocks == 0 {
        return None;
    }
    let serial = header.bytes(104 + 24, 8).ok()?;
    let serial: String = serial.iter().map(|b| format!("{b:02X}")).collect();
    let sign = Sign::new("hfsplus", 80, place(1024, 512)?)
        .size(units(blocks.into(), block.into()))
        .version(if version == 5 { "HFSX" } else { "HFS+" })
        .uuid(Some(serial).filter(|serial| serial.bytes().any(|b| b != b'0')))
        .written(0, 1536)
        .written_at_end(1024, window);
    Some(sign)
}

pub(crate) fn hfs(window: &Window) -> Option<Sign> {
    let header = fields(window, "MDB", 1024, 512)?;
    let (blocks, block) = (header.be16(18).ok()?, header.be32(20).ok()?);
    let is = header.bytes(0, 2).ok()? == b"BD";
    if !is || block == 0 || !block.is_multiple_of(512) || blocks == 0 {
        return None;
    }
    // `drEmbedSigWord`: an HFS+ volume lies within this one.
    let wraps = header.bytes(124, 2).ok()? == b"H+";
    let name = header.u8(36).ok()?;
    let sign = Sign::new(if wraps { "hfsplus" } else { "hfs" }, 70, place(1024, 512)?)
        .size(units(blocks.into(), block.into()))
        .label(label(&header, 37, usize::from(name.min(27))))
        .written(0, 1536);
    Some(sign)
}
