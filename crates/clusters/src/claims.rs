//! Who owns which clusters, and which entries of directories.

use std::ops::Range;

use hexz_resolve::{
    ByteRange, Claim, Diagnostic, FileKey, FileKind, FileSet, RangeSet, Result, Role, Scan,
    Severity, Sink,
};

use crate::chain::{Chain, ChainEnd, Steps, clusters_of};
use crate::faults::warning;
use crate::format::{Entry, Format};
use crate::known::Known;
use crate::reach::Reach;
use crate::table::Table;
use crate::tree::{Directory, Item};
use crate::{Heap, ROOT, Volume};

/// A file, and what its clusters are to it.
struct Owned<'a> {
    key: FileKey,
    kind: FileKind,
    size: u64,
    valid: u64,
    runs: &'a [Range<u32>],
}

impl Owned<'_> {
    /// Its clusters, by rising offset: what was written, and what was not. What lies behind the
    /// end of the file in its last cluster is its own too.
    fn each(&self, heap: &Heap, each: &mut dyn FnMut(Claim) -> Result<()>) -> Result<()> {
        let directory = self.kind == FileKind::Directory;
        // Behind the last written byte of a file that was written to its end are no zeros.
        let valid = match directory || self.valid >= self.size {
            true => u64::MAX,
            false => self.valid,
        };
        let mut offset = 0u64;
        for run in self.runs {
            let bytes = heap.bytes_of(run.clone());
            let written = valid.saturating_sub(offset).min(bytes.len());
            let middle = bytes.start().saturating_add(written);
            let role = match directory {
                true => Role::Directory,
                false => Role::Data,
            };
            let parts = [
                (ByteRange::new(bytes.start(), middle), role, offset),
                (
                    ByteRange::new(middle, bytes.end()),
                    Role::Unwritten,
                    offset.saturating_add(written),
                ),
            ];
            for (range, role, at) in parts.into_iter().filter(|(range, ..)| !range.is_empty()) {
                each(
                    Claim::file(range, self.key, role)
                        .offset(at)
                        .kind(Some(self.kind)),
                )?;
            }
            offset = offset.saturating_add(bytes.len());
        }
        Ok(())
    }
}

const fn kind(item: &Item) -> FileKind {
    match item.entry.is_directory {
        true => FileKind::Directory,
        false => FileKind::File,
    }
}

impl<F: Format> Volume<F> {
    /// The claims of files and directories that share a byte with `wanted`, and those of `idle`:
    /// clusters that are free or bad.
    ///
    /// # Errors
    /// What ends the scan.
    pub fn claims(
        &self,
        wanted: &RangeSet,
        idle: Vec<Claim>,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let known = self.known(cx)?;
        let mut content = Vec::new();
        self.content_claims(&known, wanted, cx, &mut |claim| {
            content.push((claim.range, claim.owner));
            out.put(claim)
        })?;
        self.entry_claims(&known, wanted, out)?;
        let covered = content.iter().map(|(range, _)| *range);
        let covered: RangeSet = covered
            .chain(idle.iter().map(|claim| claim.range))
            .collect();
        if known.is_sound() {
            self.lost(&wanted.difference(&covered), cx);
        }
        content.sort_unstable();
        let mut crossed = content.windows(2).filter_map(|two| match two {
            [(one, owner), (two, other)] if one.overlaps(two) && owner != other => {
                Some(two.start())
            }
            _ => None,
        });
        if let Some(place) = crossed.next() {
            let text = format!(
                "{} places are in several files: all of them are named as owners",
                crossed.count().saturating_add(1)
            );
            cx.diagnose(warning(F::NAME, "cross-linked", place, text));
        }
        idle.into_iter().try_for_each(|claim| out.put(claim))
    }

