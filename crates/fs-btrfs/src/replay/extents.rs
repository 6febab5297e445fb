//! Extents of files.

use hexz_resolve::Result;

use super::{Replay, set};
use crate::node::Item;
use crate::ondisk::{ExtentKind, FileExtent, Key, item};
use crate::overlay::Stored;

/// Where in an item the fields are that change when it is cut.
const OFFSET: usize = 37;
const NUM_BYTES: usize = 45;

impl Replay<'_> {
    /// Replays an extent: what it overlaps is dropped first.
    pub(super) fn replay_extent(&mut self, found: &Item<'_>) -> Result<()> {
        let key = found.key;
        let extent = FileExtent::parse(&found.fields)?;
        let end = key.offset.checked_add(extent.num_bytes);
        let end = match extent.kind {
            ExtentKind::Inline => {
                let sector = u64::from(self.rules.sectorsize);
                end.and_then(|end| end.checked_next_multiple_of(sector))
            }
            _ => end,
        };
        let end = end.ok_or_else(|| found.fields.corrupt(NUM_BYTES))?;
        self.must_have(key.objectid)?;
        let record = Stored::of(found);
        let known = self.get(key)?;
        let same = |known: &Stored| {
            let head = |bytes: &[u8]| bytes.get(..FileExtent::LENGTH).map(<[u8]>::to_vec);
            extent.kind != ExtentKind::Inline && head(&known.bytes) == head(&record.bytes)
        };
        if known.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.drop_extents(key.objectid, key.offset, end)?;
        self.files.insert(key.objectid);
        let hole = extent.kind != ExtentKind::Inline && extent.disk_bytenr == 0;
        if hole && self.rules.no_holes {
            return Ok(());
        }
        self.put(key, record)
    }

    /// Drops what a file has from `start` to `end`. Extents that reach beyond are cut.
    pub(super) fn drop_extents(&mut self, number: u64, start: u64, end: u64) -> Result<()> {
        if let Some(before) = start.checked_sub(1) {
            for (key, stored) in self.at_or_before(number, before)? {
                self.drop_part(key, &stored, start, end)?;
            }
        }
        let Some(last) = end.checked_sub(1).filter(|last| *last >= start) else {
            return Ok(());
        };
        let last = Key::new(number, item::EXTENT_DATA, last);
        let mut from = Some(Key::new(number, item::EXTENT_DATA, start));
        while let Some(first) = from {
            let taken = self.some(first, last)?;
            from = taken.last().and_then(|(key, _)| key.next());
            for (key, stored) in taken {
                self.drop_part(key, &stored, start, end)?;
            }
        }
        Ok(())
    }

    /// The items of a file that may reach beyond `offset` from before: the last one in the tree
    /// up to there, and the last one that was put.
    fn at_or_before(&self, number: u64, offset: u64) -> Result<Vec<(Key, Stored)>> {
        self.step()?;
        let key = Key::new(number, item::EXTENT_DATA, offset);
        let of_file = |found: Key| found.objectid == number && found.kind == item::EXTENT_DATA;
        let put = self.overlay.at_or_before(key);
        let put = put.map(|(key, item)| (key, item.clone()));
        let mut found: Vec<(Key, Stored)> = put.into_iter().filter(|(k, _)| of_file(*k)).collect();
        let mut cursor = self.subvolume.at_or_before(key)?;
        if let Some((leaf, slot)) = cursor.next()? {
            let item = leaf.item(slot)?;
            if item.key <= key && of_file(item.key) && !self.overlay.hides(item.key) {
                found.push((item.key, Stored::of(&item)));
            }
        }
        Ok(found)
    }

    /// Drops the part of an extent from `start` to `end` of the file.
    fn drop_part(&mut self, key: Key, stored: &Stored, start: u64, end: u64) -> Result<()> {
        let extent = FileExtent::parse(&stored.fields())?;
        let own_end = key.offset.saturating_add(extent.num_bytes);
        if own_end <= start && own_end != key.offset || key.offset >= end {
            return Ok(());
        }
        let (keeps_head, keeps_tail) = (key.offset < start, own_end > end);
        if extent.kind == ExtentKind::Inline && (keeps_head || keeps_tail) {
            return Err(self.misfit("it cuts an extent that lies within an item"));
        }
        self.delete(key);
        if keeps_head {
            let mut head = stored.clone();
            let length = start.saturating_sub(key.offset);
            set(&mut head, NUM_BYTES, &length.to_le_bytes());
            self.put(key, head)?;
        }
        if keeps_tail {
            let mut tail = stored.clone();
            let skipped = end.saturating_sub(key.offset);
            let length = own_end.saturating_sub(end);
            if extent.disk_bytenr != 0 {
                let offset = extent.offset.saturating_add(skipped);
                set(&mut tail, OFFSET, &offset.to_le_bytes());
            }
            set(&mut tail, NUM_BYTES, &length.to_le_bytes());
            self.put(Key::new(key.objectid, key.kind, end), tail)?;
        }
        Ok(())
    }
}
