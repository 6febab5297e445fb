//! What one run of the engine carries along.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::memory::Memory;
use super::options::Options;
use super::volume::OpenVolume;
use crate::scan::in_order;
use crate::{
    Diagnostic, Diagnostics, Error, ErrorKind, FileKey, FileSet, OpenContext, RangeSet, Result,
    Scan, Shared, Sink, Threads, View,
};

/// Bounds of a question about many files.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// What the answers are.
    pub(super) what: &'static str,
    /// How many there may be.
    pub(super) limit: usize,
    /// Files that one thread asks about at a time.
    pub(super) at_once: usize,
}

/// The answers of one thread, which count with those of the others.
pub(super) struct Counted<'a, T> {
    pub(super) items: Vec<T>,
    bound: Bound,
    left: &'a AtomicUsize,
}

impl<T> Sink<T> for Counted<'_, T> {
    fn put(&mut self, item: T) -> Result<()> {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if self.left.fetch_update(order, order, less).is_err() {
            let Bound { what, limit, .. } = self.bound;
            return Err(Error::limit(what, format!("more than {limit}")));
        }
        self.items.push(item);
        Ok(())
    }
}

/// Options, threads and findings of one run.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options<'a>,
    pub(super) diagnostics: Diagnostics,
    /// What there is of it for long lists.
    pub(super) memory: Arc<Memory>,
    pool: Option<Threads>,
    /// Whether only one view is looked at, so that findings need not say which.
    one_view: bool,
}

/// What came of a pass beside its results.
struct Passed {
    result: Result<()>,
    findings: Diagnostics,
}

impl<'a> Run<'a> {
    pub(super) fn new(options: &'a Options<'a>) -> Self {
        let started = (options.threads != 1).then(|| Threads::new(options.threads).ok());
        let pool = started.flatten();
        let memory = Memory::new(options.limits.memory, options.scratch.clone());
        Self {
            options,
            diagnostics: Diagnostics::new(),
            memory: Arc::new(memory),
            pool,
            one_view: false,
        }
    }

    /// A run that looks at one view.
    pub(super) fn of_one_view(options: &'a Options<'a>) -> Self {
        Self {
            one_view: true,
            ..Self::new(options)
        }
    }

    fn pool(&self) -> Option<&rayon::ThreadPool> {
        self.pool.as_ref().map(Threads::pool)
    }

    /// The threads of the run, where there are several.
    pub(super) fn started(&self) -> Option<&Threads> {
        self.pool.as_ref()
    }

    /// A path is longer or deeper than is told.
    pub(super) fn long_path(&self) {
        let limits = &self.options.limits;
        let (bytes, depth) = (limits.path_bytes, limits.path_depth);
        let text = format!(
            "there are paths of over {bytes} bytes or {depth} names, or too many long ones; they \
             are left out"
        );
        let finding = Diagnostic::warning("path-limit", text);
        self.diagnostics.push_once(finding.losing());
    }

    /// More claims than are looked at cover the byte at `at`.
    pub(super) fn crowded(&self, at: u64) {
        let limit = self.options.limits.owners_per_byte;
        let text = format!("more than {limit} claims cover one byte");
        let finding = Diagnostic::warning("owners-limit", text).at(at);
        self.report(None, finding.losing());
    }

