//! Items that replaying a log changed, over those that lie in a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use hexz_ondisk::Fields;

use crate::node::Item;
use crate::ondisk::Key;

/// An item that stands in place of what the tree has at its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    /// Volume address of the bytes, or of those that they were made from.
    pub(crate) place: u64,
    /// Logical address at which the very bytes lie.
    pub(crate) logical: Option<u64>,
}

impl Stored {
    /// A copy of an item.
    pub(crate) fn of(item: &Item<'_>) -> Self {
        Self {
            bytes: item.fields.as_bytes().to_vec(),
            place: item.fields.offset(),
            logical: item.logical,
        }
    }

    /// The same item with other bytes, which lie nowhere.
    pub(crate) const fn with(&self, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            place: self.place,
            logical: None,
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new("item", self.place, &self.bytes)
    }

    /// It as the item at `key`.
    pub(crate) fn item(&self, key: Key) -> Item<'_> {
        Item {
            key,
            fields: self.fields(),
            logical: self.logical,
        }
    }
}

/// What was put and what was taken away.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    put: BTreeMap<Key, Stored>,
    gone: BTreeSet<Key>,
}

impl Overlay {
    pub(crate) fn put(&mut self, key: Key, item: Stored) {
        self.gone.remove(&key);
        self.put.insert(key, item);
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.put.remove(&key);
        self.gone.insert(key);
    }

    /// What stands at `key`; `None` where the tree decides, and `Some(None)` where it is gone.
    pub(crate) fn get(&self, key: Key) -> Option<Option<&Stored>> {
        match self.put.get(&key) {
            Some(item) => Some(Some(item)),
            None => self.gone.contains(&key).then_some(None),
        }
    }

    /// Whether what the tree has at `key` is no more.
    pub(crate) fn hides(&self, key: Key) -> bool {
        self.put.contains_key(&key) || self.gone.contains(&key)
    }

    /// The items from `first` to `last`, rising.
    pub(crate) fn range(&self, first: Key, last: Key) -> impl Iterator<Item = (Key, &Stored)> {
        let bounds = (first <= last).then_some((Bound::Included(first), Bound::Included(last)));
        let items = bounds.map(|bounds| self.put.range(bounds));
        items.into_iter().flatten().map(|(key, item)| (*key, item))
    }

    /// The last item whose key is not above `key`.
    pub(crate) fn at_or_before(&self, key: Key) -> Option<(Key, &Stored)> {
        let (key, item) = self.put.range(..=key).next_back()?;
        Some((*key, item))
    }

    /// All items, by rising key.
    pub(crate) fn items(&self) -> impl Iterator<Item = (Key, &Stored)> {
        self.put.iter().map(|(key, item)| (*key, item))
    }
}
