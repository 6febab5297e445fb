//! Names: entries of directories, and what inodes say of their names.

use hexz_resolve::Result;

use super::{DIRECTORY, KIND, Replay, set};
use crate::checksum::{extref_hash, name_hash};
use crate::node::{HEADER, ITEM, Item};
use crate::ondisk::{DirItem, InodeItem, InodeName, Key, item};
use crate::overlay::Stored;

/// `BTRFS_FT_DIR`.
const FT_DIR: u8 = 2;

/// What an entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    location: Key,
    kind: u8,
}

impl Target {
    const fn of(entry: &DirItem<'_>) -> Self {
        Self {
            location: entry.location,
            kind: entry.kind,
        }
    }
}

/// The target of the entry with this name in an item.
fn named(stored: &Stored, name: &[u8]) -> Result<Option<Target>> {
    let entries = DirItem::all(&stored.fields())?;
    let found = entries.iter().find(|entry| entry.name == name);
    Ok(found.map(Target::of))
}

fn dir_item(directory: u64, name: &[u8]) -> Key {
    Key::new(directory, item::DIR_ITEM, name_hash(name))
}

const fn dir_index(directory: u64, index: u64) -> Key {
    Key::new(directory, item::DIR_INDEX, index)
}

/// The keys of the items that may have a name of an inode.
fn name_keys(number: u64, parent: u64, name: &[u8]) -> [Key; 2] {
    [
        Key::new(number, item::INODE_REF, parent),
        Key::new(number, item::INODE_EXTREF, extref_hash(parent, name)),
    ]
}

