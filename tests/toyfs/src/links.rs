//! Pass 2: what files are called.

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{
    ByteRange, FileKey, FileSet, Link, LinkCoverage, RawName, Result, Scan, Sink, UnitReader,
};

use crate::Toy;
use crate::claims::directories;
use crate::ondisk::ENTRY;

/// Every link whose child is in `wanted`.
pub(crate) fn links(
    toy: &Toy,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<LinkCoverage> {
    let keep = |link: &Link| wanted.contains(link.child);
    let directories = directories(toy, cx, "directories", None)?;
    read_all(toy, cx, "links", directories, keep, out)?;
    Ok(LinkCoverage::Wanted)
}

/// Every link in each of `wanted`.
pub(crate) fn entries(
    toy: &Toy,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<()> {
    let directories = directories(toy, cx, "listed", Some(wanted))?;
    read_all(toy, cx, "entries", directories, |_| true, out)
}

/// Reads `directories`, a directory a unit.
fn read_all(
    toy: &Toy,
    cx: &Scan<'_>,
    pass: &'static str,
    directories: Vec<(FileKey, ByteRange)>,
    keep: impl Fn(&Link) -> bool + Sync,
    out: &mut dyn Sink<Link>,
) -> Result<()> {
    cx.units(
        pass,
        &toy.volume,
        &directories,
        |(directory, extent), reader| {
            let mut links = parse(*directory, *extent, reader)?;
            links.retain(&keep);
            Ok(links)
        },
        |_, links| links.iter().try_for_each(|link| out.put(link.clone())),
    )
}

/// The entries of a directory. Its length was checked when its inode was read.
fn parse(parent: FileKey, extent: ByteRange, reader: &UnitReader<'_>) -> Result<Vec<Link>> {
    let length = to_usize(extent.len()).unwrap_or_default();
    let bytes = read(reader, "directory", extent.start(), length)?;
    let mut links = Vec::new();
    for (place, entry) in (extent.start()..)
        .step_by(ENTRY)
        .zip(bytes.chunks_exact(ENTRY))
    {
        let fields = Fields::new("directory entry", place, entry);
        let child = u64::from(fields.le32(0)?);
        if child == 0 {
            continue;
        }
        let name = fields
            .rest(4)?
            .split(|b| *b == 0)
            .next()
            .unwrap_or_default();
        if name.is_empty() || name.contains(&b'/') {
            reader.tolerate(fields.corrupt(4).message("no name"))?;
            continue;
        }
        links.push(Link {
            parent,
            name: RawName::from(name),
            child: FileKey::new(child),
        });
    }
    Ok(links)
}
