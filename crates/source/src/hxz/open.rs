//! Opening an archive, and all its parents.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use hexz_resolve::{ByteRange, Diagnostic, Diagnostics, Error, Limits, OpenGate, Result};

use super::decode::Decoder;
use super::index::{self, Page};
use super::notes::Notes;
use super::{Archive, Stream, read_header};
use crate::cache::Cache;
use crate::chain::canonical;
use crate::file::RawFile;

/// Bytes of a block or index page as hexz mostly writes them.
const TYPICAL: usize = 256 << 10;

/// What is known of an archive and its ancestors while they are opened.
struct Family<'a> {
    limits: &'a Limits,
    gate: &'a dyn OpenGate,
    diagnostics: &'a Diagnostics,
    /// The archives being opened, from the one the user named down to this one.
    path: Vec<PathBuf>,
    /// All that were opened, so that a shared ancestor is opened once.
    opened: Vec<(PathBuf, Arc<Archive>)>,
    count: u32,
    blocks: Arc<Cache<[u8]>>,
    pages: Arc<Cache<Page>>,
}

impl<'a> Family<'a> {
    fn new(limits: &'a Limits, gate: &'a dyn OpenGate, diagnostics: &'a Diagnostics) -> Self {
        // Of the budget, one part in four for the index.
        let pages = limits.cache_bytes >> 2;
        Self {
            limits,
            gate,
            diagnostics,
            path: Vec::new(),
            opened: Vec::new(),
            count: 0,
            blocks: Arc::new(Cache::new(
                limits.cache_bytes.saturating_sub(pages),
                TYPICAL,
            )),
            pages: Arc::new(Cache::new(pages, TYPICAL)),
        }
    }

    /// Begins with the archive at `path`, and gives it a number.
    fn enter(&mut self, path: &Path) -> Result<u64> {
        let real = canonical(path);
        if self.path.contains(&real) {
            return Err(Error::corrupt("archive")
                .message(format!("{} is among its own parents", path.display())));
        }
        if self.count > self.limits.parents {
            return Err(Error::limit(
                "parents of an archive",
                format!("more than {}", self.limits.parents),
            ));
        }
        self.path.push(real);
        self.count = self.count.saturating_add(1);
        Ok(u64::from(self.count))
    }

    fn leave(&mut self) {
        self.path.pop();
    }

    /// Opens what the archive at `child` names.
    fn open_parents(&mut self, named: &[String], child: &Path) -> Result<Vec<Arc<Archive>>> {
        let mut parents = Vec::new();
        for named in named {
            let path = self.gate.allow(Path::new(named), child)?;
            let real = canonical(&path);
            let known = self.opened.iter().find(|(path, _)| *path == real);
            if let Some((_, archive)) = known {
                parents.push(Arc::clone(archive));
                continue;
            }
            let file = RawFile::open_regular(&path)?;
            let archive = Arc::new(Archive::open_in(file, &path, None, self)?);
            self.opened.push((real, Arc::clone(&archive)));
            parents.push(archive);
        }
        Ok(parents)
    }
}

impl Archive {
    /// Opens the archive in `file`, which lies at `path`, and all its parents, as far as `gate`
    /// allows.
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported` (encrypted), naming the file; `Io`, naming the parent that is
    /// not there or was refused; `Limit`, when it has too many.
    pub fn open(
        file: RawFile,
        path: &Path,
        limits: &Limits,
        gate: &dyn OpenGate,
        diagnostics: &Diagnostics,
    ) -> Result<Self> {
        let mut family = Family::new(limits, gate, diagnostics);
        Self::open_in(file, path, None, &mut family)
    }

    /// As [`open`](Self::open), and reads the given stream.
    pub(crate) fn open_stream(
        file: RawFile,
        path: &Path,
        stream: Stream,
        limits: &Limits,
        gate: &dyn OpenGate,
        diagnostics: &Diagnostics,
    ) -> Result<Self> {
        let mut family = Family::new(limits, gate, diagnostics);
        Self::open_in(file, path, Some(stream), &mut family)
    }

    /// Opens it for `stream`, or for the disk it holds: where there is none, the memory is read.
    fn open_in(
        file: RawFile,
        path: &Path,
        stream: Option<Stream>,
        family: &mut Family<'_>,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let in_file = |e: Error| {
            Error::new(e.kind(), "archive")
                .message(name.clone())
                .source(e)
        };
        let header = read_header(&file, path)?;
        if header.encrypted {
            return Err(Error::unsupported(
                "archive",
                format!("{name} is encrypted; decrypt it with hexz first"),
            ));
        }
        let no_disk = stream.is_none() && !header.has_disk && header.has_memory;
        let main = stream != Some(Stream::Memory) && !no_disk;
        let place = ByteRange::new(header.index_offset, header.index_end);
        let (pages, size) = index::read_master(&file, place, main).map_err(in_file)?;
        if no_disk {
            family.diagnostics.push(Diagnostic::warning(
                "hxz-no-disk",
                format!("{name} holds no disk, only memory: that is what is read"),
            ));
        }
        let decoder = Decoder::new(&header, &file).map_err(in_file)?;
        let number = family.enter(path)?;
        let parents = family.open_parents(&header.parents, path)?;
        family.leave();
        let archive = Self {
            file,
            name,
            pages,
            size,
            decoder,
            lineage: lineage(&parents),
            parents,
            by_hash_only: header.chunking,
            number,
            block_cache: Arc::clone(&family.blocks),
            page_cache: Arc::clone(&family.pages),
            notes: Notes::default(),
            hashes: OnceLock::new(),
        };
        archive.check_size().map_err(|e| {
            Error::new(e.kind(), "archive")
                .message(archive.name.clone())
                .source(e)
        })?;
        Ok(archive)
    }
}

/// `parents` and all their ancestors, each once, nearest first.
fn lineage(parents: &[Arc<Archive>]) -> Vec<Arc<Archive>> {
    let mut all: Vec<Arc<Archive>> = Vec::new();
    let further = parents.iter().flat_map(|parent| &parent.lineage);
    for archive in parents.iter().chain(further) {
        if !all.iter().any(|known| known.number == archive.number) {
            all.push(Arc::clone(archive));
        }
    }
    all
}