impl Replay<'_> {
    /// The target of the entry in the item at `key` that has this name.
    fn target(&self, key: Key, name: &[u8]) -> Result<Option<Target>> {
        let stored = self.get(key)?;
        Ok(stored.map(|s| named(&s, name)).transpose()?.flatten())
    }

    /// Whether the log has this name of an inode, in the item at `key`.
    fn name_in_log(&self, key: Key, parent: u64, name: &[u8]) -> Result<bool> {
        let Some(logged) = self.logged(key)? else {
            return Ok(false);
        };
        let names = InodeName::all(key, &logged.fields())?;
        Ok(names.iter().any(|n| n.parent == parent && n.name == name))
    }

    /// Drops the entries of a directory that the log says are gone: those in a range that it
    /// speaks for, and not in the log.
    pub(super) fn entries_gone(&mut self, directory: u64) -> Result<()> {
        if self.inode_at(directory)?.is_none() {
            // It is copied in later.
            return Ok(());
        }
        let log = self.log;
        let mut ranges = Vec::new();
        log.each(
            Key::new(directory, item::DIR_LOG_INDEX, 0),
            Key::new(directory, item::DIR_LOG_INDEX, u64::MAX),
            |found| {
                ranges.push((found.key.offset, found.fields.le64(0)?));
                Ok(true)
            },
        )?;
        for (start, end) in ranges {
            self.drop_entries(directory, start, end, true)?;
        }
        Ok(())
    }

    /// Drops all entries of a directory.
    pub(super) fn empty(&mut self, directory: u64) -> Result<()> {
        self.drop_entries(directory, 0, u64::MAX, false)
    }

    /// Drops the entries with numbers from `start` to `end`, but those in the log where `unlogged`
    /// is set.
    fn drop_entries(&mut self, directory: u64, start: u64, end: u64, unlogged: bool) -> Result<()> {
        let mut from = Some(start);
        while let Some(start) = from.filter(|start| *start <= end) {
            let taken = self.some(dir_index(directory, start), dir_index(directory, end))?;
            from = taken
                .last()
                .and_then(|(last, _)| last.offset.checked_add(1));
            for (key, stored) in taken {
                let logged = match unlogged {
                    true => self.logged(key)?,
                    false => None,
                };
                for entry in DirItem::all(&stored.fields())? {
                    let kept = logged.as_ref().map(|l| named(l, entry.name)).transpose()?;
                    if kept.flatten().is_none() {
                        self.drop_entry(directory, &Target::of(&entry), entry.name)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Unlinks what an entry leads to, whose links are counted at the end.
    fn drop_entry(&mut self, directory: u64, target: &Target, name: &[u8]) -> Result<()> {
        let number = target.location.objectid;
        if target.location.kind != item::INODE_ITEM {
            // Deleting a subvolume commits the transaction.
            return Err(self.misfit(format!("it takes subvolume {number} from its directory")));
        }
        self.must_have(number)?;
        self.links.insert(number);
        self.unlink(directory, number, name)
    }

    /// Takes a name from a file: both entries of the directory, and the name in the inode.
    fn unlink(&mut self, directory: u64, number: u64, name: &[u8]) -> Result<()> {
        let gone = |what: &str| format!("{what} of inode {number} in directory {directory}");
        let key = dir_item(directory, name);
        let stored = self.get(key)?;
        let stored = stored.ok_or_else(|| self.misfit(gone("there is no entry")))?;
        let entries = DirItem::all(&stored.fields())?;
        let entry = entries.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| self.misfit(gone("there is no entry")))?;
        self.cut(key, &stored, &[(entry.at, entry.length())])?;
        let index = self.remove_name(number, directory, name)?;
        let index = index.ok_or_else(|| self.misfit(gone("there is no name")))?;
        self.delete(dir_index(directory, index));
        self.files.insert(number);
        self.resize(directory, name, true)
    }

    /// Takes a name from an inode, and gives its number in the directory.
    fn remove_name(&mut self, number: u64, parent: u64, name: &[u8]) -> Result<Option<u64>> {
        for key in name_keys(number, parent, name) {
            let Some(stored) = self.get(key)? else {
                continue;
            };
            let names = InodeName::all(key, &stored.fields())?;
            let found = names.iter().find(|n| n.parent == parent && n.name == name);
            if let Some(found) = found {
                self.cut(key, &stored, &[(found.at, found.length)])?;
                return Ok(Some(found.index));
            }
        }
        Ok(None)
    }

    /// Has the size of a directory follow its entries: each name counts twice. Its times stay as
    /// they are: old kernels give their own time to one that loses an entry, new ones do not.
    fn resize(&mut self, directory: u64, name: &[u8], lost: bool) -> Result<()> {
        let mut record = self.must_have(directory)?;
        let size = InodeItem(record.fields()).size()?;
        let twice = u64::try_from(name.len()).unwrap_or_default();
        let twice = twice.saturating_mul(2);
        let size = match lost {
            true => size.saturating_sub(twice),
            false => size.saturating_add(twice),
        };
        set(&mut record, InodeItem::SIZE, &size.to_le_bytes());
        self.put(Key::new(directory, item::INODE_ITEM, 0), record)
    }

    /// Adds both entries of a name to a directory. `false` where there is one with that name.
    fn link(&mut self, directory: u64, number: u64, name: &[u8], index: u64) -> Result<bool> {
        let key = dir_item(directory, name);
        let known = self.get(key)?;
        if let Some(known) = &known
            && named(known, name)?.is_some()
        {
            return Ok(false);
        }
        let second = dir_index(directory, index);
        if self.get(second)?.is_some() {
            let text = format!("directory {directory} has two entries with the number {index}");
            return Err(self.misfit(text));
        }
        let mode = InodeItem(self.must_have(number)?.fields()).mode()?;
        let location = Key::new(number, item::INODE_ITEM, 0);
        let entry = DirItem::encode(location, self.rules.transaction, file_type(mode), name);
        let nowhere = |bytes| Stored {
            bytes,
            place: 0,
            logical: None,
        };
        let all = match &known {
            Some(known) => known.with([known.bytes.as_slice(), &entry].concat()),
            None => nowhere(entry.clone()),
        };
        self.put(key, all)?;
        self.put(second, nowhere(entry))?;
        self.resize(directory, name, false)?;
        self.files.insert(number);
        Ok(true)
    }

    /// Replays an entry of a directory that was logged. A name of a file that does not exist is
    /// left out.
    pub(super) fn replay_entry(&mut self, found: &Item<'_>, entry: &DirItem<'_>) -> Result<()> {
        let (directory, index, name) = (found.key.objectid, found.key.offset, entry.name);
        self.must_have(directory)?;
        let target = Target::of(entry);
        let number = target.location.objectid;
        let exists = target.location.kind == item::INODE_ITEM && self.inode_at(number)?.is_some();
        let mut differs = false;
        for key in [dir_item(directory, name), dir_index(directory, index)] {
            match self.target(key, name)? {
                Some(standing) if standing == target => {}
                Some(standing) if exists => {
                    self.drop_entry(directory, &standing, name)?;
                    differs = true;
                }
                _ => differs = true,
            }
        }
        if !differs {
            return Ok(());
        }
        for key in name_keys(number, directory, name) {
            if self.name_in_log(key, directory, name)? {
                // It comes with the names of the inode.
                return Ok(());
            }
        }
        if exists && self.add_name(number, directory, name, index)? {
            self.link(directory, number, name, index)?;
            if target.kind != FT_DIR {
                self.links.insert(number);
            }
        }
        Ok(())
    }

    /// Adds a name to an inode. `false` where it, or an entry for it, is there already.
    fn add_name(&mut self, number: u64, parent: u64, name: &[u8], index: u64) -> Result<bool> {
        if self.target(dir_item(parent, name), name)?.is_some() {
            return Ok(false);
        }
        let keys = name_keys(number, parent, name);
        for key in keys {
            let stored = self.get(key)?;
            let fields = stored.as_ref().map(Stored::fields);
            let names = fields.as_ref().map(|fields| InodeName::all(key, fields));
            let names = names.transpose()?.unwrap_or_default();
            if names.iter().any(|n| n.parent == parent && n.name == name) {
                return Ok(false);
            }
        }
        let [key, extended] = keys;
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes();
        let index = index.to_le_bytes();
        let short = [index.as_slice(), &length, name].concat();
        let old = self.get(key)?;
        let taken = old.as_ref().map_or(0, |old| old.bytes.len());
        let room = usize::try_from(self.rules.nodesize).unwrap_or_default();
        let room = room.saturating_sub(HEADER).saturating_sub(ITEM);
        let (key, old, bytes) = if taken.saturating_add(short.len()) <= room {
            (key, old, short)
        } else {
            let long = [parent.to_le_bytes().as_slice(), &index, &length, name].concat();
            (extended, self.get(extended)?, long)
        };
        let stored = match old {
            Some(old) => old.with([old.bytes.as_slice(), &bytes].concat()),
            None => Stored {
                bytes,
                place: 0,
                logical: None,
            },
        };
        self.put(key, stored)?;
        Ok(true)
    }

    /// Replays the names that an inode says it has.
    pub(super) fn replay_names(&mut self, found: &Item<'_>) -> Result<()> {
        let (key, number) = (found.key, found.key.objectid);
        let names = InodeName::all(key, &found.fields)?;
        let mut searched = false;
        let mut any = false;
        for name in &names {
            if self.inode_at(name.parent)?.is_none() {
                // Its directory was not logged.
                continue;
            }
            any = true;
            self.must_have(number)?;
            if self.stands(number, name)? {
                continue;
            }
            if !searched {
                let stored = self.get(Key::new(number, item::INODE_REF, name.parent))?;
                if stored.is_some() && number == name.parent {
                    // A root directory, which names itself.
                    return Ok(());
                }
                searched = self.make_way(number, name)?;
            }
            let own = match key.kind {
                item::INODE_REF => key,
                _ => Key::new(
                    number,
                    item::INODE_EXTREF,
                    extref_hash(name.parent, name.name),
                ),
            };
            if self.has_name(own, name.parent, name.name)? {
                self.unlink(name.parent, number, name.name)?;
            }
            if let Some(other) = self.target(dir_item(name.parent, name.name), name.name)? {
                self.drop_entry(name.parent, &other, name.name)?;
            }
            self.link(name.parent, number, name.name, name.index)?;
        }
        if !any {
            return Ok(());
        }
        // Names of the tree that the log no longer has.
        while let Some((parent, name)) = self.unlogged_name(key, None)? {
            self.unlink(parent, number, &name)?;
        }
        self.put(key, Stored::of(found))
    }

    /// Whether a name of an inode stands in its directory already.
    fn stands(&self, number: u64, name: &InodeName<'_>) -> Result<bool> {
        for key in [
            dir_index(name.parent, name.index),
            dir_item(name.parent, name.name),
        ] {
            let target = self.target(key, name.name)?;
            if target.is_none_or(|target| target.location.objectid != number) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drops what stands in the way of a name: other names of the inode that the log does not
    /// have, and other files with the name. Gives whether the inode had names before.
    fn make_way(&mut self, number: u64, name: &InodeName<'_>) -> Result<bool> {
        let mut known = false;
        let [short, extended] = name_keys(number, name.parent, name.name);
        for (key, parent) in [(short, None), (extended, Some(name.parent))] {
            known |= self.get(key)?.is_some();
            while let Some((parent, victim)) = self.unlogged_name(key, parent)? {
                self.unlink(parent, number, &victim)?;
            }
        }
        for key in [
            dir_index(name.parent, name.index),
            dir_item(name.parent, name.name),
        ] {
            if let Some(target) = self.target(key, name.name)? {
                self.drop_entry(name.parent, &target, name.name)?;
            }
        }
        Ok(known)
    }

    /// A name in the item at `key` of the subvolume that the item of the log lacks, of this
    /// directory or of any, with its directory.
    fn unlogged_name(&self, key: Key, parent: Option<u64>) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(stored) = self.get(key)? else {
            return Ok(None);
        };
        for name in InodeName::all(key, &stored.fields())? {
            let other = parent.is_some_and(|parent| parent != name.parent);
            if !other && !self.name_in_log(key, name.parent, name.name)? {
                return Ok(Some((name.parent, name.name.to_vec())));
            }
        }
        Ok(None)
    }

    /// Whether the item at `key` has this name.
    fn has_name(&self, key: Key, parent: u64, name: &[u8]) -> Result<bool> {
        let Some(stored) = self.get(key)? else {
            return Ok(false);
        };
        let names = InodeName::all(key, &stored.fields())?;
        Ok(names.iter().any(|n| n.parent == parent && n.name == name))
    }
}

/// `BTRFS_FT_*` of a mode.
const fn file_type(mode: u32) -> u8 {
    match mode & KIND {
        0o100_000 => 1,
        DIRECTORY => FT_DIR,
        0o020_000 => 3,
        0o060_000 => 4,
        0o010_000 => 5,
        0o140_000 => 6,
        0o120_000 => 7,
        _ => 0,
    }
}
