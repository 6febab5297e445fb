//! Reports as Parquet tables: [`DiffTables`] and [`MapTables`].
//!
//! What is to be joined, grouped and kept over many machines is a table, for engines that do that
//! well. A table is written as a stream: a row group at a time is held in memory, and no more. The
//! caller opens the files; the columns are in [`schema`].

mod diff;
mod map;
pub mod schema;
mod table;

pub use diff::DiffTables;
pub use map::MapTables;

use hexz_resolve::Diagnostic;

use table::Cell;

/// The first and the last [`BIN`](schema::BIN) that `length` bytes at `start` lie in.
fn bins(start: u64, length: u64) -> (Cell<'static>, Cell<'static>) {
    let last = start.saturating_add(length.saturating_sub(1));
    (
        Cell::Int(start / schema::BIN),
        Cell::Int(last / schema::BIN),
    )
}

fn diagnostic(finding: &Diagnostic) -> [Cell<'_>; 6] {
    [
        finding.severity.as_str().into(),
        (&*finding.code).into(),
        finding.message.as_str().into(),
        finding.volume.as_deref().into(),
        finding.offset.into(),
        finding.view.map(hexz_resolve::View::as_str).into(),
    ]
}
