//! One view of a disk, opened for whoever wants its files: names, attributes and contents.

use std::fmt;
use std::sync::Arc;

use super::layout::Layout;
use super::options::Options;
use super::owners::chosen;
use super::run::{Run, guarded};
use super::volume::OpenVolume;
use crate::report::VolumeRecord;
use crate::{
    Attributes, Bounded, ByteMap, Diagnostic, Diagnostics, Error, FileKey, FileSet, Filesystem,
    Link, MappedReader, RawName, ReadAt, Result, Scan, Silent, View,
};

/// One view of a disk with its volumes and filesystems, as [`open`](super::open()) found them.
pub struct OpenDisk<'a> {
    disk: Arc<dyn ReadAt>,
    run: Run<'a>,
    layout: Layout,
    chosen: Vec<usize>,
    view: View,
}

/// One volume of an [`OpenDisk`].
#[derive(Clone, Copy)]
pub struct OpenedVolume<'d> {
    disk: &'d OpenDisk<'d>,
    volume: &'d OpenVolume,
}

/// What came of a question to a filesystem.
#[derive(Debug)]
pub struct Answered<T> {
    /// The answer, or what ended the question.
    pub result: Result<T>,
    /// Findings on the way; after an error among them something of the answer is lacking.
    pub findings: Vec<Diagnostic>,
    /// Whether something of the answer is lacking.
    pub partial: bool,
}

pub(super) fn open<'a>(
    disk: &Arc<dyn ReadAt>,
    view: View,
    options: &'a Options<'a>,
) -> Result<OpenDisk<'a>> {
    let run = Run::of_one_view(options);
    let layout = Layout::detect(&run, disk, view)?;
    let chosen = chosen(&layout, options.volume.as_deref())?;
    Ok(OpenDisk {
        disk: Arc::clone(disk),
        run,
        layout,
        chosen,
        view,
    })
}

impl OpenDisk<'_> {
    /// The volumes, in disk order.
    pub fn volumes(&self) -> impl Iterator<Item = OpenedVolume<'_>> {
        let volumes = self.chosen.iter();
        volumes
            .filter_map(|index| self.layout.volumes.get(*index))
            .map(|volume| OpenedVolume { disk: self, volume })
    }

    /// The view that was opened.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// Takes out what was odd so far.
    #[must_use]
    pub fn take_findings(&self) -> Vec<Diagnostic> {
        self.run.findings()
    }

    /// Does `work` on each of `items` on all threads, and gives the results in their order.
    pub fn each<I: Sync, T: Send>(
        &self,
        items: &[I],
        work: impl Fn(&I) -> T + Send + Sync,
    ) -> Vec<T> {
        self.run.each(items, work)
    }

    /// An error once the caller asked to stop.
    ///
    /// # Errors
    /// Then, with the kind [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn check(&self) -> Result<()> {
        self.run.check()
    }
}

impl fmt::Debug for OpenDisk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.volumes().map(|v| v.name()).collect();
        f.debug_struct("OpenDisk").field("volumes", &names).finish()
    }
}

impl<'d> OpenedVolume<'d> {
    /// `disk`, `p2`, `vg/lv`.
    #[must_use]
    pub fn name(&self) -> &'d str {
        &self.volume.name
    }

    /// What the report says of it.
    #[must_use]
    pub fn record(&self) -> VolumeRecord {
        self.volume.record(&self.disk.run.options.disks)
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &'d OpenDisk<'d> {
        self.disk
    }

    /// Where its bytes lie on the disk.
    #[must_use]
    pub fn map(&self) -> &'d ByteMap {
        &self.volume.map
    }

    /// The volume that it is the store of a snapshot of, where it is one.
    #[must_use]
    pub fn snapshot_of(&self) -> Option<&'d str> {
        self.volume.snapshot_of.as_deref()
    }

    /// Its bytes, as they lie on the disk.
    #[must_use]
    pub fn device(&self) -> Arc<dyn ReadAt> {
        let disk = Arc::clone(&self.disk.disk);
        Arc::new(MappedReader::new(disk, self.volume.map.clone()))
    }

    /// Its filesystem, where it has one that could be opened.
    #[must_use]
    pub fn filesystem(&self) -> Option<&'d dyn Filesystem> {
        self.volume.filesystem()
    }

    /// Asks its filesystem something. May be called by several threads at the same time.
    pub fn scan<T>(&self, question: impl FnOnce(&Scan<'_>) -> Result<T>) -> Answered<T> {
        let run = &self.disk.run;
        let diagnostics = Diagnostics::new();
        let options = run.options;
        let scan = Scan::new(&options.limits, self.disk.view, &diagnostics, &Silent)
            .threads(run.started())
            .cancel(options.cancel);
        let result = guarded(|| question(&scan));
        let partial = scan.is_partial() || result.is_err();
        let findings = diagnostics.take().into_iter();
        Answered {
            result,
            findings: findings.map(|d| d.volume(self.name())).collect(),
            partial,
        }
    }

    /// The entries of `directories`; see [`Filesystem::entries`].
    pub fn entries(&self, directories: &FileSet) -> Answered<Vec<Link>> {
        self.scan(|scan| {
            let mut found = Bounded::new("links", scan.limits().links);
            if let Some(fs) = self.filesystem() {
                fs.entries(directories, scan, &mut found)?;
            }
            Ok(found.items)
        })
    }

    /// The attributes of `files`; see [`Filesystem::attributes`].
    pub fn attributes(&self, files: &FileSet) -> Answered<Vec<Attributes>> {
        self.scan(|scan| {
            let mut found = Bounded::new("attributes", scan.limits().files);
            if let Some(fs) = self.filesystem() {
                fs.attributes(files, scan, &mut found)?;
            }
            Ok(found.items)
        })
    }

    /// The decoded content of `file`; see [`Filesystem::content`].
    pub fn content(&self, file: FileKey, stream: Option<&RawName>) -> Answered<Arc<dyn ReadAt>> {
        self.scan(|scan| match self.filesystem() {
            Some(fs) => fs.content(file, stream, scan),
            None => Err(Error::unsupported("content", "no known filesystem")),
        })
    }
}

impl fmt::Debug for OpenedVolume<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenedVolume").field(&self.name()).finish()
    }
}
