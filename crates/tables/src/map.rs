//! The tables of a map.

use std::collections::HashSet;
use std::io::{Result, Write};

use hexz_resolve::report::{FileOwner, OwnerEnd, OwnerRecord, VolumeRecord};

use crate::schema::{self, Schema};
use crate::table::{Cell, Table, io_error};
use crate::{bins, diagnostic};

/// The tables `pieces`, `owners`, `names` and `map_diagnostics` of a map.
pub struct MapTables<W: Write + Send> {
    volumes: Vec<String>,
    pieces: Table<W>,
    owners: Table<W>,
    names: Table<W>,
    diagnostics: Table<W>,
    /// The files whose names are written.
    named: HashSet<(Option<usize>, String)>,
}

impl<W: Write + Send> MapTables<W> {
    /// Begins the tables of a disk with `volumes`, each on what `open` gives for it.
    ///
    /// # Errors
    /// Of `open`, or of writing.
    pub fn create(
        volumes: &[VolumeRecord],
        mut open: impl FnMut(&Schema) -> Result<W>,
    ) -> Result<Self> {
        let mut table = |schema: Schema| Table::new(schema, open(&schema)?).map_err(io_error);
        Ok(Self {
            volumes: volumes.iter().map(|v| v.volume.clone()).collect(),
            pieces: table(schema::PIECES)?,
            owners: table(schema::OWNERS)?,
            names: table(schema::NAMES)?,
            diagnostics: table(schema::MAP_DIAGNOSTICS)?,
            named: HashSet::new(),
        })
    }

    /// Adds the next pieces, by start.
    ///
    /// # Errors
    /// Of writing.
    pub fn pieces(&mut self, records: &[OwnerRecord]) -> Result<()> {
        let mut records = records.iter();
        records
            .try_for_each(|record| self.piece(record))
            .map_err(io_error)
    }

    fn piece(&mut self, record: &OwnerRecord) -> parquet::errors::Result<()> {
        let volume = record.volume.and_then(|index| self.volumes.get(index));
        let volume = volume.map(String::as_str);
        let (bin, last_bin) = bins(record.start, record.length);
        self.pieces.row(
            record.volume,
            &[
                volume.into(),
                record.start.into(),
                record.length.into(),
                record.class.as_str().into(),
                Some(record.detail).filter(|d| !d.is_empty()).into(),
                record.allocated.into(),
                (record.owners.len() as u64).into(),
                bin,
                last_bin,
            ],
        )?;
        for owner in &record.owners {
            let file = owner.shown().to_string();
            let stream = owner.stream.as_ref();
            let stream = stream.map(|name| String::from_utf8_lossy(name.as_bytes()));
            let first = owner.paths.first();
            let text = first.map(|path| String::from_utf8_lossy(path));
            self.owners.row(
                record.volume,
                &[
                    volume.into(),
                    record.start.into(),
                    record.length.into(),
                    file.as_str().into(),
                    owner.kind.map(hexz_resolve::FileKind::as_str).into(),
                    text.as_deref().into(),
                    first.map_or(Cell::Null, |path| Cell::Bytes(path)),
                    (owner.paths.len() as u64).into(),
                    stream.as_deref().into(),
                    owner.role.as_str().into(),
                    owner.file_offset.into(),
                    bin,
                    last_bin,
                ],
            )?;
            if owner.paths.len() > 1 && self.named.insert((record.volume, file.clone())) {
                names(&mut self.names, record.volume, volume, &file, owner)?;
            }
        }
        Ok(())
    }

    /// Adds the findings, and ends the tables.
    ///
    /// # Errors
    /// Of writing.
    pub fn finish(self, end: &OwnerEnd) -> Result<()> {
        self.end(end).map_err(io_error)
    }

    fn end(mut self, end: &OwnerEnd) -> parquet::errors::Result<()> {
        for finding in &end.diagnostics {
            self.diagnostics.row(None, &diagnostic(finding))?;
        }
        self.pieces.finish()?;
        self.owners.finish()?;
        self.names.finish()?;
        self.diagnostics.finish()
    }
}

/// All names of a file.
fn names<W: Write + Send>(
    table: &mut Table<W>,
    group: Option<usize>,
    volume: Option<&str>,
    file: &str,
    owner: &FileOwner,
) -> parquet::errors::Result<()> {
    for path in owner.paths.iter() {
        let text = String::from_utf8_lossy(path);
        let row = [
            volume.into(),
            file.into(),
            (&*text).into(),
            Cell::Bytes(path),
        ];
        table.row(group, &row)?;
    }
    Ok(())
}
