//! An open image, and passes over it.

use std::sync::Arc;

use hexz_fs_ntfs::NtfsPlugin;
use hexz_resolve::{
    Attributes, ByteRange, Claim, Diagnostic, Diagnostics, FileKey, FileSet, Filesystem,
    FilesystemPlugin, JournalMode, Limits, Link, Member, OpenContext, Owner, RangeSet, ReadAt,
    Result, Scan, Silent, View,
};

/// An image, opened.
pub(crate) struct Opened {
    pub(crate) filesystem: Box<dyn Filesystem>,
    pub(crate) disk: Arc<dyn ReadAt>,
    pub(crate) limits: Limits,
    pub(crate) findings: Diagnostics,
}

/// Opens an image.
pub(crate) fn open(disk: &Arc<dyn ReadAt>) -> Result<Opened> {
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: View::Merged,
        diagnostics: &findings,
    };
    let filesystem = NtfsPlugin.open(&[Member::alone(Arc::clone(disk))], &cx)?;
    Ok(Opened {
        filesystem,
        disk: Arc::clone(disk),
        limits,
        findings,
    })
}

impl Opened {
    fn pass<T>(
        &self,
        run: impl FnOnce(&dyn Filesystem, &Scan<'_>, &mut Vec<T>) -> Result<()>,
    ) -> Vec<T> {
        let scan = Scan::new(&self.limits, View::Merged, &self.findings, &Silent);
        let mut out = Vec::new();
        run(&*self.filesystem, &scan, &mut out).unwrap();
        out
    }

    pub(crate) fn claims(&self) -> Vec<Claim> {
        let disk = RangeSet::from(ByteRange::new(0, self.disk.len()));
        self.pass(|fs, cx, out| fs.claims(&disk, cx, out))
    }

    pub(crate) fn links(&self, files: &FileSet) -> Vec<Link> {
        self.pass(|fs, cx, out| fs.links(files, cx, out).map(drop))
    }

    pub(crate) fn attributes(&self, files: &FileSet) -> Vec<Attributes> {
        self.pass(|fs, cx, out| fs.attributes(files, cx, out))
    }

    pub(crate) fn entries(&self, files: &FileSet) -> Vec<Link> {
        self.pass(|fs, cx, out| fs.entries(files, cx, out))
    }

    pub(crate) fn extents(&self, files: &FileSet) -> Vec<Claim> {
        self.pass(|fs, cx, out| fs.extents(files, cx, out))
    }

    /// All files that own a byte.
    pub(crate) fn files(&self) -> FileSet {
        let claims = self.claims().into_iter();
        claims
            .filter_map(|claim| match claim.owner {
                Owner::File(id) => Some(id),
                Owner::Extent(_) | Owner::Structure | Owner::Free => None,
            })
            .collect()
    }

    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> FileKey {
        path.split('/')
            .filter(|n| !n.is_empty())
            .fold(self.filesystem.root(), |directory, name| {
                let entries = self.entries(&[directory].into_iter().collect());
                let found = entries
                    .iter()
                    .find(|l| l.name.as_bytes() == name.as_bytes());
                found.unwrap_or_else(|| panic!("no {name} of {path}")).child
            })
    }

    pub(crate) fn codes(&self) -> Vec<String> {
        let found: Vec<Diagnostic> = self.findings.take();
        found.into_iter().map(|d| d.code.into_owned()).collect()
    }
}
