//! Lists of extents that other tools wrote.

mod bitmap;
mod columns;
mod json;
mod list;
mod text;
mod thin_delta;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use hexz_resolve::{
    ChangeSet, ChangeSource, Diagnostics, Error, Limits, Loaded, OpenGate, ReadAt, Result, read_vec,
};

use crate::file::RawFile;
use crate::open::Given;
use crate::undo::{self, UndoFile};
use list::List;

pub use list::ListFormat;

/// A list of changed extents of a disk, and the views of it that there are. With one view only,
/// who owns the extents can be told, not what changed there.
#[derive(Clone, Debug)]
pub struct ExtentList {
    /// The list; `-` is standard input.
    pub file: PathBuf,
    /// Who wrote it; recognised when not given.
    pub format: Option<ListFormat>,
    /// Bytes of a unit of [`ListFormat::Text`] and [`ListFormat::Bitmap`]; the other forms count
    /// bytes or say their unit themselves.
    pub unit: u64,
    /// The disk before.
    pub base: Option<Given>,
    /// The disk after.
    pub merged: Option<Given>,
}

impl ChangeSource for ExtentList {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        if self.is_undo_file() {
            return self.undo_file().load(limits, gate);
        }
        let found = Diagnostics::new();
        let open = |given: &Given| given.open_disk(limits, gate, &found);
        let base = self.base.as_ref().map(open).transpose()?;
        let merged = self.merged.as_ref().map(open).transpose()?;
        let views = [&base, &merged].into_iter().flatten();
        let disk_size = views.map(ReadAt::len).max();
        Ok(Loaded {
            changes: self.changes(disk_size, gate, &found)?,
            base,
            merged,
            overlay_name: Some(self.file.display().to_string()),
            base_name: self
                .base
                .as_ref()
                .map(|base| base.path.display().to_string()),
        })
    }
}

impl ExtentList {
    /// What the list says of a disk of `disk_size` bytes. What was found before, while the disks
    /// were opened, comes first among its findings.
    ///
    /// # Errors
    /// Naming the list, where it can't be read.
    pub fn changes(
        &self,
        disk_size: Option<u64>,
        gate: &dyn OpenGate,
        found: &Diagnostics,
    ) -> Result<ChangeSet> {
        if self.is_undo_file() {
            return self.undo_file().changes(disk_size, found);
        }
        let in_file = |e: Error| {
            let name = self.file.display().to_string();
            Error::new(e.kind(), "extent list").message(name).source(e)
        };
        let list = self.read(gate);
        // What ends the reading then is no fault of the list.
        gate.check()?;
        Ok(list.map_err(in_file)?.into_changes(disk_size, found))
    }

    fn undo_file(&self) -> UndoFile {
        UndoFile {
            path: self.file.clone(),
            base: self.base.clone(),
            merged: self.merged.clone(),
        }
    }

    /// Whether it is said to be an undo file, or begins like one.
    fn is_undo_file(&self) -> bool {
        let begins = || {
            let file = RawFile::open_regular(&self.file).ok();
            let start = file.and_then(|file| read_vec(&file, 0, undo::MAGIC.len()).ok());
            start.is_some_and(|start| start == *undo::MAGIC)
        };
        match self.format {
            Some(format) => format == ListFormat::Undo,
            None => begins(),
        }
    }

    #[allow(clippy::disallowed_methods, clippy::disallowed_types)] // opens the list
    fn read(&self, gate: &dyn OpenGate) -> Result<List> {
        if self.file == Path::new("-") {
            let file = std::io::stdin().lock();
            let file = Watched { file, gate };
            return parse(BufReader::new(file), self.format, self.unit);
        }
        let file = std::fs::File::open(&self.file).map_err(|e| Error::io("extent list", e))?;
        let file = Watched { file, gate };
        parse(BufReader::new(file), self.format, self.unit)
    }
}

/// A list that is read as long as its reader wants to go on.
struct Watched<'g, R> {
    file: R,
    gate: &'g dyn OpenGate,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.gate.check().map_err(std::io::Error::other)?;
        self.file.read(buf)
    }
}

/// What some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Bytes that are looked at to tell the form of a list.
const BEGINNING: u64 = 64 << 10;

/// Reads a list, in pieces; recognises its form unless it is given.
fn parse(mut from: impl BufRead, format: Option<ListFormat>, unit: u64) -> Result<List> {
    if unit == 0 || u32::try_from(unit).is_err() {
        return Err(Error::corrupt("extent list").message(format!("a unit of {unit} bytes")));
    }
    // The beginning tells the form; it is read again as part of the whole.
    let mut start = Vec::new();
    let io = |e| Error::io("extent list", e);
    from.by_ref()
        .take(BEGINNING)
        .read_to_end(&mut start)
        .map_err(io)?;
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start);
    let text = &*String::from_utf8_lossy(start);
    let whole = BufReader::new(start.chain(from));
    let mut list = match format {
        Some(ListFormat::Text) => text::plain(whole, unit),
        Some(ListFormat::Ddrescue) => text::ddrescue(whole),
        Some(ListFormat::ThinDelta) => thin_delta::parse(whole),
        Some(ListFormat::Bitmap) => bitmap::parse(whole, unit),
        Some(ListFormat::Intervals) => columns::intervals(whole),
        Some(ListFormat::QemuCompare) => columns::qemu_compare(whole),
        Some(ListFormat::NbdInfo) if !is_json(text) => columns::nbdinfo(whole),
        Some(ListFormat::RbdDiff) if !is_json(text) => columns::rbd_diff(whole),
        Some(format) => json::parse(whole, Some(format)),
        None if columns::is_intervals(text) => columns::intervals(whole),
        None if is_json(text) => json::parse(whole, None),
        None if thin_delta::is_one(text) => thin_delta::parse(whole),
        None if text::is_ddrescue(text) => text::ddrescue(whole),
        None if columns::is_rbd_diff(text) => columns::rbd_diff(whole),
        None if columns::is_nbdinfo(text) => columns::nbdinfo(whole),
        None if columns::is_qemu_compare(text) => columns::qemu_compare(whole),
        None => text::plain(whole, unit),
    }?;
    list.put_in_order()?;
    Ok(list)
}

fn is_json(start: &str) -> bool {
    start.trim_ascii_start().starts_with(['[', '{'])
}

#[cfg(test)]
mod tests;
