//! Members of RAID arrays: Linux md, DDF, Intel (IMSM), and other firmware.
//!
//! Linux, `include/uapi/linux/raid/md_p.h`; SNIA, "Common RAID Disk Data Format"; mdadm,
//! `super-ddf.c`, `super-intel.c`.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Standing, Window};

use crate::look::{fields, label, place, text, uuid};

const MD: u32 = 0xA92B_4EFC;
/// Where the superblock of md 0.90 lies: at this distance from the end, rounded down to it.
const RESERVED: u64 = 64 << 10;

pub(crate) fn md(window: &Window) -> Option<Sign> {
    let size = window.size();
    let at_end = size.checked_sub(8 << 10).map(|at| at & !4095);
    [(Some(4096), "1.2"), (Some(0), "1.1"), (at_end, "1.0")]
        .into_iter()
        .find_map(|(at, version)| md1(window, at?, version))
        .or_else(|| md090(window))
}

fn md1(window: &Window, at: u64, version: &str) -> Option<Sign> {
    let sb = fields(window, "md superblock", at, 256)?;
    let here = sb.le64(144).ok()?.checked_mul(512)? == at;
    if sb.le32(0).ok()? != MD || sb.le32(4).ok()? != 1 || !here {
        return None;
    }
    let data = (
        sb.le64(128).ok()?.checked_mul(512)?,
        sb.le64(136).ok()?.checked_mul(512)?,
    );
    let sign = Sign::new("linux_raid_member", 90, place(at, 256)?)
        .version(version)
        .uuid(uuid(&sb, 16))
        .label(label(&sb, 32, 32))
        .standing(if version == "1.0" {
            Standing::Around
        } else {
            Standing::Front
        })
        .size(data.0.checked_add(data.1));
    // A superblock in front of the data is written with what is left of its 4 KiB.
    Some(sign.written(at, at.checked_add(4096)?.min(window.size())))
}

fn md090(window: &Window) -> Option<Sign> {
    let at = (window.size() & !(RESERVED - 1)).checked_sub(RESERVED)?;
    let sb = fields(window, "md superblock", at, 4096)?;
    let word = |n: usize| match sb.le32(0).ok()? {
        MD => sb.le32(n).ok(),
        _ => sb.be32(n).ok(),
    };
    if word(0)? != MD || word(4)? != 0 || word(8)? > 91 {
        return None;
    }
    let id: Option<Vec<String>> = [20, 52, 56, 60]
        .into_iter()
        .map(|at| Some(format!("{:08x}", word(at)?)))
        .collect();
    let id = id?.concat();
    let part = |from: usize, to: usize| id.get(from..to);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts: Option<Vec<_>> = parts.into_iter().map(|(a, b)| part(a, b)).collect();
    let sign = Sign::new("linux_raid_member", 88, place(at, 4096)?)
        .version("0.90.0")
        .uuid(parts?.join("-"))
        .standing(Standing::Around)
        .size(Some(at))
        .written(at, at.checked_add(4096)?);
    Some(sign)
}

pub(crate) fn ddf(window: &Window) -> Option<Sign> {
    [512u64, 257 * 512].into_iter().find_map(|back| {
        let at = window.size().checked_sub(back)?;
        let bytes = window.elsewhere(at, 512)?;
        let header = Fields::new("DDF header", at, &bytes);
        if header.be32(0).ok()? != 0xDE11_DE11 && header.le32(0).ok()? != 0xDE11_DE11 {
            return None;
        }
        let guid: String = header
            .bytes(8, 24)
            .ok()?
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let mut sign = Sign::new("ddf_raid_member", 80, place(at, 512)?)
            .standing(Standing::Around)
            .size(Some(at))
            .uuid(guid);
        sign.version = text(&header, 32, 8);
        Some(sign)
    })
}

pub(crate) fn imsm(window: &Window) -> Option<Sign> {
    const SIGNATURE: &[u8] = b"Intel Raid ISM Cfg Sig. ";
    let at = window.size().checked_sub(1024)?;
    let header = fields(window, "IMSM superblock", at, 512)?;
    if header.bytes(0, SIGNATURE.len()).ok()? != SIGNATURE {
        return None;
    }
    let mut sign = Sign::new("isw_raid_member", 85, place(at, 512)?)
        .standing(Standing::Around)
        .size(Some(at));
    sign.version = text(&header, 24, 6);
    Some(sign)
}
