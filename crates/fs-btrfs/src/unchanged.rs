//! Which files are the same in both views. A leaf is written anew, and elsewhere, for the change of
//! one item, and has items of many files: those of each are compared with the ones that the other
//! view has at the same keys.

use hexz_resolve::{ByteRange, FileKey, FileSet, RangeCursor, RangeSet, Result, Scan, Sink};

use crate::btrfs::{Btrfs, EmptyDirectory};
use crate::node::Item;
use crate::ondisk::{DirItem, ExtentKind, FileExtent, Key, item, objectid};
use crate::stash::Items;
use crate::tree::{Cursor, Tree};

/// Files that one unit compares.
const TOGETHER: usize = 1024;
/// Bytes of an extent that is looked at piece by piece: the kernel makes none longer than
/// 128 MiB, and `btrfs-convert` few.
const MOST_EXTENT: u64 = 1 << 30;

/// Those of `files` of which both views, base first, have the same items at the same keys, and
/// whose data lie in the same places and hold nothing of `dirty`. What can't be read is left to
/// those who compare the files.
pub(crate) fn unchanged(
    views: [&Btrfs; 2],
    files: &FileSet,
    dirty: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<FileKey>,
) -> Result<()> {
    let keys: Vec<FileKey> = files.iter().filter(|key| is_plain(views, *key)).collect();
    let units: Vec<Vec<FileKey>> = keys.chunks(TOGETHER).map(<[FileKey]>::to_vec).collect();
    let [then, now] = views;
    let most = cx.limits().cache_bytes.div_euclid(4);
    cx.units_moved(
        "btrfs-unchanged",
        &now.volume,
        &units,
        |keys, reader| {
            // It depends on both views.
            reader.do_not_share();
            let tree = |fs: &Btrfs, id| fs.roots.subvolume(id).map(|found| found.root);
            let mut found = Vec::new();
            let subvolumes = keys.chunk_by(|a, b| a.subvolume == b.subvolume);
            for keys in subvolumes {
                let Some(FileKey { subvolume, .. }) = keys.first() else {
                    continue;
                };
                let (Some(before), Some(after)) = (tree(then, *subvolume), tree(now, *subvolume))
                else {
                    continue;
                };
                let at = |blocks, volume, root| Tree {
                    blocks,
                    volume,
                    findings: None,
                    root,
                    overlay: None,
                    stash: None,
                };
                let mut compared = Compared {
                    views,
                    most,
                    dirty: RangeCursor::new(dirty),
                    then: at(&then.blocks, &*then.volume, before).cursor(),
                    now: at(&now.blocks, reader, after).cursor(),
                };
                for key in keys {
                    match compared.is_same(key.number) {
                        Ok(true) => found.push(*key),
                        Ok(false) => compared.stash(*key).unwrap_or_default(),
                        Err(_) => {}
                    }
                }
            }
            Ok(found)
        },
        |_, found| found.into_iter().try_for_each(|key| out.put(key)),
    )
}

/// Whether all that there is to know of a file is in its items. That is not so of roots of
/// subvolumes and of what stands in their place, and where a log was replayed.
fn is_plain(views: [&Btrfs; 2], key: FileKey) -> bool {
    let root = key.number == objectid::FIRST_FREE;
    let log = views
        .iter()
        .any(|fs| fs.logged.overlay(key.subvolume).is_some());
    !root && !log && EmptyDirectory::of(key.number).is_none()
}

/// A subvolume in both views.
struct Compared<'a> {
    views: [&'a Btrfs; 2],
    /// Bytes of items that are kept of each view.
    most: usize,
    dirty: RangeCursor<'a>,
    then: Cursor<'a>,
    now: Cursor<'a>,
}

impl Compared<'_> {
    fn is_same(&mut self, number: u64) -> Result<bool> {
        let first = Key::new(number, 0, 0);
        self.then.seek(first)?;
        self.now.seek(first)?;
        loop {
            let own = |item: &Item<'_>| item.key.objectid == number;
            let before = self.then.item()?.filter(own);
            let after = self.now.item()?.filter(own);
            let (before, after) = match (before, after) {
                (None, None) => return Ok(true),
                (Some(before), Some(after)) => (before, after),
                _ => return Ok(false),
            };
            if before.key != after.key || before.fields.as_bytes() != after.fields.as_bytes() {
                return Ok(false);
            }
            let same = match after.key.kind {
                item::EXTENT_DATA => holds_same(self.views, &self.dirty, &after)?,
                item::DIR_INDEX => !names_subvolume(&after)?,
                _ => true,
            };
            if !same {
                return Ok(false);
            }
            self.then.advance();
            self.now.advance();
        }
    }

    /// Keeps the items of a file that differs, of which more will be asked.
    fn stash(&mut self, key: FileKey) -> Result<()> {
        let first = Key::new(key.number, 0, 0);
        let [then, now] = self.views;
        for (fs, cursor) in [(then, &mut self.then), (now, &mut self.now)] {
            cursor.seek(first)?;
            let mut items = Items::default();
            let mut fits = true;
            while let Some(item) = cursor.item()?.filter(|i| i.key.objectid == key.number) {
                fits = items.push(&item);
                if !fits {
                    break;
                }
                cursor.advance();
            }
            if fits {
                fs.stash.put(key, items, self.most);
            }
        }
        Ok(())
    }
}

/// Whether an entry names a subvolume, which may be there in one view only.
fn names_subvolume(found: &Item<'_>) -> Result<bool> {
    let entries = DirItem::all(&found.fields)?;
    Ok(entries
        .iter()
        .any(|entry| entry.location.kind == item::ROOT_ITEM))
}

/// Whether the extent in an item that both views have lies in the same place in both, and nothing
/// of it differs.
fn holds_same(views: [&Btrfs; 2], dirty: &RangeCursor<'_>, found: &Item<'_>) -> Result<bool> {
    let extent = FileExtent::parse(&found.fields)?;
    if extent.kind == ExtentKind::Inline || extent.disk_bytenr == 0 {
        return Ok(true);
    }
    let range = ByteRange::at(extent.disk_bytenr, extent.disk_num_bytes);
    let Some(range) = range.filter(|range| range.len() <= MOST_EXTENT) else {
        return Ok(false);
    };
    let [mut then, mut now] = views.map(|fs| fs.blocks.chunks.places(range));
    let mut reached = range.start();
    loop {
        match (then.next(), now.next()) {
            (None, None) => return Ok(reached >= range.end()),
            (Some(before), Some(after)) if before == after => {
                let length = after.logical.len();
                let mut copies = after.copies.iter();
                let whole = after.logical.start() == reached && !after.copies.is_empty();
                let differs =
                    |at: &u64| ByteRange::at(*at, length).is_none_or(|copy| dirty.overlaps(copy));
                if !whole || copies.any(differs) {
                    return Ok(false);
                }
                reached = after.logical.end();
            }
            _ => return Ok(false),
        }
    }
}
