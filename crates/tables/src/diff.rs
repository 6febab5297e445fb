//! The tables of a diff.

use std::io::{Result, Write};

use hexz_resolve::report::{Change, Report, Summary, VolumeRecord};
use hexz_resolve::{Attributes, Diagnostic, Timestamp};

use crate::schema::{self, Schema};
use crate::table::{Cell, Table, io_error};
use crate::{bins, diagnostic};

/// The tables `changes`, `ranges`, `classes` and `diagnostics` of one diff.
pub struct DiffTables<W: Write + Send> {
    changes: Table<W>,
    ranges: Table<W>,
    classes: Table<W>,
    diagnostics: Table<W>,
}

impl<W: Write + Send> DiffTables<W> {
    /// Begins the tables, each on what `open` gives for it.
    ///
    /// # Errors
    /// Of `open`, or of writing.
    pub fn create(mut open: impl FnMut(&Schema) -> Result<W>) -> Result<Self> {
        let mut table = |schema: Schema| Table::new(schema, open(&schema)?).map_err(io_error);
        Ok(Self {
            changes: table(schema::CHANGES)?,
            ranges: table(schema::RANGES)?,
            classes: table(schema::CLASSES)?,
            diagnostics: table(schema::DIAGNOSTICS)?,
        })
    }

    /// Writes all of `report`.
    ///
    /// # Errors
    /// Of writing.
    pub fn write(mut self, report: &Report) -> Result<()> {
        for change in &report.changes {
            self.change(change, &report.volumes)?;
        }
        self.finish(&report.volumes, &report.diagnostics, &report.summary)
    }

    /// Adds a changed path of one of `volumes`. They come volume by volume.
    ///
    /// # Errors
    /// Of writing.
    pub fn change(&mut self, change: &Change, volumes: &[VolumeRecord]) -> Result<()> {
        self.add(change, volumes).map_err(io_error)
    }

    fn add(&mut self, change: &Change, volumes: &[VolumeRecord]) -> parquet::errors::Result<()> {
        let group = Some(change.volume);
        let volume = volumes.get(change.volume);
        let local = volume.is_some_and(|v| v.local_times);
        let volume = volume.map_or("", |v| v.volume.as_str());
        let path = String::from_utf8_lossy(&change.path);
        let from = change.from.as_deref().map(String::from_utf8_lossy);
        let mut row = vec![
            volume.into(),
            change.change.as_str().into(),
            (&*path).into(),
            Cell::Bytes(&change.path),
            from.as_deref().into(),
            change.from.as_deref().map_or(Cell::Null, Cell::Bytes),
            (change.links.len() as u64).into(),
            change.kind.as_str().into(),
            change.replaced.into(),
            change.content_changed.into(),
            Cell::Words(&change.attributes),
        ];
        let files = [&change.base, &change.merged]
            .map(|file| file.as_ref().map(|file| (file, file.shown().to_string())));
        for file in &files {
            row.extend(attributes(file.as_ref(), local));
        }
        row.push(change.changed_bytes.into());
        self.changes.row(group, &row)?;
        for range in &change.ranges {
            let stream = range.stream.as_ref();
            let stream = stream.map(|name| String::from_utf8_lossy(name.as_bytes()));
            let (bin, last_bin) = bins(range.disk_offset, range.length);
            self.ranges.row(
                group,
                &[
                    volume.into(),
                    (&*path).into(),
                    Cell::Bytes(&change.path),
                    range.view.as_str().into(),
                    stream.as_deref().into(),
                    range.file_offset.into(),
                    range.length.into(),
                    range.disk_offset.into(),
                    bin,
                    last_bin,
                ],
            )?;
        }
        Ok(())
    }

    /// Adds the sums and the findings, and ends the tables.
    ///
    /// # Errors
    /// Of writing.
    pub fn finish(
        self,
        volumes: &[VolumeRecord],
        diagnostics: &[Diagnostic],
        summary: &Summary,
    ) -> Result<()> {
        self.end(volumes, diagnostics, summary).map_err(io_error)
    }

    fn end(
        mut self,
        volumes: &[VolumeRecord],
        diagnostics: &[Diagnostic],
        summary: &Summary,
    ) -> parquet::errors::Result<()> {
        let of_volumes = volumes
            .iter()
            .map(|volume| (Some(volume.volume.as_str()), &volume.classes));
        for (volume, classes) in of_volumes.chain([(None, &summary.classes)]) {
            for (class, sums) in classes {
                let (bytes, changed) = (sums.bytes.into(), sums.changed.into());
                let row = [volume.into(), class.as_str().into(), bytes, changed];
                self.classes.row(None, &row)?;
            }
        }
        for finding in diagnostics {
            self.diagnostics.row(None, &diagnostic(finding))?;
        }
        self.changes.finish()?;
        self.ranges.finish()?;
        self.classes.finish()?;
        self.diagnostics.finish()
    }
}

/// What is known of a file in one view. A time that is `local` is no moment: it has a column of its
/// own.
fn attributes<'a>(file: Option<&'a (&Attributes, String)>, local: bool) -> [Cell<'a>; 7] {
    let Some((attributes, id)) = file else {
        return [Cell::Null; 7];
    };
    let mtime = attributes.mtime.and_then(microseconds);
    let mtime = mtime.map_or(Cell::Null, Cell::Signed);
    let (moment, on_the_clock) = match local {
        true => (Cell::Null, mtime),
        false => (mtime, Cell::Null),
    };
    [
        id.as_str().into(),
        attributes.size.into(),
        attributes.mode.map(u64::from).into(),
        attributes.uid.map(u64::from).into(),
        attributes.gid.map(u64::from).into(),
        moment,
        on_the_clock,
    ]
}

/// Microseconds from 1970, the rest cut off; none for a moment that 64 bits of them don't reach.
fn microseconds(time: Timestamp) -> Option<i64> {
    let seconds = time.seconds.checked_mul(1_000_000)?;
    seconds.checked_add(i64::from(time.nanoseconds / 1000))
}