    /// The clusters of files and directories.
    fn content_claims(
        &self,
        known: &Known,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        each: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        let (heap, table) = (&self.heap, &known.table);
        let mut keep = |claim: Claim| match wanted.overlaps(claim.range) {
            true => each(claim),
            false => Ok(()),
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let mut reach = Reach::new(table, heap, wanted);
        let mut steps = Steps::of(table);
        self.root_claims(table, &mut steps, &mut keep)?;
        for (number, item) in known.tree.items.iter().enumerate() {
            if number.is_multiple_of(1 << 14) {
                cx.check()?;
            }
            let entry = &item.entry;
            let hit = match entry.contiguous {
                _ if entry.first == 0 => entry.size > 0 && entry_wanted(known, item, wanted),
                true => {
                    let chain = clusters_of(entry, (heap, table), &mut steps);
                    let mut runs = chain.runs.into_iter();
                    runs.any(|run| wanted.overlaps(heap.bytes_of(run)))
                }
                false => reach.reaches(entry.first),
            };
            if hit || !heap.has(entry.first) && entry_wanted(known, item, wanted) {
                self.item_claims(known, item, &mut steps, cx, &mut keep)?;
            }
        }
        Ok(())
    }

    /// Those of the root directory, which no entry describes.
    fn root_claims(
        &self,
        table: &Table,
        steps: &mut Steps,
        each: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        let mut offset = 0u64;
        for range in self.root.extents(&self.heap, table, steps) {
            let claim = Claim::file(range, FileKey::new(ROOT), Role::Directory);
            each(claim.offset(offset).kind(Some(FileKind::Directory)))?;
            offset = offset.saturating_add(range.len());
        }
        Ok(())
    }

    fn item_claims(
        &self,
        known: &Known,
        item: &Item,
        steps: &mut Steps,
        cx: &Scan<'_>,
        each: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        let Some(key) = known.tree.key_of(item) else {
            return Ok(());
        };
        let chain = match item.entry.first {
            0 => Chain {
                runs: Vec::new(),
                end: ChainEnd::Marked,
            },
            _ => clusters_of(&item.entry, (&self.heap, &known.table), steps),
        };
        if let Some(finding) = odd::<F>(&self.heap, &item.entry, &chain, key.number) {
            cx.diagnose(finding);
        }
        let owned = Owned {
            key,
            kind: kind(item),
            size: item.entry.size,
            valid: item.entry.valid,
            runs: &chain.runs,
        };
        owned.each(&self.heap, each)
    }

    /// The entries that describe files, each set of them as the record of its file.
    fn entry_claims(
        &self,
        known: &Known,
        wanted: &RangeSet,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let near =
            |directory: &&Directory| directory.extents.iter().any(|(_, e)| wanted.overlaps(*e));
        for directory in known.tree.directories.iter().filter(near) {
            for item in known.tree.items_of(directory) {
                let Some(key) = known.tree.key_of(item) else {
                    continue;
                };
                let pieces = known.tree.set_of(item).into_iter();
                for piece in pieces.filter(|piece| wanted.overlaps(*piece)) {
                    let claim = Claim::file(piece, key, Role::InodeRecord);
                    out.put(claim.kind(Some(kind(item))))?;
                }
            }
        }
        Ok(())
    }

    /// Clusters that are in use and in no file.
    fn lost(&self, unclaimed: &RangeSet, cx: &Scan<'_>) {
        let lost = unclaimed.clipped(self.heap.bytes());
        if let Some(bounds) = lost.bounds() {
            let text = format!(
                "{} bytes are in clusters that are marked as used and that no file has: lost chains, \
                 or files that were deleted while they were open",
                lost.len()
            );
            let code = format!("{}-lost-clusters", F::NAME);
            let finding = Diagnostic::new(Severity::Info, code, text);
            cx.diagnose(finding.at(bounds.start()));
        }
    }

    /// The content of `files`.
    ///
    /// # Errors
    /// What ends the scan.
    pub fn extents(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        let known = self.known(cx)?;
        let mut steps = Steps::of(&known.table);
        for file in files.iter() {
            cx.check()?;
            let item = known.tree.item(file);
            if let Some(item) = item.filter(|item| !item.entry.is_directory) {
                let mut each = |claim| out.put(claim);
                self.item_claims(&known, item, &mut steps, cx, &mut each)?;
            }
        }
        Ok(())
    }
}

fn entry_wanted(known: &Known, item: &Item, wanted: &RangeSet) -> bool {
    let set = known.tree.set_of(item);
    set.into_iter().any(|piece| wanted.overlaps(piece))
}

/// What is odd about the clusters of a file.
fn odd<F: Format>(heap: &Heap, entry: &Entry, chain: &Chain, place: u64) -> Option<Diagnostic> {
    let found = |code, text| Some(warning(F::NAME, code, place, text));
    let whose = match entry.is_directory {
        true => "the directory",
        false => "the file",
    };
    match chain.end {
        ChainEnd::Marked => {}
        ChainEnd::Free(at) => {
            let text =
                format!("the chain of {whose} ends with cluster {at}, which is marked as free");
            return found("chain-free", text);
        }
        ChainEnd::Bad(at) => {
            let text =
                format!("the chain of {whose} ends with cluster {at}, which is marked as bad");
            return found("chain-bad", text);
        }
        ChainEnd::Unknown(at) => {
            let text = format!("what follows cluster {at} of {whose} could not be read");
            return found("chain-unknown", text);
        }
        ChainEnd::Outside(at) => {
            let text = format!("the chain of {whose} leads to cluster {at}, which does not exist");
            return found("chain-outside", text);
        }
        ChainEnd::Cycle(at) => {
            let text = format!("the chain of {whose} leads back to its cluster {at}");
            return found("chain-cycle", text);
        }
        ChainEnd::TooLong => {
            let text = format!("too many chains share clusters to follow that of {whose}");
            return found("chain-too-long", text);
        }
    }
    let clusters = chain
        .runs
        .iter()
        .map(|run| u64::from(run.end.saturating_sub(run.start)));
    let bytes = clusters.sum::<u64>().saturating_mul(heap.cluster_size());
    if entry.size > bytes {
        let text = format!(
            "{whose} has {} bytes by its entry, and clusters for {bytes}",
            entry.size
        );
        return found("size-beyond-chain", text);
    }
    None
}
