//! A set of files as a disk with a file table.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use hexz_ondisk::file_table::{FRONT, HEADER, Header, RECORD, Record, UNIT};
use hexz_resolve::{ByteRange, Error, RangeSet, Result};

use super::content::Content;
use super::tree::{Node, Tree};
use crate::file::RawFile;
use crate::layer::{Layer, Packed, Place, Visit};
use crate::num::{u64_of, usize_of};

/// Reads as a disk with the files of a tree.
pub(crate) struct Disk {
    tree: Arc<Tree>,
    /// Without the bytes behind it.
    header: [u8; HEADER],
    size: u64,
    records: (u64, Vec<u8>),
    names: (u64, Arc<[u8]>),
    /// Contents, rising, by where they begin; none is empty.
    contents: Vec<(ByteRange, Content)>,
}

/// Where the files of one or two trees lie: a path has one record and one place in both.
struct Plan<'a> {
    /// The paths with what each tree has there.
    paths: Vec<(&'a [u8], [Option<&'a Node>; 2])>,
    header: Header,
    names: Arc<[u8]>,
}

impl<'a> Plan<'a> {
    fn new(a: &'a Tree, b: Option<&'a Tree>) -> Result<Self> {
        let paths = joined(a, b);
        let mut names = Vec::new();
        for (path, _) in &paths {
            names.extend_from_slice(name_of(path));
        }
        let too_large = || Error::limit("directory", "more bytes than a disk may have");
        let count = u32::try_from(paths.len()).map_err(|_| too_large())?;
        let table = u64::from(count).saturating_mul(u64_of(RECORD));
        let start = FRONT.checked_add(table).ok_or_else(too_large)?;
        let start = start.checked_next_multiple_of(UNIT).ok_or_else(too_large)?;
        let names_at = ByteRange::at(start, u64_of(names.len())).ok_or_else(too_large)?;
        let mut at = Some(names_at.end());
        for (_, nodes) in &paths {
            at = at.and_then(|at| at.checked_add(room(nodes)?));
        }
        let size = at
            .and_then(|end| end.checked_next_multiple_of(UNIT))
            .and_then(|end| end.checked_add(FRONT));
        Ok(Self {
            paths,
            header: Header {
                count,
                records: FRONT,
                names: names_at,
                size: size.ok_or_else(too_large)?,
            },
            names: names.into(),
        })
    }

    /// The disk of the first or the second tree.
    fn disk(&self, tree: &Arc<Tree>, which: usize) -> Disk {
        let mut numbers: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut table = Vec::new();
        let mut contents = Vec::new();
        let mut name_at = self.header.names.start();
        let mut at = self.header.names.end();
        at = at.checked_next_multiple_of(UNIT).unwrap_or(u64::MAX);
        for (number, (path, nodes)) in (0u32..).zip(&self.paths) {
            numbers.insert(path, number);
            let parent = numbers.get(parent_of(path)).copied().unwrap_or(0);
            let length = u64_of(name_of(path).len());
            let node = nodes.get(which).copied().flatten();
            let size = node.map_or(0, |node| node.size);
            let place = ByteRange::new(at, at.saturating_add(size));
            let record = Record {
                kind: node.map(|node| node.kind),
                parent,
                name: ByteRange::new(name_at, name_at.saturating_add(length)),
                mode: node.and_then(|node| node.mode),
                mtime: node.and_then(|node| node.mtime),
                content: match size {
                    0 => ByteRange::default(),
                    _ => place,
                },
            };
            table.extend_from_slice(&record.to_bytes());
            let content = node.and_then(|node| node.content.clone());
            contents.extend(content.filter(|_| size > 0).map(|content| (place, content)));
            name_at = name_at.saturating_add(length);
            at = at.saturating_add(room(nodes).unwrap_or(0));
        }
        Disk {
            tree: Arc::clone(tree),
            header: self.header.to_bytes(),
            size: self.header.size,
            records: (self.header.records, table),
            names: (self.header.names.start(), Arc::clone(&self.names)),
            contents,
        }
    }
}

/// What the larger of the contents of a path takes up.
fn room(nodes: &[Option<&Node>; 2]) -> Option<u64> {
    let sizes = nodes.iter().flatten().map(|node| node.size);
    sizes.max().unwrap_or(0).checked_next_multiple_of(UNIT)
}

/// The paths of both trees, each once, with what they have there.
fn joined<'a>(a: &'a Tree, b: Option<&'a Tree>) -> Vec<(&'a [u8], [Option<&'a Node>; 2])> {
    let mut all = Vec::new();
    let mut left = a.iter().peekable();
    let mut right = b.into_iter().flat_map(Tree::iter).peekable();
    loop {
        let of_left = left.peek().map(|(path, _)| *path);
        let of_right = right.peek().map(|(path, _)| *path);
        let path = match (of_left, of_right) {
            (Some(a), Some(b)) => a.min(b),
            (Some(path), None) | (None, Some(path)) => path,
            (None, None) => return all,
        };
        let one = left.next_if(|(next, _)| *next == path);
        let other = right.next_if(|(next, _)| *next == path);
        all.push((
            path,
            [one.map(|(_, node)| node), other.map(|(_, node)| node)],
        ));
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => {
            let (parent, name) = path.split_at_checked(at).unwrap_or((&[], path));
            (parent, name.get(1..).unwrap_or_default())
        }
        None => (&[], path),
    }
}

