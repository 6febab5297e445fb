//! UFS and VMFS.
//!
//! FreeBSD, `sys/ufs/ffs/fs.h`; libvmfs; libblkid, `superblocks/vmfs.c`.

use hexz_resolve::{Sign, Window};

use crate::look::{fields, label, place, units, uuid};
use hexz_ondisk::Fields;

/// Where the superblock lies in UFS 2, in UFS 1, and on disks with a large boot area.
const UFS: [u64; 3] = [64 << 10, 8 << 10, 256 << 10];
const MEBIBYTE: u64 = 1 << 20;

pub(crate) fn ufs(window: &Window) -> Option<Sign> {
    UFS.into_iter().find_map(|at| {
        let bytes = window.elsewhere(at, 1376)?;
        let sb = Fields::new("UFS superblock", at, &bytes);
        let (little, big) = (sb.le32(1372).ok()?, sb.be32(1372).ok()?);
        let (version, swapped) = match (little, big) {
            (0x0001_1954, _) => (1, false),
            (0x1954_0119, _) => (2, false),
            (_, 0x0001_1954) => (1, true),
            (_, 0x1954_0119) => (2, true),
            _ => return None,
        };
        let word = |at: usize| if swapped { sb.be32(at) } else { sb.le32(at) }.ok();
        let fragment = word(52)?;
        if !(512..=65_536).contains(&fragment) || !fragment.is_power_of_two() {
            return None;
        }
        let fragments = match version {
            1 => u64::from(word(36)?),
            _ => if swapped {
                sb.be64(1080)
            } else {
                sb.le64(1080)
            }
            .ok()?,
        };
        let id = (word(144)?, word(148)?);
        let mut sign = Sign::new("ufs", 80, place(at, 1376)?)
            .size(units(fragments, fragment.into()))
            .version(version)
            .uuid((id != (0, 0)).then(|| format!("{:08x}{:08x}", id.0, id.1)))
            .written(at, at.checked_add(8192)?);
        if version == 2 {
            sign = sign.label(label(&sb, 680, 32));
        }
        Some(sign)
    })
}

pub(crate) fn vmfs_member(window: &Window) -> Option<Sign> {
    let bytes = window.elsewhere(MEBIBYTE, 512)?;
    let lvm = Fields::new("VMFS volume", MEBIBYTE, &bytes);
    if lvm.le32(0).ok()? != 0xC001_D00D {
        return None;
    }
    let sign = Sign::new("VMFS_volume_member", 70, place(MEBIBYTE, 512)?)
        .version(lvm.le32(4).ok()?)
        .uuid(uuid(&lvm, 130))
        .written(MEBIBYTE, 2 * MEBIBYTE);
    Some(sign)
}

pub(crate) fn vmfs(window: &Window) -> Option<Sign> {
    let bytes = window.elsewhere(2 * MEBIBYTE, 512)?;
    let info = Fields::new("VMFS", 2 * MEBIBYTE, &bytes);
    if info.le32(0).ok()? != 0x2FAB_F15E {
        return None;
    }
    let sign = Sign::new("VMFS", 70, place(2 * MEBIBYTE, 512)?)
        .version(info.u8(8).ok()?)
        .label(label(&info, 29, 128))
        .written(2 * MEBIBYTE, 2 * MEBIBYTE + 512);
    Some(sign)
}

/// HPFS: fields of its superblock and spare block, in sectors 16 and 17.
pub(crate) fn hpfs(window: &Window) -> Option<Sign> {
    let sb = fields(window, "HPFS superblock", 8192, 1024)?;
    let is = sb.le32(0).ok()? == 0xF995_E849 && sb.le32(4).ok()? == 0xFA53_E9C5;
    let spare = sb.le32(512).ok()? == 0xF991_1849;
    let sign = Sign::new("hpfs", 80, place(8192, 1024)?)
        .size(units(sb.le32(16).ok()?.into(), 512))
        .version(sb.u8(8).ok()?)
        .written(0, 9216);
    (is && spare).then_some(sign)
}

/// BeFS: three magics in a superblock at byte 512 or 0.
pub(crate) fn befs(window: &Window) -> Option<Sign> {
    [512u64, 0].into_iter().find_map(|at| {
        let sb = fields(window, "BeFS superblock", at, 128)?;
        let is = sb.le32(32).ok()? == 0x4246_5331
            && sb.le32(36).ok()? == 0x4249_4745
            && sb.le32(68).ok()? == 0xDD12_1031
            && sb.le32(112).ok()? == 0x15B6_830E;
        let sign = Sign::new("befs", 85, place(at, 128)?)
            .size(units(sb.le64(48).ok()?, sb.le32(40).ok()?.into()))
            .label(label(&sb, 0, 32))
            .written(0, 1024);
        is.then_some(sign)
    })
}

pub(crate) fn vxfs(window: &Window) -> Option<Sign> {
    [1024u64, 8192].into_iter().find_map(|at| {
        let sb = fields(window, "VxFS superblock", at, 128)?;
        let is = sb.le32(0).ok()? == 0xA501_FCF5 || sb.be32(0).ok()? == 0xA501_FCF5;
        let sign = Sign::new("vxfs", 60, place(at, 128)?).written(0, 2048);
        is.then_some(sign)
    })
}
