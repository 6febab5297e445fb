//! Running the independent units of a scan: in parallel, merged in order, and only once for both
//! views where no changed byte was read.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::memo::{Store, VolumeMemo};
use crate::threads::in_turn;
use crate::{
    ByteRange, Diagnostic, Diagnostics, Error, ErrorKind, Limits, Loss, Progress, RangeSet, ReadAt,
    ReadError, Result, Threads, View,
};

/// What a pass runs with.
pub struct Scan<'a> {
    limits: &'a Limits,
    view: View,
    diagnostics: &'a Diagnostics,
    progress: &'a dyn Progress,
    pool: Option<&'a rayon::ThreadPool>,
    cancel: Option<&'a AtomicBool>,
    shared: Option<&'a Shared>,
}

impl<'a> Scan<'a> {
    /// A scan on the calling thread that shares nothing with another view.
    #[must_use]
    pub fn new(
        limits: &'a Limits,
        view: View,
        diagnostics: &'a Diagnostics,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            limits,
            view,
            diagnostics,
            progress,
            pool: None,
            cancel: None,
            shared: None,
        }
    }

    /// Runs units on `threads`.
    #[must_use]
    pub fn threads(mut self, threads: Option<&'a Threads>) -> Self {
        self.pool = threads.map(Threads::pool);
        self
    }

    /// Ends the scan with [`ErrorKind::Cancelled`] once `cancel` is set.
    #[must_use]
    pub fn cancel(mut self, cancel: Option<&'a AtomicBool>) -> Self {
        self.cancel = cancel;
        self
    }

    /// Shares units with the other view. All passes that share one [`Shared`] must be given the
    /// same wanted set.
    #[must_use]
    pub fn shared(mut self, shared: Option<&'a Shared>) -> Self {
        self.shared = shared;
        self
    }

    /// Bounds to keep.
    #[must_use]
    pub fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// The view being scanned.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// Whether a finding of this scan lost something, so that the result lacks what a unit would
    /// have given.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.diagnostics.is_complete()
    }

    /// Adds a finding of this view.
    pub fn diagnose(&self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic.view(self.view));
    }

    /// Tells progress that `bytes` more were looked at.
    pub fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }

    /// Adds the finding of an error that ended one part of the work: the result is partial.
    ///
    /// # Errors
    /// Gives `error` back when it ends the whole scan (a limit, cancellation).
    pub fn tolerate(&self, error: Error) -> Result<()> {
        if error.ends_scan() {
            return Err(error);
        }
        self.diagnose(Diagnostic::from(&error));
        Ok(())
    }

    /// Says whether the caller asked to stop.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when it did.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Cancelled, "scan"));
        }
        Ok(())
    }

    /// Runs `work` on each of `units` and hands the results to `merge` in the order of `units`.
    ///
    /// A unit reads through the [`UnitReader`] it is given, and nothing else of the image. `units`
    /// are their own keys: a unit must hold everything but the bytes it reads that its result
    /// depends on (a table's place taken from a group descriptor, say), since a unit that reads
    /// no changed byte is not run again for the other view when an equal unit has been. `pass`
    /// tells apart passes with the same kind of unit. Results are kept in memory until both views
    /// are done, so they should hold what matched the wanted set, and not all that was read.
    ///
    /// A unit that fails is a diagnostic and makes the result partial; the others go on.
    ///
    /// # Errors
    /// What `merge` gives, a limit, or cancellation.
    pub fn units<U, T>(
        &self,
        pass: &'static str,
        reader: &Arc<dyn ReadAt>,
        units: &[U],
        work: impl Fn(&U, &UnitReader<'_>) -> Result<T> + Sync,
        mut merge: impl FnMut(&U, &T) -> Result<()>,
    ) -> Result<()>
    where
        U: Hash + Eq + Clone + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.run_units(pass, reader, units, work, |unit, value| merge(unit, &value))
    }

    /// [`Scan::units`], whose results are handed on whole, for those with very many items: they are
    /// only copied where the other view will be given them too.
    ///
    /// # Errors
    /// As [`Scan::units`].
    pub fn units_moved<U, T>(
        &self,
        pass: &'static str,
        reader: &Arc<dyn ReadAt>,
        units: &[U],
        work: impl Fn(&U, &UnitReader<'_>) -> Result<T> + Sync,
        mut merge: impl FnMut(&U, T) -> Result<()>,
    ) -> Result<()>
    where
        U: Hash + Eq + Clone + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
    {
        self.run_units(pass, reader, units, work, |unit, value| {
            merge(unit, Arc::unwrap_or_clone(value))
        })
    }

    /// [`Scan::units`], whose results are handed on as they are kept: whoever has the last one may
    /// take it apart.
    ///
    /// # Errors
    /// As [`Scan::units`].
    pub fn units_shared<U, T>(
        &self,
        pass: &'static str,
        reader: &Arc<dyn ReadAt>,
        units: &[U],
        work: impl Fn(&U, &UnitReader<'_>) -> Result<T> + Sync,
        merge: impl FnMut(&U, Arc<T>) -> Result<()>,
    ) -> Result<()>
    where
        U: Hash + Eq + Clone + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.run_units(pass, reader, units, work, merge)
    }

    fn run_units<U, T>(
        &self,
        pass: &'static str,
        reader: &Arc<dyn ReadAt>,
        units: &[U],
        work: impl Fn(&U, &UnitReader<'_>) -> Result<T> + Sync,
        mut merge: impl FnMut(&U, Arc<T>) -> Result<()>,
    ) -> Result<()>
    where
        U: Hash + Eq + Clone + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let run = |unit: &U| -> Result<Outcome<T>> {
            self.check()?;
            if let Some(hit) = self
                .shared
                .and_then(|s| s.results.get::<U, Arc<T>>(pass, unit))
            {
                return Ok(Outcome {
                    result: Ok(hit),
                    findings: Vec::new(),
                });
            }
            let reader = UnitReader {
                inner: &**reader,
                view: self.view,
                shared: self.shared,
                touched: AtomicBool::new(false),
                read: None,
                findings: Mutex::default(),
            };
            let result = work(unit, &reader).map(Arc::new);
            let touched = reader.touched.into_inner();
            let findings = reader
                .findings
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            if let (Some(shared), Ok(value), false) = (self.shared, &result, touched) {
                shared.results.put(pass, unit, Arc::clone(value));
            }
            Ok(Outcome { result, findings })
        };
        let mut settle = |unit: &U, outcome: Result<Outcome<T>>| -> Result<()> {
            let Outcome { result, findings } = outcome?;
            findings.into_iter().for_each(|f| self.diagnose(f));
            match result {
                Ok(value) => merge(unit, value),
                Err(error) => self.tolerate(error),
            }
        };
        // On a thread of the pool this is a part of something that runs in parallel already.
        let elsewhere = |pool: &&rayon::ThreadPool| pool.current_thread_index().is_none();
        match self.pool.filter(|_| units.len() > 1).filter(elsewhere) {
            Some(pool) => in_order(pool, units, &run, settle),
            None => units.iter().try_for_each(|unit| settle(unit, run(unit))),
        }
    }
}

