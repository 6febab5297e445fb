//! The owners of a whole disk, for what writes files about it.

use std::sync::Arc;

use anyhow::Result;
use hexz_resolve::engine::visit_owners;
use hexz_resolve::report::{OwnerEnd, OwnerVisitor};
use hexz_resolve::{ByteRange, Diagnostics, ReadAt, Registry};

use crate::args::MapArgs;
use crate::disks;
use crate::guest;
use crate::progress::Bar;
use crate::sources;

/// Gives the owners of the whole of one disk to `visitor`; `option` says what for.
pub(crate) fn whole(
    registry: &Registry,
    args: &MapArgs,
    option: &str,
    visitor: &mut impl OwnerVisitor,
) -> Result<(Arc<dyn ReadAt>, OwnerEnd)> {
    let diagnostics = Diagnostics::new();
    disks::one_only(&args.engine, option)?;
    let disk = sources::image(&args.image, &args.engine, &diagnostics)?;
    let progress = Bar::new();
    let options = sources::options(registry, &args.engine, &progress);
    let options = guest::narrowed(&disk, options);
    let whole = ByteRange::new(0, disk.len()).into();
    let found = visit_owners(&disk, &whole, &options, visitor);
    progress.finish();
    let mut end = found?;
    end.diagnostics.splice(0..0, diagnostics.take());
    Ok((disk, end))
}
