//! Two sets of files that are compared.

use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{Error, Limits, RangeSet, Result};

use super::disk::Disk;
use super::tree::Tree;
use crate::format::Format;
use crate::image::{Image, Own};

/// Two disks of files, and where they may differ.
pub(crate) type Pair = (Arc<Image>, Arc<Image>, RangeSet);

/// What `a` and `b` are as two sets of files, where both are; `None` where neither is.
pub(crate) fn pair(
    a: &Image,
    b: &Image,
    paths: [&Path; 2],
    limits: &Limits,
) -> Result<Option<Pair>> {
    match (a.layer.directory(), b.layer.directory()) {
        (Some(one), Some(other)) => images(one.tree(), other.tree(), paths, limits).map(Some),
        (None, None) => Ok(None),
        (one, _) => {
            let [before, after] = paths.map(Path::display);
            let (files, disk) = match one {
                Some(_) => (before, after),
                None => (after, before),
            };
            let text = format!("{files} is an archive of a directory, and {disk} is a disk");
            Err(Error::unsupported("images to compare", text))
        }
    }
}

pub(super) fn images(
    a: &Arc<Tree>,
    b: &Arc<Tree>,
    paths: [&Path; 2],
    limits: &Limits,
) -> Result<Pair> {
    let (one, other, differ) = Disk::pair(a, b)?;
    let [before, after] = paths;
    let image = |disk: Disk, path: &Path| {
        Arc::new(Image::new(
            Own::Files(Box::new(disk)),
            None,
            Format::Hxz,
            path,
            limits.ranges,
        ))
    };
    Ok((image(one, before), image(other, after), differ))
}
