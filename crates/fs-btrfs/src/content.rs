//! The bytes of a file as whoever opens it reads them.

use std::sync::{Arc, Mutex, PoisonError};

use hexz_ondisk::{read, to_usize};
use hexz_resolve::{
    ByteRange, Diagnostic, Error, FileKey, FileKind, FileSet, RangeSet, RawName, ReadAt, ReadError,
    Result, Scan, check_bounds,
};

use crate::attributes::attributes;
use crate::btrfs::Btrfs;
use crate::decompress::{MOST, decompress};
use crate::extents::each_extent;
use crate::ondisk::{ExtentKind, FileExtent, Key, item, objectid};

/// Opens the content of a file.
pub(crate) fn content(
    fs: &Arc<Btrfs>,
    file: FileKey,
    stream: Option<&RawName>,
    cx: &Scan<'_>,
) -> Result<Arc<dyn ReadAt>> {
    if let Some(stream) = stream {
        let text = format!("no stream {stream:?}: this filesystem has none");
        return Err(Error::unsupported("content", text));
    }
    let files: FileSet = [file].into_iter().collect();
    let mut found = Vec::new();
    attributes(fs, &files, cx, &mut found)?;
    let regular = found.into_iter().find(|a| a.kind == FileKind::File);
    let Some(regular) = regular else {
        let text = format!("there is no regular file {}", file.shown(None));
        return Err(Error::corrupt("content").message(text));
    };
    let findings = |finding| cx.diagnose(finding);
    let view = fs.view(&*fs.volume, &findings);
    let mut pieces = Vec::new();
    each_extent(&view, file, |extent, item| {
        if extent.foreign {
            let text = "it is encrypted, or encoded in a way that is not known";
            return Err(Error::unsupported("content", text));
        }
        let stored = match extent.kind {
            ExtentKind::Prealloc => return Ok(()),
            ExtentKind::Regular => Stored::Extent(*extent),
            ExtentKind::Inline => {
                let bytes = item.fields.rest(FileExtent::HEADER)?;
                let bytes = match extent.compression {
                    0 => bytes.to_vec(),
                    kind => decompress(kind, bytes, extent.ram_bytes, fs.info.block_size)?,
                };
                Stored::Inline(bytes.into())
            }
        };
        let length = match &stored {
            Stored::Inline(bytes) => bytes.len(),
            Stored::Extent(extent) => extent.num_bytes,
        };
        let end = item.key.offset.checked_add(length);
        let end = end.map(|end| end.min(regular.size));
        if let Some(end) = end.filter(|end| *end > item.key.offset) {
            let file = ByteRange::new(item.key.offset, end);
            pieces.push(Piece { file, stored });
        }
        Ok(())
    })?;
    Ok(Arc::new(Content {
        fs: Arc::clone(fs),
        size: regular.size,
        pieces,
        decoded: Mutex::new(None),
    }))
}

/// A part of a file that holds bytes.
struct Piece {
    file: ByteRange,
    stored: Stored,
}

enum Stored {
    /// Decoded.
    Inline(Arc<[u8]>),
    Extent(FileExtent),
}

struct Content {
    fs: Arc<Btrfs>,
    size: u64,
    /// By rising file offset.
    pieces: Vec<Piece>,
    /// The compressed extent that was decoded last, by its logical address.
    decoded: Mutex<Option<(u64, Arc<[u8]>)>>,
}

impl Content {
    fn overlapping(&self, range: ByteRange) -> impl Iterator<Item = &Piece> {
        let from = self
            .pieces
            .partition_point(|p| p.file.end() <= range.start());
        let pieces = self.pieces.get(from..).unwrap_or_default();
        pieces
            .iter()
            .take_while(move |p| p.file.start() < range.end())
    }

    /// The bytes of `part`, which lies within the piece.
    fn bytes_of(&self, piece: &Piece, part: ByteRange) -> Result<Vec<u8>> {
        let skipped = part.start().saturating_sub(piece.file.start());
        let cut = |bytes: &[u8], from: u64| -> Option<Vec<u8>> {
            let from = to_usize(from)?;
            let end = from.checked_add(to_usize(part.len())?)?;
            bytes.get(from..end).map(<[u8]>::to_vec)
        };
        let found = match &piece.stored {
            Stored::Inline(bytes) => cut(bytes, skipped),
            Stored::Extent(extent) => {
                let inner = extent.offset.saturating_add(skipped);
                if extent.compression == 0 {
                    let at = extent.disk_bytenr.saturating_add(inner);
                    let range = ByteRange::at(at, part.len());
                    range.map(|range| verified(&self.fs, range)).transpose()?
                } else {
                    cut(&self.decode(extent)?, inner)
                }
            }
        };
        found.ok_or_else(|| Error::corrupt("file extent").message("it is shorter than it says"))
    }

    fn decode(&self, extent: &FileExtent) -> Result<Arc<[u8]>> {
        let lock = || self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = lock().as_ref().filter(|(at, _)| *at == extent.disk_bytenr) {
            return Ok(Arc::clone(bytes));
        }
        let range = ByteRange::at(extent.disk_bytenr, extent.disk_num_bytes);
        let Some(range) = range.filter(|range| range.len() <= MOST) else {
            let error = Error::corrupt("file extent").expected(format_args!("at most {MOST}"));
            return Err(error.found(format_args!("{} bytes", extent.disk_num_bytes)));
        };
        let packed = verified(&self.fs, range)?;
        let sector = self.fs.info.block_size;
        let bytes = decompress(extent.compression, &packed, extent.ram_bytes, sector)?;
        let bytes: Arc<[u8]> = bytes.into();
        *lock() = Some((extent.disk_bytenr, Arc::clone(&bytes)));
        Ok(bytes)
    }
}

