//! From stored bytes to the bytes of a block.

use std::sync::{Mutex, PoisonError};

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Error, ReadAt, Result};
use ruzstd::decoding::{Dictionary, FrameDecoder};

use super::header::{Compression, Header};
use super::index::{Block, Kind};
use crate::num::{u64_of, usize_of};

/// Longest dictionary that is read; hexz trains them to some 100 KiB.
const MAX_DICTIONARY: u32 = 16 << 20;

/// LZ4 can't do better than one byte for 255.
const LZ4_BEST: usize = 256;

pub(super) struct Decoder {
    compression: Compression,
    dictionary: Option<Vec<u8>>,
    /// Decoders that no thread is using: their tables and windows are worth keeping.
    idle: Mutex<Vec<FrameDecoder>>,
}

impl Decoder {
    pub(super) fn new(header: &Header, file: &dyn ReadAt) -> Result<Self> {
        let dictionary = match header.dictionary {
            Some((offset, length)) if length > MAX_DICTIONARY => {
                let message = format!("{length} bytes; at most {MAX_DICTIONARY} are read");
                return Err(Error::limit("hxz dictionary", message).at(offset));
            }
            Some((offset, length)) => {
                let length = usize_of(u64::from(length));
                Some(read(file, "hxz dictionary", offset, length)?)
            }
            None => None,
        };
        let decoder = Self {
            compression: header.compression,
            dictionary,
            idle: Mutex::new(Vec::new()),
        };
        if decoder.compression == Compression::Zstd {
            let ready = decoder.frame_decoder()?;
            decoder.keep(ready);
        }
        Ok(decoder)
    }

    /// Fills `out`, which is as long as the block, with the bytes of `block`.
    pub(super) fn decode(&self, file: &dyn ReadAt, block: &Block, out: &mut [u8]) -> Result<()> {
        let Kind::Stored { offset, length } = block.kind else {
            out.fill(0);
            return Ok(());
        };
        let raw = read(file, "hxz block", offset, usize_of(u64::from(length)))?;
        let damaged = || Error::corrupt("hxz block").at(offset);
        let crc = crc32fast::hash(&raw);
        if block.checksum != 0 && crc != block.checksum {
            return Err(damaged()
                .expected(format_args!("checksum {:08x}", block.checksum))
                .found(format_args!("{crc:08x}")));
        }
        let written = match self.compression {
            Compression::Lz4 => self.lz4(&raw, offset, out)?,
            Compression::Zstd => self.zstd(&raw, offset, out)?,
            Compression::Stored if raw.len() == out.len() => {
                out.copy_from_slice(&raw);
                raw.len()
            }
            Compression::Stored => raw.len(),
        };
        if written != out.len() {
            let expected = format!("{} bytes", out.len());
            return Err(damaged().expected(expected).found(written));
        }
        Ok(())
    }

    fn lz4(&self, raw: &[u8], offset: u64, out: &mut [u8]) -> Result<usize> {
        let fields = Fields::new("hxz block", offset, raw);
        let said = usize_of(u64::from(fields.le32(0)?));
        if said != out.len() {
            return Err(fields.corrupt(0).expected(out.len()).found(said));
        }
        lz4_flex::block::decompress_into(fields.rest(4)?, out)
            .map_err(|e| fields.corrupt(4).source(e))
    }

    fn zstd(&self, raw: &[u8], offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut decoder = self.frame_decoder()?;
        let written = decoder
            .decode_all(raw, out)
            .map_err(|e| Error::corrupt("hxz block").at(offset).source(e.to_string()))?;
        self.keep(decoder);
        Ok(written)
    }

    fn frame_decoder(&self) -> Result<FrameDecoder> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = idle.pop() {
            return Ok(decoder);
        }
        drop(idle);
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(64 << 20);
        if let Some(raw) = &self.dictionary {
            let wrong = |e: String| Error::corrupt("hxz dictionary").source(e);
            let dictionary = Dictionary::decode_dict(raw).map_err(|e| wrong(e.to_string()))?;
            decoder
                .add_dict(dictionary)
                .map_err(|e| wrong(e.to_string()))?;
        }
        Ok(decoder)
    }

    fn keep(&self, decoder: FrameDecoder) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < 32 {
            idle.push(decoder);
        }
    }

    /// Whether `block` can be as long as it says: checked before a buffer is made for it.
    pub(super) fn plausible(&self, block: &Block) -> bool {
        let Kind::Stored { length, .. } = block.kind else {
            return true;
        };
        let stored = usize_of(u64::from(length));
        let best = match self.compression {
            Compression::Lz4 => LZ4_BEST,
            Compression::Zstd => usize::MAX,
            Compression::Stored => 1,
        };
        u64_of(stored.saturating_mul(best)) >= block.range.len()
    }
}
