//! Inode items: the core as the machine keeps it, and the forks as they lie on the disk.

use hexz_ondisk::to_usize;
use hexz_resolve::{Error, Result};

use super::host::Host;
use super::replay::{Replay, short};
use super::transactions::Item;
use super::view::View;
use crate::geometry::Geometry;
use crate::ondisk::{DIFLAG2_BIGTIME, DIFLAG2_NREXT64, DINODE_MAGIC};

/// `ilf_fields`.
const DATA: u32 = 0x02;
const DATA_EXTENTS: u32 = 0x04;
const DATA_ROOT: u32 = 0x08;
const DEV: u32 = 0x10;
const ATTR: u32 = 0x40;
const ATTR_EXTENTS: u32 = 0x80;
const ATTR_ROOT: u32 = 0x100;

/// `struct xfs_inode_log_format`, of 64-bit machines, or of others, which don't pad it.
struct Format {
    fields: u32,
    inode: u64,
    rdev: u32,
    blkno: u64,
    length: u32,
    offset: u32,
}

impl Format {
    fn parse(format: Host<'_>) -> Option<Self> {
        let shift = |at: usize| {
            if format.0.len() >= 56 {
                at.checked_add(4)
            } else {
                Some(at)
            }
        };
        Some(Self {
            fields: format.u32(4)?,
            inode: format.u64(shift(12)?)?,
            rdev: format.u32(shift(20)?)?,
            blkno: format.u64(shift(36)?)?,
            length: format.u32(shift(44)?)?,
            offset: format.u32(shift(48)?)?,
        })
    }
}

impl Replay<'_> {
    /// Replays an inode.
    pub(super) fn inode(&self, view: &mut View, lsn: u64, item: &Item) -> Result<()> {
        let format = Format::parse(item.first()).ok_or_else(|| short("log inode"))?;
        if self.is_cancelled(format.blkno, format.length) {
            return Ok(());
        }
        let geometry = self.geometry;
        let at = format
            .blkno
            .saturating_mul(512)
            .saturating_add(u64::from(format.offset));
        let expected = geometry
            .split_inode(format.inode)
            .and_then(|(agno, agino)| geometry.inode_range(agno, agino, 1));
        if expected.map(|range| range.start()) != Some(at) {
            let text = format!("inode {} does not lie there", format.inode);
            return Err(Error::corrupt("log inode").at(at).message(text));
        }
        let size = to_usize(geometry.inode_size()).unwrap_or(0);
        let mut inode = view.read("inode", at, size)?;
        let there = Host(&inode);
        if there.be16(0) != Some(DINODE_MAGIC) {
            let text = format!(
                "what lies there is no inode, and {} is to be replayed",
                format.inode
            );
            return Err(Error::corrupt("inode").at(at).message(text));
        }
        let core = Host(item.region(1));
        if core.u16(0) != Some(DINODE_MAGIC) {
            return Err(Error::corrupt("log inode").at(at).message("it has no core"));
        }
        if is_newer(geometry, there, core, lsn) {
            return Ok(());
        }
        write_core(&mut inode, core, lsn)?;
        if format.fields & DEV != 0 {
            put(&mut inode, core_length(core), &format.rdev.to_be_bytes());
        }
        forks(geometry, &mut inode, core, &format, item)?;
        view.write(at, &inode)
    }
}

/// Whether the inode on the disk is newer than the transaction.
fn is_newer(geometry: &Geometry, there: Host<'_>, core: Host<'_>, lsn: u64) -> bool {
    if geometry.v5 {
        return there
            .be64(112)
            .is_some_and(|found| found != 0 && found != u64::MAX && found > lsn);
    }
    // `di_flushiter` counts, and starts anew behind its highest value.
    const HIGHEST: u16 = 0xFFFF;
    let (found, logged) = (there.be16(30).unwrap_or(0), core.u16(30).unwrap_or(0));
    logged < found && !(found == HIGHEST && logged < HIGHEST >> 1)
}

fn put(inode: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = inode.get_mut(at..at.saturating_add(bytes.len())) {
        field.copy_from_slice(bytes);
    }
}

/// Length of the core: where the data fork begins.
fn core_length(core: Host<'_>) -> usize {
    if core.0.get(4).is_some_and(|version| *version >= 3) {
        176
    } else {
        100
    }
}