/// Runs `work` on the threads of `pool`, and `settle` on this one, in the order of `units`.
pub(crate) fn in_order<U: Sync, O: Send>(
    pool: &rayon::ThreadPool,
    units: &[U],
    work: &(impl Fn(&U) -> O + Sync),
    mut settle: impl FnMut(&U, O) -> Result<()>,
) -> Result<()> {
    let threads = pool.current_num_threads().max(1);
    // Units are small: one message for each would cost as much as some of them.
    let together = (units.len() / (threads * 16)).clamp(1, 8);
    let groups: Vec<&[U]> = units.chunks(together).collect();
    let work = |group: &&[U]| group.iter().map(work).collect::<Vec<O>>();
    in_turn(pool, &groups, threads * 4, &work, |group, outcomes| {
        let mut pairs = group.iter().zip(outcomes);
        pairs.try_for_each(|(unit, outcome)| settle(unit, outcome))
    })
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

struct Outcome<T> {
    result: Result<Arc<T>>,
    findings: Vec<Diagnostic>,
}

/// The image as one unit of a scan reads it: notes whether any changed byte was read.
pub struct UnitReader<'a> {
    inner: &'a dyn ReadAt,
    view: View,
    shared: Option<&'a Shared>,
    touched: AtomicBool,
    /// What was read, where that is noted.
    read: Option<Mutex<Vec<ByteRange>>>,
    findings: Mutex<Vec<Diagnostic>>,
}

