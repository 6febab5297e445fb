//! How many bytes of a file's content are new or differ.

use std::collections::BTreeSet;

use super::content::{Comparer, Extents, Side};
use super::join::Joined;
use super::touched::Touched;
use crate::content::pieces;
use crate::{Attributes, Claim, FileKey, FileKind, Result};

/// Measures changes, each content once: of several names that came with one file, the first.
pub(super) struct Measure<'m, 'a> {
    pub(super) touched: &'m Touched<'a>,
    pub(super) base: &'m Extents,
    pub(super) merged: &'m Extents,
    pub(super) seen: BTreeSet<(Option<FileKey>, Option<FileKey>)>,
}

impl<'m> Measure<'m, '_> {
    /// Bytes of the content that came, differ or went; `None` for what has no content, and where
    /// that is not known.
    pub(super) fn of(
        &mut self,
        joined: &Joined,
        comparer: Option<&mut Comparer<'_>>,
    ) -> Result<Option<u64>> {
        let change = &joined.change;
        let file = |key: Option<FileKey>, a: Option<&'m Attributes>| {
            let file = a.filter(|a| a.kind == FileKind::File);
            key.zip(file)
        };
        let then = joined.base.and_then(|key| {
            let known = self.touched.base.attributes.get(&key);
            file(Some(key), known)
        });
        let now = joined.merged.and_then(|key| {
            let known = self.touched.merged.attributes.get(&key);
            file(Some(key), known)
        });
        if then.is_none() && now.is_none() {
            return Ok(None);
        }
        if !change.content_changed || !self.seen.insert((joined.base, joined.merged)) {
            return Ok(Some(0));
        }
        Ok(match (then, now) {
            (Some((before, then)), Some((after, now))) => {
                let (base, merged) = (side(self.base, before), side(self.merged, after));
                match comparer {
                    Some(comparer) => comparer.count(base, merged, (then.size, now.size))?,
                    None => None,
                }
            }
            (None, Some((key, now))) => match self.is_other_name(key, now) {
                true => Some(0),
                false => Some(held(side(self.merged, key).extents, now.size)),
            },
            (Some((key, then)), None) => match self.keeps_a_name(key, then) {
                true => Some(0),
                false => Some(held(side(self.base, key).extents, then.size)),
            },
            (None, None) => None,
        })
    }

    /// Whether a name came to a file that was there before.
    fn is_other_name(&self, key: FileKey, now: &Attributes) -> bool {
        let then = self.touched.base.attributes.get(&key);
        let there = self.touched.base.paths.contains_key(&key);
        there && then.is_some_and(|then| self.touched.pair.same_file(then, now))
    }

    /// Whether a name went from a file that is still there.
    fn keeps_a_name(&self, key: FileKey, then: &Attributes) -> bool {
        let now = self.touched.merged.attributes.get(&key);
        let there = self.touched.merged.paths.contains_key(&key);
        there && now.is_some_and(|now| self.touched.pair.same_file(then, now))
    }
}

fn side(extents: &Extents, file: FileKey) -> Side<'_> {
    Side {
        file,
        extents: extents.get(&file).map_or(&[], Vec::as_slice),
    }
}

/// Bytes of a content of `size` that are no holes. Of what is compressed the size of the file.
fn held(extents: &[Claim], size: u64) -> u64 {
    match extents.iter().any(|c| c.encoded) {
        true => size,
        false => pieces(extents, size).iter().map(|p| p.file.len()).sum(),
    }
}
