//! Temporary files for what does not fit in memory.

use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions};
use std::hash::BuildHasher as _;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use hexz_resolve::{Scratch, ScratchFile};

/// Files in the folder for temporary ones (`TMPDIR`), without a name: they are gone with the
/// program, however it ends.
#[derive(Debug)]
pub(crate) struct Temporary;

struct Unnamed(File);

impl Scratch for Temporary {
    fn file(&self) -> io::Result<Box<dyn ScratchFile>> {
        let random = RandomState::new().hash_one(std::process::id());
        let path = std::env::temp_dir().join(format!(".hexz-{random:016x}"));
        let mut options = OpenOptions::new();
        // A file or a link that someone else put there is not opened.
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Box::new(Unnamed(file)))
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
