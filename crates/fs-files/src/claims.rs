//! Pass 1: who owns which bytes.

use hexz_ondisk::file_table::{HEADER, Record};
use hexz_resolve::{
    ByteRange, Claim, FileKey, FileKind, FileSet, RangeSet, Result, Role, Scan, Sink,
};

use crate::fs::Files;
use crate::ondisk::each;

/// All claims that share a byte with `wanted`.
pub(crate) fn claims(
    files: &Files,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    let header = &files.header;
    let first = ByteRange::new(0, u64::try_from(HEADER).unwrap_or(64));
    let table = header.table().unwrap_or_default();
    let structures = [
        Claim::structure(first, Role::Superblock, "file-table"),
        Claim::structure(table, Role::InodeTable, "records"),
        Claim::structure(header.names, Role::Directory, "names"),
    ];
    let mut used: RangeSet = structures.iter().map(|claim| claim.range).collect();
    for claim in structures {
        if wanted.overlaps(claim.range) {
            out.put(claim)?;
        }
    }
    let mut found = Vec::new();
    let whole = each(
        files,
        cx,
        "claims",
        None,
        |number, record, _, found| {
            let Some(kind) = record.kind else {
                return Ok(());
            };
            let place = header.record(number).unwrap_or_default();
            let of = FileKey::new(number);
            let own = Claim::file(place, of, Role::InodeRecord).kind(Some(kind));
            let claims = [own].into_iter().chain(content(number, record));
            found.extend(claims.filter(|claim| wanted.overlaps(claim.range)));
            Ok(())
        },
        &mut found,
    )?;
    let mut owned = Vec::new();
    for claim in found {
        owned.push(claim.range);
        out.put(claim)?;
    }
    used = used.union(&owned.into_iter().collect());
    // What no record has is free, as far as all of them could be read.
    let disk = ByteRange::new(0, header.size.min(files.volume.len()));
    if whole {
        for free in &wanted.clipped(disk).difference(&used) {
            out.put(Claim::free(free))?;
        }
    }
    Ok(())
}

/// The content of a file.
fn content(number: u64, record: &Record) -> Option<Claim> {
    let role = match record.kind? {
        FileKind::Symlink => Role::Symlink,
        _ => Role::Data,
    };
    let claim = Claim::file(record.content, FileKey::new(number), role);
    let claim = claim.offset(0).kind(record.kind);
    (!record.content.is_empty()).then_some(claim)
}

/// The content of `wanted`.
pub(crate) fn extents(
    files: &Files,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    each(
        files,
        cx,
        "extents",
        Some(wanted),
        |number, record, _, found| {
            let data = content(number, record);
            found.extend(data.filter(|claim| claim.role == Role::Data));
            Ok(())
        },
        out,
    )
    .map(|_| ())
}
