//! Lists of very many items: in memory as long as there is room, else in a scratch file of which a
//! few pages are in memory.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering as Order;
use std::sync::{Arc, Mutex, PoisonError};

use super::memory::{Memory, PAGE};
use super::run::Run;
use crate::{Result, ScratchFile};

/// Pages of one list that are in memory once it is in a file.
const PAGES: usize = 16;

/// An item that can be written down.
pub(super) trait Item: Clone + Send + Sync {
    /// Bytes of each.
    const BYTES: usize;

    /// Appends [`Item::BYTES`] bytes; `None` for an item that can't be written down.
    fn put(&self, out: &mut Vec<u8>) -> Option<()>;

    /// Reads what [`Item::put`] wrote.
    fn take(bytes: &[u8]) -> Self;
}

impl Item for u8 {
    const BYTES: usize = 1;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.push(*self);
        Some(())
    }

    fn take(bytes: &[u8]) -> Self {
        bytes.first().copied().unwrap_or_default()
    }
}

impl Item for u64 {
    const BYTES: usize = 8;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&self.to_le_bytes());
        Some(())
    }

    fn take(bytes: &[u8]) -> Self {
        number(bytes, 0)
    }
}

impl Item for u32 {
    const BYTES: usize = 4;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&self.to_le_bytes());
        Some(())
    }

    fn take(bytes: &[u8]) -> Self {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        Self::from_le_bytes(bytes)
    }
}

/// Number `n` of the eight-byte numbers in an item.
pub(super) fn number(bytes: &[u8], n: usize) -> u64 {
    let field = bytes.get(n * 8..).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(field.copied().unwrap_or_default())
}

/// What of a list lies in a file: its first items.
struct Filed<T> {
    file: Box<dyn ScratchFile>,
    items: usize,
    /// The first item of each page.
    fences: Vec<T>,
    /// Those read last, the latest first.
    pages: Mutex<VecDeque<(usize, Arc<[T]>)>>,
}

/// A list of `T`.
pub(super) struct Spill<T> {
    memory: Option<Arc<Memory>>,
    /// Those behind the filed ones.
    held: Vec<T>,
    /// Bytes of them that are counted.
    counted: usize,
    filed: Option<Filed<T>>,
    /// Whether it holds an item that can't be written down.
    stays: bool,
}

impl<T> Default for Spill<T> {
    fn default() -> Self {
        Self {
            memory: None,
            held: Vec::new(),
            counted: 0,
            filed: None,
            stays: false,
        }
    }
}

impl<T> Drop for Spill<T> {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.held.fetch_sub(self.counted, Order::Relaxed);
        }
    }
}

impl<T: Item> Spill<T> {
    pub(super) fn new(run: &Run<'_>) -> Self {
        Self::within(&run.memory)
    }

    fn within(memory: &Arc<Memory>) -> Self {
        let mut list = Self::default();
        list.memory = Some(Arc::clone(memory));
        list
    }

    fn page(&self) -> usize {
        self.memory.as_ref().map_or(PAGE, |m| m.page(T::BYTES))
    }

    fn filed(&self) -> usize {
        self.filed.as_ref().map_or(0, |filed| filed.items)
    }

    pub(super) fn len(&self) -> usize {
        self.filed() + self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, item: T) {
        self.held.push(item);
        if self.held.len().is_multiple_of(self.page()) {
            self.make_room();
        }
    }

    pub(super) fn extend(&mut self, items: &[T]) {
        let before = self.held.len() / self.page();
        self.held.extend_from_slice(items);
        if self.held.len() / self.page() > before {
            self.make_room();
        }
    }

    /// Counts what is held, and puts it away where that is too much.
    fn make_room(&mut self) {
        let Some(memory) = self.memory.clone() else {
            return;
        };
        self.count(&memory);
        if memory.is_short() && !self.stays {
            self.put_away(&memory);
            self.count(&memory);
        }
    }

    fn count(&mut self, memory: &Memory) {
        let now = self.held.capacity() * size_of::<T>();
        memory.held.fetch_add(now, Order::Relaxed);
        memory.held.fetch_sub(self.counted, Order::Relaxed);
        self.counted = now;
    }