impl UnitReader<'_> {
    /// Adds a finding; findings come out in the order of the units. What a unit gives that lost
    /// something is not shared.
    pub fn diagnose(&self, diagnostic: Diagnostic) {
        if diagnostic.loses == Loss::Part {
            self.do_not_share();
        }
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(diagnostic);
    }

    /// Adds the finding of an error that ended one part of the unit, as [`Scan::tolerate`] does for
    /// a whole one: what the unit gives is partial.
    ///
    /// # Errors
    /// Gives `error` back when it ends the whole scan (a limit, cancellation).
    pub fn tolerate(&self, error: Error) -> Result<()> {
        if error.ends_scan() {
            return Err(error);
        }
        self.diagnose(Diagnostic::from(&error));
        Ok(())
    }

    /// Notes that the result depends on something that may differ between the views, so that it
    /// is not shared.
    pub fn do_not_share(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Whether [`kept`](Self::kept) keeps anything.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.shared.is_some_and(|shared| shared.memo.is_some())
    }

    /// What `make` finds for `key`, which must say all that it depends on but the bytes that it
    /// reads: never what is wanted, nor the view. Where many disks are compared with one base, it is
    /// kept for all that read the same there. `what` tells apart kinds of results.
    ///
    /// `None` where nothing is kept, and where something was odd: then the unit has to do its work
    /// as if there were no such thing, and tells the findings.
    pub fn kept<K, T>(
        &self,
        what: &'static str,
        key: &K,
        make: impl FnOnce(&UnitReader<'_>) -> Result<Vec<T>>,
    ) -> Option<Arc<[T]>>
    where
        K: Hash + Eq + Clone + Send + 'static,
        T: Send + Sync + 'static,
    {
        let shared = self.shared?;
        let memo = shared.memo.as_deref()?;
        let differs = |read: &RangeSet| read.iter().any(|range| shared.dirty.overlaps(range));
        if let Some((items, read)) = memo.get(what, key) {
            if differs(&read) {
                if self.view == View::Merged {
                    return None;
                }
                self.do_not_share();
            }
            return Some(items);
        }
        let reader = UnitReader {
            inner: self.inner,
            view: self.view,
            shared: None,
            touched: AtomicBool::new(false),
            read: Some(Mutex::default()),
            findings: Mutex::default(),
        };
        let items: Arc<[T]> = make(&reader).ok()?.into();
        let findings = reader.findings.into_inner();
        let findings = findings.unwrap_or_else(PoisonError::into_inner);
        if reader.touched.into_inner() || !findings.is_empty() {
            return None;
        }
        let read = reader.read?.into_inner();
        let read = read.unwrap_or_else(PoisonError::into_inner);
        let read: RangeSet = read.into_iter().collect();
        let differs = differs(&read);
        if differs {
            self.do_not_share();
        }
        if !differs || self.view == View::Base {
            memo.put(what, key, (Arc::clone(&items), Arc::new(read)));
        }
        Some(items)
    }
}

