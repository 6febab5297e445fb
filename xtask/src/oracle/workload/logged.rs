//! Changes that are synchronised one by one, so that they are in a log.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Result;

use super::{Workload, is_file};

impl Workload {
    /// Makes `steps` changes that commit nothing, and synchronises files and directories between
    /// them.
    pub(crate) fn change_and_log(&mut self, steps: u64) -> Result<()> {
        for _ in 0..steps {
            if self.random.chance(1, 3) {
                self.synchronise()?;
            }
            match self.random.below(8) {
                0 => self.clone_file()?,
                1 => self.share_a_part()?,
                _ => self.plain_step()?,
            }
        }
        self.synchronise()
    }

    /// Synchronises a file or a directory, among them those that were made last.
    fn synchronise(&mut self) -> Result<()> {
        let newest = self.files.iter().rev().take(8);
        let newest: Vec<PathBuf> = newest.filter(|path| is_file(path)).cloned().collect();
        let path = match self.random.below(4) {
            0 => Some(self.directory()),
            1 => self.file(),
            _ if newest.is_empty() => self.file(),
            _ => Some(newest[self.random.index(newest.len())].clone()),
        };
        match path {
            Some(path) => Ok(File::open(path)?.sync_all()?),
            None => Ok(()),
        }
    }
}
