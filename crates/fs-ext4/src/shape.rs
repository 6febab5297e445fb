//! What the results that are kept for other disks of the same base depend on, beside what they read.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::ondisk::{Superblock, incompat};

/// A superblock without what each mount changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Of the superblock, which is large: it is a part of many keys.
    hash: u64,
    superblock: Arc<Superblock>,
}

impl Shape {
    pub(crate) fn of(superblock: &Superblock) -> Self {
        let superblock = Superblock {
            s_state: 0,
            s_last_orphan: 0,
            s_feature_incompat: superblock.s_feature_incompat & !incompat::RECOVER,
            ..superblock.clone()
        };
        let mut hasher = DefaultHasher::new();
        superblock.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            superblock: Arc::new(superblock),
        }
    }
}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}
