//! Lists of extents that other tools wrote.

mod bitmap;
mod columns;
mod json;
mod text;
mod thin_delta;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Error, Limits, Loaded, OpenGate,
    Precision, RangeSet, ReadAt, Result, read_vec,
};

use crate::file::RawFile;
use crate::open::Given;
use crate::undo::{self, UndoFile};

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
    /// AWS EBS direct APIs: the pages of `ListChangedBlocks` or `ListSnapshotBlocks`.
    Ebs,
    /// Kubernetes CSI: the responses of `GetMetadataAllocated` or `GetMetadataDelta`.
    Csi,
    /// VMware: what `QueryChangedDiskAreas` gives.
    Vmware,
    /// `thin_delta` of thin-provisioning-tools: the blocks that two thin volumes do not share.
    ThinDelta,
    /// `qemu-img compare`: the first byte that differs, and no other.
    QemuCompare,
    /// Lines of `[start,end)`, in bytes.
    Intervals,
    /// A bit a unit, set where it changed; the lowest bit of a byte comes first.
    Bitmap,
    /// An undo file of e2fsprogs: it holds the blocks before, and so the disk before where the disk
    /// after is given.
    Undo,
    /// Lines of `block` or `start+length`, counted in units.
    Text,
}

impl ListFormat {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::QemuMap,
        Self::NbdInfo,
        Self::RbdDiff,
        Self::Ddrescue,
        Self::Ebs,
        Self::Csi,
        Self::Vmware,
        Self::ThinDelta,
        Self::QemuCompare,
        Self::Intervals,
        Self::Bitmap,
        Self::Undo,
        Self::Text,
    ];

    /// The word for it, on the command line too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QemuMap => "qemu-img-map",
            Self::NbdInfo => "nbdinfo",
            Self::RbdDiff => "rbd-diff",
            Self::Ddrescue => "ddrescue",
            Self::Ebs => "ebs",
            Self::Csi => "csi",
            Self::Vmware => "vmware",
            Self::ThinDelta => "thin-delta",
            Self::QemuCompare => "qemu-img-compare",
            Self::Intervals => "intervals",
            Self::Bitmap => "bitmap",
            Self::Undo => "e2undo",
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

/// Extents that a list may have before it is put in order for the first time.
const UNORDERED: usize = 1 << 20;
/// Extents apart from each other that a list may have; every step after it takes as much memory
/// again.
const MOST: usize = 16 << 20;

/// What a list says.
#[derive(Debug)]
struct List {
    /// In the order of the list, as far as they were not put in order yet.
    extents: Vec<ByteRange>,
    /// As many are put in order: a list that says the same over and over takes no more memory.
    most: usize,
    /// Bytes of the unit it counts in, where it has one.
    unit: Option<u64>,
    /// Extents whose end does not fit 64 bits.
    too_far: u64,
    /// Why it may lack some of what changed.
    may_miss: Option<&'static str>,
}

impl List {
    fn new(unit: Option<u64>) -> Self {
        Self {
            extents: Vec::new(),
            most: UNORDERED,
            unit,
            too_far: 0,
            may_miss: None,
        }
    }

    /// Adds an extent in bytes; neighbours are joined, as lists often are in order.
    fn add(&mut self, start: u64, length: u64) -> Result<()> {
        let Some(range) = ByteRange::at(start, length) else {
            self.too_far = self.too_far.saturating_add(1);
            return Ok(());
        };
        match self.extents.last_mut() {
            Some(last) if last.end() == range.start() => {
                *last = ByteRange::new(last.start(), range.end());
            }
            _ if range.is_empty() => {}
            _ => {
                if self.extents.len() >= self.most {
                    self.put_in_order()?;
                    self.most = self.extents.len().saturating_mul(2).max(UNORDERED);
                }
                self.extents.push(range);
            }
        }
        Ok(())
    }

    /// The same in units of `unit` bytes.
    fn add_units(&mut self, start: u64, length: u64, unit: u64) -> Result<()> {
        match start.checked_mul(unit).zip(length.checked_mul(unit)) {
            Some((start, length)) => self.add(start, length),
            None => {
                self.too_far = self.too_far.saturating_add(1);
                Ok(())
            }
        }
    }

