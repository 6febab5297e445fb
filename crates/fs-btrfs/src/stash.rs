//! Items of files that were met on the way and will be asked for again, so that their leaves need not
//! be read for each question: those of the files that differ between two views.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hexz_ondisk::Fields;
use hexz_resolve::{FileKey, Result};

use crate::node::Item;
use crate::ondisk::Key;

/// Bytes of the items of one file: a large directory is read where it lies.
const MOST: usize = 16 << 10;
/// Bytes that an item takes up beside its own.
const HEAD: usize = 64;

/// All items of one file, by rising key.
#[derive(Debug, Default)]
pub(crate) struct Items {
    heads: Vec<Head>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Head {
    key: Key,
    /// Volume address of the bytes.
    place: u64,
    logical: Option<u64>,
    /// Where in the bytes of all items its own end.
    end: usize,
}

impl Items {
    /// Adds an item behind the others. Says `false` where there are too many.
    pub(crate) fn push(&mut self, item: &Item<'_>) -> bool {
        self.bytes.extend_from_slice(item.fields.as_bytes());
        self.heads.push(Head {
            key: item.key,
            place: item.fields.offset(),
            logical: item.logical,
            end: self.bytes.len(),
        });
        self.size() <= MOST
    }

    fn size(&self) -> usize {
        let heads = self.heads.len().saturating_mul(HEAD);
        heads.saturating_add(self.bytes.len())
    }

    /// Calls `visit` with each item from `first` to `last`, until it says `false`.
    pub(crate) fn each(
        &self,
        first: Key,
        last: Key,
        mut visit: impl FnMut(&Item<'_>) -> Result<bool>,
    ) -> Result<()> {
        let from = self.heads.partition_point(|head| head.key < first);
        let before = from.checked_sub(1).and_then(|at| self.heads.get(at));
        let mut start = before.map_or(0, |head| head.end);
        for head in self.heads.get(from..).unwrap_or_default() {
            if head.key > last {
                break;
            }
            let bytes = self.bytes.get(start..head.end).unwrap_or_default();
            let item = Item {
                key: head.key,
                fields: Fields::new("item", head.place, bytes),
                logical: head.logical,
            };
            if !visit(&item)? {
                break;
            }
            start = head.end;
        }
        Ok(())
    }
}

/// The items of many files.
#[derive(Debug, Default)]
pub(crate) struct Stash(RwLock<Stashed>);

#[derive(Debug, Default)]
struct Stashed {
    files: HashMap<FileKey, Arc<Items>>,
    bytes: usize,
}

impl Stash {
    /// Adds the items of a file, unless all that is there then takes up more than `most` bytes.
    pub(crate) fn put(&self, file: FileKey, items: Items, most: usize) {
        let mut stashed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = stashed
            .bytes
            .saturating_add(items.size())
            .saturating_add(HEAD);
        if bytes <= most && stashed.files.insert(file, Arc::new(items)).is_none() {
            stashed.bytes = bytes;
        }
    }

    /// The items of a file, where they are known.
    pub(crate) fn get(&self, file: FileKey) -> Option<Arc<Items>> {
        let stashed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        stashed.files.get(&file).map(Arc::clone)
    }
}