    /// Writes the full pages that are held to the file.
    fn put_away(&mut self, memory: &Memory) {
        let page = self.page();
        let whole = self.held.len() / page * page;
        let mut bytes = Vec::with_capacity(page * T::BYTES);
        if self.filed.is_none() {
            memory.away.store(true, Order::Relaxed);
            self.filed = memory.file().map(|file| Filed {
                file,
                items: 0,
                fences: Vec::new(),
                pages: Mutex::default(),
            });
        }
        let Some(filed) = &mut self.filed else {
            self.stays = true;
            return;
        };
        let mut written = 0;
        for items in self.held.get(..whole).unwrap_or_default().chunks(page) {
            bytes.clear();
            if items.iter().any(|item| item.put(&mut bytes).is_none()) {
                self.stays = true;
                break;
            }
            let offset = (filed.items * T::BYTES) as u64;
            if let Err(error) = filed.file.write_all_at(&bytes, offset) {
                memory.fail(&error);
                self.stays = true;
                break;
            }
            filed.items += items.len();
            filed.fences.extend(items.first().cloned());
            written += items.len();
        }
        self.held.drain(..written);
        self.held.shrink_to(page);
    }

    /// Reads the page that begins with item `first`.
    fn read(&self, filed: &Filed<T>, first: usize) -> Option<Arc<[T]>> {
        let count = (filed.items - first).min(self.page());
        let mut bytes = vec![0; count * T::BYTES];
        let read = filed
            .file
            .read_exact_at(&mut bytes, (first * T::BYTES) as u64);
        if let (Err(error), Some(memory)) = (read, &self.memory) {
            memory.fail(&error);
            return None;
        }
        Some(bytes.chunks_exact(T::BYTES).map(T::take).collect())
    }

    /// The page with item `at`, and where in it that is.
    fn page_of(&self, filed: &Filed<T>, at: usize) -> Option<(Arc<[T]>, usize)> {
        let within = at % self.page();
        let first = at - within;
        let mut pages = filed.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pages.iter().position(|(page, _)| *page == first);
        let page = match known.and_then(|n| pages.remove(n)) {
            Some((_, page)) => page,
            None => {
                pages.truncate(PAGES - 1);
                self.read(filed, first)?
            }
        };
        pages.push_front((first, Arc::clone(&page)));
        Some((page, within))
    }

    pub(super) fn get(&self, at: usize) -> Option<T> {
        match &self.filed {
            Some(filed) if at < filed.items => {
                let (page, within) = self.page_of(filed, at)?;
                page.get(within).cloned()
            }
            filed => {
                let filed = filed.as_ref().map_or(0, |filed| filed.items);
                self.held.get(at - filed).cloned()
            }
        }
    }