    /// Threads that work at the same time.
    pub(super) fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, Threads::count)
    }

    /// Ends the run when it was cancelled; else adds the error to the findings and goes on.
    pub(super) fn tolerate(&self, volume: Option<&str>, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Cancelled {
            return Err(error);
        }
        self.report(volume, Diagnostic::from(&error));
        Ok(())
    }

    /// Takes out all findings. Those about the disks count from the start of one.
    pub(super) fn findings(&self) -> Vec<Diagnostic> {
        let mut findings = self.diagnostics.take();
        let disks = &self.options.disks;
        for finding in findings.iter_mut().filter(|f| f.volume.is_none()) {
            if let Some((Some(disk), offset)) = finding.offset.map(|at| disks.place(at)) {
                finding.offset = Some(offset);
                finding.volume = (disk > 1).then(|| format!("disk{disk}"));
            }
        }
        findings
    }

    /// Adds a finding about `volume`, or about the disk.
    pub(super) fn report(&self, volume: Option<&str>, diagnostic: Diagnostic) {
        self.diagnostics.push(self.about(volume, diagnostic));
    }

    pub(super) fn about(&self, volume: Option<&str>, diagnostic: Diagnostic) -> Diagnostic {
        let mut diagnostic = diagnostic;
        diagnostic.view = diagnostic.view.filter(|_| !self.one_view);
        match volume {
            Some(name) => diagnostic.volume(name),
            None => diagnostic,
        }
    }

    /// Runs `open` of the plugin `layer` with a context of `view`; its findings are about `volume`.
    pub(super) fn opening<T>(
        &self,
        view: View,
        volume: Option<&str>,
        layer: &'static str,
        open: impl FnOnce(&OpenContext<'_>) -> Result<T>,
    ) -> Result<T> {
        let (result, findings) = self.trial(view, layer, open);
        self.keep(volume, layer, &findings);
        result
    }

    /// Adds the findings of [`trial`](Self::trial), which are about `volume`.
    pub(super) fn keep(&self, volume: Option<&str>, layer: &'static str, findings: &Diagnostics) {
        let change = |finding: Diagnostic| self.about(volume, finding.layer(layer));
        self.diagnostics.absorb(findings, change);
    }

    /// Runs `open` with a context of `view`, and gives its findings back.
    pub(super) fn trial<T>(
        &self,
        view: View,
        layer: &'static str,
        open: impl FnOnce(&OpenContext<'_>) -> Result<T>,
    ) -> (Result<T>, Diagnostics) {
        let diagnostics = Diagnostics::new();
        let cx = OpenContext {
            limits: &self.options.limits,
            journal: self.options.journal,
            view,
            diagnostics: &diagnostics,
        };
        let result = guarded(|| open(&cx)).map_err(|e| self.seen(e.layer(layer), view));
        (result, diagnostics)
    }

    /// Runs one pass of a plugin over `view` of `volume`. What a pass gave before it failed is
    /// kept by its caller; the failure is a finding.
    pub(super) fn pass(
        &self,
        view: View,
        volume: &OpenVolume,
        shared: Option<&Shared>,
        pass: impl FnOnce(&Scan<'_>) -> Result<()>,
    ) -> Result<()> {
        let passed = self.scan(view, shared, pass);
        self.settle(&self.diagnostics, (view, volume), passed)
    }

    /// [`Run::pass`] on a thread that works for another: findings go into `findings`.
    pub(super) fn pass_into(
        &self,
        findings: &Diagnostics,
        (view, volume): (View, &OpenVolume),
        pass: impl FnOnce(&Scan<'_>) -> Result<()>,
    ) -> Result<()> {
        let passed = self.scan(view, None, pass);
        self.settle(findings, (view, volume), passed)
    }

    /// Asks a plugin about many `files`, some at a time on each thread, and hands on each answer,
    /// in the order of the files.
    pub(super) fn ask_each<T: Send>(
        &self,
        view: View,
        volume: &OpenVolume,
        files: &FileSet,
        bound: Bound,
        question: impl Fn(&FileSet, &Scan<'_>, &mut Counted<'_, T>) -> Result<()> + Sync,
        mut each: impl FnMut(T),
    ) -> Result<()> {
        let findings = &self.diagnostics;
        self.asking(findings, (view, volume), files, bound, question, |items| {
            items.into_iter().for_each(&mut each);
        })
    }

    /// All answers about many files, on a thread that may work for another: findings go into
    /// `findings`.
    pub(super) fn ask_into<T: Send>(
        &self,
        findings: &Diagnostics,
        place: (View, &OpenVolume),
        files: &FileSet,
        bound: Bound,
        question: impl Fn(&FileSet, &Scan<'_>, &mut Counted<'_, T>) -> Result<()> + Sync,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.asking(findings, place, files, bound, question, |mut items| {
            all.append(&mut items);
        })?;
        Ok(all)
    }

    fn asking<T: Send>(
        &self,
        findings: &Diagnostics,
        (view, volume): (View, &OpenVolume),
        files: &FileSet,
        bound: Bound,
        question: impl Fn(&FileSet, &Scan<'_>, &mut Counted<'_, T>) -> Result<()> + Sync,
        mut found: impl FnMut(Vec<T>),
    ) -> Result<()> {
        let left = AtomicUsize::new(bound.limit);
        let ask = |keys: &&[FileKey]| {
            let mut found = Counted {
                items: Vec::new(),
                bound,
                left: &left,
            };
            let files: FileSet = keys.iter().copied().collect();
            let passed = self.scan(view, None, |scan| question(&files, scan, &mut found));
            (found.items, passed)
        };
        let keys: Vec<FileKey> = files.iter().collect();
        let parts: Vec<&[FileKey]> = keys.chunks(bound.at_once).collect();
        let mut add = |(items, passed): (Vec<T>, Passed)| {
            self.settle(findings, (view, volume), passed)?;
            found(items);
            Ok(())
        };
        match self.pool() {
            Some(pool) if pool.current_thread_index().is_none() => {
                in_order(pool, &parts, &ask, |_, answer| add(answer))?;
            }
            _ => parts.iter().try_for_each(|part| add(ask(part)))?,
        }
        Ok(())
    }

    /// Does `one` on another thread, where there are several, while this one does `other`.
    pub(super) fn beside<A: Send, B>(
        &self,
        one: impl FnOnce() -> Result<A> + Send,
        other: impl FnOnce() -> Result<B>,
    ) -> Result<(A, B)> {
        let Some(pool) = self.pool() else {
            return Ok((one()?, other()?));
        };
        let mut first = Err(Error::new(ErrorKind::Cancelled, "run"));
        let second = pool.in_place_scope(|scope| {
            scope.spawn(|_| first = one());
            other()
        });
        Ok((first?, second?))
    }

    /// Does `work` on each of `items`, in their order, on all threads.
    pub(super) fn each<I: Sync, T: Send>(
        &self,
        items: &[I],
        work: impl Fn(&I) -> T + Send + Sync,
    ) -> Vec<T> {
        match self.pool() {
            Some(pool) => pool.install(|| items.par_iter().map(work).collect()),
            None => items.iter().map(work).collect(),
        }
    }

    /// Does `work` on each of `items` on all threads, and `settle` with what came of it on this
    /// one, in their order; some wait for their turn.
    pub(super) fn in_order<I: Sync, T: Send>(
        &self,
        items: &[I],
        work: impl Fn(&I) -> T + Sync,
        mut settle: impl FnMut(&I, T) -> Result<()>,
    ) -> Result<()> {
        match self.pool() {
            Some(pool) => in_order(pool, items, &work, settle),
            None => items.iter().try_for_each(|item| settle(item, work(item))),
        }
    }

    /// Sorts what may be long; equal items come in any order. A run that was cancelled has them in
    /// some order, and ends at its next [`check`](Self::check).
    pub(super) fn sort<T: Send>(
        &self,
        items: &mut [T],
        order: impl Fn(&T, &T) -> std::cmp::Ordering + Send + Sync,
    ) {
        struct Stopped;
        // A sort has no other way out.
        let order = |a: &T, b: &T| {
            if self.is_cancelled() {
                resume_unwind(Box::new(Stopped));
            }
            order(a, b)
        };
        let sort = || match self.pool() {
            Some(pool) => pool.install(|| items.par_sort_unstable_by(order)),
            None => items.sort_unstable_by(order),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(sort))
            && !panic.is::<Stopped>()
        {
            resume_unwind(panic);
        }
    }

    /// What of `ranges` lies on the disk; the rest is a finding.
    pub(super) fn within(&self, ranges: &RangeSet, disk: &RangeSet) -> RangeSet {
        let inside = ranges.intersection(disk);
        let outside = ranges.len() - inside.len();
        if outside > 0 {
            let end = disk.bounds().map_or(0, |bounds| bounds.end());
            let text = format!("{outside} bytes that were asked for lie past the end of the disk");
            self.report(None, Diagnostic::warning("past-end", text).at(end));
        }
        inside
    }

    fn scan(
        &self,
        view: View,
        shared: Option<&Shared>,
        pass: impl FnOnce(&Scan<'_>) -> Result<()>,
    ) -> Passed {
        let diagnostics = Diagnostics::new();
        let scan = Scan::new(
            &self.options.limits,
            view,
            &diagnostics,
            self.options.progress,
        )
        .threads(self.started())
        .cancel(self.options.cancel)
        .shared(shared);
        let result = guarded(|| pass(&scan));
        Passed {
            result,
            findings: diagnostics,
        }
    }

    fn settle(
        &self,
        into: &Diagnostics,
        (view, volume): (View, &OpenVolume),
        passed: Passed,
    ) -> Result<()> {
        let layer = volume.layer();
        let name = Some(volume.name.as_str());
        let change = |finding: Diagnostic| self.about(name, finding.layer(layer));
        into.absorb(&passed.findings, change);
        passed.result.or_else(|error| match error.kind() {
            ErrorKind::Cancelled => Err(error),
            _ => {
                let error = self.seen(error.layer(layer), view);
                into.push(self.about(name, Diagnostic::from(&error)));
                Ok(())
            }
        })
    }

    /// Says in which view an error was met, where there are two.
    fn seen(&self, error: Error, view: View) -> Error {
        match self.one_view {
            true => error,
            false => error.view(view),
        }
    }

    fn is_cancelled(&self) -> bool {
        let cancel = self.options.cancel;
        cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "run"));
        }
        Ok(())
    }

    /// The first of `items`, which may be very many, until the run is cancelled: it ends at its
    /// next [`check`](Self::check).
    pub(super) fn until_cancelled<I: IntoIterator>(
        &self,
        items: I,
    ) -> impl Iterator<Item = I::Item> {
        items.into_iter().take_while(|_| !self.is_cancelled())
    }

    /// `sink`, which takes no more once the run is cancelled.
    pub(super) fn watched<'s, S>(&'s self, sink: &'s mut S) -> Watched<'s, 'a, S> {
        Watched { run: self, sink }
    }
}