impl ReadAt for Content {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.size)?;
        buf.fill(0);
        let length = u64::try_from(buf.len()).unwrap_or_default();
        let range = ByteRange::new(offset, offset.saturating_add(length));
        for piece in self.overlapping(range) {
            let Some(part) = piece.file.intersection(&range).filter(|p| !p.is_empty()) else {
                continue;
            };
            let damaged = |error: &Error| ReadError::Damaged {
                offset: part.start(),
                reason: error.chain(),
            };
            let bytes = self.bytes_of(piece, part).map_err(|e| damaged(&e))?;
            let from = to_usize(part.start().saturating_sub(offset)).unwrap_or_default();
            for (to, from) in buf.iter_mut().skip(from).zip(bytes) {
                *to = from;
            }
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        self.overlapping(range)
            .filter_map(|piece| piece.file.intersection(&range))
            .collect()
    }
}

/// The data at a logical range, each sector from a copy whose checksum is right. Data without
/// checksums come from the first copy that can be read.
fn verified(fs: &Btrfs, range: ByteRange) -> Result<Vec<u8>> {
    let sector = u64::from(fs.info.block_size);
    let whole = range.aligned_out(sector);
    let sums = checksums(fs, whole)?;
    let mut out = Vec::new();
    let mut failed = None;
    let mut at = whole.start();
    for place in fs.blocks.chunks.places(whole) {
        if place.logical.start() != at {
            break;
        }
        at = place.logical.end();
        let length = to_usize(place.logical.len()).unwrap_or_default();
        let size = to_usize(sector).unwrap_or_default().max(1);
        let mut best: Vec<Option<Vec<u8>>> = vec![None; length.div_ceil(size)];
        for copy in &place.copies {
            if best.iter().all(Option::is_some) {
                break;
            }
            let bytes = match read(&*fs.volume, "data", *copy, length) {
                Ok(bytes) => bytes,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            for (n, (sector, best)) in (0u64..).zip(bytes.chunks(size).zip(&mut best)) {
                let inner = n.saturating_mul(u64::from(fs.info.block_size));
                let logical = place.logical.start().saturating_add(inner);
                if best.is_none() && sums.hold(fs, logical, sector) {
                    *best = Some(sector.to_vec());
                } else if best.is_none() {
                    let error = Error::corrupt("data").at(copy.saturating_add(inner));
                    failed.get_or_insert(error.message("their checksum is wrong"));
                }
            }
        }
        for sector in best {
            match sector {
                Some(sector) => out.extend(sector),
                None => {
                    let missing = || Error::corrupt("data").message("they lie on a missing device");
                    return Err(failed.unwrap_or_else(missing));
                }
            }
        }
    }
    let from = to_usize(range.start().saturating_sub(whole.start())).unwrap_or_default();
    let end = from.saturating_add(to_usize(range.len()).unwrap_or(usize::MAX));
    let part = out.get(from..end).map(<[u8]>::to_vec);
    part.ok_or_else(|| {
        let text = format!("logical address {at} is in no chunk");
        Error::corrupt("data").message(text)
    })
}

/// Checksums of data, in runs of sectors.
struct Sums {
    /// Where each run begins, and its bytes.
    runs: Vec<(u64, Vec<u8>)>,
    sector: u64,
    length: usize,
}

impl Sums {
    /// Whether a sector has the checksum that is noted for it, or none is. What a log has is newer
    /// than what the checksum tree has.
    fn hold(&self, fs: &Btrfs, logical: u64, bytes: &[u8]) -> bool {
        let at = self.runs.partition_point(|(start, _)| *start <= logical);
        let run = at.checked_sub(1).and_then(|at| self.runs.get(at));
        let run = run.map(|(start, sums)| (*start, sums.as_slice()));
        let mut runs = [fs.logged.sums(logical), run].into_iter().flatten();
        let stored = runs.find_map(|run| self.of(run, logical));
        stored.is_none_or(|stored| fs.blocks.checksum.compute(bytes).starts_with(stored))
    }

    /// The checksum in a run of the sector at `logical`; `None` where the run ends before it.
    fn of<'r>(&self, (start, sums): (u64, &'r [u8]), logical: u64) -> Option<&'r [u8]> {
        let number = logical.checked_sub(start)?.checked_div(self.sector)?;
        let at = to_usize(number)?.checked_mul(self.length)?;
        sums.get(at..at.checked_add(self.length)?)
    }
}

fn checksums(fs: &Btrfs, range: ByteRange) -> Result<Sums> {
    let findings = |_: Diagnostic| {};
    let view = fs.view(&*fs.volume, &findings);
    let mut sums = Sums {
        runs: Vec::new(),
        sector: u64::from(fs.info.block_size),
        length: fs.blocks.checksum.length(),
    };
    let Some(tree) = view.tree(objectid::CSUM_TREE) else {
        return Ok(sums);
    };
    let first = Key::new(objectid::EXTENT_CSUM, item::EXTENT_CSUM, range.start());
    let mut cursor = tree.at_or_before(first)?;
    while let Some((leaf, slot)) = cursor.next()? {
        let found = leaf.item(slot)?;
        if found.key.objectid > objectid::EXTENT_CSUM || found.key.offset >= range.end() {
            break;
        }
        if found.key.kind == item::EXTENT_CSUM && found.key.objectid == objectid::EXTENT_CSUM {
            let bytes = found.fields.as_bytes().to_vec();
            sums.runs.push((found.key.offset, bytes));
        }
    }
    Ok(sums)
}
