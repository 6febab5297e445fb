//! The files that changed, of one view.

use std::collections::HashSet;

use hexz_resolve::report::{Change, ChangeKind};

use crate::extractor::{Extractor, join};
use crate::layer::Views;
use crate::lookup::Lookup;
use crate::moved::Moved;
use crate::name::Name;
use crate::upper::elsewhere;

/// Which of two views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the change.
    Before,
    /// After it.
    After,
}

impl Extractor<'_> {
    /// Writes the files that `changes` of one volume added, modified, renamed or deleted, as they
    /// are on one side, below `folder`.
    pub fn changes<'c>(
        &self,
        changes: impl Iterator<Item = &'c Change> + Clone,
        views: Views<'_>,
        side: Side,
        folder: &[u8],
    ) {
        let tree = match side {
            Side::Before => views.before,
            Side::After => views.after,
        };
        let Some(tree) = tree else {
            return;
        };
        let mut lookup = Lookup::new(tree);
        let moved = Moved::of(changes.clone());
        let volume = tree.volume().name();
        // A new name of a modified file is in the record of the file, and in one of its own.
        let mut taken: HashSet<Vec<u8>> = HashSet::new();
        for change in changes {
            // Where only attributes differ there is nothing to see in the bytes.
            if change.change == ChangeKind::Metadata {
                continue;
            }
            // The report has the path after the change, also of what is below a renamed directory.
            let there = |path: &Vec<u8>| match (side, change.change) {
                (Side::After, _) | (_, ChangeKind::Deleted) => path.clone(),
                (Side::Before, _) => moved.origin(path),
            };
            let (known, path) = match (side, &change.from) {
                (Side::Before, Some(from)) => (&change.base, from.clone()),
                (Side::Before, None) => (&change.base, there(&change.path)),
                (Side::After, _) => (&change.merged, change.path.clone()),
            };
            let Some(attributes) = known else {
                continue;
            };
            if tree.is_upper()
                && let Some(found) = tree.attributes(attributes.key, self.problems())
                && let Some(reason) = elsewhere(&found)
            {
                self.problems().left_out(volume, &path, reason);
                continue;
            }
            let mut paths = vec![path.clone()];
            if change.change == ChangeKind::Modified {
                // One record for all names; which of them stood there before is looked up.
                let others = change.links.iter().map(there);
                let others = others.filter(|link| *link != path);
                paths.extend(others.filter(|link| {
                    let found = lookup.resolve(link, false, self.problems());
                    let found = found.ok().flatten();
                    found.is_some_and(|found| found.attributes.key == attributes.key)
                }));
            }
            for path in &paths {
                if !taken.insert(path.clone()) {
                    continue;
                }
                let below = join(folder, path.strip_prefix(b"/").unwrap_or(path));
                match Name::path(&below) {
                    Ok(target) => self.one(&tree, path, attributes, &target),
                    Err(reason) => self.problems().left_out(volume, path, reason),
                }
            }
        }
    }
}
