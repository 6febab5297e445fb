//! Tree blocks: reading one by its logical address, with its checks, from whichever copy is sound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{ByteRange, Diagnostic, Error, ReadAt, Result};

use crate::checksum::Checksum;
use crate::chunks::ChunkMap;
use crate::ondisk::{Key, Root};

/// Bytes of the header.
pub(crate) const HEADER: usize = 101;
/// Bytes of the head of an item in a leaf.
pub(crate) const ITEM: usize = 25;
/// Bytes of a pointer in a node.
const POINTER: usize = 33;
/// No tree is higher.
pub(crate) const MOST_LEVELS: u8 = 8;

/// A tree block that passed all checks.
#[derive(Debug)]
pub(crate) struct Node {
    /// Logical address.
    pub(crate) bytenr: u64,
    /// Volume address of the copy that was read.
    pub(crate) place: u64,
    pub(crate) level: u8,
    pub(crate) generation: u64,
    /// The tree that it was written for.
    pub(crate) owner: u64,
    pub(crate) chunk_tree_uuid: [u8; 16],
    /// Number of items or pointers; all lie within the block, and their keys rise.
    pub(crate) count: usize,
    bytes: Vec<u8>,
}

/// An item of a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) key: Key,
    /// Its bytes, at their volume address.
    pub(crate) fields: Fields<'a>,
    /// Logical address of its bytes; `None` for one that was put together in memory.
    pub(crate) logical: Option<u64>,
}

impl Item<'_> {
    /// Logical addresses of its bytes.
    pub(crate) fn range(&self) -> Option<ByteRange> {
        ByteRange::at(self.logical?, u64::try_from(self.fields.len()).ok()?)
    }
}

impl Node {
    fn fields(&self) -> Fields<'_> {
        Fields::new("tree block", self.place, &self.bytes)
    }

    /// The key of item or pointer `slot`.
    pub(crate) fn key(&self, slot: usize) -> Result<Key> {
        let size = if self.level == 0 { ITEM } else { POINTER };
        Key::parse(&self.fields(), entry(slot, size))
    }

    /// The child that pointer `slot` leads to.
    pub(crate) fn child(&self, slot: usize) -> Result<Root> {
        let at = entry(slot, POINTER).saturating_add(Key::LENGTH);
        let fields = self.fields();
        let Some(level) = self.level.checked_sub(1) else {
            return Err(fields.corrupt(100).expected("a node").found("a leaf"));
        };
        Ok(Root {
            bytenr: fields.le64(at)?,
            level,
            generation: Some(fields.le64(at.saturating_add(8))?),
        })
    }

    /// Where in a leaf the bytes of item `slot` begin.
    fn place_of(&self, slot: usize) -> Result<usize> {
        position(self.fields().le32(entry(slot, ITEM).saturating_add(17))?)
    }

    /// Item `slot` of a leaf.
    pub(crate) fn item(&self, slot: usize) -> Result<Item<'_>> {
        let fields = self.fields();
        let head = entry(slot, ITEM);
        let at = self.place_of(slot)?;
        let length = fields.le32(head.saturating_add(21))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let inner = u64::try_from(at).ok();
        Ok(Item {
            key: Key::parse(&fields, head)?,
            fields: fields.sub("item", at, length)?,
            logical: inner.and_then(|inner| self.bytenr.checked_add(inner)),
        })
    }

    /// The first item or pointer whose key is not below `key`.
    pub(crate) fn lower_bound(&self, key: Key) -> Result<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle)? < key {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Checks that items or pointers lie within the block and that their keys rise.
    fn check(&self) -> Result<()> {
        let fields = self.fields();
        let size = if self.level == 0 { ITEM } else { POINTER };
        let mut last: Option<Key> = None;
        for slot in 0..self.count {
            let key = self.key(slot)?;
            if last.is_some_and(|last| last >= key) {
                let error = fields.corrupt(entry(slot, size)).expected("rising keys");
                return Err(error.found(format_args!("{key:?}")));
            }
            last = Some(key);
            if self.level == 0 {
                self.item(slot)?;
                let at = self.place_of(slot)?;
                if at < entry(self.count, ITEM) {
                    let error = fields
                        .corrupt(entry(slot, size))
                        .expected("an item's bytes");
                    return Err(error.found(format_args!("byte {at}")));
                }
            }
        }
        Ok(())
    }
}

/// Where item or pointer `slot` lies in its block.
const fn entry(slot: usize, size: usize) -> usize {
    HEADER.saturating_add(slot.saturating_mul(size))
}

/// Where in a leaf the bytes of an item begin whose head says `offset`.
fn position(offset: u32) -> Result<usize> {
    let offset = usize::try_from(offset).ok();
    offset
        .and_then(|offset| offset.checked_add(HEADER))
        .ok_or_else(|| Error::corrupt("item"))
}

/// Where findings go.
pub(crate) type Findings<'a> = &'a dyn Fn(Diagnostic);

/// Where what is odd about blocks goes; without a place it is an error, and whoever reads the block
/// later can tell.
pub(crate) type Odd<'a> = Option<Findings<'a>>;

/// What is needed to read tree blocks.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) chunks: ChunkMap,
    pub(crate) checksum: Checksum,
    pub(crate) nodesize: u32,
    /// Of the filesystem, and of those that it grew out of.
    pub(crate) metadata_uuids: Vec<[u8; 16]>,
    cache: Mutex<Cache>,
}

/// The blocks that were read last, up to a number of bytes.
#[derive(Debug)]
struct Cache {
    most: usize,
    bytes: usize,
    nodes: HashMap<u64, Arc<Node>>,
    order: VecDeque<u64>,
}