    /// Sorts the extents where they are, and joins those that overlap or touch.
    fn put_in_order(&mut self) -> Result<()> {
        if !self.extents.is_sorted() {
            self.extents.sort_unstable();
        }
        self.extents.dedup_by(|next, kept| {
            let joins = next.start() <= kept.end();
            if joins {
                *kept = ByteRange::new(kept.start(), kept.end().max(next.end()));
            }
            joins
        });
        if self.extents.len() > MOST {
            let message = format!("more than {MOST} extents apart from each other");
            return Err(Error::limit("extent list", message));
        }
        Ok(())
    }

    fn into_changes(self, disk_size: Option<u64>, found: &Diagnostics) -> ChangeSet {
        let end = disk_size.unwrap_or(u64::MAX);
        // Takes over the memory of the list.
        let mut ranges: RangeSet = self.extents.into_iter().collect();
        let past = ranges.overlapping(ByteRange::new(end, u64::MAX));
        let (mut count, mut first) = (self.too_far, u64::MAX);
        for range in past {
            count = count.saturating_add(1);
            first = first.min(range.start().max(end));
        }
        if count > 0 {
            found.push(Diagnostic::warning(
                "extent-past-end",
                format!(
                    "{count} extents of the list, the first at byte {first}, lie past the end of \
                     the disk at {end}: no change of the disk"
                ),
            ));
        }
        if count > self.too_far {
            ranges = ranges.clipped(ByteRange::new(0, end));
        }
        if let Some(why) = self.may_miss {
            found.push(Diagnostic::warning("list-may-miss", why));
        }
        let block = self.unit.unwrap_or_else(|| granularity(&ranges, end));
        ChangeSet {
            ranges,
            block_size: u32::try_from(block).unwrap_or(u32::MAX),
            candidates: false,
            precision: match self.may_miss {
                Some(_) => Precision::MayMiss,
                None => Precision::Over,
            },
            diagnostics: found.take(),
        }
    }
}

/// The largest power of two, up to 4096, that all ranges keep to, but for the end of the disk.
fn granularity(ranges: &RangeSet, disk_end: u64) -> u64 {
    let bits = ranges.iter().fold(4096, |bits, range| {
        let end = Some(range.end()).filter(|end| *end != disk_end);
        bits | range.start() | end.unwrap_or(0)
    });
    1 << bits.trailing_zeros()
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
    let whole = BufReader::new(start.chain(from));
    let mut list = match format {
        Some(ListFormat::Text) => text::plain(whole, unit),
        Some(ListFormat::Ddrescue) => text::ddrescue(whole),
        Some(ListFormat::ThinDelta) => thin_delta::parse(whole),
        Some(ListFormat::Bitmap) => bitmap::parse(whole, unit),
        Some(ListFormat::Intervals) => columns::intervals(whole),
        Some(ListFormat::QemuCompare) => columns::qemu_compare(whole),
        Some(ListFormat::NbdInfo) if !is_json(start) => columns::nbdinfo(whole),
        Some(ListFormat::RbdDiff) if !is_json(start) => columns::rbd_diff(whole),
        Some(format) => json::parse(whole, Some(format)),
        None if columns::is_intervals(start) => columns::intervals(whole),
        None if is_json(start) => json::parse(whole, None),
        None if thin_delta::is_one(start) => thin_delta::parse(whole),
        None if text::is_ddrescue(start) => text::ddrescue(whole),
        None if columns::is_rbd_diff(start) => columns::rbd_diff(whole),
        None if columns::is_nbdinfo(start) => columns::nbdinfo(whole),
        None if columns::is_qemu_compare(start) => columns::qemu_compare(whole),
        None => text::plain(whole, unit),
    }?;
    list.put_in_order()?;
    Ok(list)
}

fn is_json(start: &[u8]) -> bool {
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'[' | b'{'))
}

#[cfg(test)]
mod tests;