impl ReadAt for UnitReader<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let range = ByteRange::at(offset, buf.len() as u64);
        let range = range.unwrap_or(ByteRange::new(offset, u64::MAX));
        if self.shared.is_some_and(|s| s.dirty.overlaps(range)) {
            self.do_not_share();
        }
        if let Some(read) = &self.read {
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            read.push(range);
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        self.inner.data_in(range)
    }
}

impl fmt::Debug for UnitReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitReader")
            .field("touched", &self.touched)
            .finish_non_exhaustive()
    }
}

/// Results of one pass over one view that hold for the other view too.
#[derive(Debug)]
pub struct Shared {
    dirty: Arc<RangeSet>,
    results: Store,
    /// What is known of the volume from other comparisons with the same base.
    memo: Option<Arc<VolumeMemo>>,
}

impl Shared {
    /// Shares the units that read nothing of `dirty`: the bytes of the volume in which the two
    /// views differ, or may.
    #[must_use]
    pub fn new(dirty: RangeSet) -> Self {
        Self::sharing(Arc::new(dirty))
    }

    /// [`Shared::new`] of a set that others use too.
    pub(crate) fn sharing(dirty: Arc<RangeSet>) -> Self {
        Self {
            dirty,
            results: Store::default(),
            memo: None,
        }
    }

    /// Besides, what other comparisons with the same base found.
    pub(crate) fn remembering(mut self, memo: Option<Arc<VolumeMemo>>) -> Self {
        self.memo = memo;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;
    use std::sync::atomic::AtomicUsize;

    fn sums(scan: &Scan<'_>, disk: &Arc<dyn ReadAt>, runs: &AtomicUsize) -> Vec<u32> {
        let units: Vec<u64> = (0..40).collect();
        let mut out = Vec::new();
        scan.units(
            "sum",
            disk,
            &units,
            |unit, reader| {
                runs.fetch_add(1, Ordering::Relaxed);
                let mut buf = [0; 10];
                reader
                    .read_exact_at(unit * 10, &mut buf)
                    .map_err(|e| Error::io("unit", e).at(unit * 10))?;
                Ok(buf.iter().map(|b| u32::from(*b)).sum::<u32>())
            },
            |_, sum| {
                out.push(*sum);
                Ok(())
            },
        )
        .unwrap();
        out
    }

    #[test]
    fn units_that_read_no_changed_byte_run_once_for_both_views() {
        let limits = Limits::default();
        let findings = Diagnostics::new();
        let threads = Threads::new(3).unwrap();
        let mut bytes: Vec<u8> = (0..400u32).map(|n| n as u8).collect();
        let base: Arc<dyn ReadAt> = Arc::new(bytes.clone());
        bytes[55] = 1;
        let merged: Arc<dyn ReadAt> = Arc::new(bytes);
        let shared = Shared::new(ByteRange::new(55, 56).into());
        let runs = AtomicUsize::new(0);
        let scan = |view| Scan::new(&limits, view, &findings, &Silent);
        let one = sums(
            &scan(View::Merged)
                .shared(Some(&shared))
                .threads(Some(&threads)),
            &merged,
            &runs,
        );
        assert_eq!(runs.swap(0, Ordering::Relaxed), 40);
        let two = sums(&scan(View::Base).shared(Some(&shared)), &base, &runs);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(one, sums(&scan(View::Merged), &merged, &runs));
        assert_eq!(two, sums(&scan(View::Base), &base, &runs));
        assert_ne!(one[5], two[5]);
    }

    #[test]
    fn a_unit_that_failed_in_part_gives_the_rest_and_is_not_shared() {
        let limits = Limits::default();
        let findings = Diagnostics::new();
        let shared = Shared::new(RangeSet::new());
        let disk: Arc<dyn ReadAt> = Arc::new(vec![0; 8]);
        for _ in 0..2 {
            let scan = Scan::new(&limits, View::Base, &findings, &Silent).shared(Some(&shared));
            let mut out = Vec::new();
            scan.units(
                "half",
                &disk,
                &[7],
                |unit, reader| {
                    reader.tolerate(Error::corrupt("half").at(4))?;
                    Ok(*unit)
                },
                |_, value| {
                    out.push(*value);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(out, [7]);
            assert!(scan.is_partial());
            assert_eq!(findings.take().len(), 1);
        }
    }

    #[test]
    fn a_failed_unit_is_told_and_the_others_go_on() {
        let limits = Limits::default();
        let findings = Diagnostics::new();
        let short: Arc<dyn ReadAt> = Arc::new(vec![1; 395]);
        let scan = Scan::new(&limits, View::Base, &findings, &Silent);
        assert_eq!(sums(&scan, &short, &AtomicUsize::new(0)).len(), 39);
        assert!(scan.is_partial());
        let found = findings.take();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].code.as_ref(), found[0].offset),
            ("io-unit", Some(390))
        );
    }