impl Cache {
    fn put(&mut self, node: &Arc<Node>) {
        if self.nodes.insert(node.bytenr, Arc::clone(node)).is_some() {
            return;
        }
        self.order.push_back(node.bytenr);
        self.bytes = self.bytes.saturating_add(node.bytes.len());
        while self.bytes > self.most {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(old) = self.nodes.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(old.bytes.len());
            }
        }
    }
}

impl Blocks {
    /// Reads blocks of `nodesize` bytes, and remembers up to `cache_bytes` of them.
    pub(crate) fn new(
        chunks: ChunkMap,
        checksum: Checksum,
        nodesize: u32,
        metadata_uuids: Vec<[u8; 16]>,
        cache_bytes: usize,
    ) -> Self {
        Self {
            chunks,
            checksum,
            nodesize,
            metadata_uuids,
            cache: Mutex::new(Cache {
                most: cache_bytes,
                bytes: 0,
                nodes: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// The logical addresses that a block takes up.
    pub(crate) fn range(&self, bytenr: u64) -> Option<ByteRange> {
        ByteRange::at(bytenr, u64::from(self.nodesize))
    }

    /// The block at `at`.
    ///
    /// # Errors
    /// `Corrupt` or `Io` when no copy is sound.
    pub(crate) fn read(
        &self,
        volume: &dyn ReadAt,
        at: Root,
        findings: Odd<'_>,
    ) -> Result<Arc<Node>> {
        let known = {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.nodes.get(&at.bytenr).map(Arc::clone)
        };
        if let Some(node) = known {
            fits(&node, at)?;
            return Ok(node);
        }
        let node = Arc::new(self.read_copies(volume, at, findings)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(&node);
        Ok(node)
    }

    fn read_copies(&self, volume: &dyn ReadAt, at: Root, findings: Odd<'_>) -> Result<Node> {
        let Some(range) = self.range(at.bytenr) else {
            return Err(Error::corrupt("tree block").found(format_args!("at {}", at.bytenr)));
        };
        let mut places = self.chunks.places(range);
        let Some(place) = places.next().filter(|p| p.logical == range) else {
            let text = format!("logical address {} is in no chunk", at.bytenr);
            return Err(Error::corrupt("tree block").message(text));
        };
        let mut bad = None;
        for copy in &place.copies {
            match self.read_copy(volume, at, *copy) {
                Ok(node) => {
                    if let Some(error) = bad {
                        let error: Error = error;
                        let Some(findings) = findings else {
                            return Err(error);
                        };
                        let text = format!("{}: another copy is used", error.chain());
                        let found = Diagnostic::warning("bad-copy", text);
                        findings(found.at(error.offset().unwrap_or(*copy)));
                    }
                    return Ok(node);
                }
                Err(error) => _ = bad.get_or_insert(error),
            }
        }
        Err(bad.unwrap_or_else(|| {
            let text = format!("logical address {} lies on a missing device", at.bytenr);
            Error::corrupt("tree block").message(text)
        }))
    }

    fn read_copy(&self, volume: &dyn ReadAt, at: Root, place: u64) -> Result<Node> {
        let length = to_usize(u64::from(self.nodesize)).unwrap_or_default();
        let bytes = hexz_ondisk::read(volume, "tree block", place, length)?;
        let fields = Fields::new("tree block", place, &bytes);
        if !self.checksum.holds(&bytes) {
            return Err(fields.corrupt(0).message("its checksum is wrong"));
        }
        if fields.le64(48)? != at.bytenr {
            let error = fields
                .corrupt(48)
                .expected(format_args!("bytenr {}", at.bytenr));
            return Err(error.found(fields.le64(48)?));
        }
        if !self.metadata_uuids.contains(&fields.array(32)?) {
            return Err(fields
                .corrupt(32)
                .message("it belongs to another filesystem"));
        }
        let level = fields.u8(100)?;
        let count = usize::try_from(fields.le32(96)?).unwrap_or(usize::MAX);
        let size = if level == 0 { ITEM } else { POINTER };
        let most = bytes.len().saturating_sub(HEADER).checked_div(size);
        let most = most.unwrap_or_default();
        if level >= MOST_LEVELS || count > most {
            let error = fields.corrupt(96).expected("items that fit");
            return Err(error.found(format_args!("{count} at level {level}")));
        }
        let node = Node {
            bytenr: at.bytenr,
            place,
            level,
            generation: fields.le64(80)?,
            owner: fields.le64(88)?,
            chunk_tree_uuid: fields.array(64)?,
            count,
            bytes,
        };
        fits(&node, at)?;
        node.check()?;
        Ok(node)
    }
}

/// Whether a block is what a pointer says.
fn fits(node: &Node, at: Root) -> Result<()> {
    let fields = node.fields();
    if node.level != at.level {
        let error = fields
            .corrupt(100)
            .expected(format_args!("level {}", at.level));
        return Err(error.found(node.level));
    }
    match at.generation {
        Some(generation) if generation != node.generation => {
            let error = fields
                .corrupt(80)
                .expected(format_args!("generation {generation}"));
            Err(error.found(node.generation))
        }
        _ => Ok(()),
    }
}

/// Logical addresses of inline data.
pub(crate) fn inline_range(found: &Item<'_>, data: u64) -> Option<ByteRange> {
    let whole = found.range()?;
    let start = whole.start().checked_add(data)?;
    (start < whole.end()).then(|| ByteRange::new(start, whole.end()))
}
