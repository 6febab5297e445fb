//! JSON Lines, schema 1: one object a line, in a fixed order of keys.

mod records;

use std::io::{Result, Write};

use hexz_resolve::Diagnostic;
use hexz_resolve::report::{
    Header, LayoutReport, OwnerEnd, OwnerRecord, Report, Summary, VolumeRecord,
};
use serde::Serialize;

use crate::select::Selection;

fn line(out: &mut dyn Write, record: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.write_all(b"\n")
}

fn head(out: &mut dyn Write, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
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

/// A diff. Only the paths of `selection` leave anything out; the sums are those of the whole.
///
/// # Errors
/// Of `out`.
pub fn write_json(out: &mut dyn Write, report: &Report, selection: &Selection) -> Result<()> {
    head(out, &report.header, &report.volumes)?;
    for change in report.changes.iter().filter(|c| selection.in_paths(c)) {
        line(out, &records::change(change, &report.volumes))?;
    }
    for region in &report.regions {
        line(out, &records::region(region, &report.volumes))?;
    }
    for piece in &report.unresolved {
        line(out, &records::unresolved(piece, &report.volumes))?;
    }
    tail(out, &report.diagnostics, &report.summary)
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
    report
        .diagnostics
        .iter()
        .try_for_each(|d| line(out, &records::diagnostic(d)))
}

/// Owner records as they come.
pub struct JsonOwners<'a> {
    out: &'a mut dyn Write,
    volumes: Vec<VolumeRecord>,
    /// A line is put together here: a writer that is given every comma is slow.
    line: Vec<u8>,
}

impl<'a> JsonOwners<'a> {
    /// Writes to `out`.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            volumes: Vec::new(),
            line: Vec::new(),
        }
    }

    /// What comes before the first piece.
    ///
    /// # Errors
    /// Of the writer.
    pub fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        self.volumes = volumes.to_vec();
        head(self.out, header, volumes)
    }

    /// The next piece.
    ///
    /// # Errors
    /// Of the writer.
    pub fn owner(&mut self, record: &OwnerRecord) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &records::owner(record, &self.volumes))?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    /// What comes after the last.
    ///
    /// # Errors
    /// Of the writer.
    pub fn end(&mut self, end: &OwnerEnd) -> Result<()> {
        tail(self.out, &end.diagnostics, &end.summary)
    }
}

impl std::fmt::Debug for JsonOwners<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonOwners").finish_non_exhaustive()
    }
}
