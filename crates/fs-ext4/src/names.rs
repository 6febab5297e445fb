//! Names of a few files, looked for where they are likely to be: in the parent that a directory's
//! `..` names, and in directories whose inodes lie near that of the file, since the kernel puts
//! the files of a directory near it. The link count of an inode says when all names are there;
//! until then the search widens, in the end to the whole filesystem.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use hexz_ondisk::{Fields, NameSearch, read};
use hexz_resolve::{FileKey, FileSet, FsState, Link, Result, Role, Scan, Sink, UnitReader};

use crate::content::Content;
use crate::directory::Directory;
use crate::fs::Ext4;
use crate::links::in_disk_order;
use crate::map::{Mapped, Mapper};
use crate::ondisk::{ERROR_FS, ROOT_INO, RawInode, i_flags};
use crate::slices::Slice;

impl Ext4 {
    /// Whether link counts can be relied on: they may not be on a filesystem that needs repair.
    pub(crate) fn is_sound(&self) -> bool {
        self.info.state == FsState::Clean && self.geometry.sb.s_state & ERROR_FS == 0
    }

    /// The links to `wanted`, when they are so few that a search reads less than a sweep; `false`
    /// when they are not.
    pub(crate) fn search_links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<bool> {
        if self.directories.get().is_some() || !self.is_sound() {
            return Ok(false);
        }
        let slices = self.slices(cx, |_| true);
        let of = |key: FileKey| slice_of(&slices, key.number);
        let places: BTreeSet<usize> = wanted.iter().map(of).collect();
        if places.len().saturating_mul(8) > slices.len() {
            return Ok(false);
        }
        let mut search = Search {
            fs: self,
            cx,
            wanted,
            slices: &slices,
            names: NameSearch::new(slices.len()),
            read: BTreeSet::new(),
            out,
        };
        search.begin()?;
        search.widen()?;
        Ok(true)
    }

    /// Whether no directory need name an inode in use.
    fn has_no_name(&self, number: u64, inode: &RawInode<'_>) -> Result<bool> {
        let sb = &self.geometry.sb;
        let reserved = number < u64::from(sb.s_first_ino) || self.reserved_name(number).is_some();
        let value = inode.i_flags()? & i_flags::EA_INODE != 0;
        Ok(reserved || value || inode.i_links_count()? == 0)
    }

