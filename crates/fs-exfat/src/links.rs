//! Pass 2: what files are called.

use hexz_resolve::{FileSet, Link, LinkCoverage, Result, Scan, Sink};

use crate::fs::ExfatFs;

/// Every link whose child is in `wanted`.
pub(crate) fn links(
    exfat: &ExfatFs,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<LinkCoverage> {
    exfat.volume.links(wanted, cx, out)
}

/// Every link in each of `directories`.
pub(crate) fn entries(
    exfat: &ExfatFs,
    directories: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<()> {
    exfat.volume.entries(directories, cx, out)
}
