//! Headers of allocation groups: `agf`, `agi`, `agfl`.

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::Result;

use crate::btree::Root;
use crate::disk::{Disk, Tag};
use crate::ondisk::{AGF_MAGIC, AGFL_MAGIC, AGI_MAGIC};

/// Roots of the free-space btrees of a group, and its free list, `struct xfs_agf`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agf {
    pub(crate) bno: Root,
    pub(crate) cnt: Root,
    pub(crate) rmap: Option<Root>,
    pub(crate) refcount: Option<Root>,
    first: u32,
    count: u32,
}

/// Roots of the inode btrees of a group, `struct xfs_agi`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agi {
    pub(crate) inobt: Root,
    pub(crate) finobt: Option<Root>,
}

fn header<'b>(
    disk: &Disk<'_>,
    name: &'static str,
    agno: u32,
    sector: u64,
    buffer: &'b mut Vec<u8>,
) -> Result<Fields<'b>> {
    let length = disk.geometry.sect_size();
    let at = disk
        .geometry
        .ag_start(agno)
        .saturating_add(sector.saturating_mul(length));
    *buffer = disk.read(name, at, to_usize(length).unwrap_or(0))?;
    Ok(Fields::new(name, at, buffer))
}

fn check(fields: &Fields<'_>, at: usize, expected: u32) -> Result<()> {
    let found = fields.be32(at)?;
    if found != expected {
        let error = fields.corrupt(at).expected(format_args!("{expected:08x}"));
        return Err(error.found(format_args!("{found:08x}")));
    }
    Ok(())
}

/// A root from its block number and the number of its levels.
fn root(fields: &Fields<'_>, agno: u32, block: usize, levels: usize) -> Result<Root> {
    let count = fields.be32(levels)?;
    let level = count
        .checked_sub(1)
        .and_then(|level| u16::try_from(level).ok());
    Ok(Root {
        agno,
        owner: u64::from(agno),
        block: u64::from(fields.be32(block)?),
        level: level.ok_or_else(|| {
            fields
                .corrupt(levels)
                .expected("a number of levels")
                .found(count)
        })?,
    })
}

/// Reads the `agf` of a group.
pub(crate) fn agf(disk: &Disk<'_>, agno: u32) -> Result<Agf> {
    let mut buffer = Vec::new();
    let agf = header(disk, "agf", agno, 1, &mut buffer)?;
    check(&agf, 0, AGF_MAGIC)?;
    check(&agf, 8, agno)?;
    let tag = Tag {
        crc: 216,
        blkno: None,
        uuid: 64,
        owner: None,
    };
    disk.verify(&agf, tag, 0)?;
    Ok(Agf {
        bno: root(&agf, agno, 16, 28)?,
        cnt: root(&agf, agno, 20, 32)?,
        rmap: if disk.geometry.rmapbt {
            Some(root(&agf, agno, 24, 36)?)
        } else {
            None
        },
        refcount: if disk.geometry.reflink {
            Some(root(&agf, agno, 88, 92)?)
        } else {
            None
        },
        first: agf.be32(40)?,
        count: agf.be32(48)?,
    })
}

/// Reads the `agi` of a group.
pub(crate) fn agi(disk: &Disk<'_>, agno: u32) -> Result<Agi> {
    let mut buffer = Vec::new();
    let agi = header(disk, "agi", agno, 2, &mut buffer)?;
    check(&agi, 0, AGI_MAGIC)?;
    check(&agi, 8, agno)?;
    let tag = Tag {
        crc: 312,
        blkno: None,
        uuid: 296,
        owner: None,
    };
    disk.verify(&agi, tag, 0)?;
    Ok(Agi {
        inobt: root(&agi, agno, 20, 24)?,
        finobt: if disk.geometry.finobt {
            Some(root(&agi, agno, 328, 332)?)
        } else {
            None
        },
    })
}

/// Blocks that the group keeps for its btrees, in the order of the list.
pub(crate) fn agfl(disk: &Disk<'_>, agno: u32, agf: &Agf) -> Result<Vec<u32>> {
    let mut buffer = Vec::new();
    let agfl = header(disk, "agfl", agno, 3, &mut buffer)?;
    let mut start = 0;
    if disk.geometry.v5 {
        check(&agfl, 0, AGFL_MAGIC)?;
        check(&agfl, 4, agno)?;
        let tag = Tag {
            crc: 32,
            blkno: None,
            uuid: 8,
            owner: None,
        };
        disk.verify(&agfl, tag, 0)?;
        start = 36;
    }
    let size = agfl.len().saturating_sub(start) / 4;
    let (first, count) = (
        to_usize(u64::from(agf.first)),
        to_usize(u64::from(agf.count)),
    );
    let (Some(first), Some(count)) = (
        first.filter(|first| *first < size),
        count.filter(|count| *count <= size),
    ) else {
        let found = format!("{} from {}", agf.count, agf.first);
        return Err(agfl
            .corrupt(0)
            .expected(format_args!("at most {size} entries"))
            .found(found));
    };
    let mut blocks = Vec::with_capacity(count);
    for n in 0..count {
        let slot = first.saturating_add(n).checked_rem(size).unwrap_or(0);
        blocks.push(agfl.be32(start.saturating_add(slot.saturating_mul(4)))?);
    }
    Ok(blocks)
}
