//! Members of pools and the like: ZFS, LVM2, Ceph BlueStore, DRBD, VDO.
//!
//! Sun, "ZFS On-Disk Specification"; OpenZFS, `include/sys/vdev_impl.h`; Ceph,
//! `src/os/bluestore`; drbd-utils, `drbdmeta.c`; libblkid, `superblocks/vdo.c`.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Standing, Window};

use crate::look::{fields, last, place, text, uuid};

/// Bytes of one of the four labels of a ZFS device: two at the start, two at the end.
const LABEL: u64 = 256 << 10;
/// Where the list of names and values starts in a label, and what of it is read.
const LIST: (u64, usize) = (16 << 10, 16 << 10);
/// Where the uberblocks start in a label.
const UBERBLOCKS: u64 = 128 << 10;
const UBERBLOCK: u64 = 0x00BA_B10C;

pub(crate) fn zfs(window: &Window) -> Option<Sign> {
    let end = last(window, LABEL)?;
    let places = [Some(0), Some(LABEL), end.checked_sub(LABEL), Some(end)];
    places.into_iter().flatten().find_map(|at| {
        let bytes = window.elsewhere(at.checked_add(LIST.0)?, LIST.1)?;
        let list = Fields::new("ZFS label", at, &bytes);
        let (name, guid) = pool(&list)?;
        let version = number(&list, "version").unwrap_or_default();
        let uber = (0..32u64).any(|n| is_uberblock(window, at, n).unwrap_or(false));
        let sign = Sign::new("zfs_member", if uber { 90 } else { 55 }, place(at, LABEL)?)
            .label(name.as_bytes())
            .uuid(guid.to_string())
            .version(version)
            .standing(if at == 0 {
                Standing::Front
            } else {
                Standing::Copy
            })
            .written(0, LABEL)
            .written_at_end(LABEL, window);
        Some(sign)
    })
}

fn is_uberblock(window: &Window, label: u64, n: u64) -> Option<bool> {
    let at = label
        .checked_add(UBERBLOCKS)?
        .checked_add(n.checked_mul(4096)?)?;
    let bytes: [u8; 8] = window.elsewhere(at, 8)?.try_into().ok()?;
    let is = u64::from_le_bytes(bytes) == UBERBLOCK || u64::from_be_bytes(bytes) == UBERBLOCK;
    Some(is)
}

/// Name and number of the pool.
fn pool(list: &Fields<'_>) -> Option<(String, u64)> {
    // `nvs_header`: XDR, and then the version of the list.
    if list.u8(0).ok()? != 1 || list.be32(4).ok()? != 0 {
        return None;
    }
    let at = value(list, "name", 9)?;
    let length = usize::try_from(list.be32(at).ok()?).ok()?;
    let name = text(list, at.checked_add(4)?, length.min(256))?;
    Some((name, number(list, "pool_guid")?))
}

fn number(list: &Fields<'_>, name: &str) -> Option<u64> {
    list.be64(value(list, name, 8)?).ok()
}

/// Where the value of the pair with this name and type starts.
fn value(list: &Fields<'_>, name: &str, kind: u32) -> Option<usize> {
    let mut at = 12usize;
    for _ in 0..64 {
        let size = usize::try_from(list.be32(at).ok()?).ok()?;
        if size < 16 {
            return None;
        }
        let length = usize::try_from(list.be32(at.checked_add(8)?).ok()?).ok()?;
        let here = at.checked_add(12)?;
        let behind = here.checked_add(length.checked_next_multiple_of(4)?)?;
        if list.bytes(here, length).ok()? == name.as_bytes() && list.be32(behind).ok()? == kind {
            return behind.checked_add(8);
        }
        at = at.checked_add(size)?;
    }
    None
}

/// LVM2: the label of a physical volume; the scheme reads it.
pub(crate) fn lvm2(window: &Window) -> Option<Sign> {
    (0..4u64).find_map(|n| {
        let at = n.checked_mul(512)?;
        let label = fields(window, "LVM2 label", at, 512)?;
        let is = label.bytes(0, 8).ok()? == b"LABELONE" && label.bytes(24, 8).ok()? == b"LVM2 001";
        if !is || label.le64(8).ok()? != n {
            return None;
        }
        let header = usize::try_from(label.le32(20).ok()?).ok()?;
        let id = text(&label, header, 32)?;
        let part = |from: usize, to: usize| id.get(from..to);
        let parts = [
            (0, 6),
            (6, 10),
            (10, 14),
            (14, 18),
            (18, 22),
            (22, 26),
            (26, 32),
        ];
        let parts: Option<Vec<_>> = parts.into_iter().map(|(a, b)| part(a, b)).collect();
        let size = label.le64(header.checked_add(32)?).ok();
        let sign = Sign::new("LVM2_member", 85, place(at, 512)?)
            .uuid(parts.map(|parts| parts.join("-")))
            .size(size.filter(|size| *size != 0))
            .version("LVM2 001")
            .written(0, 2048);
        Some(sign)
    })
}

pub(crate) fn bluestore(window: &Window) -> Option<Sign> {
    const MAGIC: &[u8] = b"bluestore block device\n";
    let head = fields(window, "BlueStore label", 0, 64)?;
    if head.bytes(0, MAGIC.len()).ok()? != MAGIC {
        return None;
    }
    let id = text(&head, MAGIC.len(), 36).filter(|id| id.len() == 36);
    Some(
        Sign::new("ceph_bluestore", 85, place(0, 64)?)
            .uuid(id)
            .written(0, 4096),
    )
}

pub(crate) fn drbd(window: &Window) -> Option<Sign> {
    // Internal metadata: a block of 4 KiB at the end, in front of the last bytes of odd sizes.
    let at = last(window, 4096)?;
    let block = fields(window, "DRBD superblock", at, 512)?;
    let version = match block.be32(60).ok()? {
        0x8374_026B | 0x8374_026C => "v08",
        0x8374_0270 | 0x8374_0271 | 0x8374_026D | 0x8374_026E => "v09",
        _ => return None,
    };
    // `la_size_sect`, `effective_size`: sectors of the data in front.
    let sectors = block.be64(0).ok()?;
    let id = if version == "v08" {
        block.be64(40)
    } else {
        block.be64(48)
    }
    .ok()?;
    let sign = Sign::new("drbd", 75, place(at, 512)?)
        .version(version)
        .uuid((id != 0).then(|| format!("{id:x}")))
        .standing(Standing::Around)
        .size(sectors.checked_mul(512))
        .written(at, window.size());
    Some(sign)
}

pub(crate) fn vdo(window: &Window) -> Option<Sign> {
    let head = fields(window, "VDO geometry block", 0, 64)?;
    let is = head.bytes(0, 8).ok()? == b"dmvdo001";
    let sign = Sign::new("vdo", 80, place(0, 64)?)
        .uuid(uuid(&head, 40))
        .written(0, 4096);
    is.then_some(sign)
}
