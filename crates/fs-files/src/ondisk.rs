//! Going through the records of the table ([`hexz_ondisk::file_table`] has the format), in slices that
//! are the units of a scan.

use hexz_ondisk::file_table::{RECORD, Record};
use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{ByteRange, FileSet, Result, Scan, Sink, UnitReader};

use crate::fs::Files;

/// Records that are read together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slice {
    /// Number of the first.
    first: u64,
    range: ByteRange,
}

/// The table in slices of at most `unit` bytes, as far as the volume reaches: so their number is
/// bounded by what is there, whatever the header says.
fn slices(files: &Files, unit: usize) -> Vec<Slice> {
    const BYTES: u64 = 64;
    let table = files.header.table().unwrap_or_default();
    let end = table.end().min(files.volume.len());
    let count = u64::try_from(unit).unwrap_or(BYTES).max(BYTES) / BYTES;
    let step = count.saturating_mul(BYTES);
    let mut all = Vec::new();
    let (mut at, mut first) = (table.start(), 0u64);
    while at < end {
        let next = at.saturating_add(step).min(end);
        all.push(Slice {
            first,
            range: ByteRange::new(at, next),
        });
        first = first.saturating_add(count);
        at = next;
    }
    all
}

/// Runs `visit` on the records with their numbers: those of `wanted`, or all. What it finds goes to
/// `out` in the order of the table, whatever the number of threads. A record that makes no sense is
/// a finding, and the others go on. Gives whether all could be read.
pub(crate) fn each<T: Clone + Send + Sync + 'static>(
    files: &Files,
    cx: &Scan<'_>,
    pass: &'static str,
    wanted: Option<&FileSet>,
    visit: impl Fn(u64, &Record, &UnitReader<'_>, &mut Vec<T>) -> Result<()> + Sync,
    out: &mut dyn Sink<T>,
) -> Result<bool> {
    let mut slices = slices(files, cx.limits().unit_bytes);
    if let Some(wanted) = wanted {
        slices.retain(|slice| {
            let count = slice.range.len() / 64;
            wanted.any_in(slice.first, slice.first.saturating_add(count))
        });
    }
    let mut done = 0usize;
    let all = slices.len();
    cx.units(
        pass,
        &files.volume,
        &slices,
        |slice, reader| {
            let start = slice.range.start();
            let length = to_usize(slice.range.len()).unwrap_or_default();
            let bytes = read(reader, "file table", start, length)?;
            let mut found = Vec::new();
            let mut whole = true;
            for (number, record) in (slice.first..).zip(bytes.chunks_exact(RECORD)) {
                let asked = |wanted: &FileSet| wanted.any_in(number, number.saturating_add(1));
                if !wanted.is_none_or(asked) {
                    continue;
                }
                let place = files.header.record(number).map_or(start, |r| r.start());
                let fields = Fields::new("file record", place, record);
                let parsed = Record::parse(&files.header, number, &fields);
                let seen = parsed.and_then(|record| visit(number, &record, reader, &mut found));
                if let Err(error) = seen {
                    whole = false;
                    reader.tolerate(error)?;
                }
            }
            Ok((found, whole))
        },
        |slice, (found, whole)| {
            cx.advance(slice.range.len());
            done = done.saturating_add(usize::from(*whole));
            found.iter().try_for_each(|item| out.put(item.clone()))
        },
    )?;
    Ok(done == all)
}
