//! What stands for the content of a named stream in a comparison: the content itself where it is
//! short, else a digest.

use std::sync::Arc;

use hexz_ondisk::read_into;
use hexz_resolve::{Diagnostic, Error, RawName, ReadAt, Result, Scan};
use sha2::{Digest, Sha256};

use crate::bytes::Content;
use crate::ondisk::{size, wide};

/// Streams up to this size stand for themselves.
const SHORT: u64 = 4096;
/// What is read at a time, and looked at for zeros.
const CHUNK: usize = 64 << 10;

/// A stream whose value is not known yet.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: RawName,
    pub(crate) content: Content,
}

/// Reads streams. A budget keeps a hostile image, in which many streams have the same clusters,
/// from being read for ever.
pub(crate) struct StreamReader<'a> {
    reader: &'a dyn ReadAt,
    cx: &'a Scan<'a>,
    budget: u64,
}

impl<'a> StreamReader<'a> {
    pub(crate) fn new(reader: &'a dyn ReadAt, cx: &'a Scan<'a>) -> Self {
        Self {
            reader,
            cx,
            budget: reader.len().saturating_mul(2),
        }
    }

    /// A value that is equal for streams with the same content (for compressed and encrypted ones:
    /// with the same stored bytes).
    pub(crate) fn value(&mut self, stream: &Stream) -> Result<Arc<[u8]>> {
        let value = self.try_value(&stream.content);
        match value {
            Ok(value) => Ok(value.into()),
            Err(error) => {
                self.cx.tolerate(error.layer("ntfs"))?;
                Ok(Arc::from(&b"unreadable"[..]))
            }
        }
    }

    fn try_value(&mut self, content: &Content) -> Result<Vec<u8>> {
        let encoded = content.pieces.iter().any(|p| p.encoded);
        if content.size <= SHORT && !encoded {
            return content.read(self.reader, 0, size(content.size));
        }
        let mut digest = Sha256::new();
        digest.update(content.size.to_le_bytes());
        let end = content.size.min(content.initialized);
        let mut buf = vec![0; CHUNK];
        for piece in &content.pieces {
            let known = if piece.encoded { u64::MAX } else { end };
            let length = piece.range.len().min(known.saturating_sub(piece.offset));
            if !self.pay(length) {
                // Where it lies must do.
                digest.update(piece.range.start().to_le_bytes());
                digest.update(length.to_le_bytes());
                continue;
            }
            let mut done = 0u64;
            while done < length {
                self.cx.check()?;
                // Cut at multiples of the offset, so that the cut does not depend on the pieces.
                let offset = piece.offset.saturating_add(done);
                let into = size(offset).checked_rem(CHUNK).unwrap_or(0);
                let now = wide(CHUNK.saturating_sub(into)).min(length.saturating_sub(done));
                let place = piece.range.start().saturating_add(done);
                let Some(part) = buf.get_mut(..size(now)) else {
                    break;
                };
                read_into(self.reader, "named stream", place, part)?;
                hash(&mut digest, offset, part);
                done = done.saturating_add(now);
            }
        }
        Ok(digest.finalize().to_vec())
    }

    fn pay(&mut self, length: u64) -> bool {
        if let Some(rest) = self.budget.checked_sub(length) {
            self.budget = rest;
            return true;
        }
        let text = "named streams are not compared to the end";
        self.cx.diagnose(Diagnostic::warning("stream-limit", text));
        false
    }
}

/// Hashes the words that are not zero, each with its offset: what is zeros in one place may be a
/// hole in another, and a piece may end anywhere.
fn hash(digest: &mut Sha256, offset: u64, bytes: &[u8]) {
    const WORD: usize = 512;
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let into = size(at).checked_rem(WORD).unwrap_or(0);
        let length = WORD.saturating_sub(into).min(rest.len());
        let (word, after) = rest.split_at(length);
        if word.iter().any(|b| *b != 0) {
            digest.update(at.to_le_bytes());
            digest.update(word);
        }
        at = at.saturating_add(wide(length));
        rest = after;
    }
}

impl std::fmt::Debug for StreamReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").finish_non_exhaustive()
    }
}

/// An error about an attribute of a file.
pub(crate) fn attribute_error(place: u64, what: &str) -> Error {
    crate::ondisk::corrupt("attribute", place, what)
}
