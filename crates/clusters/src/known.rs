//! What is read once of a volume, and serves all questions about it.

use crate::faults::Faults;
use crate::table::Table;
use crate::tree::Tree;

/// The table and the directories.
#[derive(Debug)]
pub struct Known {
    /// The file allocation table.
    pub table: Table,
    pub(crate) tree: Tree,
    pub(crate) faults: Faults,
}

impl Known {
    /// Whether all of it could be read and makes sense.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}
