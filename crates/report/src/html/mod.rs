//! One page that shows a report as pictures and as a table, without a network.
//!
//! The data stands in the page as JSON, which its script puts in place as text: no name from an
//! image becomes markup. A policy in the page allows its own script and nothing else.

mod cells;
mod map;
mod page;

use std::io::{Result, Write};

use hexz_resolve::report::{Change, Report};
use hexz_resolve::{ByteRange, Class, FileKind, RangeSet, View};

use self::cells::Cells;
pub use self::map::MapPage;
use self::page::{Data, Page, Row};
use crate::escape::escaped;
use crate::human::describe_change;
use crate::measure::content_bytes;
use crate::select::Selection;
use crate::text::{count, size};

/// Writes the page of a diff.
///
/// # Errors
/// Of `out`.
pub fn write_html(out: &mut dyn Write, report: &Report, selection: &Selection) -> Result<()> {
    let names = [
        report.header.base.as_deref(),
        report.header.overlay.as_deref(),
    ];
    let names: Vec<&str> = names.into_iter().flatten().collect();
    let title = format!("What changed: {}", names.join(", "));
    let summary = &report.summary;
    let text = format!(
        "{}, {} in blocks that were written, {} differ.",
        count(report.changes.len() as u64, "change"),
        size(summary.bytes),
        size(summary.changed),
    );
    let mut page = Page::begin(out, &title, &text, summary.complete)?;
    let mut reasons: Vec<&'static str> = Vec::new();
    for change in report.changes.iter().filter(|c| selection.in_paths(c)) {
        let notable = selection.places.notable(change).map(|reason| {
            let known = reasons.iter().position(|r| *r == reason);
            known.unwrap_or_else(|| {
                reasons.push(reason);
                reasons.len() - 1
            })
        });
        page.row(&row(change, selection, notable))?;
    }
    let (cells, before) = pictures(report);
    let blocks = |index: usize| {
        let volume = report.volumes.get(index);
        count(volume.map_or(0, |v| v.changed_blocks), "block")
    };
    let (disk, findings) = (report.header.disk_size, &report.diagnostics);
    let data = Data::new("diff", disk, (&cells, &before), summary, findings)
        .volumes(&report.volumes, blocks)
        .reasons(reasons);
    page.end(&data)
}

/// What the changed blocks are, and what they were.
fn pictures(report: &Report) -> (Cells, Cells) {
    let disk = report.header.disk_size;
    let (mut cells, mut before) = (Cells::new(disk), Cells::new(disk));
    let merged = |change: &Change| {
        let ranges = change.ranges.clone().into_iter();
        let ranges = ranges.filter(|r| r.view == View::Merged);
        ranges.filter_map(|r| ByteRange::at(r.disk_offset, r.length))
    };
    // What two files share is there once.
    for range in &report.changes.iter().flat_map(merged).collect::<RangeSet>() {
        cells.add(range.start(), range.len(), Class::FileData);
    }
    for change in &report.changes {
        let all: u64 = change.ranges.iter().map(|r| r.length).sum();
        for range in merged(change) {
            let share = u128::from(change.changed_bytes) * u128::from(range.len());
            let share = u64::try_from(share / u128::from(all.max(1))).unwrap_or(u64::MAX);
            cells.differ(range.start(), range.len(), Class::FileData, share);
        }
    }
    for region in &report.regions {
        cells.add(region.start, region.length, region.class);
        cells.differ(region.start, region.length, region.class, region.changed);
    }
    for piece in &report.unresolved {
        cells.add(piece.start, piece.length, Class::Unresolved);
        cells.differ(piece.start, piece.length, Class::Unresolved, piece.length);
    }
    for piece in &report.before {
        before.add(piece.start, piece.length, piece.class);
    }
    (cells, before)
}

fn row<'c>(change: &'c Change, selection: &Selection, notable: Option<usize>) -> Row<'c> {
    let places = &selection.places;
    let shown = |path: &[u8]| {
        let path = escaped(&places.shown(change.volume, path));
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        }
    };
    let kind = match change.kind {
        FileKind::File => "",
        kind => kind.as_str(),
    };
    let details = describe_change(change);
    let details = match (kind, &*details) {
        ("", _) => details,
        (kind, "") => kind.to_owned(),
        (kind, details) => format!("{kind}, {details}"),
    };
    (
        change.change.letter(),
        content_bytes(change),
        change.volume,
        shown(&change.path),
        change.from.as_deref().map(shown),
        details.into(),
        notable,
    )
}
