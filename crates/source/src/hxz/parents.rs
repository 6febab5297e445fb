//! Parents of an archive: opening them, and finding in them what a block refers to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{ByteRange, Diagnostics, Error, Limits, OpenGate, Result, check_bounds};

use super::Archive;
use super::index::{Block, Kind, Page};
use crate::cache::Cache;
use crate::chain::canonical;
use crate::file::RawFile;
use crate::num::usize_of;

/// Bytes of a block or index page as hexz mostly writes them.
const TYPICAL: usize = 256 << 10;

/// What is known of an archive and its ancestors while they are opened.
pub(super) struct Family<'a> {
    limits: &'a Limits,
    gate: &'a dyn OpenGate,
    pub(super) diagnostics: &'a Diagnostics,
    /// The archives being opened, from the one the user named down to this one.
    path: Vec<PathBuf>,
    /// All that were opened, so that a shared ancestor is opened once.
    opened: Vec<(PathBuf, Arc<Archive>)>,
    count: u32,
    pub(super) blocks: Arc<Cache<[u8]>>,
    pub(super) pages: Arc<Cache<Page>>,
}

impl<'a> Family<'a> {
    pub(super) fn new(
        limits: &'a Limits,
        gate: &'a dyn OpenGate,
        diagnostics: &'a Diagnostics,
    ) -> Self {
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
    pub(super) fn enter(&mut self, path: &Path) -> Result<u64> {
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

    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    /// Opens what the archive at `child` names.
    pub(super) fn open_parents(
        &mut self,
        named: &[String],
        child: &Path,
    ) -> Result<Vec<Arc<Archive>>> {
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

/// The stored blocks of an archive by the first eight bytes of their hash, rising: few bytes a
/// block, since disks have millions.
pub(super) struct HashIndex(Vec<(u64, u32, u32)>);

impl HashIndex {
    fn build(archive: &Archive) -> Result<Self> {
        let mut all = Vec::new();
        for number in 0..archive.pages.len() {
            let page = archive.page(number)?;
            for (at, block) in page.blocks.iter().enumerate() {
                let stored = matches!(block.kind, Kind::Stored { .. });
                let place = u32::try_from(number).ok().zip(u32::try_from(at).ok());
                if let (true, Some(hash), Some((number, at))) = (stored, block.hash(), place) {
                    all.push((prefix(hash), number, at));
                }
            }
        }
        all.sort_unstable();
        Ok(Self(all))
    }
}

fn prefix(hash: &[u8; 32]) -> u64 {
    let (front, _) = hash.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*front)
}

impl Archive {
    /// Fills `out` with `piece` of the disk, which this archive leaves to its parents: as the
    /// parent reference `block`, or because its index ends before.
    pub(super) fn read_from_parent(
        &self,
        block: Option<&Block>,
        piece: ByteRange,
        out: &mut [u8],
    ) -> Result<()> {
        let missing = |why: String| Error::corrupt("hxz block").message(why);
        let hash = block.and_then(Block::hash);
        if let (Some(block), Some(hash)) = (block, hash) {
            for holder in &self.lineage {
                let found = holder.find(block.range, hash);
                if let Some(found) = found.map_err(|e| holder.named(e))? {
                    let skip = piece.start().saturating_sub(block.range.start());
                    let start = found.range.start().saturating_add(skip);
                    let there = ByteRange::at(start, piece.len()).unwrap_or_default();
                    let read = holder.read_piece(Some(&found), there, out);
                    return read.map_err(|e| holder.named(e));
                }
            }
            if self.by_hash_only {
                return Err(missing("no parent holds the block".into()));
            }
        }
        for parent in &self.parents {
            if check_bounds(piece.start(), out.len(), parent.size).is_err() {
                continue;
            }
            let same_range = block.and_then(|block| parent.block_at(block.range).ok().flatten());
            let other = same_range.as_ref().and_then(Block::hash);
            if hash.is_some() && other.is_some() && hash != other {
                return Err(missing(format!(
                    "{} holds other data there than the parent it was made with",
                    parent.name
                )));
            }
            return parent.read_range(piece.start(), out);
        }
        Err(missing("no parent holds these bytes".into()))
    }

    /// The block of exactly `range`.
    fn block_at(&self, range: ByteRange) -> Result<Option<Block>> {
        let after = self
            .pages
            .partition_point(|page| page.start <= range.start());
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        let page = self.page(number)?;
        let at = page
            .blocks
            .partition_point(|b| b.range.start() < range.start());
        Ok(page.blocks.get(at).filter(|b| b.range == range).copied())
    }

    /// The block of this archive in which the content with `hash` is stored: mostly at the same
    /// place of the disk.
    fn find(&self, range: ByteRange, hash: &[u8; 32]) -> Result<Option<Block>> {
        let fits = |block: &Block| {
            let stored = matches!(block.kind, Kind::Stored { .. });
            stored && block.hash() == Some(hash) && block.range.len() == range.len()
        };
        if let Some(block) = self.block_at(range)?.filter(fits) {
            return Ok(Some(block));
        }
        let hashes = self
            .hashes
            .get_or_init(|| HashIndex::build(self).map_err(|e| e.chain()))
            .as_ref()
            .map_err(|e| Error::corrupt("hxz index").message(e.clone()))?;
        let wanted = prefix(hash);
        let from = hashes.0.partition_point(|(found, ..)| *found < wanted);
        let rest = hashes.0.iter().skip(from);
        for (_, number, at) in rest.take_while(|(found, ..)| *found == wanted) {
            let page = self.page(usize_of(u64::from(*number)))?;
            let block = page.blocks.get(usize_of(u64::from(*at)));
            if let Some(block) = block.filter(|block| fits(block)) {
                return Ok(Some(*block));
            }
        }
        Ok(None)
    }
}

/// `parents` and all their ancestors, each once, nearest first.
pub(super) fn lineage(parents: &[Arc<Archive>]) -> Vec<Arc<Archive>> {
    let mut all: Vec<Arc<Archive>> = Vec::new();
    let further = parents.iter().flat_map(|parent| &parent.lineage);
    for archive in parents.iter().chain(further) {
        if !all.iter().any(|known| known.number == archive.number) {
            all.push(Arc::clone(archive));
        }
    }
    all
}
