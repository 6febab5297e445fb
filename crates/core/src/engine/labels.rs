//! The words for the pieces of a disk, each word once: there may be millions of pieces.

use super::gather::Label;
use super::run::Run;
use super::words::Words;
use crate::{ByteRange, Class, Error, Result};

/// Pieces of a disk with their words.
#[derive(Default)]
pub(super) struct Labels {
    /// The number of the word beside each.
    pieces: Vec<(ByteRange, u16)>,
    words: Words<Label>,
}

impl Labels {
    /// Adds pieces that have the same word.
    ///
    /// # Errors
    /// When there are more words than can be told apart.
    pub(super) fn add(
        &mut self,
        ranges: impl Iterator<Item = ByteRange>,
        label: Label,
    ) -> Result<()> {
        let word = self.words.number(label);
        let word = word.ok_or_else(|| Error::limit("claims", "too many details"))?;
        self.pieces.extend(ranges.map(|range| (range, word)));
        Ok(())
    }

    /// Sorts them by place.
    pub(super) fn sort(&mut self, run: &Run<'_>) {
        let words = &self.words;
        let word = |number: u16| {
            let label = words.get(number);
            label.map(|label| (label.class, label.detail))
        };
        run.sort(&mut self.pieces, |(a, x), (b, y)| {
            a.cmp(b).then_with(|| word(*x).cmp(&word(*y)))
        });
    }

    /// The pieces, in their order, with class and detail.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ByteRange, Class, &'static str)> {
        self.pieces.iter().filter_map(|(range, number)| {
            let label = self.words.get(*number)?;
            Some((*range, label.class, label.detail))
        })
    }
}
