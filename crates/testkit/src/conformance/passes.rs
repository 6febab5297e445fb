//! One run of all five passes over one image.

use std::collections::BTreeSet;
use std::sync::Arc;

use hexz_resolve::{
    Attributes, ByteRange, Claim, Diagnostic, Error, FileKey, FileSet, FsInfo, Link, Owner,
    RangeSet, ReadAt, Result, Threads, View,
};

use super::options::Failures;
use super::samples::{Sampled, sample};
use super::setup::{Opened, Pass, Setup};

/// What all passes gave for a whole image.
pub(super) struct Passes {
    pub(super) info: FsInfo,
    pub(super) root: FileKey,
    pub(super) files: FileSet,
    pub(super) claims: Vec<Claim>,
    pub(super) links: Vec<Link>,
    pub(super) attributes: Vec<Attributes>,
    pub(super) entries: Vec<Link>,
    pub(super) extents: Vec<Claim>,
    pub(super) contents: Vec<(FileKey, Sampled)>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) partial: bool,
    pub(super) errors: Vec<Error>,
}

impl Passes {
    /// All passes over the whole of `image`: about all its bytes, then about all the files that
    /// own any or that a directory names.
    pub(super) fn whole(
        setup: &Setup,
        image: &Arc<dyn ReadAt>,
        pool: Option<&Threads>,
    ) -> Result<Self> {
        let opened = setup.open(image, View::Merged)?;
        let disk = RangeSet::from(ByteRange::new(0, image.len()));
        let claims = opened.pass(pool, None, |fs, cx, out| fs.claims(&disk, cx, out));
        let mut passes = Self {
            info: opened.filesystem.info().clone(),
            root: opened.filesystem.root(),
            files: FileSet::new(),
            claims: Vec::new(),
            links: Vec::new(),
            attributes: Vec::new(),
            entries: Vec::new(),
            extents: Vec::new(),
            contents: Vec::new(),
            findings: opened.findings.clone(),
            partial: false,
            errors: Vec::new(),
        };
        passes.claims = passes.take(claims);
        let (files, entries) = passes.walk(&opened, pool);
        passes.files = files;
        passes.entries = entries;
        let files = passes.files.clone();
        let links = opened.pass(pool, None, |fs, cx, out| {
            fs.links(&files, cx, out).map(|_| ())
        });
        passes.links = passes.take(links);
        let attributes = opened.pass(pool, None, |fs, cx, out| fs.attributes(&files, cx, out));
        passes.attributes = passes.take(attributes);
        let extents = opened.pass(pool, None, |fs, cx, out| fs.extents(&files, cx, out));
        passes.extents = passes.take(extents);
        passes.contents = sample(&opened, &passes.attributes);
        Ok(passes)
    }

    fn take<T>(&mut self, pass: Pass<T>) -> Vec<T> {
        self.findings.extend(pass.findings);
        self.partial |= pass.partial;
        self.errors.extend(pass.error);
        pass.items
    }

    /// The owners of bytes and all that directories name below them and below the root, with the
    /// entries met.
    fn walk(&mut self, opened: &Opened, pool: Option<&Threads>) -> (FileSet, Vec<Link>) {
        let owners = self.claims.iter().filter_map(|c| match c.owner {
            Owner::File(file) => Some(file),
            Owner::Extent(_) | Owner::Structure | Owner::Free => None,
        });
        let mut known: BTreeSet<FileKey> = owners.chain([self.root]).collect();
        let mut next: FileSet = known.iter().copied().collect();
        let mut entries = Vec::new();
        while !next.is_empty() {
            let pass = opened.pass(pool, None, |fs, cx, out| fs.entries(&next, cx, out));
            let found = self.take(pass);
            next = found
                .iter()
                .map(|l| l.child)
                .filter(|c| !known.contains(c))
                .collect();
            known.extend(next.iter());
            entries.extend(found);
            if known.len() > opened.limits.files {
                break;
            }
        }
        (known.into_iter().collect(), entries)
    }

    /// Whether anything says that the results may lack something.
    pub(super) fn admits(&self) -> bool {
        self.partial || !self.findings.is_empty() || !self.errors.is_empty()
    }

    /// The directories there are.
    pub(super) fn directories(&self) -> FileSet {
        let all = self.attributes.iter();
        all.filter(|a| a.kind.has_entries())
            .map(|a| a.key)
            .collect()
    }

    /// What a run on a sound image must be.
    pub(super) fn check_sound(&self, length: u64) -> Failures {
        let mut out = self.malformed(length);
        out.extend(self.errors.iter().map(|e| format!("error: {}", e.chain())));
        if self.partial {
            out.push("the result is partial".to_owned());
        }
        if self.claims.is_empty() || self.links.is_empty() || self.attributes.is_empty() {
            out.push("an image for this suite has claims, links and files".to_owned());
        }
        let past_end = self.claims.iter().find(|c| c.range.end() > length);
        out.extend(past_end.map(|c| format!("past the end: {c:?}")));
        out.into_iter().map(|f| format!("sound: {f}")).collect()
    }

    /// What must not be in any result, of a damaged image neither.
    pub(super) fn malformed(&self, length: u64) -> Failures {
        let mut out = Vec::new();
        let end = length.max(self.info.size);
        let all = self.claims.iter().chain(&self.extents);
        for claim in all {
            let wraps = |o: u64| o.checked_add(claim.range.len()).is_none();
            if claim.range.is_empty() || claim.range.end() > end {
                out.push(format!(
                    "an empty claim, or one past the end {end}: {claim:?}"
                ));
            } else if claim.file_offset.is_some_and(wraps) {
                out.push(format!("the file offset leaves 64 bits: {claim:?}"));
            }
        }
        if self.info.filesystem.is_empty() || self.info.block_size == 0 {
            out.push(format!("no name or block size: {:?}", self.info));
        }
        out.truncate(5);
        out
    }
}
