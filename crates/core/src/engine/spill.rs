//! Lists of very many items: in memory as long as there is room, else in a scratch file of which a
//! few pages are in memory.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering as Order};
use std::sync::{Arc, Mutex, PoisonError};

use super::run::Run;
use crate::{Error, Result, Scratch, ScratchFile};

/// Pages of one list that are in memory once it is in a file.
const PAGES: usize = 16;
/// Bytes of a page, unless memory is short.
const PAGE: usize = 64 << 10;

/// The memory that the lists of one run share.
pub(super) struct Memory {
    budget: usize,
    held: AtomicUsize,
    scratch: Option<Arc<dyn Scratch>>,
    /// Why what was put away, or should be, is lost.
    failed: Mutex<Option<String>>,
}

impl Memory {
    /// Room for `budget` bytes; past that, lists go to files of `scratch`. Without one they stay in
    /// memory.
    pub(super) fn new(budget: usize, scratch: Option<Arc<dyn Scratch>>) -> Self {
        Self {
            budget,
            held: AtomicUsize::new(0),
            scratch,
            failed: Mutex::new(None),
        }
    }

    /// Says whether all that was put away can be had.
    ///
    /// # Errors
    /// A limit, when it can't: what follows from the lists would be wrong.
    pub(super) fn check(&self) -> Result<()> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failed {
            Some(text) => Err(Error::limit("memory", text.clone())),
            None => Ok(()),
        }
    }

    fn fail(&self, error: &std::io::Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = self.budget;
        failed.get_or_insert_with(|| {
            format!(
                "more than {budget} bytes are needed, and the temporary file for them failed: \
                 {error}"
            )
        });
    }

    fn is_short(&self) -> bool {
        self.scratch.is_some() && self.held.load(Order::Relaxed) > self.budget
    }

    fn file(&self) -> Option<Box<dyn ScratchFile>> {
        let made = self.scratch.as_ref()?.file();
        made.inspect_err(|error| self.fail(error)).ok()
    }

    /// Items of `bytes` in a page.
    fn page(&self, bytes: usize) -> usize {
        ((self.budget / 256).min(PAGE) / bytes).max(16)
    }
}

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
            self.filed = memory.file().map(|file| Filed {
                file,
                items: 0,
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
        if let Some(items) = self.in_memory() {
            return items.partition_point(before);
        }
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            match self.get(middle) {
                Some(item) if before(&item) => from = middle + 1,
                _ => to = middle,
            }
        }
        from
    }

    /// Sorts it, and leaves out what `same` says of an item and the one before it.
    pub(super) fn sort(
        &mut self,
        run: &Run<'_>,
        order: impl Fn(&T, &T) -> Ordering + Send + Sync,
        same: impl Fn(&T, &T) -> bool,
    ) -> Result<()> {
        let Some(filed) = self.filed.take() else {
            run.sort(&mut self.held, order);
            self.held.dedup_by(|a, b| same(b, a));
            return Ok(());
        };
        self.filed = Some(filed);
        let (sorted, runs) = self.sort_parts(run, &order)?;
        *self = merge(run, &sorted, &runs, order, same)?;
        Ok(())
    }

    /// Sorts as much at a time as there is memory for. Gives the parts in one list, and where each
    /// is.
    fn sort_parts(
        &mut self,
        run: &Run<'_>,
        order: &(impl Fn(&T, &T) -> Ordering + Send + Sync),
    ) -> Result<(Self, Vec<Range<usize>>)> {
        let at_once = run.memory.budget / 4 / size_of::<T>().max(1);
        let at_once = at_once.max(self.page() * 4);
        let (mut sorted, mut runs) = (Self::new(run), Vec::new());
        let mut at = 0;
        while at < self.len() {
            run.check()?;
            let end = (at + at_once).min(self.len());
            let items = self.range(at..end);
            let mut items = items.map(Cow::into_owned).unwrap_or_default();
            run.memory.check()?;
            run.sort(&mut items, order);
            sorted.extend(&items);
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
fn merge<T: Item>(
    run: &Run<'_>,
    sorted: &Spill<T>,
    runs: &[Range<usize>],
    order: impl Fn(&T, &T) -> Ordering,
    same: impl Fn(&T, &T) -> bool,
) -> Result<Spill<T>> {
    let page = sorted.page().min(4096);
    let items = |range: Range<usize>| {
        let to = range.end.min(range.start + page);
        let items = sorted.range(range.start..to);
        items.map(Cow::into_owned).unwrap_or_default().into_iter()
    };
    // Of each run what is read of it, and what is not yet.
    let mut coming: Vec<_> = Vec::new();
    for range in runs {
        let mut now = items(range.clone());
        if let Some(first) = now.next() {
            let rest = (range.start + page).min(range.end)..range.end;
            coming.push((first, now, rest));
        }
    }
    let mut out: Spill<T> = Spill::new(run);
    let mut last: Option<T> = None;
    let mut count = 0u32;
    while let Some(n) = (0..coming.len()).min_by(|a, b| match (coming.get(*a), coming.get(*b)) {
        (Some((a, ..)), Some((b, ..))) => order(a, b),
        _ => Ordering::Equal,
    }) {
        count = count.wrapping_add(1);
        if count.is_multiple_of(4096) {
            run.check()?;
        }
        let Some((first, now, rest)) = coming.get_mut(n) else {
            break;
        };
        let next = now.next().or_else(|| {
            *now = items(rest.clone());
            rest.start = (rest.start + page).min(rest.end);
            now.next()
        });
        let item = match next {
            Some(next) => std::mem::replace(first, next),
            None => coming.swap_remove(n).0,
        };
        if !last.as_ref().is_some_and(|last| same(last, &item)) {
            out.push(item.clone());
            last = Some(item);
        }
    }
    run.memory.check()?;
    Ok(out)
}
