//! Internal snapshots: each has an L1 table of its own.

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Error, ReadAt as _, Result};

use super::header::{Header, L1};
use crate::file::RawFile;
use crate::num::{u64_of, usize_of};

/// Snapshots that a message names.
const NAMED: usize = 20;

/// The L1 table of the snapshot whose id or name is `wanted`.
pub(super) fn find(file: &RawFile, header: &Header, wanted: &str) -> Result<L1> {
    let all = read_all(file, header)?;
    // As qemu-img does: an id goes before a name.
    let found = all.iter().find(|snapshot| snapshot.id == wanted);
    let found = found.or_else(|| all.iter().find(|snapshot| snapshot.name == wanted));
    found.map(|snapshot| snapshot.l1).ok_or_else(|| {
        let names = all.iter().map(|snapshot| snapshot.name.as_str());
        let text = format!("no snapshot {wanted:?}; {}", listed(names, all.len()));
        Error::io("qcow2 snapshot", text)
    })
}

/// What there is, for a message.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let names: Vec<&str> = names.take(NAMED).collect();
    match (names.as_slice(), count.saturating_sub(NAMED)) {
        ([], _) => "it has none".to_owned(),
        (names, 0) => format!("it has {}", names.join(", ")),
        (names, more) => format!("it has {} and {more} more", names.join(", ")),
    }
}

/// All snapshots, in the order of their table.
pub(super) fn read_all(file: &RawFile, header: &Header) -> Result<Vec<Snapshot>> {
    let length = table_bytes(header, file.len());
    let at = header.snapshots_offset;
    parse(
        header,
        &read(file, "qcow2 snapshot table", at, usize_of(length))?,
    )
}

/// An internal snapshot.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) name: String,
    l1: L1,
}

/// The snapshot table, from the bytes of the file from its offset on.
fn parse(header: &Header, bytes: &[u8]) -> Result<Vec<Snapshot>> {
    let f = Fields::new("qcow2 snapshot table", header.snapshots_offset, bytes);
    let mut all = Vec::new();
    let mut at = 0usize;
    for _ in 0..header.nb_snapshots {
        let entry = f.sub("qcow2 snapshot table", at, 40)?;
        let extra = usize_of(u64::from(entry.be32(36)?));
        let id = usize::from(entry.be16(12)?);
        let name = usize::from(entry.be16(14)?);
        let whole = extra
            .saturating_add(id)
            .saturating_add(name)
            .saturating_add(40);
        let entry = f.sub("qcow2 snapshot table", at, whole)?;
        // In version 2 the disk cannot have had another size.
        let disk_size = if extra >= 16 {
            entry.be64(48)?
        } else {
            header.l1.disk_size
        };
        let id_at = extra.saturating_add(40);
        let name_at = id_at.saturating_add(id);
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        all.push(Snapshot {
            id: lossy(entry.bytes(id_at, id)?),
            name: lossy(entry.bytes(name_at, name)?),
            l1: L1 {
                offset: entry.be64(0)?,
                entries: entry.be32(8)?,
                disk_size,
            },
        });
        at = at.saturating_add(whole.checked_next_multiple_of(8).unwrap_or(whole));
    }
    Ok(all)
}

/// Most bytes a snapshot table can take up in a file of `file_len` bytes; read no more than that.
fn table_bytes(header: &Header, file_len: u64) -> u64 {
    // 40 bytes, extra data, an id and a name each; qemu bounds the table at 64 MiB as well.
    let most = u64::from(header.nb_snapshots).saturating_mul(u64_of(2048));
    most.min(file_len.saturating_sub(header.snapshots_offset))
}
