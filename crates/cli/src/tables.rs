//! Parquet tables: where the files of a table lie.
//!
//! A folder holds the tables of a whole fleet: `changes/overlay=vm-17/part.parquet` is the part of
//! the table `changes` that is about one overlay, in the way that engines know as a partition.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use hexz_resolve::report::{Header, OwnerRecord, OwnerVisitor, Report, VolumeRecord};
use hexz_resolve::{Error, Registry};
use hexz_tables::schema::Schema;
use hexz_tables::{DiffTables, MapTables};

use crate::args::MapArgs;
use crate::status;
use crate::whole::whole;

/// The file of one partition of a table: written under another name, and put in its place when it
/// is whole.
struct Part {
    whole: PathBuf,
    unfinished: PathBuf,
}

impl Part {
    fn new(dir: &Path, partition: &str, schema: &Schema) -> io::Result<(Self, BufWriter<File>)> {
        let folder = dir.join(schema.name).join(partition);
        fs::create_dir_all(&folder)?;
        let part = Self {
            whole: folder.join("part.parquet"),
            unfinished: folder.join(".part.parquet.unfinished"),
        };
        let file = File::create(&part.unfinished)?;
        Ok((part, BufWriter::with_capacity(1 << 16, file)))
    }
}

/// The files of the tables of one partition.
struct Parts<'a> {
    dir: &'a Path,
    partition: String,
    parts: Vec<Part>,
}

impl<'a> Parts<'a> {
    fn new(dir: &'a Path, key: &str, name: Option<&str>) -> Self {
        Self {
            dir,
            partition: format!("{key}={}", partition_value(name.unwrap_or_default())),
            parts: Vec::new(),
        }
    }

    fn open(&mut self, schema: &Schema) -> io::Result<BufWriter<File>> {
        let (part, file) = Part::new(self.dir, &self.partition, schema)?;
        self.parts.push(part);
        Ok(file)
    }

    fn finish(self) -> io::Result<()> {
        let mut parts = self.parts.into_iter();
        parts.try_for_each(|part| fs::rename(part.unfinished, part.whole))
    }
}

/// The last part of a path, with what has a meaning in a path or a partition percent-encoded.
fn partition_value(name: &str) -> String {
    let last = Path::new(name).file_name();
    let last = last.map_or(name.into(), |last| last.to_string_lossy());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let encoded = last.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// Writes the tables of `report` below `dir`.
pub(crate) fn diff(dir: &Path, report: &Report) -> Result<()> {
    let name = report.header.overlay.as_deref();
    let mut parts = Parts::new(dir, "overlay", name);
    let tables = DiffTables::create(|schema| parts.open(schema));
    tables
        .and_then(|tables| tables.write(report))
        .and_then(|()| parts.finish())
        .with_context(|| format!("cannot write tables below {}", dir.display()))
}

/// Writes the tables of the map of an image below `dir`.
pub(crate) fn map(registry: &Registry, args: &MapArgs, dir: &Path) -> Result<ExitCode> {
    let name = args.image.to_string_lossy();
    let mut visitor = Visitor(Mutex::new(State {
        parts: Parts::new(dir, "image", Some(&name)),
        tables: None,
    }));
    let (_, end) = whole(registry, args, "--parquet", &mut visitor)?;
    let State { parts, tables } = visitor
        .0
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    tables
        .map_or(Ok(()), |tables| tables.finish(&end))
        .and_then(|()| parts.finish())
        .with_context(|| format!("cannot write tables below {}", dir.display()))?;
    Ok(status::of_map(&end, &args.engine))
}

struct State<'a> {
    parts: Parts<'a>,
    tables: Option<MapTables<BufWriter<File>>>,
}

/// Puts pieces into the tables.
struct Visitor<'a>(Mutex<State<'a>>);

impl OwnerVisitor for Visitor<'_> {
    type Made = Vec<OwnerRecord>;

    fn begin(&mut self, _: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        let State { parts, tables } = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let opened = MapTables::create(volumes, |schema| parts.open(schema));
        *tables = Some(opened.map_err(|e| Error::io("tables", e))?);
        Ok(())
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        records.to_vec()
    }

    fn take(&self, records: Self::Made) -> hexz_resolve::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = state.tables.as_mut().map_or(Ok(()), |t| t.pieces(&records));
        written.map_err(|e| Error::io("tables", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_after_the_file_and_leads_nowhere_else() {
        assert_eq!(partition_value("images/vm-17.overlay"), "vm-17.overlay");
        assert_eq!(partition_value("a=b c%"), "a%3Db%20c%25");
        assert_eq!(partition_value(".."), "..");
        assert_eq!(partition_value("ü"), "%C3%BC");
    }
}
