//! Names put into directories and taken out of them.

use hexz_ondisk::Fields;
use hexz_resolve::{Error, RangeSet, Result};

use crate::checksum::crc;
use crate::ondisk::{RawInode, i_flags, incompat, ro_compat};

use super::disk::{Disk, put};
use super::extents::{Extent, Map};

/// Bytes of an entry before its name.
const HEADER: usize = 8;
/// Bytes of the checksum entry at the end of a block, and its `file_type`.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xDE;

/// A directory that is being changed.
pub(super) struct Directory<'d, 'a> {
    disk: &'d mut Disk<'a>,
    inode: u32,
    raw: Vec<u8>,
    map: Map,
    /// Blocks of it, by its size.
    length: u32,
}

impl<'d, 'a> Directory<'d, 'a> {
    /// Of an inode, which must be a directory whose names can be changed here.
    pub(super) fn open(disk: &'d mut Disk<'a>, inode: u32) -> Result<Self> {
        let raw = disk.inode(inode)?;
        let fields = RawInode::new(Fields::new("directory", 0, &raw));
        let flags = fields.i_flags()?;
        if fields.i_mode()? & 0xF000 != 0x4000 || fields.i_links_count()? == 0 {
            return Err(Error::corrupt("fast commit")
                .expected("a directory")
                .found(inode));
        }
        let hashed = [incompat::ENCRYPT, incompat::CASEFOLD]
            .into_iter()
            .all(|bit| disk.superblock.incompat(bit));
        if flags & i_flags::EXTENTS == 0 || hashed {
            let message = format!("directory {inode} has no extents, or stores hashes of names");
            return Err(Error::unsupported("fast commit", message));
        }
        let size = u64::try_from(disk.block_size()).unwrap_or(u64::MAX);
        let blocks = fields.i_size()?.checked_div(size).unwrap_or(0);
        let map = Map::read(disk, &raw)?;
        disk.spend(map.extents.iter().map(|e| u64::from(e.length)).sum())?;
        Ok(Self {
            disk,
            inode,
            raw,
            map,
            length: u32::try_from(blocks).unwrap_or(u32::MAX),
        })
    }

    /// Gives the first block its `.` and `..`, unless it has them.
    pub(super) fn start(&mut self, parent: u32, avoid: &RangeSet) -> Result<()> {
        let block = match self.map.block(0) {
            Some(block) => block,
            None => self.add_block(0, avoid)?,
        };
        let own = self.inode.to_le_bytes();
        if self.disk.read(block)?.starts_with(&own) {
            return Ok(());
        }
        let mut bytes = self.empty()?;
        let room = self.room();
        self.entry(&mut bytes, 0, 12, (self.inode, b".", 2))?;
        self.entry(&mut bytes, 12, room.saturating_sub(12), (parent, b"..", 2))?;
        self.store(block, bytes)
    }

    /// Adds a name, unless it is there for the same inode. Gives whether it was added.
    pub(super) fn link(
        &mut self,
        name: &[u8],
        inode: u32,
        kind: u8,
        avoid: &RangeSet,
    ) -> Result<bool> {
        // In an encrypted directory a name is ciphertext, of any bytes.
        let flags = RawInode::new(Fields::new("directory", 0, &self.raw)).i_flags()?;
        let encrypted = flags & i_flags::ENCRYPT != 0;
        let is_one = encrypted || !name.iter().any(|b| matches!(b, 0 | b'/'));
        if name.is_empty() || name.len() > 255 || !is_one {
            return Err(Error::corrupt("fast commit").message("a name that is none"));
        }
        match self.find(name)? {
            Some(there) if there == inode => return Ok(false),
            Some(_) => {
                self.unlink(name)?;
            }
            None => {}
        }
        if self.is_hashed()? {
            self.flatten()?;
        }
        let need = length_of(name.len());
        for block in self.blocks() {
            let mut bytes = self.disk.read(block)?;
            let spot = entries(&bytes, self.room())?.into_iter().find_map(|e| {
                let used = if e.inode == 0 {
                    0
                } else {
                    length_of(e.name.len())
                };
                (e.length.checked_sub(used)? >= need).then_some((e.at, used, e.length))
            });
            let Some((at, used, length)) = spot else {
                continue;
            };
            if used > 0 {
                put(&mut bytes, at.saturating_add(4), &short(used))?;
            }
            let length = length.saturating_sub(used);
            self.entry(
                &mut bytes,
                at.saturating_add(used),
                length,
                (inode, name, kind),
            )?;
            self.store(block, bytes)?;
            return Ok(true);
        }
        let block = self.add_block(self.length, avoid)?;
        let mut bytes = self.empty()?;
        self.entry(&mut bytes, 0, self.room(), (inode, name, kind))?;
        self.store(block, bytes)?;
        Ok(true)
    }