/// `struct xfs_log_dinode` has the fields of the inode at the same places, in the byte order of
/// the machine. The link of the unlinked list and the checksum are not taken from it.
fn write_core(inode: &mut [u8], core: Host<'_>, lsn: u64) -> Result<()> {
    let version = core.0.get(4).copied().unwrap_or(0);
    let needed = if version >= 3 { 176 } else { 96 };
    if core.0.len() < needed {
        return Err(short("log inode"));
    }
    let flags2 = if version >= 3 {
        core.u64(120).unwrap_or(0)
    } else {
        0
    };
    let wide = flags2 & DIFLAG2_NREXT64 != 0;
    let bigtime = flags2 & DIFLAG2_BIGTIME != 0;
    let mut swap = |at: usize, width: usize| {
        let mut bytes = core
            .0
            .get(at..at.saturating_add(width))
            .unwrap_or_default()
            .to_vec();
        bytes.reverse();
        put(inode, at, &bytes);
    };
    for at in [0, 2, 6, 20, 22, 88, 90] {
        swap(at, 2);
    }
    for at in [8, 12, 16, 72, 84, 92] {
        swap(at, 4);
    }
    for at in [56, 64] {
        swap(at, 8);
    }
    if wide {
        swap(24, 8);
        swap(76, 4);
        swap(80, 2);
    } else {
        swap(30, 2);
        swap(76, 4);
        swap(80, 2);
    }
    let mut time = |at: usize| {
        if bigtime {
            swap(at, 8);
        } else {
            swap(at, 4);
            swap(at.saturating_add(4), 4);
        }
    };
    for at in [32, 40, 48] {
        time(at);
    }
    if version >= 3 {
        time(144);
        for at in [104, 120, 152] {
            swap(at, 8);
        }
        swap(128, 4);
        put(inode, 112, &lsn.to_be_bytes());
        put(inode, 160, core.0.get(160..176).unwrap_or_default());
    }
    // Single bytes: version and format, fork offset and attribute format.
    put(inode, 4, core.0.get(4..6).unwrap_or_default());
    put(inode, 82, core.0.get(82..84).unwrap_or_default());
    Ok(())
}

/// The forks that were logged, in the order of the regions.
fn forks(
    geometry: &Geometry,
    inode: &mut [u8],
    core: Host<'_>,
    format: &Format,
    item: &Item,
) -> Result<()> {
    let start = core_length(core);
    let forkoff = usize::from(core.0.get(82).copied().unwrap_or(0)).saturating_mul(8);
    let end = inode.len();
    let attr = if forkoff == 0 {
        end
    } else {
        start.saturating_add(forkoff).min(end)
    };
    let mut region = 2;
    let parts = [
        (DATA | DATA_EXTENTS, DATA_ROOT, start, attr),
        (ATTR | ATTR_EXTENTS, ATTR_ROOT, attr, end),
    ];
    for (plain, root, from, to) in parts {
        if format.fields & (plain | root) == 0 {
            continue;
        }
        let bytes = item.region(region);
        region = usize::saturating_add(region, 1);
        let room = to.saturating_sub(from);
        if format.fields & root != 0 {
            let bytes = btree_root(geometry, bytes, room).ok_or_else(|| short("log btree root"))?;
            put(inode, from, &bytes);
        } else if bytes.len() <= room {
            put(inode, from, bytes);
        } else {
            let error =
                Error::corrupt("log inode").expected(format_args!("a fork of {room} bytes"));
            return Err(error.found(bytes.len()));
        }
    }
    Ok(())
}

/// `xfs_bmbt_to_bmdr`: a root as it is in memory, with the header of a block, becomes one as it
/// is in an inode of `room` bytes.
fn btree_root(geometry: &Geometry, root: &[u8], room: usize) -> Option<Vec<u8>> {
    let header: usize = if geometry.v5 { 72 } else { 24 };
    let count = usize::from(Host(root).be16(6)?);
    let there = root.len().checked_sub(header)? / 16;
    let here = room.checked_sub(4)? / 16;
    if count > there || count > here {
        return None;
    }
    let length = count.checked_mul(8)?;
    let keys = root.get(header..header.checked_add(length)?)?;
    let pointers = header.checked_add(there.checked_mul(8)?)?;
    let pointers = root.get(pointers..pointers.checked_add(length)?)?;
    let mut out = vec![0; room];
    put(&mut out, 0, root.get(4..8)?);
    put(&mut out, 4, keys);
    put(
        &mut out,
        4usize.checked_add(here.checked_mul(8)?)?,
        pointers,
    );
    Some(out)
}