fn parent_of(path: &[u8]) -> &[u8] {
    split(path).0
}

fn name_of(path: &[u8]) -> &[u8] {
    split(path).1
}

impl Disk {
    /// A tree by itself.
    pub(super) fn alone(tree: Tree) -> Result<Self> {
        let tree = Arc::new(tree);
        let disk = Plan::new(&tree, None)?.disk(&tree, 0);
        Ok(disk)
    }

    /// Two trees that are compared: what both have lies in one place. Gives where they may differ,
    /// too.
    pub(super) fn pair(a: &Arc<Tree>, b: &Arc<Tree>) -> Result<(Self, Self, RangeSet)> {
        let plan = Plan::new(a, Some(b))?;
        let (one, other) = (plan.disk(a, 0), plan.disk(b, 1));
        let mut differ = Vec::new();
        let both = one
            .records
            .1
            .chunks(RECORD)
            .zip(other.records.1.chunks(RECORD));
        for (number, (before, after)) in (0u64..).zip(both) {
            if before != after {
                differ.extend(plan.header.record(number));
            }
        }
        let mut right = other.contents.iter().peekable();
        for (place, content) in &one.contents {
            while let Some((there, _)) = right.next_if(|(there, _)| there.start() < place.start()) {
                differ.push(*there);
            }
            match right.next_if(|(there, _)| there.start() == place.start()) {
                Some((there, of)) => {
                    let size = place.len().min(there.len());
                    let found = content.candidates(of, size)?;
                    differ.extend(
                        found
                            .iter()
                            .filter_map(|range| range.moved_up(place.start())),
                    );
                    let end = place.end().max(there.end());
                    differ.push(ByteRange::new(place.start().saturating_add(size), end));
                }
                None => differ.push(*place),
            }
        }
        differ.extend(right.map(|(there, _)| *there));
        let differ = differ.into_iter().collect();
        Ok((one, other, differ))
    }

    pub(super) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Parts of the disk that are held in memory.
    fn tables(&self) -> [(ByteRange, &[u8]); 3] {
        let of = |at: u64, bytes| ByteRange::new(at, at.saturating_add(u64_of(<[u8]>::len(bytes))));
        [
            (of(0, &self.header), self.header.as_slice()),
            (
                of(self.records.0, &self.records.1),
                self.records.1.as_slice(),
            ),
            (of(self.names.0, &self.names.1), &*self.names.1),
        ]
    }
}

const fn held(piece: ByteRange) -> Place {
    Place::Packed {
        file: 0,
        offset: piece.start(),
        length: 0,
    }
}

impl Layer for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        512
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let mut at = range.start();
        let tables = self.tables();
        let tables = tables.iter().map(|(place, _)| (*place, None));
        let from = self
            .contents
            .partition_point(|(place, _)| place.end() <= range.start());
        let contents = self.contents.iter().skip(from);
        let all = tables.chain(contents.map(|(place, content)| (*place, Some(content))));
        for (place, content) in all {
            if place.start() >= range.end() {
                break;
            }
            let Some(piece) = place.intersection(&range) else {
                continue;
            };
            if at < piece.start() {
                visit(ByteRange::new(at, piece.start()), Place::Zero)?;
            }
            match content {
                None => visit(piece, held(piece))?,
                Some(content) => {
                    let within = piece.moved_down(place.start()).unwrap_or_default();
                    content.pieces(within, &mut |part, zeros| {
                        let part = part.moved_up(place.start()).unwrap_or_default();
                        visit(part, if zeros { Place::Zero } else { held(part) })
                    })?;
                }
            }
            at = piece.end();
        }
        match at < range.end() {
            true => visit(ByteRange::new(at, range.end()), Place::Zero),
            false => ControlFlow::Continue(()),
        }
    }

    fn file(&self, _: usize) -> Option<&RawFile> {
        None
    }

    fn read_packed(&self, _: Packed, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        for (place, bytes) in self.tables() {
            if place.contains(piece.start()) {
                let at = usize_of(piece.start().saturating_sub(place.start()));
                let bytes = bytes.get(at..at.saturating_add(out.len()));
                let bytes = bytes.ok_or_else(|| Error::corrupt("file table").at(piece.start()))?;
                out.copy_from_slice(bytes);
                return Ok(());
            }
        }
        let after = self
            .contents
            .partition_point(|(place, _)| place.start() <= piece.start());
        let of = after.checked_sub(1).and_then(|at| self.contents.get(at));
        let (place, content) = of.ok_or_else(|| Error::corrupt("file table").at(piece.start()))?;
        content.read(piece.start().saturating_sub(place.start()), out)
    }
}
