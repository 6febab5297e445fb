//! Reading the entries of single files.

use hexz_ondisk::{read, read_into, to_usize};
use hexz_resolve::{ByteRange, ReadAt, Result};

use crate::tree::{Item, Tree};

/// Bytes that are read around a set, since the next one mostly lies near.
const WINDOW: u64 = 16 << 10;

/// A reader of sets that remembers where it read last.
pub(crate) struct Sets<'a> {
    reader: &'a dyn ReadAt,
    tree: &'a Tree,
    start: u64,
    window: Vec<u8>,
}

impl<'a> Sets<'a> {
    pub(crate) const fn new(reader: &'a dyn ReadAt, tree: &'a Tree) -> Self {
        Self {
            reader,
            tree,
            start: 0,
            window: Vec::new(),
        }
    }

    /// The bytes of the entries of `item`.
    pub(crate) fn read(&mut self, item: &Item) -> Result<Vec<u8>> {
        let mut set = Vec::new();
        for piece in self.tree.set_of(item) {
            match self.near(piece) {
                Some(bytes) => set.extend_from_slice(bytes),
                None => {
                    let length = to_usize(piece.len()).unwrap_or_default();
                    let bytes = read(self.reader, "directory entry", piece.start(), length)?;
                    set.extend_from_slice(&bytes);
                }
            }
        }
        Ok(set)
    }

    /// The bytes of `piece`, from the window; `None` when the window can't be read.
    fn near(&mut self, piece: ByteRange) -> Option<&[u8]> {
        let within = |start: u64, length: usize| {
            let from = to_usize(piece.start().checked_sub(start)?)?;
            let to = from.checked_add(to_usize(piece.len())?)?;
            (to <= length).then_some(from..to)
        };
        if within(self.start, self.window.len()).is_none() {
            let start = piece.start();
            let end = start.checked_add(WINDOW)?.min(self.reader.len());
            self.window.clear();
            self.window.resize(to_usize(end.checked_sub(start)?)?, 0);
            if read_into(self.reader, "directory", start, &mut self.window).is_err() {
                // A bad place near it is not one of it.
                self.window.clear();
                return None;
            }
            self.start = start;
        }
        let range = within(self.start, self.window.len())?;
        self.window.get(range)
    }
}
