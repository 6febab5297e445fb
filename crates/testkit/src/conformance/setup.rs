//! An open image, and one pass over it.

use std::sync::Arc;

use hexz_resolve::{
    Bounded, Diagnostic, Diagnostics, Error, Filesystem, FilesystemPlugin, JournalMode, Limits,
    Member, OpenContext, ReadAt, Result, Scan, Shared, Silent, Sink, Threads, View,
};

use super::options::Options;

/// What runs are made with.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) plugin: Arc<dyn FilesystemPlugin>,
    pub(super) options: Options,
    pub(super) limits: Limits,
}

impl Setup {
    pub(super) fn new(plugin: &Arc<dyn FilesystemPlugin>, options: &Options) -> Self {
        Self {
            plugin: Arc::clone(plugin),
            options: options.clone(),
            limits: options.limits(),
        }
    }

    pub(super) fn journal(&self) -> JournalMode {
        self.options.journal
    }

    pub(super) fn open(&self, image: &Arc<dyn ReadAt>, view: View) -> Result<Opened> {
        let findings = Diagnostics::new();
        let cx = OpenContext {
            limits: &self.limits,
            journal: self.journal(),
            view,
            diagnostics: &findings,
        };
        let filesystem = self.plugin.open(&[Member::alone(Arc::clone(image))], &cx)?;
        Ok(Opened {
            filesystem,
            limits: self.limits.clone(),
            view,
            findings: findings.take(),
        })
    }
}

/// An open image.
pub(super) struct Opened {
    pub(super) filesystem: Box<dyn Filesystem>,
    pub(super) limits: Limits,
    view: View,
    pub(super) findings: Vec<Diagnostic>,
}

/// What one pass gave, and how it ended.
pub(super) struct Pass<T> {
    pub(super) items: Vec<T>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) partial: bool,
    pub(super) error: Option<Error>,
}

impl Opened {
    /// Runs one pass.
    pub(super) fn pass<T>(
        &self,
        pool: Option<&Threads>,
        shared: Option<&Shared>,
        run: impl FnOnce(&dyn Filesystem, &Scan<'_>, &mut dyn Sink<T>) -> Result<()>,
    ) -> Pass<T> {
        let findings = Diagnostics::new();
        let scan = Scan::new(&self.limits, self.view, &findings, &Silent)
            .threads(pool)
            .shared(shared);
        let mut out = Bounded::new("items", self.limits.claims);
        let error = run(&*self.filesystem, &scan, &mut out).err();
        Pass {
            items: out.items,
            partial: scan.is_partial(),
            findings: findings.take(),
            error,
        }
    }
}
