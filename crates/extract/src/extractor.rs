//! Files and whole directories, written below a folder.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hexz_resolve::engine::OpenedVolume;
use hexz_resolve::{Attributes, FileKey, FileKind, Progress, RawName, ReadAt, View};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::budget::Budget;
use crate::copy::fill;
use crate::folder::Folder;
use crate::name::Name;
use crate::problem::Problems;
use crate::restore;
use crate::tree::{Entry, Tree};

/// Directories that are read at a time.
const TOGETHER: usize = 64;

/// How files are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep owners, setuid and setgid, extended attributes, devices, fifos and sockets.
    pub preserve: bool,
    /// Replace files that are there.
    pub force: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files of any kind but directories.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Devices, fifos and sockets that were left out, since no one asked for them.
    pub special: u64,
}

/// Writes files below one folder.
pub struct Extractor<'a> {
    folder: Folder,
    options: Options,
    budget: &'a Budget,
    problems: &'a Problems,
    progress: &'a dyn Progress,
    /// Whether names that differ in case only are one there.
    folds: bool,
    mask: u32,
    files: AtomicU64,
    directories: AtomicU64,
    special: AtomicU64,
    /// The first path of each file with several names.
    names: Mutex<HashMap<(View, String, FileKey), Vec<Name>>>,
    /// Directories whose mode and times are set at the end.
    unfinished: Mutex<Vec<Unfinished>>,
}

struct Unfinished {
    volume: String,
    source: Vec<u8>,
    target: Vec<Name>,
    attributes: Attributes,
}

/// A directory whose entries are to be written.
struct Todo {
    key: FileKey,
    source: Vec<u8>,
    target: Vec<Name>,
}

/// One file to write.
struct Job<'j> {
    volume: &'j str,
    folder: &'j Folder,
    attributes: &'j Attributes,
    source: Vec<u8>,
    target: Vec<Name>,
}

