//! What is remembered of stored blocks, so that it need not be found out again: hexz stores equal
//! blocks once, and a disk has many that are zeros; a damaged block is asked for piece by piece.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use hexz_resolve::{Error, ErrorKind, Result};

use super::index::{Block, Kind};

/// Most blocks that are remembered. Of zeros, there is one for each length of block.
const MAX: usize = 4096;

#[derive(Clone)]
enum Note {
    Zeros,
    Damaged(String),
}

/// By offset in the file and length on the disk.
#[derive(Default)]
pub(super) struct Notes(RwLock<BTreeMap<(u64, u64), Note>>);

impl Notes {
    /// Whether the block at `offset` is known to be zeros; an error when it is known to be
    /// damaged.
    pub(super) fn zeros(&self, block: &Block, offset: u64) -> Result<bool> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(&(offset, block.range.len())) {
            Some(Note::Zeros) => Ok(true),
            Some(Note::Damaged(why)) => Err(Error::corrupt("hxz block").message(why.clone())),
            None => Ok(false),
        }
    }

    /// Remembers what decoding `block` gave, if it is worth it.
    pub(super) fn keep(&self, block: &Block, offset: u64, bytes: &[u8], outcome: &Result<()>) {
        let Kind::Stored { length, .. } = block.kind else {
            return;
        };
        // What compressed less is not worth looking at.
        let packed = u64::from(length) << 6 < block.range.len();
        let note = match outcome {
            Ok(()) if packed && bytes.iter().all(|byte| *byte == 0) => Note::Zeros,
            // A read error may go away; damage stays.
            Err(e) if e.kind() == ErrorKind::Corrupt => Note::Damaged(e.chain()),
            _ => return,
        };
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX {
            known.insert((offset, block.range.len()), note);
        }
    }
}
