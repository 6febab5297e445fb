//! Scratch files that a test counts.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hexz_resolve::{Scratch, ScratchFile};

/// Scratch files in memory, which are counted.
#[derive(Debug, Default)]
pub struct CountedScratch(AtomicUsize);

impl CountedScratch {
    /// How many files were made.
    #[must_use]
    pub fn files(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct InMemory(Mutex<Vec<u8>>);

impl Scratch for CountedScratch {
    fn file(&self) -> io::Result<Box<dyn ScratchFile>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(InMemory(Mutex::default())))
    }
}

impl ScratchFile for InMemory {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        assert!(offset <= file.len() as u64, "a hole in a scratch file");
        file.truncate(offset as usize);
        file.extend_from_slice(bytes);
        Ok(())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.0.lock().unwrap();
        bytes.copy_from_slice(&file[offset as usize..][..bytes.len()]);
        Ok(())
    }
}