    /// The items in `range`.
    pub(super) fn range(&self, range: Range<usize>) -> Option<Cow<'_, [T]>> {
        let filed = self.filed();
        if range.start >= filed {
            let held = self.held.get(range.start - filed..range.end - filed);
            return held.map(Cow::Borrowed);
        }
        let filed = self.filed.as_ref()?;
        let mut items = Vec::with_capacity(range.len());
        let mut at = range.start;
        while at < range.end.min(filed.items) {
            let (page, within) = self.page_of(filed, at)?;
            let rest = page.get(within..)?;
            let rest = rest.get(..rest.len().min(range.end - at))?;
            items.extend_from_slice(rest);
            at += rest.len();
        }
        let behind = range.end.saturating_sub(filed.items);
        items.extend_from_slice(self.held.get(..behind)?);
        Some(Cow::Owned(items))
    }

    /// All of it, where it is in memory.
    pub(super) fn in_memory(&self) -> Option<&[T]> {
        self.filed.is_none().then_some(&self.held)
    }

    /// All items, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let page = self.page();
        let starts = (0..self.len()).step_by(page);
        starts.flat_map(move |from| {
            let items = self.range(from..(from + page).min(self.len()));
            items.map(Cow::into_owned).unwrap_or_default()
        })
    }

    /// The first item that `before` is false for, where it is true for none behind one.
    pub(super) fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let behind = self.filed();
        let Some(filed) = &self.filed else {
            return self.held.partition_point(before);
        };
        if self.held.first().is_some_and(&before) {
            return behind + self.held.partition_point(before);
        }
        let Some(page) = filed.fences.partition_point(&before).checked_sub(1) else {
            return 0;
        };
        let first = page * self.page();
        let items = self.page_of(filed, first);
        first + items.map_or(0, |(items, _)| items.partition_point(before))
    }

    /// Sorts it, and leaves out what `same` says of an item and the one before it. What decides
    /// about an item is its `key`: looking it up anew costs much where that is in a file too.
    pub(super) fn sort<K: Send + Sync>(
        &mut self,
        run: &Run<'_>,
        key: impl Fn(&T) -> K + Send + Sync,
        order: impl Fn(&K, &K) -> Ordering + Send + Sync,
        same: impl Fn(&K, &K) -> bool,
    ) -> Result<()> {
        // A key may be looked up in another list, which may be in a file.
        if self.filed.is_none() && !run.memory.away.load(Order::Relaxed) {
            run.sort(&mut self.held, |a, b| order(&key(a), &key(b)));
            self.held.dedup_by(|a, b| same(&key(b), &key(a)));
            return Ok(());
        }
        let (sorted, runs) = self.sort_parts(run, &key, &order)?;
        *self = merge(run, &sorted, &runs, (key, order, same))?;
        Ok(())
    }

    /// Sorts as much at a time as there is memory for. Gives the parts in one list, and where each
    /// is.
    fn sort_parts<K: Send + Sync>(
        &mut self,
        run: &Run<'_>,
        key: &(impl Fn(&T) -> K + Send + Sync),
        order: &(impl Fn(&K, &K) -> Ordering + Send + Sync),
    ) -> Result<(Self, Vec<Range<usize>>)> {
        // A key may have a name beside it.
        let each = size_of::<(K, T)>() + 64;
        let at_once = (run.memory.budget / 4 / each).max(self.page() * 4);
        let (mut sorted, mut runs) = (Self::new(run), Vec::new());
        let mut at = 0;
        while at < self.len() {
            run.check()?;
            let end = (at + at_once).min(self.len());
            let items = self.range(at..end);
            let items = items.map(Cow::into_owned).unwrap_or_default();
            let mut keyed: Vec<(K, T)> = items.into_iter().map(|i| (key(&i), i)).collect();
            run.memory.check()?;
            run.sort(&mut keyed, |(a, _), (b, _)| order(a, b));
            keyed.into_iter().for_each(|(_, item)| sorted.push(item));
            runs.push(at..end);
            at = end;
        }
        *self = Self::default();
        Ok((sorted, runs))
    }

    /// Those of it that `keep` is true for, made into something else.
    pub(super) fn filter_map<U: Item>(
        &self,
        run: &Run<'_>,
        mut keep: impl FnMut(T) -> Option<U>,
    ) -> Result<Spill<U>> {
        let mut kept = Spill::new(run);
        for (n, item) in self.iter().enumerate() {
            if n % 4096 == 0 {
                run.check()?;
            }
            if let Some(item) = keep(item) {
                kept.push(item);
            }
        }
        run.memory.check()?;
        Ok(kept)
    }
}

/// Merges sorted `runs` of a list.
fn merge<T: Item, K>(
    run: &Run<'_>,
    sorted: &Spill<T>,
    runs: &[Range<usize>],
    (key, order, same): (
        impl Fn(&T) -> K,
        impl Fn(&K, &K) -> Ordering,
        impl Fn(&K, &K) -> bool,
    ),
) -> Result<Spill<T>> {
    let page = sorted.page().min(4096);
    let items = |range: &mut Range<usize>| {
        let to = range.end.min(range.start + page);
        let items = sorted.range(range.start..to);
        range.start = to;
        items.map(Cow::into_owned).unwrap_or_default().into_iter()
    };
    // Of each run its next item, what is read behind it, and what is not read yet.
    let mut coming = Vec::new();
    for range in runs {
        let mut rest = range.clone();
        let mut now = items(&mut rest);
        if let Some(first) = now.next() {
            coming.push(((key(&first), first), now, rest));
        }
    }
    let mut out: Spill<T> = Spill::new(run);
    let mut last: Option<K> = None;
    let mut count = 0u32;
    let least = |coming: &[((K, T), _, _)]| {
        let heads = coming.iter().enumerate();
        let least = heads.min_by(|(_, ((a, _), ..)), (_, ((b, _), ..))| order(a, b));
        least.map(|(n, _)| n)
    };
    while let Some(n) = least(&coming) {
        count = count.wrapping_add(1);
        if count.is_multiple_of(4096) {
            run.check()?;
        }
        let Some((first, now, rest)) = coming.get_mut(n) else {
            break;
        };
        let next = now.next().or_else(|| {
            *now = items(rest);
            now.next()
        });
        let (own, item) = match next {
            Some(next) => std::mem::replace(first, (key(&next), next)),
            None => coming.swap_remove(n).0,
        };
        if !last.as_ref().is_some_and(|last| same(last, &own)) {
            out.push(item);
            last = Some(own);
        }
    }
    run.memory.check()?;
    Ok(out)
}
