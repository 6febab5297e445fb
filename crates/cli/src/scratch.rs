//! Temporary files for what does not fit in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use hexz_resolve::{Scratch, ScratchFile};

/// Files in the folder for temporary ones (`TMPDIR`), without a name: they are gone with the
/// program, however it ends.
#[derive(Debug)]
pub(crate) struct Temporary;

struct Unnamed(File);

impl Scratch for Temporary {
    fn file(&self) -> io::Result<Box<dyn ScratchFile>> {
        Ok(Box::new(Unnamed(tempfile::tempfile()?)))
    }
}

impl ScratchFile for Unnamed {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
}
