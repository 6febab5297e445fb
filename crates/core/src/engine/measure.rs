//! How many bytes of a file's content are new or differ.

use super::briefs::Brief;
use super::content::{Comparer, Extents, Side as Content};
use super::side::Side;
use super::touched::Touched;
use crate::content::{Extent, pieces};
use crate::report::Change;
use crate::{Attributes, FileKind, Result};

/// Measures changes.
pub(super) struct Measure<'m, 'a> {
    pub(super) touched: &'m Touched<'a>,
    pub(super) base: &'m Extents,
    pub(super) merged: &'m Extents,
    pub(super) comparer: Option<&'m Comparer<'m>>,
}

impl Measure<'_, '_> {
    /// Bytes of the content that came, differ or went; `None` for what has no content, and where
    /// that is not known. Where another record counts them, `counted` is set, and there are none.
    pub(super) fn of(&self, change: &Change, counted: bool) -> Result<Option<u64>> {
        let file = |a: &&Attributes| a.kind == FileKind::File;
        let then = change.base.as_ref().filter(file);
        let now = change.merged.as_ref().filter(file);
        if then.is_none() && now.is_none() {
            return Ok(None);
        }
        if !change.content_changed || counted {
            return Ok(Some(0));
        }
        let touched = self.touched;
        Ok(match (then, now) {
            (Some(then), Some(now)) => {
                let (base, merged) = (
                    Content::of(self.base, then.key),
                    Content::of(self.merged, now.key),
                );
                match self.comparer {
                    Some(comparer) => comparer.count(base, merged, (then.size, now.size))?,
                    None => None,
                }
            }
            // A name that came to a file that was there before.
            (None, Some(now)) if self.is_there(&touched.base, now, false) => Some(0),
            (None, Some(now)) => Some(held(Content::of(self.merged, now.key).extents, now.size)),
            // A name that went from a file that is still there.
            (Some(then), None) if self.is_there(&touched.merged, then, true) => Some(0),
            (Some(then), None) => Some(held(Content::of(self.base, then.key).extents, then.size)),
            (None, None) => None,
        })
    }

    /// Whether a file of one view is there, with a name, in the other one, which is `side`.
    fn is_there(&self, side: &Side, file: &Attributes, forward: bool) -> bool {
        let Some(other) = side.files.get(file.key) else {
            return false;
        };
        let one = Brief::of(file);
        let (then, now) = match forward {
            true => (one, other),
            false => (other, one),
        };
        side.names.count(file.key) > 0 && self.touched.pair.same_file(&then, &now)
    }
}

/// Bytes of a content of `size` that are no holes. Of what is compressed the size of the file.
fn held(extents: &[Extent], size: u64) -> u64 {
    match extents.iter().any(|c| c.encoded) {
        true => size,
        false => pieces(extents, size).map(|p| p.file.len()).sum(),
    }
}
