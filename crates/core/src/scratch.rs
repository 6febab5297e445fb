//! Files for what does not fit in memory. The core opens none itself: whoever runs it gives them.

use std::fmt;
use std::io;

/// Makes files that are gone when they are dropped.
pub trait Scratch: Send + Sync {
    /// A new empty file that no one else sees.
    ///
    /// # Errors
    /// When there can be none.
    fn file(&self) -> io::Result<Box<dyn ScratchFile>>;
}

/// A file that only its maker uses, by several threads.
pub trait ScratchFile: Send + Sync {
    /// Writes `bytes` at `offset`, which is at most the end of what was written before.
    ///
    /// # Errors
    /// When not all of them could be written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills `bytes` with what was written at `offset`.
    ///
    /// # Errors
    /// When not all of them could be read.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

impl fmt::Debug for dyn Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}
