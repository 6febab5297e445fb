//! What was read out of a base that many disks are compared with: once for all of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{ByteMap, RangeSet};

/// What a store is asked for: a pass or a kind of result, with the types of key and value.
type Kind = (&'static str, TypeId, TypeId);

/// Values by keys of any type.
#[derive(Default)]
pub(crate) struct Store {
    /// In several parts, by the hash of the key, so that threads seldom wait for each other.
    parts: [Mutex<HashMap<Kind, Box<dyn Any + Send>>>; 16],
}

impl Store {
    fn with<K, V, R>(
        &self,
        what: &'static str,
        key: &K,
        f: impl FnOnce(&mut HashMap<K, V>) -> R,
    ) -> Option<R>
    where
        K: Hash + Send + 'static,
        V: Send + 'static,
    {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let part = self
            .parts
            .get(hasher.finish() as usize % self.parts.len())?;
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        part.entry((what, TypeId::of::<K>(), TypeId::of::<V>()))
            .or_insert_with(|| Box::new(HashMap::<K, V>::new()))
            .downcast_mut::<HashMap<K, V>>()
            .map(f)
    }

    pub(crate) fn get<K, V>(&self, what: &'static str, key: &K) -> Option<V>
    where
        K: Hash + Eq + Send + 'static,
        V: Clone + Send + 'static,
    {
        self.with(what, key, |map: &mut HashMap<K, V>| map.get(key).cloned())
            .flatten()
    }

    pub(crate) fn put<K, V>(&self, what: &'static str, key: &K, value: V)
    where
        K: Hash + Eq + Clone + Send + 'static,
        V: Send + 'static,
    {
        self.with(what, key, |map: &mut HashMap<K, V>| {
            map.insert(key.clone(), value);
        });
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// What comparisons with one base have read out of it, for those that come after. It may be given
/// to comparisons with that base only, all with the same options.
#[derive(Debug, Default)]
pub struct Memo {
    volumes: Mutex<HashMap<ByteMap, Arc<VolumeMemo>>>,
}

impl Memo {
    /// What is known of the volume that lies where `map` says.
    pub(crate) fn of(&self, map: &ByteMap) -> Arc<VolumeMemo> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(volumes.entry(map.clone()).or_default())
    }
}

/// What is known of one volume of a base.
#[derive(Debug)]
pub(crate) struct VolumeMemo {
    store: Store,
    /// Bytes that may still be kept.
    room: AtomicUsize,
}

impl Default for VolumeMemo {
    fn default() -> Self {
        Self {
            store: Store::default(),
            room: AtomicUsize::new(128 << 20),
        }
    }
}

/// Items, and the bytes of the volume that they were read from.
pub(crate) type Kept<T> = (Arc<[T]>, Arc<RangeSet>);

impl VolumeMemo {
    pub(crate) fn get<K, T>(&self, what: &'static str, key: &K) -> Option<Kept<T>>
    where
        K: Hash + Eq + Send + 'static,
        T: Send + Sync + 'static,
    {
        self.store.get(what, key)
    }

    /// Keeps `items`, where there is room.
    pub(crate) fn put<K, T>(&self, what: &'static str, key: &K, kept: Kept<T>)
    where
        K: Hash + Eq + Clone + Send + 'static,
        T: Send + Sync + 'static,
    {
        // So much goes with each of them.
        const BESIDE: usize = 256;
        let size = size_of_val(&*kept.0).saturating_add(BESIDE);
        let less = |room: usize| room.checked_sub(size);
        let order = Ordering::Relaxed;
        if self.room.fetch_update(order, order, less).is_ok() {
            self.store.put(what, key, kept);
        }
    }
}