    /// Takes a name out. Gives the inode it was for.
    pub(super) fn unlink(&mut self, name: &[u8]) -> Result<Option<u32>> {
        for block in self.blocks() {
            let mut bytes = self.disk.read(block)?;
            let list = entries(&bytes, self.room())?;
            let Some(n) = list.iter().position(|e| e.inode != 0 && e.name == name) else {
                continue;
            };
            let Some(entry) = list.get(n) else { continue };
            let inode = entry.inode;
            match n.checked_sub(1).and_then(|before| list.get(before)) {
                Some(before) => {
                    let length = before.length.saturating_add(entry.length);
                    let at = before.at.saturating_add(4);
                    put(&mut bytes, at, &short(length))?;
                }
                None => {
                    let at = entry.at;
                    put(&mut bytes, at, &[0; 4])?;
                }
            }
            self.store(block, bytes)?;
            return Ok(Some(inode));
        }
        Ok(None)
    }

    fn find(&self, name: &[u8]) -> Result<Option<u32>> {
        for block in self.blocks() {
            let bytes = self.disk.read(block)?;
            let list = entries(&bytes, self.room())?;
            if let Some(entry) = list.iter().find(|e| e.inode != 0 && e.name == name) {
                return Ok(Some(entry.inode));
            }
        }
        Ok(None)
    }

    /// The blocks that are mapped, in order.
    fn blocks(&self) -> Vec<u64> {
        let extents = self.map.extents.iter();
        extents
            .filter_map(|e| e.part(0, self.length))
            .flat_map(|e| e.physical..e.physical.saturating_add(u64::from(e.length)))
            .collect()
    }

    /// Makes a hash tree a plain list of names, in which a new name may stand anywhere. The blocks
    /// of the tree itself become empty ones; the first keeps `.` and `..`.
    fn flatten(&mut self) -> Result<()> {
        let room = self.room();
        for (n, block) in self.blocks().into_iter().enumerate() {
            let bytes = self.disk.read(block)?;
            let mut plain = self.empty()?;
            if n == 0 {
                let parent = Fields::new("directory block", 0, &bytes).le32(12)?;
                self.entry(&mut plain, 0, 12, (self.inode, b".", 2))?;
                self.entry(&mut plain, 12, room.saturating_sub(12), (parent, b"..", 2))?;
            } else if is_index(&bytes) {
                put(&mut plain, 4, &short(room))?;
            } else {
                continue;
            }
            self.store(block, plain)?;
        }
        let flags = RawInode::new(Fields::new("directory", 0, &self.raw)).i_flags()?;
        put(
            &mut self.raw,
            0x20,
            &(flags & !i_flags::INDEX).to_le_bytes(),
        )?;
        self.disk.write_inode(self.inode, self.raw.clone())
    }

    fn is_hashed(&self) -> Result<bool> {
        let fields = RawInode::new(Fields::new("directory", 0, &self.raw));
        Ok(fields.i_flags()? & i_flags::INDEX != 0)
    }

    fn has_sums(&self) -> bool {
        self.disk.superblock.ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Bytes of a block that entries may take.
    fn room(&self) -> usize {
        let tail = if self.has_sums() { TAIL } else { 0 };
        self.disk.block_size().saturating_sub(tail)
    }

    /// A block with no entry but its tail.
    fn empty(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.disk.block_size()];
        if self.has_sums() {
            put(
                &mut bytes,
                self.room().saturating_add(4),
                &[12, 0, 0, TAIL_TYPE],
            )?;
        }
        Ok(bytes)
    }

