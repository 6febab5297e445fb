//! JSON Lines, schema 1: one object a line, in a fixed order of keys.

mod records;

use std::io::{BufWriter, Result, Write};

use hexz_resolve::Diagnostic;
use hexz_resolve::report::{
    Change, DiffEnd, FileNames, Header, LayoutReport, OwnerEnd, OwnerRecord, Summary, VolumeRecord,
};
use serde::Serialize;

use crate::listed::ListedFile;

pub(crate) use records::all_raw;

/// One record, which may be long. A writer that is given every comma by itself is slow.
fn line(out: &mut dyn Write, record: &impl Serialize) -> Result<()> {
    let mut text = BufWriter::with_capacity(4096, out);
    serde_json::to_writer(&mut text, record)?;
    text.write_all(b"\n")?;
    text.flush()
}

/// Many short records, some of which are given at a time.
fn lines(out: &mut dyn Write, records: impl Iterator<Item = impl Serialize>) -> Result<()> {
    const FULL: usize = 64 << 10;
    let mut text = Vec::with_capacity(FULL + 1024);
    for record in records {
        serde_json::to_writer(&mut text, &record)?;
        text.push(b'\n');
        if text.len() >= FULL {
            out.write_all(&text)?;
            text.clear();
        }
    }
    out.write_all(&text)
}

pub(crate) fn head(out: &mut dyn Write, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
    line(out, &records::header(header))?;
    volumes
        .iter()
        .try_for_each(|volume| line(out, &records::volume(volume)))
}

fn tail(out: &mut dyn Write, diagnostics: &[Diagnostic], summary: &Summary) -> Result<()> {
    diagnostics
        .iter()
        .try_for_each(|d| line(out, &records::diagnostic(d)))?;
    line(out, &records::summary(summary))
}

/// A changed path.
pub(crate) fn change(
    out: &mut dyn Write,
    change: &Change,
    volumes: &[VolumeRecord],
    notable: Option<&'static str>,
) -> Result<()> {
    line(out, &records::change(change, volumes, notable))
}

/// All names of a file that has very many.
pub(crate) fn names(
    out: &mut dyn Write,
    names: &FileNames,
    volumes: &[VolumeRecord],
) -> Result<()> {
    line(out, &records::names(names, volumes))
}

/// What comes after the last change.
pub(crate) fn end(out: &mut dyn Write, end: &DiffEnd, volumes: &[VolumeRecord]) -> Result<()> {
    let regions = end.regions.iter();
    lines(out, regions.map(|region| records::region(region, volumes)))?;
    let unresolved = end.unresolved.iter();
    lines(
        out,
        unresolved.map(|piece| records::unresolved(piece, volumes)),
    )?;
    tail(out, &end.diagnostics, &end.summary)
}

/// A layout: volumes, then what lies between them.
///
/// # Errors
/// Of `out`.
pub fn write_layout_json(out: &mut dyn Write, report: &LayoutReport) -> Result<()> {
    head(out, &report.header, &report.volumes)?;
    for region in &report.regions {
        line(out, &records::region(region, &report.volumes))?;
    }
    for candidate in &report.candidates {
        line(out, &records::candidate(candidate))?;
    }
    report
        .diagnostics
        .iter()
        .try_for_each(|d| line(out, &records::diagnostic(d)))
}

/// A file that is listed.
pub(crate) fn write_entry_json(out: &mut dyn Write, file: &ListedFile) -> Result<()> {
    line(out, &records::entry(file))
}

/// Owner records as they come.
#[derive(Clone, Debug, Default)]
pub struct JsonOwners {
    volumes: Vec<VolumeRecord>,
}

impl JsonOwners {
    /// Of a disk with these volumes.
    #[must_use]
    pub fn new(volumes: &[VolumeRecord]) -> Self {
        Self {
            volumes: volumes.to_vec(),
        }
    }

    /// What comes before the first piece.
    ///
    /// # Errors
    /// Of `out`.
    pub fn begin(&self, out: &mut dyn Write, header: &Header) -> Result<()> {
        head(out, header, &self.volumes)
    }

    /// The names of a file that has very many.
    ///
    /// # Errors
    /// Of `out`.
    pub fn names(&self, out: &mut dyn Write, all: &FileNames) -> Result<()> {
        names(out, all, &self.volumes)
    }

    /// The next pieces, as text: a writer that is given every comma by itself is slow.
    ///
    /// # Errors
    /// When a record can't be written as JSON.
    pub fn owners(&self, out: &mut Vec<u8>, records: &[OwnerRecord]) -> Result<()> {
        let mut records = records.iter();
        records.try_for_each(|record| records::owner(out, record, &self.volumes))
    }

    /// What comes after the last.
    ///
    /// # Errors
    /// Of `out`.
    pub fn end(&self, out: &mut dyn Write, end: &OwnerEnd) -> Result<()> {
        tail(out, &end.diagnostics, &end.summary)
    }
}
