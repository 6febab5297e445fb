//! Reserved inodes: their numbers and names, and what their maps lead to.

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Claim, Diagnostic, FileKey, ReadAt, Result, Role};

use crate::geometry::Geometry;
use crate::map::Mapper;
use crate::ondisk::RawInode;

pub(crate) const BAD_BLOCKS: u64 = 1;
pub(crate) const RESIZE: u64 = 7;

/// Their usual names, by number.
pub(crate) const NAMES: [(u64, &str); 9] = [
    (BAD_BLOCKS, "<bad blocks>"),
    (3, "<user quota>"),
    (4, "<group quota>"),
    (5, "<boot loader>"),
    (6, "<undelete>"),
    (RESIZE, "<resize>"),
    (8, "<journal>"),
    (9, "<exclude>"),
    (10, "<replica>"),
];

/// What the map of a reserved inode leads to.
pub(crate) fn claims_of(
    geometry: &Geometry,
    reader: &dyn ReadAt,
    number: u64,
    diagnose: &dyn Fn(Diagnostic),
) -> Result<Vec<Claim>> {
    let Some(offset) = geometry.inode_offset(number) else {
        return Ok(Vec::new());
    };
    let size = usize::from(geometry.sb.s_inode_size);
    let bytes = read(reader, "reserved inode", offset, size)?;
    let inode = RawInode::new(Fields::new("reserved inode", offset, &bytes));
    let key = FileKey::new(number);
    let generation = inode.i_generation()?.into();
    let mut claims = Vec::new();
    Mapper::new(geometry, reader, diagnose).walk(&inode, number, &mut |piece| {
        let claim = geometry.claim(key, Role::Data, piece);
        claims.extend(claim.map(|claim| claim.generation(Some(generation))));
        Ok(())
    })?;
    Ok(claims)
}
