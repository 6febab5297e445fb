//! A cache of decoded pieces of an image, within a byte budget, for several threads.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::num::usize_of;

/// Most shards; a power of two.
const SHARDS: usize = 16;
/// Entries of the usual size that a shard holds at least.
const ENTRIES: usize = 4;

/// Keyed by position in the image. Second chance: what was used since the hand last passed stays.
pub(crate) struct Cache<V: ?Sized> {
    shards: Vec<Mutex<Shard<V>>>,
    budget: usize,
}

struct Shard<V: ?Sized> {
    entries: HashMap<u64, Entry<V>>,
    /// Keys in the order the hand meets them.
    ring: VecDeque<u64>,
    bytes: usize,
}

struct Entry<V: ?Sized> {
    value: Arc<V>,
    bytes: usize,
    used: bool,
}

impl<V: ?Sized> Cache<V> {
    /// Keeps up to `bytes`, in entries of mostly `entry` bytes.
    pub(crate) fn new(bytes: usize, entry: usize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                entries: HashMap::new(),
                ring: VecDeque::new(),
                bytes: 0,
            })
        };
        let mut count = SHARDS;
        let least = entry.saturating_mul(ENTRIES);
        while count > 1 && bytes.checked_div(count).unwrap_or(0) < least {
            count >>= 1;
        }
        Self {
            shards: std::iter::repeat_with(shard).take(count).collect(),
            budget: bytes.checked_div(count).unwrap_or(0),
        }
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, Shard<V>>> {
        // Neighbours go to different shards, also where keys are multiples of a block size.
        let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let at = usize_of(mixed) & self.shards.len().saturating_sub(1);
        let shard = self.shards.get(at)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, key: u64) -> Option<Arc<V>> {
        let mut shard = self.shard(key)?;
        let entry = shard.entries.get_mut(&key)?;
        entry.used = true;
        Some(Arc::clone(&entry.value))
    }

    /// Keeps `value`, unless it alone takes up a shard's budget.
    pub(crate) fn insert(&self, key: u64, value: Arc<V>, bytes: usize) {
        if bytes > self.budget {
            return;
        }
        let Some(mut shard) = self.shard(key) else {
            return;
        };
        if shard.entries.contains_key(&key) {
            return;
        }
        while shard.bytes.saturating_add(bytes) > self.budget {
            if !shard.evict_one() {
                break;
            }
        }
        shard.bytes = shard.bytes.saturating_add(bytes);
        shard.ring.push_back(key);
        let used = false;
        shard.entries.insert(key, Entry { value, bytes, used });
    }
}

impl<V: ?Sized> Shard<V> {
    /// Moves the hand to the first entry that was not used since, and drops it.
    fn evict_one(&mut self) -> bool {
        while let Some(key) = self.ring.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.ring.push_back(key);
                }
                Some(entry) => {
                    self.bytes = self.bytes.saturating_sub(entry.bytes);
                    self.entries.remove(&key);
                    return true;
                }
                None => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_budget_and_keeps_what_is_used() {
        let cache: Cache<[u8]> = Cache::new(SHARDS * 1000, 100);
        let block: Arc<[u8]> = Arc::from(vec![0; 100]);
        cache.insert(7, Arc::clone(&block), 100);
        for key in 100..2000 {
            assert!(cache.get(7).is_some(), "dropped before {key}");
            cache.insert(key, Arc::clone(&block), 100);
        }
        let bytes = |s: &Mutex<Shard<[u8]>>| s.lock().unwrap().bytes;
        assert!(cache.shards.iter().all(|s| bytes(s) <= 1000));
        let counted = |s: &Mutex<Shard<[u8]>>| s.lock().unwrap().entries.len() * 100;
        assert!(cache.shards.iter().all(|s| bytes(s) == counted(s)));
        cache.insert(9, Arc::from(vec![0; 5000]), 5000);
        assert!(cache.get(9).is_none());
        let few: Cache<[u8]> = Cache::new(SHARDS * 1000, 1000);
        assert_eq!(few.shards.len(), 4);
    }
}