impl<'a> Extractor<'a> {
    /// Writes below `folder`.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn new(
        folder: Folder,
        options: Options,
        budget: &'a Budget,
        problems: &'a Problems,
        progress: &'a dyn Progress,
    ) -> Result<Self, Errno> {
        let folds = folder.folds_case()?;
        let mask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(mask);
        Ok(Self {
            folder,
            options,
            budget,
            problems,
            progress,
            folds,
            mask: mask.bits(),
            files: AtomicU64::new(0),
            directories: AtomicU64::new(0),
            special: AtomicU64::new(0),
            names: Mutex::default(),
            unfinished: Mutex::default(),
        })
    }

    /// Writes the file at `source` of `tree` to `target`; of a directory, everything below it.
    pub fn all(&self, tree: &Tree<'_>, source: &[u8], attributes: &Attributes, target: &[Name]) {
        let volume = tree.volume();
        if !attributes.kind.has_entries() {
            return self.one(tree, source, attributes, target);
        }
        if !self.directory(volume, source, attributes, target) {
            return;
        }
        let mut seen: HashSet<FileKey> = HashSet::new();
        seen.insert(attributes.key);
        let mut todo = vec![Todo {
            key: attributes.key,
            source: source.to_vec(),
            target: target.to_vec(),
        }];
        while !todo.is_empty() {
            if volume.disk().check().is_err() {
                return self.problems.left_out(volume.name(), source, "cancelled");
            }
            let now = todo.split_off(todo.len().saturating_sub(TOGETHER));
            let keys: Vec<FileKey> = now.iter().map(|directory| directory.key).collect();
            let children = tree.children(&keys, self.problems);
            for (directory, entries) in now.iter().zip(children) {
                self.entries(tree, directory, &entries, &mut seen, &mut todo);
            }
        }
    }

    /// Writes the file at `source` to `target`; of a directory nothing but itself.
    pub fn one(&self, tree: &Tree<'_>, source: &[u8], attributes: &Attributes, target: &[Name]) {
        let volume = tree.volume();
        if attributes.kind.has_entries() {
            self.directory(volume, source, attributes, target);
            return;
        }
        if let Some(folder) = self.above(volume, source, target) {
            let job = Job {
                volume: volume.name(),
                folder: &folder,
                attributes,
                source: source.to_vec(),
                target: target.to_vec(),
            };
            self.settle(&job, self.write(tree, &job));
        }
    }

    /// Writes one named stream of a file.
    pub fn stream(
        &self,
        tree: &Tree<'_>,
        source: &[u8],
        file: FileKey,
        stream: &RawName,
        target: &[Name],
    ) {
        let volume = tree.volume();
        let Some(folder) = self.above(volume, source, target) else {
            return;
        };
        let attributes = Attributes::new(file, FileKind::File);
        let job = Job {
            volume: volume.name(),
            folder: &folder,
            attributes: &attributes,
            source: source.to_vec(),
            target: target.to_vec(),
        };
        let content = tree.content(file, Some(stream));
        let written = content
            .map_err(|error| restore::reason(&error))
            .and_then(|content| self.file(&job, &*content));
        self.settle(&job, written);
    }

    pub(crate) fn problems(&self) -> &Problems {
        self.problems
    }

    /// Sets modes and times of directories. To be called once, when all is written.
    #[must_use]
    pub fn finish(self) -> Extracted {
        let unfinished = self.unfinished.into_inner();
        let mut unfinished = unfinished.unwrap_or_else(PoisonError::into_inner);
        // A directory without leave to enter it is closed after those within it.
        unfinished.sort_by(|a, b| b.target.cmp(&a.target));
        for directory in unfinished {
            let done = self
                .folder
                .descend(&directory.target)
                .map_err(|error| format!("it can't be opened again: {error}"))
                .and_then(|folder| {
                    let Options { preserve, .. } = self.options;
                    restore::directory(&folder, &directory.attributes, preserve, self.mask)
                });
            if let Err(reason) = done {
                self.problems
                    .lacks(&directory.volume, &directory.source, reason);
            }
        }
        Extracted {
            files: self.files.into_inner(),
            directories: self.directories.into_inner(),
            special: self.special.into_inner(),
        }
    }

    /// Writes the entries of a directory: directories are noted in `todo`.
    fn entries(
        &self,
        tree: &Tree<'_>,
        directory: &Todo,
        entries: &[Entry],
        seen: &mut HashSet<FileKey>,
        todo: &mut Vec<Todo>,
    ) {
        let volume = tree.volume();
        let folder = match self.folder.descend(&directory.target) {
            Ok(folder) => folder,
            Err(error) => {
                let reason = format!("its entries can't be written: {error}");
                return self
                    .problems
                    .left_out(volume.name(), &directory.source, reason);
            }
        };
        let mut files = Vec::new();
        let mut folded: HashSet<String> = HashSet::new();
        for entry in entries {
            let source = join(&directory.source, entry.name.as_bytes());
            let refuse = |reason: &str| self.problems.left_out(volume.name(), &source, reason);
            let name = match Name::new(entry.name.as_bytes()) {
                Ok(name) => name,
                Err(reason) => {
                    refuse(reason);
                    continue;
                }
            };
            let Some(attributes) = &entry.attributes else {
                refuse("its entry names no file that is in use");
                continue;
            };
            if tree.is_internal(attributes.key) {
                continue;
            }
            if self.folds {
                let lower = String::from_utf8_lossy(name.as_bytes()).to_lowercase();
                if !folded.insert(lower) {
                    refuse(
                        "another name differs in case only, and the folder can't tell them apart",
                    );
                    continue;
                }
            }
            let mut target = directory.target.clone();
            target.push(name);
            if !attributes.kind.has_entries() {
                files.push(Job {
                    volume: volume.name(),
                    folder: &folder,
                    attributes,
                    source,
                    target,
                });
            } else if !seen.insert(attributes.key) {
                refuse("the directory has another path already, so it would go round in circles");
            } else if self.directory(volume, &source, attributes, &target) {
                todo.push(Todo {
                    key: attributes.key,
                    source,
                    target,
                });
            }
        }
        // Of a file with several names, the first is written before the others link to it.
        let (many, single): (Vec<Job<'_>>, Vec<Job<'_>>) =
            files.into_iter().partition(|job| has_names(job.attributes));
        let written = volume.disk().each(&single, |job| self.write(tree, job));
        for (job, written) in single.iter().zip(written) {
            self.settle(job, written);
        }
        for job in &many {
            self.settle(job, self.write(tree, job));
        }
    }

    /// The folder that `target` goes to; folders on the way are made.
    fn above(&self, volume: OpenedVolume<'_>, source: &[u8], target: &[Name]) -> Option<Folder> {
        let (_, above) = target.split_last()?;
        let made = match self.folder.descend(above) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.make_folders(above),
            opened => opened,
        };
        match made {
            Ok(folder) => Some(folder),
            Err(error) => {
                let reason = format!("a folder on the way to it can't be made: {error}");
                self.problems.left_out(volume.name(), source, reason);
                None
            }
        }
    }

    fn make_folders(&self, path: &[Name]) -> Result<Folder, Errno> {
        let mut here = self.folder.descend(&[])?;
        for name in path {
            self.make_folder(&here, name)?;
            here = here.open(name)?;
        }
        Ok(here)
    }

    fn make_folder(&self, here: &Folder, name: &Name) -> Result<(), Errno> {
        match here.make_directory(name) {
            Err(Errno::EXIST) => match here.open(name) {
                // Something else stands there.
                Err(Errno::NOTDIR | Errno::LOOP) if self.options.force => {
                    here.remove(name)?;
                    here.make_directory(name)
                }
                opened => opened.map(|_| ()),
            },
            made => made,
        }
    }

    /// Makes a directory; gives whether it is there.
    fn directory(
        &self,
        volume: OpenedVolume<'_>,
        source: &[u8],
        attributes: &Attributes,
        target: &[Name],
    ) -> bool {
        let Some(name) = target.last() else {
            // The folder itself.
            return true;
        };
        let refuse = |reason: String| {
            self.problems.left_out(volume.name(), source, reason);
            false
        };
        if let Err(reason) = self.budget.file(0) {
            return refuse(reason);
        }
        let Some(folder) = self.above(volume, source, target) else {
            return false;
        };
        if let Err(error) = self.make_folder(&folder, name) {
            return refuse(format!("it can't be made: {}", exists(error)));
        }
        self.directories.fetch_add(1, Ordering::Relaxed);
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unfinished.push(Unfinished {
            volume: volume.name().to_owned(),
            source: source.to_vec(),
            target: target.to_vec(),
            attributes: attributes.clone(),
        });
        true
    }

    fn settle(&self, job: &Job<'_>, written: Result<(), String>) {
        if let Err(reason) = written {
            self.problems.left_out(job.volume, &job.source, reason);
        }
    }

    /// Writes what is no directory.
    fn write(&self, tree: &Tree<'_>, job: &Job<'_>) -> Result<(), String> {
        let many = has_names(job.attributes);
        let (view, volume) = (tree.volume().disk().view(), tree.volume().name());
        let key = (view, volume.to_owned(), job.attributes.key);
        if many {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = names.get(&key).cloned() {
                drop(names);
                return self.name(job, &first);
            }
        }
        match job.attributes.kind {
            FileKind::File => {
                let content = tree.content(job.attributes.key, None);
                let content: Arc<dyn ReadAt> = content.map_err(|e| restore::reason(&e))?;
                self.file(job, &*content)?;
            }
            FileKind::Symlink => self.link(job)?,
            kind => self.node(job, kind)?,
        }
        if many {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.entry(key).or_insert_with(|| job.target.clone());
        }
        Ok(())
    }

    /// Makes something at the place of `job`, in the place of what stands there if that was asked.
    fn make<T>(
        &self,
        job: &Job<'_>,
        make: impl Fn(&Name) -> Result<T, Errno>,
    ) -> Result<T, String> {
        let name = job.target.last().ok_or("it has no name")?;
        let made = match make(name) {
            Err(Errno::EXIST) if self.options.force => {
                job.folder.remove(name).and_then(|()| make(name))
            }
            made => made,
        };
        made.map_err(|error| format!("it can't be made: {}", exists(error)))
    }

    fn count(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    fn file(&self, job: &Job<'_>, content: &dyn ReadAt) -> Result<(), String> {
        let whole = hexz_resolve::ByteRange::new(0, content.len());
        let bytes = content.data_in(whole).len();
        self.budget.file(bytes)?;
        let mode = match job.attributes.mode {
            // The true mode comes with the owner.
            Some(_) if self.options.preserve => 0o600,
            _ => restore::plain_mode(job.attributes),
        };
        let file = self.make(job, |name| job.folder.make_file(name, mode))?;
        if let Err(reason) = fill(content, &file) {
            // A part of a file would pass for the file.
            let name = job.target.last().ok_or("it has no name")?;
            job.folder
                .remove(name)
                .map_err(|error| format!("{reason}; what was written of it stays: {error}"))?;
            return Err(reason);
        }
        let Options { preserve, .. } = self.options;
        if let Err(reason) = restore::open_file(&file, job.attributes, preserve) {
            self.problems.lacks(job.volume, &job.source, reason);
        }
        self.count();
        self.progress.advance(bytes);
        Ok(())
    }

    fn link(&self, job: &Job<'_>) -> Result<(), String> {
        let target = job.attributes.target.as_ref();
        let target = target.ok_or("where the link leads can't be read")?;
        self.budget.file(0)?;
        self.make(job, |name| job.folder.make_link(name, target.as_bytes()))?;
        self.count();
        self.named(job)
    }

    fn node(&self, job: &Job<'_>, kind: FileKind) -> Result<(), String> {
        let (kind, device) = match kind {
            FileKind::Fifo => (FileType::Fifo, 0),
            FileKind::Socket => (FileType::Socket, 0),
            kind => {
                let device = job
                    .attributes
                    .rdev
                    .ok_or("its device number is not known")?;
                let major = u32::try_from(device >> 32).map_err(|e| e.to_string())?;
                let minor = u32::try_from(device & 0xFFFF_FFFF).map_err(|e| e.to_string())?;
                let kind = match kind {
                    FileKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::CharacterDevice,
                };
                (kind, rustix::fs::makedev(major, minor))
            }
        };
        if !self.options.preserve {
            self.special.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.budget.file(0)?;
        self.make(job, |name| job.folder.make_node(name, kind, 0o600, device))?;
        self.count();
        self.named(job)
    }

    /// One more name of a file that is written.
    fn name(&self, job: &Job<'_>, first: &[Name]) -> Result<(), String> {
        let (of, above) = first.split_last().ok_or("it has no name")?;
        self.budget.file(0)?;
        let from = self.folder.descend(above);
        let from = from.map_err(|error| format!("its other name can't be opened: {error}"))?;
        self.make(job, |name| job.folder.make_name(name, &from, of))?;
        self.count();
        Ok(())
    }

    fn named(&self, job: &Job<'_>) -> Result<(), String> {
        let name = job.target.last().ok_or("it has no name")?;
        let Options { preserve, .. } = self.options;
        if let Err(reason) = restore::named(job.folder, name, job.attributes, preserve) {
            self.problems.lacks(job.volume, &job.source, reason);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Extractor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractor")
            .field("folder", &self.folder)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn has_names(attributes: &Attributes) -> bool {
    attributes.nlink.is_some_and(|links| links > 1)
}

/// What to do about something that is there.
fn exists(error: Errno) -> String {
    match error {
        Errno::EXIST => "something is there already; --force replaces files".to_owned(),
        error => error.to_string(),
    }
}

/// A path with one more name.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    if out.last() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(name);
    out
}