    /// What each byte of `disk` is, by [`UnitReader::kept`], with how often it had to be read; where
    /// nothing is kept, twice as much.
    fn doubled(
        memo: &Arc<VolumeMemo>,
        view: View,
        disk: &Arc<dyn ReadAt>,
        dirty: RangeSet,
        odd: bool,
    ) -> (Vec<u8>, usize) {
        let (limits, findings) = (Limits::default(), Diagnostics::new());
        let shared = Shared::new(dirty).remembering(Some(Arc::clone(memo)));
        let scan = Scan::new(&limits, view, &findings, &Silent).shared(Some(&shared));
        let read = AtomicUsize::new(0);
        let mut out = Vec::new();
        let find = |unit: &u64, reader: &UnitReader<'_>| {
            read.fetch_add(1, Ordering::Relaxed);
            if odd {
                reader.diagnose(Diagnostic::info("odd", "odd"));
            }
            let mut byte = [0];
            reader
                .read_exact_at(*unit, &mut byte)
                .map_err(|e| Error::io("unit", e))?;
            Ok(vec![byte[0]])
        };
        let units: Vec<u64> = (0..disk.len()).collect();
        scan.units(
            "doubled",
            disk,
            &units,
            |unit, reader| {
                assert!(reader.keeps());
                match reader.kept("byte", unit, |reader| find(unit, reader)) {
                    Some(known) => Ok(known[0]),
                    None => Ok(find(unit, reader)?[0]),
                }
            },
            |_, byte| {
                out.push(*byte);
                Ok(())
            },
        )
        .unwrap();
        (out, read.into_inner())
    }

    #[test]
    fn what_is_kept_of_a_base_holds_where_another_disk_reads_the_same() {
        let memo = Arc::new(VolumeMemo::default());
        let disk = |bytes: [u8; 4]| -> Arc<dyn ReadAt> { Arc::new(bytes.to_vec()) };
        let (base, first, second) = (disk([1, 2, 3, 4]), disk([1, 9, 3, 4]), disk([1, 2, 3, 8]));
        let at = |at| RangeSet::from(ByteRange::new(at, at + 1));
        let ask = |view, disk, dirty| doubled(&memo, view, disk, dirty, false);
        // What the first changed is not kept of it, and is of its base.
        assert_eq!(ask(View::Merged, &first, at(1)), (vec![1, 9, 3, 4], 4));
        assert_eq!(ask(View::Base, &base, at(1)), (vec![1, 2, 3, 4], 1));
        assert_eq!(ask(View::Merged, &second, at(3)), (vec![1, 2, 3, 8], 1));
        assert_eq!(ask(View::Base, &base, at(3)), (vec![1, 2, 3, 4], 0));
        assert_eq!(ask(View::Merged, &first, at(1)), (vec![1, 9, 3, 4], 1));
        // What was odd is found again.
        let memo = Arc::new(VolumeMemo::default());
        for _ in 0..2 {
            let told = doubled(&memo, View::Base, &base, at(0), true);
            assert_eq!(told, (vec![1, 2, 3, 4], 8));
        }
    }
}
