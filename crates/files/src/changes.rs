//! Where a disk changed.

use std::path::PathBuf;

use hexz_resolve::{ByteRange, RangeSet};
use hexz_source::ListFormat;

/// Which blocks of a disk changed.
#[derive(Clone, Debug, Default)]
pub struct Changes(pub(crate) Inner);

#[derive(Clone, Debug, Default)]
pub(crate) enum Inner {
    #[default]
    Anywhere,
    Ranges {
        ranges: RangeSet,
        block: u32,
    },
    List {
        file: PathBuf,
        format: Option<ListFormat>,
        unit: u64,
    },
}

/// Bytes of a block, where nothing else is said.
pub(crate) const BLOCK: u32 = 4096;

impl Changes {
    /// Not known: the two disks are compared wherever they may differ.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// These bytes of the disk. What changed is looked for in the blocks of 4096 bytes that they
    /// lie in.
    #[must_use]
    pub fn ranges(ranges: impl IntoIterator<Item = ByteRange>) -> Self {
        Self(Inner::Ranges {
            ranges: ranges.into_iter().collect(),
            block: BLOCK,
        })
    }

    /// The blocks with these numbers, of `size` bytes each. A block beyond 64 bits is left out.
    #[must_use]
    pub fn blocks(numbers: impl IntoIterator<Item = u64>, size: u32) -> Self {
        let size = size.max(1);
        let ranges = numbers.into_iter().filter_map(|number| {
            let length = u64::from(size);
            ByteRange::at(number.checked_mul(length)?, length)
        });
        Self(Inner::Ranges {
            ranges: ranges.collect(),
            block: size,
        })
    }

    /// Those in a list that another tool wrote: `qemu-img map`, `nbdinfo`, `rbd diff`, ddrescue and
    /// others. Which of them it is shows in its content.
    #[must_use]
    pub fn list(file: impl Into<PathBuf>) -> Self {
        Self(Inner::List {
            file: file.into(),
            format: None,
            unit: u64::from(BLOCK),
        })
    }

    /// Those in a list that is written as `format` says; `unit` is the bytes of a unit in text lists
    /// and bitmaps.
    #[must_use]
    pub fn list_of(file: impl Into<PathBuf>, format: ListFormat, unit: u64) -> Self {
        Self(Inner::List {
            file: file.into(),
            format: Some(format),
            unit,
        })
    }
}

impl From<RangeSet> for Changes {
    fn from(ranges: RangeSet) -> Self {
        Self(Inner::Ranges {
            ranges,
            block: BLOCK,
        })
    }
}
