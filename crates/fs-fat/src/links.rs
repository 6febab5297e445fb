//! Pass 2: what files are called.

use hexz_resolve::{FileSet, Link, LinkCoverage, Result, Scan, Sink};

use crate::fs::FatFs;

/// Every link whose child is in `wanted`.
pub(crate) fn links(
    fat: &FatFs,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<LinkCoverage> {
    fat.volume.links(wanted, cx, out)
}

/// Every link in each of `directories`.
pub(crate) fn entries(
    fat: &FatFs,
    directories: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<()> {
    fat.volume.entries(directories, cx, out)
}
