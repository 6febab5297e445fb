//! The log: sectors of metadata that were to be written when the image was last in use. They are
//! replayed in memory.

use std::collections::BTreeMap;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, Error, RangeSet, ReadAt, ReadError, Result, check_bounds};

use super::layout::{Header, MIB, checked};
use crate::file::RawFile;
use crate::num::{u64_of, usize_of};

const SECTOR: u64 = 4096;
const ENTRY_HEADER: usize = 64;
const DESCRIPTOR: usize = 32;

/// What the log says of the file.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    sectors: BTreeMap<u64, Vec<u8>>,
    zeros: RangeSet,
}

/// A file with its log replayed.
pub(super) struct View<'a> {
    file: &'a RawFile,
    replayed: &'a Replayed,
}

/// One entry of the log.
struct Entry {
    /// Where it lies in the log, and how long it is.
    at: u64,
    length: u64,
    tail: u64,
    sequence_number: u64,
    flushed_file_offset: u64,
    bytes: Vec<u8>,
}

impl Replayed {
    /// Reads the log that `header` names, which may take up to `most` bytes. Nothing, where there
    /// is nothing to replay.
    pub(super) fn read(file: &RawFile, header: &Header, most: usize) -> Result<Self> {
        if header.log_guid.is_nil() {
            return Ok(Self::default());
        }
        let error = || Error::corrupt("vhdx log").at(header.log.start());
        let log = header.log;
        let whole =
            log.start().is_multiple_of(MIB) && log.len().is_multiple_of(MIB) && !log.is_empty();
        if !whole || log.start() < MIB || log.end() > file.len() {
            return Err(error().message("a log that lies outside the file"));
        }
        if log.len() > u64_of(most) {
            let text = format!("{} bytes; at most {most} are replayed", log.len());
            return Err(Error::limit("vhdx log", text).at(log.start()));
        }
        let bytes = read(file, "vhdx log", log.start(), usize_of(log.len()))?;
        let entries = active(&bytes, header);
        if entries.is_empty() {
            return Err(error().message("it is to be replayed, and has no sound entries"));
        }
        let mut replayed = Self::default();
        for entry in &entries {
            if entry.flushed_file_offset > file.len() {
                let text = format!("a file of {} bytes", entry.flushed_file_offset);
                return Err(error()
                    .message("the file was cut")
                    .expected(text)
                    .found(file.len()));
            }
            replayed.add(entry, log.start())?;
        }
        Ok(replayed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sectors.is_empty() && self.zeros.is_empty()
    }

    /// The file as it would be with the log written to it.
    pub(super) fn over<'a>(&'a self, file: &'a RawFile) -> View<'a> {
        View {
            file,
            replayed: self,
        }
    }

    fn add(&mut self, entry: &Entry, log: u64) -> Result<()> {
        let f = Fields::new("vhdx log entry", log.saturating_add(entry.at), &entry.bytes);
        let count = usize_of(u64::from(f.le32(24)?));
        let described = count
            .saturating_mul(DESCRIPTOR)
            .saturating_add(ENTRY_HEADER);
        let mut data = described.next_multiple_of(usize_of(SECTOR));
        for number in 0..count {
            let at = number
                .saturating_mul(DESCRIPTOR)
                .saturating_add(ENTRY_HEADER);
            let d = f.sub("vhdx log descriptor", at, DESCRIPTOR)?;
            let offset = d.le64(16)?;
            if !offset.is_multiple_of(SECTOR) || d.le64(24)? != entry.sequence_number {
                return Err(d
                    .corrupt(16)
                    .message("a descriptor that is not of its entry"));
            }
            match &d.array::<4>(0)? {
                b"zero" => {
                    let zeros = ByteRange::at(offset, d.le64(8)?);
                    let zeros = zeros.ok_or_else(|| d.corrupt(8).message("zeros past 64 bits"))?;
                    let gone = self.sectors.range(zeros.start()..zeros.end());
                    let gone: Vec<u64> = gone.map(|(at, _)| *at).collect();
                    for at in gone {
                        self.sectors.remove(&at);
                    }
                    self.zeros.insert(zeros);
                }
                b"desc" => {
                    let sector = f.bytes(data, usize_of(SECTOR))?;
                    data = data.saturating_add(usize_of(SECTOR));
                    let mut bytes = d.bytes(8, 8)?.to_vec();
                    bytes.extend(sector.get(8..4092).unwrap_or_default());
                    bytes.extend(d.bytes(4, 4)?);
                    self.sectors.insert(offset, bytes);
                }
                _ => return Err(d.corrupt(0).message("a descriptor of no known kind")),
            }
        }
        Ok(())
    }
}

/// The entries to replay, in their order: of all sequences that are whole, the newest.
fn active(log: &[u8], header: &Header) -> Vec<Entry> {
    let length = u64_of(log.len());
    let mut best: Vec<Entry> = Vec::new();
    let mut at = 0;
    while at < length {
        let mut sequence: Vec<Entry> = Vec::new();
        let (mut next, mut passed) = (at, 0u64);
        while let Some(entry) = entry(log, next, header) {
            let follows = sequence.last().is_none_or(|last| {
                last.sequence_number.checked_add(1) == Some(entry.sequence_number)
            });
            passed = passed.saturating_add(entry.length);
            if !follows || passed > length {
                break;
            }
            next = next
                .saturating_add(entry.length)
                .checked_rem(length)
                .unwrap_or(0);
            sequence.push(entry);
        }
        let newest = |of: &[Entry]| of.last().map(|last| last.sequence_number);
        let end = at.saturating_add(passed);
        // It is whole when the tail that its last entry names is one of it.
        if let Some(last) = sequence.last() {
            let tail = last.tail;
            if let Some(first) = sequence.iter().position(|entry| entry.at == tail)
                && newest(&sequence) > newest(&best)
            {
                best = sequence.split_off(first);
            }
        }
        at = if end > at {
            end
        } else {
            at.saturating_add(SECTOR)
        };
    }
    best
}

/// The entry at byte `at` of the log, if there is a sound one of this use of the image.
fn entry(log: &[u8], at: u64, header: &Header) -> Option<Entry> {
    let length = u64_of(log.len());
    let ring = |at: u64, count: u64| {
        let first = usize_of(at);
        let end = first.checked_add(usize_of(count))?;
        match log.get(first..end) {
            Some(bytes) => Some(bytes.to_vec()),
            None => {
                let front = log.get(first..)?;
                let rest = usize_of(count).checked_sub(front.len())?;
                Some([front, log.get(..rest)?].concat())
            }
        }
    };
    let start = ring(at, u64_of(ENTRY_HEADER))?;
    let f = Fields::new("vhdx log entry", at, &start);
    let entry_length = u64::from(f.le32(8).ok()?);
    let sound = f.bytes(0, 4).ok()? == b"loge"
        && entry_length.is_multiple_of(SECTOR)
        && (SECTOR..=length).contains(&entry_length);
    if !sound {
        return None;
    }
    let mut bytes = ring(at, entry_length)?;
    let f = checked("vhdx log entry", b"loge", at, &mut bytes)?;
    let guid = hexz_ondisk::Guid::from_mixed(f.array(32).ok()?);
    let (tail, sequence_number) = (u64::from(f.le32(12).ok()?), f.le64(16).ok()?);
    let flushed_file_offset = f.le64(48).ok()?;
    (guid == header.log_guid && sequence_number > 0).then_some(Entry {
        at,
        length: entry_length,
        tail,
        sequence_number,
        flushed_file_offset,
        bytes,
    })
}

impl ReadAt for View<'_> {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        self.file.read_exact_at(offset, buf)?;
        if self.replayed.is_empty() {
            return Ok(());
        }
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let mut put = |piece: ByteRange, bytes: Option<&[u8]>| {
            let start = usize_of(piece.start().saturating_sub(offset));
            let end = start.saturating_add(usize_of(piece.len()));
            if let Some(out) = buf.get_mut(start..end) {
                match bytes {
                    Some(bytes) => out.copy_from_slice(bytes),
                    None => out.fill(0),
                }
            }
        };
        for zeros in self.replayed.zeros.overlapping(range) {
            put(zeros, None);
        }
        let first = range.start() & !SECTOR.saturating_sub(1);
        for (at, bytes) in self.replayed.sectors.range(first..range.end()) {
            let sector = ByteRange::new(*at, at.saturating_add(SECTOR));
            if let Some(piece) = sector.intersection(&range) {
                let skip = usize_of(piece.start().saturating_sub(*at));
                let end = skip.saturating_add(usize_of(piece.len()));
                put(piece, bytes.get(skip..end));
            }
        }
        Ok(())
    }
}
