//! Pass 2: what files are called.

use hexz_ondisk::file_table::Record;
use hexz_ondisk::{read, to_usize};
use hexz_resolve::{
    Error, FileKey, FileSet, Link, LinkCoverage, RawName, Result, Scan, Sink, UnitReader,
};

use crate::fs::Files;
use crate::ondisk::each;

/// The link to each of `wanted`: a file has one.
pub(crate) fn links(
    files: &Files,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<LinkCoverage> {
    each(
        files,
        cx,
        "links",
        Some(wanted),
        |number, record, reader, found| {
            found.extend(link(number, record, reader)?);
            Ok(())
        },
        out,
    )?;
    Ok(LinkCoverage::Wanted)
}

/// Every link in each of `wanted`.
pub(crate) fn entries(
    files: &Files,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<()> {
    each(
        files,
        cx,
        "entries",
        None,
        |number, record, reader, found| {
            if wanted.contains(FileKey::new(record.parent.into())) {
                found.extend(link(number, record, reader)?);
            }
            Ok(())
        },
        out,
    )
    .map(|_| ())
}

/// The name of a file that is there; the root has none.
fn link(number: u64, record: &Record, reader: &UnitReader<'_>) -> Result<Option<Link>> {
    if record.kind.is_none() || number == 0 {
        return Ok(None);
    }
    let length = to_usize(record.name.len()).unwrap_or_default();
    let name = read(reader, "file name", record.name.start(), length)?;
    if name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        let error = Error::corrupt("file name").at(record.name.start());
        return Err(error.message("no name of a file"));
    }
    Ok(Some(Link {
        parent: FileKey::new(record.parent.into()),
        name: RawName::from(&name),
        child: FileKey::new(number),
    }))
}
