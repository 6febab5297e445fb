//! What is kept of touched files in memory: of a million of them each byte counts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::run::{Bound, Counted, Run};
use super::spill::{Item, Spill};
use super::volume::OpenVolume;
use crate::{Attributes, FileKey, FileKind, FileSet, Lineage, Result, Scan, Sink, View};

/// What the join needs to know of a file before it makes a record of it.
#[derive(Clone, Debug)]
pub(super) struct Brief {
    pub(super) key: FileKey,
    pub(super) kind: FileKind,
    pub(super) lineage: Lineage,
    /// Whether it is the root of a snapshot.
    pub(super) snapshot: bool,
}

impl Brief {
    pub(super) fn of(attributes: &Attributes) -> Self {
        Self {
            key: attributes.key,
            kind: attributes.kind,
            lineage: attributes.lineage.clone(),
            snapshot: attributes.snapshot_of.is_some(),
        }
    }
}

/// Bytes of a lineage that is written down; a longer one stays in memory.
const LINEAGE: usize = 48;

impl Item for Brief {
    const BYTES: usize = 16 + 3 + LINEAGE;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        let lineage = self.lineage.as_bytes();
        let length = u8::try_from(lineage.len()).ok()?;
        let padding = LINEAGE.checked_sub(lineage.len())?;
        self.key.put(out)?;
        out.extend_from_slice(&[self.kind.number(), u8::from(self.snapshot), length]);
        out.extend_from_slice(lineage);
        out.extend(std::iter::repeat_n(0, padding));
        Some(())
    }

    fn take(bytes: &[u8]) -> Self {
        let field = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let lineage = bytes.get(19..19 + usize::from(field(18)));
        Self {
            key: FileKey::take(bytes),
            kind: FileKind::from_number(field(16)),
            lineage: Lineage::new(lineage.unwrap_or_default()),
            snapshot: field(17) != 0,
        }
    }
}

/// Keeps the briefs of attributes.
struct Shortened<'a, 'b>(&'a mut Counted<'b, Brief>);

impl Sink<Attributes> for Shortened<'_, '_> {
    fn put(&mut self, attributes: Attributes) -> Result<()> {
        self.0.put(Brief::of(&attributes))
    }
}

/// The files of one view that exist, by key and by lineage.
#[derive(Default)]
pub(super) struct Briefs {
    sorted: Spill<Brief>,
    /// Those that came since they were sorted.
    recent: BTreeMap<FileKey, Brief>,
    /// Of those that have a lineage its hash, and below it their index, sorted once
    /// [`Briefs::sort`] was called.
    by_lineage: Spill<u64>,
    /// Whether one is the root of a snapshot.
    snapshots: bool,
}

impl Briefs {
    /// Asks for those of `files` that exist in a view.
    pub(super) fn find(
        &mut self,
        run: &Run<'_>,
        volume: &OpenVolume,
        view: View,
        files: &FileSet,
    ) -> Result<()> {
        let Some(fs) = volume.filesystem() else {
            return Ok(());
        };
        let bound = Bound {
            what: "attributes",
            limit: run.options.limits.files,
            at_once: 256,
        };
        let first = self.sorted.is_empty() && self.recent.is_empty();
        if first {
            self.sorted = Spill::new(run);
        }
        let mut last = None;
        let question = |files: &FileSet, scan: &Scan<'_>, found: &mut Counted<'_, Brief>| {
            fs.attributes(files, scan, &mut Shortened(found))
        };
        run.ask_each(view, volume, files, bound, question, |brief: Brief| {
            self.snapshots |= brief.snapshot;
            // Most plugins give them by key.
            if first && last.is_none_or(|last| last < brief.key) {
                last = Some(brief.key);
                self.sorted.push(brief);
            } else {
                self.recent.insert(brief.key, brief);
            }
        })?;
        if self.recent.len() > MANY.max(self.sorted.len() / 2) {
            self.merge(run)?;
        }
        Ok(())
    }

    fn merge(&mut self, run: &Run<'_>) -> Result<()> {
        if self.recent.is_empty() {
            return Ok(());
        }
        let recent = std::mem::take(&mut self.recent);
        recent
            .into_values()
            .for_each(|brief| self.sorted.push(brief));
        let key = |brief: &Brief| brief.key;
        self.sorted.sort(run, key, FileKey::cmp, |a, b| a == b)
    }

    /// Makes them known by lineage.
    pub(super) fn sort(&mut self, run: &Run<'_>) -> Result<()> {
        self.merge(run)?;
        let mut by_lineage: Spill<u64> = Spill::new(run);
        for (n, brief) in (0u64..).zip(self.sorted.iter()) {
            if !brief.lineage.is_none() {
                by_lineage.push(hashed(&brief.lineage) | n);
            }
        }
        by_lineage.sort(run, |n| *n, u64::cmp, |_, _| false)?;
        self.by_lineage = by_lineage;
        run.memory.check()
    }

    pub(super) fn get(&self, key: FileKey) -> Option<Brief> {
        let at = self.sorted.partition_point(|b| b.key < key);
        let found = self.sorted.get(at).filter(|b| b.key == key);
        found.or_else(|| self.recent.get(&key).cloned())
    }

    /// Whether there is any without a lineage, once they are sorted.
    pub(super) fn some_without_lineage(&self) -> bool {
        self.by_lineage.len() < self.sorted.len()
    }

    /// Whether there is a root of a snapshot.
    pub(super) fn some_snapshot(&self) -> bool {
        self.snapshots
    }

    /// All, by key, once they are sorted.
    pub(super) fn iter(&self) -> impl Iterator<Item = Brief> {
        self.sorted.iter()
    }

    /// The files of a lineage, by key; several on a damaged volume only.
    pub(super) fn of_lineage<'a>(
        &'a self,
        lineage: &'a Lineage,
    ) -> impl Iterator<Item = Brief> + 'a {
        let hash = hashed(lineage);
        let from = self.by_lineage.partition_point(|n| *n < hash);
        let numbers = (from..self.by_lineage.len()).map_while(|n| self.by_lineage.get(n));
        let alike = numbers.take_while(move |n| *n & !INDEX == hash);
        let briefs = alike.filter_map(|n| self.sorted.get((n & INDEX) as usize));
        briefs.filter(move |b| b.lineage == *lineage)
    }
}

/// The bits of an index beside a hash.
const INDEX: u64 = u32::MAX as u64;

/// A hash of a lineage, in the upper bits.
fn hashed(lineage: &Lineage) -> u64 {
    let mut hasher = DefaultHasher::new();
    lineage.hash(&mut hasher);
    hasher.finish() & !INDEX
}

/// So many are kept apart before they are sorted in among the others.
const MANY: usize = 4096;