    /// The directory that an inode is, and where its entries lie.
    pub(crate) fn directory_of(
        &self,
        number: u64,
        inode: &RawInode<'_>,
        cx: &Scan<'_>,
    ) -> Result<Option<Directory>> {
        match self.content(number, inode)? {
            Content::InlineDirectory => Directory::new(number, inode, None).map(Some),
            Content::Mapped(Role::Directory) => {
                let mut pieces = Vec::new();
                let diagnose = |finding| cx.diagnose(finding);
                let mut mapper = Mapper::new(&self.geometry, &*self.reader, &diagnose);
                mapper.walk(inode, number, &mut |piece| {
                    if piece.mapped == Mapped::Data {
                        pieces.push(piece);
                    }
                    Ok(())
                })?;
                Directory::new(number, inode, Some(pieces)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The directories of a slice, where other comparisons with the same base told.
    fn kept_directories(&self, slice: &Slice, reader: &UnitReader<'_>) -> Option<Arc<[Directory]>> {
        let key = (self.shape.clone(), slice.clone());
        reader.kept("ext4-directories", &key, |reader| {
            Ok(self.slice(slice, reader, None)?.directories)
        })
    }

    /// The part of `directory` in which entries of `wanted` are, where other comparisons with the
    /// same base told: often none. Else the whole.
    fn where_named<'d>(
        &self,
        directory: &'d Directory,
        wanted: &FileSet,
        reader: &UnitReader<'_>,
    ) -> Cow<'d, Directory> {
        // Beyond so much, looking into each block by itself takes too long.
        const PIECES: usize = 64;
        const BLOCKS: usize = 16 << 10;
        if directory.pieces.len() > PIECES || directory.blocks().nth(BLOCKS).is_some() {
            return Cow::Borrowed(directory);
        }
        let key = (self.shape.clone(), directory.clone());
        let children = reader.kept("ext4-children", &key, |reader| {
            let mut children = Vec::new();
            let diagnose = |finding| reader.diagnose(finding);
            for block in directory.blocks() {
                let part = directory.only(&[block]);
                self.directory(&part, reader, &diagnose, &mut |entry| {
                    children.push((entry.child, block));
                    Ok(())
                })?;
            }
            children.sort_unstable();
            children.dedup();
            Ok(children)
        });
        let Some(children) = children else {
            return Cow::Borrowed(directory);
        };
        let mut blocks = Vec::new();
        if let (Some((first, _)), Some((last, _))) = (children.first(), children.last()) {
            for file in wanted.within(*first, last.saturating_add(1)) {
                let at = children.partition_point(|(child, _)| *child < file.number);
                let named = children.get(at..).unwrap_or_default().iter();
                let named = named.take_while(|(child, _)| *child == file.number);
                blocks.extend(named.map(|(_, block)| *block));
            }
        }
        blocks.sort_unstable();
        blocks.dedup();
        Cow::Owned(directory.only(&blocks))
    }

    /// What `..` of a directory says, as far as that can be read.
    fn parent_of(&self, directory: &Directory, inode: &RawInode<'_>) -> Option<u64> {
        if directory.inline {
            return inode.i_block().ok()?.le32(0).ok().map(u64::from);
        }
        let first = directory.pieces.first().filter(|p| p.logical == 0)?;
        let start = self.geometry.blocks(first.physical, 1)?.start();
        let bytes = read(&*self.reader, "directory block", start, 24).ok()?;
        let block = Fields::new("directory block", start, &bytes);
        let is_parent = block.bytes(20, 2).ok()? == b".." && block.u8(18).ok()? == 2;
        is_parent.then(|| block.le32(12).ok().map(u64::from))?
    }
}

/// The slice that an inode lies in.
fn slice_of(slices: &[Slice], number: u64) -> usize {
    let behind = slices.partition_point(|slice| slice.first <= number);
    behind.saturating_sub(1)
}

struct Search<'a, 'o> {
    fs: &'a Ext4,
    cx: &'a Scan<'a>,
    wanted: &'a FileSet,
    slices: &'a [Slice],
    names: NameSearch,
    /// Directories whose entries were read.
    read: BTreeSet<u64>,
    out: &'o mut dyn Sink<Link>,
}

impl Search<'_, '_> {
    /// Notes what is looked for, and reads the directories among it and their parents.
    fn begin(&mut self) -> Result<()> {
        let (fs, cx) = (self.fs, self.cx);
        let (mut directories, mut parents) = (Vec::new(), BTreeSet::new());
        let mut others = false;
        fs.each_file(self.wanted, cx, |number, inode| {
            let directory = fs.directory_of(number, &inode, cx)?;
            if let Some(directory) = directory {
                if number != ROOT_INO {
                    parents.extend(fs.parent_of(&directory, &inode));
                    self.note(number, 1);
                }
                directories.push(directory);
            } else if !fs.has_no_name(number, &inode)? {
                others = true;
                self.note(number, inode.i_links_count()?.into());
            }
            Ok(())
        })?;
        // A file that came stands in a directory that changed. The name of a directory is in its
        // parent.
        if others {
            self.read_entries(directories)?;
        }
        let parents: FileSet = parents.into_iter().map(FileKey::new).collect();
        let mut directories = Vec::new();
        fs.each_file(&parents, cx, |number, inode| {
            directories.extend(fs.directory_of(number, &inode, cx)?);
            Ok(())
        })?;
        self.read_entries(directories)
    }

    fn note(&mut self, number: u64, links: u64) {
        let slice = slice_of(self.slices, number);
        self.names.add(FileKey::new(number), slice, links);
    }

    /// Reads all directories further and further around the files that lack a name.
    fn widen(&mut self) -> Result<()> {
        let (fs, cx) = (self.fs, self.cx);
        loop {
            let ring = self.names.next_ring();
            if ring.is_empty() {
                return Ok(());
            }
            let near = ring.iter().filter_map(|index| self.slices.get(*index));
            let near: Vec<Slice> = near.cloned().collect();
            let mut directories = Vec::new();
            let work = |slice: &Slice, reader: &UnitReader<'_>| {
                let mut found = Vec::new();
                match fs.kept_directories(slice, reader) {
                    Some(known) => return Ok(known),
                    None if !reader.keeps() => found = fs.slice(slice, reader, None)?.directories,
                    // Mostly one of its inodes changed.
                    None => {
                        for part in slice.parts(fs.geometry.sb.s_inode_size.into()) {
                            match fs.kept_directories(&part, reader) {
                                Some(known) => found.extend(known.iter().cloned()),
                                None => found.extend(fs.slice(&part, reader, None)?.directories),
                            }
                        }
                    }
                }
                Ok(Arc::from(found))
            };
            let merge = |_: &Slice, found: &Arc<[Directory]>| {
                directories.extend(found.iter().cloned());
                Ok(())
            };
            cx.units("ext4-directories-near", &fs.reader, &near, work, merge)?;
            self.read_entries(directories)?;
        }
    }

    /// Reads the entries of those of `directories` that were not read yet.
    fn read_entries(&mut self, directories: Vec<Directory>) -> Result<()> {
        let (fs, wanted) = (self.fs, self.wanted);
        let mut fresh: Vec<Directory> = directories
            .into_iter()
            .filter(|directory| self.read.insert(directory.number))
            .collect();
        in_disk_order(&mut fresh);
        let (names, out) = (&mut self.names, &mut *self.out);
        self.cx.units_moved(
            "ext4-names",
            &fs.reader,
            &fresh,
            |directory: &Directory, reader: &UnitReader<'_>| {
                let mut links = Vec::new();
                let part = fs.where_named(directory, wanted, reader);
                fs.directory(&part, reader, &|d| reader.diagnose(d), &mut |entry| {
                    if wanted.contains(FileKey::new(entry.child)) {
                        links.push(entry.link(directory.number));
                    }
                    Ok(())
                })?;
                Ok(links)
            },
            |_, links: Vec<Link>| {
                for link in links {
                    names.found(&link);
                    out.put(link)?;
                }
                Ok(())
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(pieces: &[(u64, u64, u64)]) -> Directory {
        let piece = |&(logical, physical, length)| crate::map::Piece {
            mapped: Mapped::Data,
            logical,
            physical,
            length,
        };
        Directory {
            number: 12,
            generation: 1,
            flags: 0,
            size: 1 << 20,
            inline: false,
            pieces: pieces.iter().map(piece).collect(),
        }
    }

    #[test]
    fn parts_of_a_directory_are_its_blocks() {
        let whole = directory(&[(0, 100, 3), (5, 50, 2)]);
        let blocks: Vec<u64> = whole.blocks().collect();
        assert_eq!(blocks, [0, 1, 2, 5, 6]);
        let part = whole.only(&[1, 3, 6]);
        assert_eq!(part, directory(&[(1, 101, 1), (6, 51, 1)]));
        assert_eq!(whole.only(&[]), directory(&[]));
    }
}
