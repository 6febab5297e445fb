//! Arguments of all commands that look into a disk.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use hexz_resolve::engine::Forced;

use crate::values::{forced, sector_size, size};

/// More would be busy with themselves only.
const MOST_THREADS: u64 = 256;

#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// One more disk of the same machine, for volumes that span disks; BASE:AFTER where it changed
    /// too. May be repeated: disks are numbered as they are given, from 1, the first argument
    #[arg(long, value_name = "IMAGE")]
    pub(crate) disk: Vec<String>,
    /// Look at one volume only: p2, disk, vg/lv, or its label, UUID or mount point
    #[arg(long, value_name = "NAME")]
    pub(crate) volume: Option<String>,
    /// Take a volume for FORMAT, whatever shows itself there (ext4, ntfs, mbr, …); `none`: there is
    /// nothing; `raw`: leave its bytes raw. May be repeated
    #[arg(long, value_name = "VOLUME=FORMAT", value_parser = forced)]
    pub(crate) filesystem: Vec<(String, Forced)>,
    /// Count partition tables in sectors of this size, and not in what fits them
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    pub(crate) sector_size: Option<u64>,
    /// Read filesystems with their journals replayed in memory, or as they lie
    #[arg(long, value_name = "HOW", default_value = "replay")]
    pub(crate) journal: Journal,
    /// Number of threads; 0 for one a core
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = RangedU64ValueParser::<usize>::new().range(0..=MOST_THREADS)
    )]
    pub(crate) threads: usize,
    /// Memory for the lists of changed files: past that, they go to a temporary file (in TMPDIR).
    /// 512M, 2G; 64M unless it is said
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Take the disk images that are given for raw disks, whatever they begin with
    #[arg(long)]
    pub(crate) raw: bool,
    /// Let images name parents and backing files in this folder too
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_backing: Vec<PathBuf>,
    /// Exit as if the answer were whole when it is not
    #[arg(long)]
    pub(crate) partial_ok: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Journal {
    Replay,
    Ignore,
}
