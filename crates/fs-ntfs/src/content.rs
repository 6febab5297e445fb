//! The decoded content of a file.

use std::sync::{Arc, Mutex, PoisonError};

use hexz_resolve::{
    ByteRange, Error, FileKey, RangeSet, RawName, ReadAt, ReadError, Result, Scan, check_bounds,
};

use crate::bytes::Content;
use crate::file::{Body, File};
use crate::fs::Ntfs;
use crate::lznt1::decompress;
use crate::ondisk::{corrupt, kind, size, wide};
use crate::record::{Layout, Piece};

/// Largest unit that is decoded: Windows compresses where a cluster has at most 4 KiB, in units of
/// 16.
const MOST_UNIT: u64 = 1 << 20;

impl Ntfs {
    /// The decoded content of `file`: its unnamed data, or that of `stream`.
    pub(crate) fn content_of(
        &self,
        file: FileKey,
        stream: Option<&RawName>,
        cx: &Scan<'_>,
    ) -> Result<Arc<dyn ReadAt>> {
        let tolerate = |error| cx.tolerate(error);
        let number = Some(file.number).filter(|_| file.subvolume == 0);
        let found = number.map(|number| self.mft.file(&*self.reader, number, &tolerate));
        let Some(found) = found.transpose()?.flatten() else {
            let text = format!("there is no file {}", file.shown(None));
            return Err(Error::corrupt("content").message(text));
        };
        let place = self.mft.place(file.number);
        if self.systems.contains(file.number) {
            // What a metadata file holds is told by its role.
            return Ok(Arc::new(Vec::new()));
        }
        let name = stream.map_or(&b""[..], RawName::as_bytes);
        let geometry = &self.mft.geometry;
        let Some(content) = found.content(kind::DATA, name, geometry) else {
            return match stream {
                None => Ok(Arc::new(Vec::new())),
                Some(stream) => Err(corrupt("content", place, &format!("no stream {stream:?}"))),
            };
        };
        let unit = match found.layout(name) {
            Layout::Plain => 0,
            Layout::Encrypted => {
                return Err(Error::unsupported("content", "it is encrypted").at(place));
            }
            Layout::Compressed(clusters) => clusters.saturating_mul(geometry.cluster),
        };
        if unit > MOST_UNIT {
            let text = format!("compressed in units of {unit} bytes");
            return Err(Error::unsupported("content", text).at(place));
        }
        Ok(Arc::new(Decoded {
            volume: Arc::clone(&self.reader),
            content,
            unit,
            last: Mutex::default(),
        }))
    }
}

impl File {
    /// How the clusters of its data hold the content.
    fn layout(&self, name: &[u8]) -> Layout {
        let mut data = self
            .attributes
            .iter()
            .filter(|a| a.kind == kind::DATA && a.name == name);
        data.find_map(|a| match &a.body {
            Body::Extent(extent) => Some(extent.layout()),
            Body::Resident { .. } => None,
        })
        .unwrap_or(Layout::Plain)
    }
}

/// Content as whoever opens the file reads it.
struct Decoded {
    volume: Arc<dyn ReadAt>,
    content: Content,
    /// Bytes of a compression unit; 0 where nothing is compressed.
    unit: u64,
    /// The unit decoded last, by its offset.
    last: Mutex<Option<(u64, Arc<[u8]>)>>,
}

impl Decoded {
    /// The end of what was written; behind it there are zeros.
    fn written(&self) -> u64 {
        self.content.size.min(self.content.initialized)
    }

    /// The unit at `start`, decoded.
    fn decode(&self, start: u64) -> Result<Arc<[u8]>, ReadError> {
        let lock = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = lock().as_ref().filter(|(at, _)| *at == start) {
            return Ok(Arc::clone(bytes));
        }
        let unit = ByteRange::new(start, start.saturating_add(self.unit));
        let mut packed = Vec::new();
        for (_, range) in self.content.places(unit) {
            let from = packed.len();
            packed.resize(from.saturating_add(size(range.len())), 0);
            let part = packed.get_mut(from..).unwrap_or_default();
            self.volume.read_exact_at(range.start(), part)?;
        }
        let mut bytes = vec![0; size(self.unit)];
        decompress(&packed, &mut bytes).map_err(|what| ReadError::Damaged {
            offset: start,
            reason: format!("compressed data: {what}"),
        })?;
        let bytes: Arc<[u8]> = bytes.into();
        *lock() = Some((start, Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// The pieces within `want`: `Ok` with a place on the volume, or `Err` with the start of the
    /// unit it is in.
    fn pieces(&self, want: ByteRange) -> impl Iterator<Item = (ByteRange, Result<u64, u64>)> + '_ {
        let unit_of = |at: u64| {
            at.checked_rem(self.unit)
                .map_or(at, |r| at.saturating_sub(r))
        };
        // Of a unit that is compressed less is stored than it stands for.
        let from = unit_of(want.start());
        let behind = |p: &Piece| p.offset.saturating_add(p.range.len());
        let first = self.content.pieces.partition_point(|p| behind(p) <= from);
        let pieces = self.content.pieces.get(first..).unwrap_or_default().iter();
        let mut done = want.start();
        pieces
            .take_while(move |p| p.offset < want.end())
            .filter_map(move |p| {
                let (own, place) = if p.encoded {
                    let start = unit_of(p.offset);
                    (
                        ByteRange::new(start, start.saturating_add(self.unit)),
                        Err(start),
                    )
                } else {
                    (ByteRange::new(p.offset, behind(p)), Ok(p.range.start()))
                };
                let part = own.intersection(&ByteRange::new(done, want.end().max(done)))?;
                done = part.end();
                let skipped = part.start().saturating_sub(own.start());
                Some((part, place.map(|at| at.saturating_add(skipped))))
            })
    }
}

impl ReadAt for Decoded {
    fn len(&self) -> u64 {
        self.content.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.content.size)?;
        buf.fill(0);
        let end = offset.saturating_add(wide(buf.len())).min(self.written());
        if offset >= end {
            return Ok(());
        }
        for (part, place) in self.pieces(ByteRange::new(offset, end)) {
            let within = |at: u64| size(at.saturating_sub(offset));
            let Some(target) = buf.get_mut(within(part.start())..within(part.end())) else {
                continue;
            };
            match place {
                Ok(place) => self.volume.read_exact_at(place, target)?,
                Err(unit) => {
                    let bytes = self.decode(unit)?;
                    let from = size(part.start().saturating_sub(unit));
                    let source = bytes.get(from..).unwrap_or_default();
                    for (target, byte) in target.iter_mut().zip(source) {
                        *target = *byte;
                    }
                }
            }
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let written = ByteRange::new(0, self.written());
        let Some(want) = range.intersection(&written) else {
            return RangeSet::new();
        };
        self.pieces(want).map(|(part, _)| part).collect()
    }
}