/// A sink of a run that may be cancelled.
pub(super) struct Watched<'s, 'a, S> {
    run: &'s Run<'a>,
    sink: &'s mut S,
}

impl<T, S: Sink<T>> Sink<T> for Watched<'_, '_, S> {
    fn put(&mut self, item: T) -> Result<()> {
        self.run.check()?;
        self.sink.put(item)
    }
}

/// Runs plugin code. A panic there is a bug, and costs the plugin's result and not the report.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        Err(Error::new(ErrorKind::Corrupt, "plugin").message(format!("it panicked: {text}")))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::{Disks, JournalMode, Limits, Registry, Silent};

    #[test]
    fn a_sort_ends_early_when_the_run_is_cancelled_and_loses_nothing() {
        let (registry, cancel) = (Registry::builder().build(), AtomicBool::new(false));
        for threads in [1, 3] {
            cancel.store(false, Ordering::Relaxed);
            let options = Options {
                registry: &registry,
                limits: Limits::default(),
                journal: JournalMode::Replay,
                threads,
                volume: None,
                detection: crate::engine::Detection::default(),
                disks: Disks::default(),
                memo: None,
                progress: &Silent,
                scratch: None,
                cancel: Some(&cancel),
            };
            let run = Run::new(&options);
            let mixed = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut items: Vec<u64> = (0..20_000).map(mixed).collect();
            let mut sorted = items.clone();
            sorted.sort_unstable();
            let compared = AtomicUsize::new(0);
            run.sort(&mut items, |a, b| {
                if compared.fetch_add(1, Ordering::Relaxed) == 1000 {
                    cancel.store(true, Ordering::Relaxed);
                }
                a.cmp(b)
            });
            assert!(compared.load(Ordering::Relaxed) < 2000);
            assert!(run.check().is_err());
            assert_ne!(items, sorted);
            cancel.store(false, Ordering::Relaxed);
            run.sort(&mut items, u64::cmp);
            assert_eq!(items, sorted);
        }
    }
}
