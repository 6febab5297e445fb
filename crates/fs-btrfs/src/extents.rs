//! Where the content of files lies.

use hexz_resolve::{ByteRange, Claim, FileKey, FileSet, Result, Role, Scan, Sink};

use crate::btrfs::{Btrfs, View};
use crate::links::each_file;
use crate::node::Item;
use crate::node::inline_range;
use crate::ondisk::{ExtentKind, FileExtent, Key, item};

/// The content of `files`.
pub(crate) fn extents(
    fs: &Btrfs,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    each_file(fs, "btrfs-extents", files, cx, of_file, out)
}

/// Calls `visit` with each extent of a file that is no hole, by rising file offset.
pub(crate) fn each_extent(
    view: &View<'_>,
    file: FileKey,
    mut visit: impl FnMut(&FileExtent, &Item<'_>) -> Result<()>,
) -> Result<()> {
    let Some(tree) = view.subvolume(file.subvolume) else {
        return Ok(());
    };
    tree.each(
        Key::new(file.number, item::EXTENT_DATA, 0),
        Key::new(file.number, item::EXTENT_DATA, u64::MAX),
        |found| {
            let extent = FileExtent::parse(&found.fields)?;
            if extent.kind == ExtentKind::Inline || extent.disk_bytenr != 0 {
                visit(&extent, found)?;
            }
            Ok(true)
        },
    )
}

fn of_file(view: &View<'_>, file: FileKey, found: &mut Vec<Claim>) -> Result<()> {
    if !is_regular(view, file)? {
        return Ok(());
    }
    each_extent(view, file, |extent, item| {
        let role = match extent.kind {
            ExtentKind::Prealloc => Role::Unwritten,
            ExtentKind::Inline | ExtentKind::Regular => Role::Data,
        };
        let header = u64::try_from(FileExtent::HEADER).unwrap_or_default();
        let stored = match (extent.kind, extent.is_plain()) {
            (ExtentKind::Inline, _) => inline_range(item, header),
            (_, false) => ByteRange::at(extent.disk_bytenr, extent.disk_num_bytes),
            (_, true) => extent
                .disk_bytenr
                .checked_add(extent.offset)
                .and_then(|at| ByteRange::at(at, extent.num_bytes)),
        };
        let Some(stored) = stored else {
            return Ok(());
        };
        for place in view.fs.blocks.chunks.places(stored) {
            let skipped = place.logical.start().saturating_sub(stored.start());
            for copy in place.copies {
                let Some(range) = ByteRange::at(copy, place.logical.len()) else {
                    continue;
                };
                let mut claim = Claim::file(range, file, role);
                claim.encoded = !extent.is_plain();
                claim.file_offset = item.key.offset.checked_add(skipped);
                if claim.encoded {
                    claim.decoded = ByteRange::at(extent.offset, extent.num_bytes).map(Box::new);
                }
                found.push(claim);
            }
        }
        Ok(())
    })
}

/// Whether the content of an inode is that of a file: the target of a symlink is stored alike.
fn is_regular(view: &View<'_>, file: FileKey) -> Result<bool> {
    let mut found = Vec::new();
    crate::attributes::of_file(view, file, &mut found)?;
    Ok(found.iter().any(|a| a.kind == hexz_resolve::FileKind::File))
}