    fn entry(
        &self,
        bytes: &mut [u8],
        at: usize,
        length: usize,
        (inode, name, kind): (u32, &[u8], u8),
    ) -> Result<()> {
        let typed = self.disk.superblock.incompat(incompat::FILETYPE);
        let name_length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        put(bytes, at, &inode.to_le_bytes())?;
        put(bytes, at.saturating_add(4), &short(length))?;
        put(
            bytes,
            at.saturating_add(6),
            &[name_length, if typed { kind } else { 0 }],
        )?;
        put(bytes, at.saturating_add(HEADER), name)
    }

    /// Writes a block of entries, with its checksum.
    fn store(&mut self, block: u64, mut bytes: Vec<u8>) -> Result<()> {
        let room = self.room();
        let has_tail = bytes.get(room.saturating_add(7)) == Some(&TAIL_TYPE);
        if self.has_sums() && has_tail {
            let seed = self.disk.inode_seed(self.inode, &self.raw)?;
            let sum = crc(seed, bytes.get(..room).unwrap_or_default());
            put(&mut bytes, room.saturating_add(8), &sum.to_le_bytes())?;
        }
        self.disk.write(block, bytes)
    }

    /// Adds block `logical`.
    fn add_block(&mut self, logical: u32, avoid: &RangeSet) -> Result<u64> {
        let physical = self.disk.allocate(avoid)?;
        let mut map = self.map.clone();
        map.insert(Extent {
            logical,
            length: 1,
            physical,
            unwritten: false,
        });
        self.length = self.length.max(logical.saturating_add(1));
        let size =
            u64::from(self.length).saturating_mul(u64::from(self.disk.superblock.block_size));
        let [a, b, c, d, ..] = size.to_le_bytes();
        put(&mut self.raw, 4, &[a, b, c, d])?;
        map.write(self.disk, self.inode, &mut self.raw, avoid)?;
        self.map = Map::read(self.disk, &self.raw)?;
        self.disk.write_inode(self.inode, self.raw.clone())?;
        Ok(physical)
    }
}

/// One entry of a block.
struct Entry<'b> {
    at: usize,
    inode: u32,
    length: usize,
    name: &'b [u8],
}

/// The entries in the first `room` bytes of a block.
fn entries(bytes: &[u8], room: usize) -> Result<Vec<Entry<'_>>> {
    let fields = Fields::new("directory block", 0, bytes);
    let mut list = Vec::new();
    let mut at = 0usize;
    while at.saturating_add(HEADER) <= room {
        let length = usize::from(fields.le16(at.saturating_add(4))?);
        // A block of 64 KiB is one that 16 bits can't tell.
        let length = if matches!(length, 0 | 0xFFFF) {
            room.saturating_sub(at)
        } else {
            length
        };
        let name_length = usize::from(fields.u8(at.saturating_add(6))?);
        let end = at.saturating_add(length);
        if length < HEADER || end > bytes.len() || name_length.saturating_add(HEADER) > length {
            return Err(fields
                .corrupt(at)
                .found(format_args!("an entry of {length} bytes")));
        }
        list.push(Entry {
            at,
            inode: fields.le32(at)?,
            length,
            name: fields.bytes(at.saturating_add(HEADER), name_length)?,
        });
        at = end;
    }
    Ok(list)
}

/// Whether a block may be an inner one of a hash tree: one entry of no inode, as long as the block.
fn is_index(bytes: &[u8]) -> bool {
    let fields = Fields::new("directory block", 0, bytes);
    fields.le32(0).is_ok_and(|inode| inode == 0)
        && fields
            .le16(4)
            .is_ok_and(|length| usize::from(length) == bytes.len())
}

/// Bytes of an entry whose name has `name` bytes.
fn length_of(name: usize) -> usize {
    name.saturating_add(HEADER).next_multiple_of(4)
}

/// A length of an entry; that of a whole block of 64 KiB is written as 0xFFFF.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}
