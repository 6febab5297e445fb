//! Pass 2: directory entries.

use std::sync::Arc;

use hexz_ondisk::{Fields, read_what_can_be, to_usize};
use hexz_resolve::{
    ByteRange, FileKey, FileSet, Link, RangeSet, ReadAt, Result, Scan, Sink, UnitReader,
};

use crate::checksum::inode_seed;
use crate::directory::{self, Directory, Entry, FT_DIR};
use crate::fs::Ext4;
use crate::map::Piece;
use crate::nokey::NoKeyNames;
use crate::ondisk::{RawInode, incompat, ro_compat};
use crate::xattr;

/// Directories that are read together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Batch(Arc<[Directory]>);

impl Batch {
    /// Directories of a batch.
    const LENGTH: usize = 16;

    /// `directories` in batches, in their order.
    pub(crate) fn all(directories: &[Directory]) -> Vec<Self> {
        directories
            .chunks(Self::LENGTH)
            .map(|d| Self(d.into()))
            .collect()
    }

    /// The directories.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Directory> {
        self.0.iter()
    }
}

impl Ext4 {
    pub(crate) fn scan_links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut directories = self.find_directories(cx)?;
        in_disk_order(&mut directories);
        let typed = self.geometry.sb.incompat(incompat::FILETYPE);
        let mut numbers: Vec<u64> = directories.iter().map(|d| d.number).collect();
        numbers.sort_unstable();
        let batches = Batch::all(&directories);
        let work = |batch: &Batch, reader: &UnitReader<'_>| -> Result<Vec<Link>> {
            if !typed {
                // Which children are directories is known from elsewhere.
                reader.do_not_share();
            }
            let mut links = Vec::new();
            for directory in batch.directories() {
                self.directory(directory, reader, &|d| reader.diagnose(d), &mut |entry| {
                    let is_directory = match typed {
                        true => entry.file_type == FT_DIR,
                        false => numbers.binary_search(&entry.child).is_ok(),
                    };
                    if is_directory || wanted.contains(FileKey::new(entry.child)) {
                        links.push(entry.link(directory.number));
                    }
                    Ok(())
                })?;
            }
            Ok(links)
        };
        cx.units_moved(
            "ext4-links",
            &self.reader,
            &batches,
            work,
            |_, links: Vec<Link>| links.into_iter().try_for_each(|link| out.put(link)),
        )
    }

    pub(crate) fn read_entries(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let diagnose = |finding| cx.diagnose(finding);
        self.each_file(directories, cx, |number, inode| {
            let Some(directory) = self.directory_of(number, &inode, cx)? else {
                return Ok(());
            };
            self.directory(&directory, &*self.reader, &diagnose, &mut |entry| {
                out.put(entry.link(number))
            })
        })
    }

    /// [`Ext4::read_entries`], but for those in blocks that hold nothing of `dirty`: these go to
    /// `clean`.
    pub(crate) fn read_dirty_entries(
        &self,
        directories: &FileSet,
        dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
        clean: &mut dyn Sink<(FileKey, ByteRange)>,
    ) -> Result<()> {
        let diagnose = |finding| cx.diagnose(finding);
        self.each_file(directories, cx, |number, inode| {
            let Some(mut directory) = self.directory_of(number, &inode, cx)? else {
                return Ok(());
            };
            directory.pieces = self.dirty_pieces(&directory, dirty, &mut |range| {
                clean.put((FileKey::new(number), range))
            })?;
            self.directory(&directory, &*self.reader, &diagnose, &mut |entry| {
                out.put(entry.link(number))
            })
        })
    }

    /// The blocks of `directory` that hold something of `dirty`; the others go to `clean`.
    fn dirty_pieces(
        &self,
        directory: &Directory,
        dirty: &RangeSet,
        clean: &mut dyn FnMut(ByteRange) -> Result<()>,
    ) -> Result<Arc<[Piece]>> {
        let block = self.geometry.block();
        let end = directory.size.div_ceil(block);
        let mut pieces = Vec::new();
        for piece in &*directory.pieces {
            // What lies behind the size holds no entries.
            let length = piece.length.min(end.saturating_sub(piece.logical));
            let Some(range) = self.geometry.blocks(piece.physical, length) else {
                pieces.push(*piece);
                continue;
            };
            let touched: RangeSet = dirty.overlapping(range).collect();
            let touched = touched.aligned_out(block).clipped(range);
            let others = RangeSet::from(range).difference(&touched);
            others.iter().try_for_each(&mut *clean)?;
            pieces.extend(touched.iter().map(|part| {
                let skipped = part.start().saturating_sub(range.start());
                let skipped = skipped.checked_div(block).unwrap_or(0);
                Piece {
                    logical: piece.logical.saturating_add(skipped),
                    physical: piece.physical.saturating_add(skipped),
                    length: part.len().checked_div(block).unwrap_or(0),
                    ..*piece
                }
            }));
        }
        Ok(pieces.into())
    }

    /// Hands out the entries of one directory. A block that is damaged or can't be read is a
    /// finding, and the next one follows.
    pub(crate) fn directory(
        &self,
        directory: &Directory,
        reader: &dyn ReadAt,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
        visit: &mut dyn FnMut(Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let inodes = u64::from(self.geometry.sb.s_inodes_count);
        let no_key = NoKeyNames::of(self, directory, reader);
        let visit: &mut dyn FnMut(Entry<'_>) -> Result<()> = &mut |entry| {
            if entry.child > inodes {
                let text = format!(
                    "an entry of directory {} names inode {}, and there are {inodes}",
                    directory.number, entry.child
                );
                diagnose(hexz_resolve::Diagnostic::error("corrupt-entry", text));
            }
            let entry = match no_key {
                Some(names) => names.show(entry),
                None => entry,
            };
            if entry.name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                let text = format!("directory {} has a name that is none", directory.number);
                diagnose(hexz_resolve::Diagnostic::warning("bad-name", text));
                return Ok(());
            }
            visit(entry)
        };
        if directory.inline {
            return self.inline_directory(directory, reader, diagnose, visit);
        }
        let block = self.geometry.block();
        let seed = self
            .geometry
            .sb
            .ro_compat(ro_compat::METADATA_CSUM)
            .then(|| {
                inode_seed(
                    self.geometry.sb.checksum_seed(),
                    directory.number,
                    directory.generation,
                )
            });
        let unit = (1u64 << 20).checked_div(block).unwrap_or(0);
        for piece in &*directory.pieces {
            let within = (directory.size.div_ceil(block)).saturating_sub(piece.logical);
            let length = piece.length.min(within);
            let mut done = 0;
            while done < length {
                let now = length.saturating_sub(done).min(unit.max(1));
                let Some(range) = self
                    .geometry
                    .blocks(piece.physical.saturating_add(done), now)
                else {
                    break;
                };
                done = done.saturating_add(now);
                let mut bytes = vec![0; to_usize(range.len()).unwrap_or(0)];
                let mut lost = RangeSet::new();
                let mut note = |range: ByteRange, error| {
                    lost.insert(range.aligned_out(block));
                    diagnose(directory::damage(error, directory.number));
                    Ok(())
                };
                let start = range.start();
                read_what_can_be(reader, "directory block", start, &mut bytes, &mut note)?;
                let size = to_usize(block).unwrap_or(1);
                for (n, bytes) in (0u64..).zip(bytes.chunks(size)) {
                    let offset = range.start().saturating_add(n.saturating_mul(block));
                    if lost.contains(offset) {
                        continue;
                    }
                    let fields = Fields::new("directory block", offset, bytes);
                    if let Some(seed) = seed
                        && let Some(finding) = directory::check(fields, seed, directory.number)
                    {
                        diagnose(finding);
                    }
                    settle(
                        directory::entries(fields, &mut *visit),
                        directory.number,
                        diagnose,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn inline_directory(
        &self,
        directory: &Directory,
        reader: &dyn ReadAt,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
        visit: &mut dyn FnMut(Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some((offset, bytes)) = self.inode_bytes(reader, directory.number)? else {
            return Ok(());
        };
        let inode = RawInode::new(Fields::new("inode", offset, &bytes));
        // The number of the parent, then entries; more of them in the attribute.
        let block = inode.i_block()?;
        let head = block.sub("inline directory", 4, 56)?;
        settle(
            directory::entries(head, &mut *visit),
            directory.number,
            diagnose,
        )?;
        if let Some(tail) = xattr::inline_tail(&inode)? {
            settle(
                directory::entries(tail, &mut *visit),
                directory.number,
                diagnose,
            )?;
        }
        Ok(())
    }
}

/// Sorts directories so that reading them goes forward.
pub(crate) fn in_disk_order(directories: &mut [Directory]) {
    directories.sort_by_key(|d| (d.pieces.first().map(|p| p.physical), d.number));
}

/// Makes damage of a block a finding.
fn settle(
    result: Result<()>,
    number: u64,
    diagnose: &dyn Fn(hexz_resolve::Diagnostic),
) -> Result<()> {
    match result {
        Err(error) if !error.ends_scan() => {
            diagnose(directory::damage(error, number));
            Ok(())
        }
        other => other,
    }
}
