//! How a question is answered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hexz_resolve::engine::{Detection, Options};
use hexz_resolve::{
    Error, ErrorKind, JournalMode, Limits, OpenGate, Progress, Registry, Result, Silent,
};
use hexz_source::DefaultGate;

/// Ends a run from another thread, or from what is told of its progress.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that has not been asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the runs that have a clone of this to end: soon after, they end with
    /// [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has been asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a question is answered: what a run may spend, and who hears of it.
#[derive(Clone)]
pub struct Settings {
    pub(crate) limits: Limits,
    pub(crate) gate: Arc<dyn OpenGate>,
    registry: Arc<Registry>,
    journal: JournalMode,
    threads: usize,
    volume: Option<String>,
    detection: Detection,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            gate: Arc::new(DefaultGate::new()),
            registry: Arc::new(crate::registry()),
            journal: JournalMode::default(),
            threads: 0,
            volume: None,
            detection: Detection::default(),
            progress: Arc::new(Silent),
            cancel: Cancel::default(),
        }
    }
}

impl Settings {
    /// All plugins that are built in, default limits, a thread a core, journals replayed in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bounds that the run keeps. Reaching one is a finding, and the answer is not whole.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Decides which files an image may name. By default those beside it or below its folder.
    #[must_use]
    pub fn gate(mut self, gate: impl OpenGate + 'static) -> Self {
        self.gate = Arc::new(gate);
        self
    }

    /// The plugins, in place of all that are built in.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Arc::new(registry);
        self
    }

    /// Whether journals are replayed in memory.
    #[must_use]
    pub fn journal(mut self, journal: JournalMode) -> Self {
        self.journal = journal;
        self
    }

    /// Number of threads; 0 for one a core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Looks only at the volume with this name: `p2`, `disk`, `vg/lv`.
    #[must_use]
    pub fn volume(mut self, name: impl Into<String>) -> Self {
        self.volume = Some(name.into());
        self
    }

    /// What is known of the formats on the disk.
    #[must_use]
    pub fn detection(mut self, detection: Detection) -> Self {
        self.detection = detection;
        self
    }

    /// Told how far the run is, from several threads.
    #[must_use]
    pub fn progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Ends the run when `cancel` asks for it.
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// As the engine has it.
    pub(crate) fn options(&self) -> Options<'_> {
        Options {
            registry: &self.registry,
            limits: self.limits.clone(),
            journal: self.journal,
            threads: self.threads,
            volume: self.volume.clone(),
            detection: self.detection.clone(),
            disks: hexz_resolve::Disks::default(),
            memo: None,
            progress: &*self.progress,
            scratch: None,
            cancel: Some(&self.cancel.0),
        }
    }
}

/// The gate of a run, which says when that is cancelled.
pub(crate) struct Watched<'a>(pub(crate) &'a Settings);

impl OpenGate for Watched<'_> {
    fn allow(&self, named: &Path, by: &Path) -> Result<PathBuf> {
        self.0.gate.allow(named, by)
    }

    fn check(&self) -> Result<()> {
        if self.0.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "change set"));
        }
        self.0.gate.check()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("limits", &self.limits)
            .field("registry", &self.registry)
            .field("journal", &self.journal)
            .field("threads", &self.threads)
            .field("volume", &self.volume)
            .field("detection", &self.detection)
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}
