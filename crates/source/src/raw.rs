//! A raw disk: the one layer that has no tables.

use std::ops::ControlFlow;

use hexz_resolve::{ByteRange, ReadAt as _};

use crate::file::RawFile;
use crate::layer::{Layer, Place, Visit};

impl Layer for RawFile {
    fn size(&self) -> u64 {
        self.len()
    }

    fn unit(&self) -> u64 {
        512
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let offset = range.start();
        visit(range, Place::At { file: 0, offset })
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        (number == 0).then_some(self)
    }
}
