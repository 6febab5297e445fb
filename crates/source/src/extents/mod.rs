//! Lists of extents that other tools wrote.

mod json;
mod text;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Error, Limits, Loaded, OpenGate,
    Precision, RangeSet, Result,
};

use crate::image::open_image;

/// Who wrote a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListFormat {
    /// `qemu-img map --output=json`: what the top image holds itself (`depth` 0).
    QemuMap,
    /// `nbdinfo --map --json`: data, dirty or local extents.
    NbdInfo,
    /// `rbd diff --format json`: all extents, also those that no longer exist.
    RbdDiff,
    /// A ddrescue map file: all that was not rescued.
    Ddrescue,
    /// Lines of `block` or `start+length`, counted in units.
    Text,
}

impl ListFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::QemuMap,
        Self::NbdInfo,
        Self::RbdDiff,
        Self::Ddrescue,
        Self::Text,
    ];

    /// The word of the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QemuMap => "qemu-img-map",
            Self::NbdInfo => "nbdinfo",
            Self::RbdDiff => "rbd-diff",
            Self::Ddrescue => "ddrescue",
            Self::Text => "text",
        }
    }
}

/// A list of changed extents of a disk, and the views of it that there are. With one view only,
/// who owns the extents can be told, not what changed there.
#[derive(Clone, Debug)]
pub struct ExtentList {
    /// The list; `-` is standard input.
    pub file: PathBuf,
    /// Who wrote it; recognised when not given.
    pub format: Option<ListFormat>,
    /// Bytes of a unit of [`ListFormat::Text`]; the other forms count bytes.
    pub unit: u64,
    /// The disk before.
    pub base: Option<PathBuf>,
    /// The disk after.
    pub merged: Option<PathBuf>,
}

impl ChangeSource for ExtentList {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let open = |path: &Option<PathBuf>| match path {
            Some(path) => open_image(path, limits, gate, &found).map(Some),
            None => Ok(None),
        };
        let (base, merged) = (open(&self.base)?, open(&self.merged)?);
        let views = [&base, &merged].into_iter().flatten();
        let disk_size = views.map(|view| view.len()).max();
        let in_file = |e: Error| {
            let name = self.file.display().to_string();
            Error::new(e.kind(), "extent list").message(name).source(e)
        };
        let list = self.read().map_err(in_file)?;
        Ok(Loaded {
            changes: list.into_changes(disk_size, &found),
            base,
            merged,
            overlay_name: Some(self.file.display().to_string()),
            base_name: self.base.as_ref().map(|path| path.display().to_string()),
        })
    }
}

impl ExtentList {
    #[allow(clippy::disallowed_methods)] // opens the list
    fn read(&self) -> Result<List> {
        if self.file == Path::new("-") {
            return parse(std::io::stdin().lock(), self.format, self.unit);
        }
        let file = std::fs::File::open(&self.file).map_err(|e| Error::io("extent list", e))?;
        parse(BufReader::new(file), self.format, self.unit)
    }
}

/// What a list says.
#[derive(Debug)]
struct List {
    /// In the order of the list.
    extents: Vec<ByteRange>,
    /// Bytes of the unit it counts in, where it has one.
    unit: Option<u64>,
    /// Extents whose end does not fit 64 bits.
    too_far: u64,
}

impl List {
    fn new(unit: Option<u64>) -> Self {
        Self {
            extents: Vec::new(),
            unit,
            too_far: 0,
        }
    }

    /// Adds an extent in bytes; neighbours are joined, as lists often are in order.
    fn add(&mut self, start: u64, length: u64) {
        let Some(range) = ByteRange::at(start, length) else {
            self.too_far = self.too_far.saturating_add(1);
            return;
        };
        match self.extents.last_mut() {
            Some(last) if last.end() == range.start() => {
                *last = ByteRange::new(last.start(), range.end());
            }
            _ if range.is_empty() => {}
            _ => self.extents.push(range),
        }
    }

    fn into_changes(self, disk_size: Option<u64>, found: &Diagnostics) -> ChangeSet {
        let end = disk_size.unwrap_or(u64::MAX);
        let past: RangeSet = self.extents.iter().copied().collect();
        let past = past.clipped(ByteRange::new(end, u64::MAX));
        if self.too_far > 0 || !past.is_empty() {
            let count = self.too_far.saturating_add(crate::num::u64_of(past.runs()));
            let first = past.bounds().map_or(u64::MAX, |bounds| bounds.start());
            found.push(Diagnostic::warning(
                "extent-past-end",
                format!(
                    "{count} extents of the list, the first at byte {first}, lie past the end of \
                     the disk at {end}: no change of the disk"
                ),
            ));
        }
        let block = self.unit.unwrap_or_else(|| granularity(&self.extents));
        let ranges: RangeSet = self.extents.into_iter().collect();
        ChangeSet {
            ranges: ranges.clipped(ByteRange::new(0, end)),
            block_size: u32::try_from(block).unwrap_or(u32::MAX),
            precision: Precision::Over,
            diagnostics: found.take(),
        }
    }
}

/// The largest power of two, up to 4096, that all extents keep to, but for the end of the last.
fn granularity(extents: &[ByteRange]) -> u64 {
    let last = extents.iter().map(ByteRange::end).max();
    let ends = extents
        .iter()
        .map(ByteRange::end)
        .filter(|end| Some(*end) != last);
    let starts = extents.iter().map(ByteRange::start);
    let bits = starts.chain(ends).fold(4096, |bits, at| bits | at);
    1 << bits.trailing_zeros()
}

/// Reads a list, in pieces; recognises its form unless it is given.
fn parse(mut from: impl BufRead, format: Option<ListFormat>, unit: u64) -> Result<List> {
    if unit == 0 || u32::try_from(unit).is_err() {
        return Err(Error::corrupt("extent list").message(format!("a unit of {unit} bytes")));
    }
    match format {
        Some(ListFormat::Text) => text::plain(from, unit),
        Some(ListFormat::Ddrescue) => text::ddrescue(from),
        Some(format) => json::parse(from, Some(format)),
        None => {
            // The beginning tells; it is read again as part of the whole.
            let mut start = Vec::new();
            let limit = 64 << 10;
            let io = |e| Error::io("extent list", e);
            from.by_ref()
                .take(limit)
                .read_to_end(&mut start)
                .map_err(io)?;
            let whole = BufReader::new(start.as_slice().chain(from));
            match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'[' | b'{') => json::parse(whole, None),
                _ if text::is_ddrescue(&start) => text::ddrescue(whole),
                _ => text::plain(whole, unit),
            }
        }
    }
}

#[cfg(test)]
mod tests;
