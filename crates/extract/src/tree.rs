//! One filesystem, walked by path.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_resolve::engine::OpenedVolume;
use hexz_resolve::{Attributes, Error, FileKey, FileSet, RawName, ReadAt, Result};

use crate::problem::Problems;

/// The files of one volume.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'d> {
    volume: OpenedVolume<'d>,
    root: FileKey,
    upper: bool,
}

/// A file in its directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name there.
    pub name: RawName,
    /// What is known of it; `None` when the name leads to no file that is in use.
    pub attributes: Option<Attributes>,
}

impl<'d> Tree<'d> {
    /// The files of `volume`; `None` when it has no filesystem that could be opened.
    #[must_use]
    pub fn new(volume: OpenedVolume<'d>) -> Option<Self> {
        let root = volume.filesystem()?.root();
        Some(Self {
            volume,
            root,
            upper: false,
        })
    }

    /// The files below `folder`, which is the upper folder of an overlayfs.
    pub(crate) fn below_upper(self, folder: FileKey) -> Self {
        Self {
            root: folder,
            upper: true,
            ..self
        }
    }

    /// Whether this is the upper folder of an overlayfs.
    #[must_use]
    pub fn is_upper(&self) -> bool {
        self.upper
    }

    /// The volume.
    #[must_use]
    pub fn volume(&self) -> OpenedVolume<'d> {
        self.volume
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> FileKey {
        self.root
    }

    /// Whether a file is the filesystem's own, and in a directory all the same: `$MFT`, which no
    /// system shows. Who walks a whole tree leaves it out.
    #[must_use]
    pub fn is_internal(&self, file: FileKey) -> bool {
        let fs = self.volume.filesystem();
        // Records below 24 are reserved; the root directory is one of them.
        let ntfs = fs.is_some_and(|fs| fs.info().filesystem == "ntfs");
        ntfs && file.number < 24 && file != self.root
    }

    /// What is known of one file; `None` when it is not in use.
    #[must_use]
    pub fn attributes(&self, file: FileKey, problems: &Problems) -> Option<Attributes> {
        let found = self.volume.attributes(&[file].into_iter().collect());
        let mut all = problems.take(found)?.into_iter();
        all.find(|a| a.key == file)
    }

    /// The entries of each of `directories`, in their order, sorted by name.
    #[must_use]
    pub fn children(&self, directories: &[FileKey], problems: &Problems) -> Vec<Vec<Entry>> {
        let asked: FileSet = directories.iter().copied().collect();
        let links = problems
            .take(self.volume.entries(&asked))
            .unwrap_or_default();
        let files: FileSet = links.iter().map(|link| link.child).collect();
        let known = problems.take(self.volume.attributes(&files));
        let known: BTreeMap<FileKey, Attributes> = known
            .unwrap_or_default()
            .into_iter()
            .map(|a| (a.key, a))
            .collect();
        let mut of: BTreeMap<FileKey, Vec<Entry>> = BTreeMap::new();
        for link in links {
            of.entry(link.parent).or_default().push(Entry {
                attributes: known.get(&link.child).cloned(),
                name: link.name,
            });
        }
        directories
            .iter()
            .map(|directory| {
                let mut entries = of.remove(directory).unwrap_or_default();
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                entries
            })
            .collect()
    }

    /// The bytes of a file, or of one of its named streams.
    ///
    /// # Errors
    /// When they can't be had: encrypted, compressed in an unknown way, damaged.
    pub fn content(&self, file: FileKey, stream: Option<&RawName>) -> Result<Arc<dyn ReadAt>> {
        let fs = self
            .volume
            .filesystem()
            .ok_or_else(|| Error::unsupported("volume", "no filesystem"))?;
        let answered = self.volume.scan(|scan| fs.content(file, stream, scan));
        let partial = answered.partial;
        let mut findings = answered.findings.into_iter();
        let content = answered.result?;
        match findings.find(|_| partial) {
            // What is lacking would be zeros.
            Some(finding) => Err(Error::corrupt("content").message(finding.message)),
            None => Ok(content),
        }
    }
}
