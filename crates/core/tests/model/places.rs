//! A filesystem without inodes, as FAT is one: all that is known of a file stands in its directory
//! entry. A file is found by the byte of its entry, and entries close up when one before them goes,
//! so that renames and other changes give a file another key. What makes it the same file are its
//! block and the time it was made; an empty file has no block, and is known by its path only.
//!
//! The entry of the root, then blocks of 1 KiB.

use std::sync::Arc;

use hexz_resolve::{
    Attributes, ByteRange, Claim, Descriptor, FileKey, FileKind, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, Lineage, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet,
    RawName, ReadAt, Replayed, Result, Role, Scan, Sink, Timestamp, Window, read_vec,
};

use super::{BLOCK, BLOCKS, Node, ROOT, Tree};

const ENTRY: u64 = 32;
const DATA: u64 = BLOCK;
pub(crate) const DISK: u64 = DATA + BLOCKS * BLOCK;

/// What makes a node the same file as one of another tree.
pub(crate) fn lineage(node: &Node) -> Option<(u64, u64)> {
    let placed = node.kind == FileKind::Directory || !node.data.is_empty();
    placed.then_some((node.block, node.generation))
}

/// The disk that holds `tree`, which has no file with two names. What no file uses keeps what
/// `before` had there.
pub(crate) fn write(tree: &Tree, before: &[u8]) -> Vec<u8> {
    let mut disk = before.to_vec();
    let content = |node: &Node| -> Vec<u8> {
        if node.kind != FileKind::Directory {
            return node.data.clone();
        }
        let names = node.names.iter();
        names
            .flat_map(|(name, child)| entry(name, &tree.nodes[child]))
            .collect()
    };
    for node in tree.nodes.values() {
        let content = content(node);
        assert!(
            content.len() as u64 <= BLOCK,
            "the model has one block a file"
        );
        let at = (DATA + node.block * BLOCK) as usize;
        disk[at..at + content.len()].copy_from_slice(&content);
    }
    disk[..ENTRY as usize].copy_from_slice(&entry(b"", &tree.nodes[&ROOT]));
    disk
}

fn entry(name: &[u8], node: &Node) -> [u8; ENTRY as usize] {
    let size = match node.kind {
        FileKind::Directory => node.names.len() * ENTRY as usize,
        _ => node.data.len(),
    };
    let mut out = [0; ENTRY as usize];
    out[0] = node.kind as u8;
    out[1] = node.block as u8;
    out[2..4].copy_from_slice(&(node.mode as u16).to_le_bytes());
    out[4..8].copy_from_slice(&(node.mtime as u32).to_le_bytes());
    out[8..12].copy_from_slice(&(node.generation as u32).to_le_bytes());
    out[12..16].copy_from_slice(&(size as u32).to_le_bytes());
    out[16] = name.len() as u8;
    out[17..17 + name.len()].copy_from_slice(name);
    out
}

pub(crate) struct PlacesPlugin;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "places",
    name: "places",
    magics: &[],
    minimum_size: DISK,
    container: false,
    specification: "this file",
};

impl FilesystemPlugin for PlacesPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, _: &Window) -> Probe {
        Probe::matches(90)
    }

    fn open(&self, members: &[Member], _: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let info = FsInfo {
            filesystem: "places",
            size: DISK,
            block_size: 1024,
            ..FsInfo::default()
        };
        Ok(Box::new(Places {
            info,
            volume: Arc::clone(Member::only(members)?),
            replayed: Replayed::default(),
        }))
    }
}

struct Places {
    info: FsInfo,
    volume: Arc<dyn ReadAt>,
    replayed: Replayed,
}

/// An entry that can be reached from the root.
struct Found {
    key: FileKey,
    parent: FileKey,
    name: Vec<u8>,
    kind: FileKind,
    block: u64,
    mode: u32,
    mtime: i64,
    made: u64,
    size: u64,
}

impl Found {
    fn read(reader: &dyn ReadAt, at: u64, parent: FileKey) -> Self {
        let raw = read_vec(reader, at, ENTRY as usize).unwrap();
        let kinds = [
            FileKind::File,
            FileKind::Directory,
            FileKind::Symlink,
            FileKind::Fifo,
        ];
        let le32 = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().unwrap());
        Self {
            key: FileKey::new(at),
            parent,
            name: raw[17..17 + usize::from(raw[16])].to_vec(),
            kind: kinds.into_iter().find(|k| *k as u8 == raw[0]).unwrap(),
            block: raw[1].into(),
            mode: le32(0) >> 16,
            mtime: le32(4).into(),
            made: le32(8).into(),
            size: le32(12).into(),
        }
    }

    fn content(&self) -> Option<Claim> {
        let range = ByteRange::at(DATA + self.block * BLOCK, BLOCK).unwrap();
        let role = match self.kind {
            FileKind::Directory => Role::Directory,
            FileKind::Symlink => Role::Symlink,
            _ => Role::Data,
        };
        let placed = self.kind == FileKind::Directory || self.size > 0;
        placed.then(|| Claim::file(range, self.key, role).offset(0))
    }

    fn lineage(&self) -> Lineage {
        match self.content() {
            Some(_) => Lineage::new(&[self.block.to_le_bytes(), self.made.to_le_bytes()].concat()),
            None => Lineage::none(),
        }
    }
}

impl Places {
    /// All entries, a directory before what is in it.
    fn all(&self) -> Vec<Found> {
        let reader = &*self.volume;
        let mut found = vec![Found::read(reader, 0, self.root())];
        let mut next = 0;
        while let Some(directory) = found.get(next) {
            next += 1;
            if directory.kind == FileKind::Directory {
                let (key, start) = (directory.key, DATA + directory.block * BLOCK);
                let places = (start..start + directory.size).step_by(ENTRY as usize);
                found.extend(places.map(|at| Found::read(reader, at, key)));
            }
        }
        found
    }

    fn put_links(&self, wanted: impl Fn(&Found) -> bool, out: &mut dyn Sink<Link>) -> Result<()> {
        let named = self.all().into_iter().skip(1);
        named.filter(wanted).try_for_each(|found| {
            out.put(Link {
                parent: found.parent,
                name: RawName::from(&found.name),
                child: found.key,
            })
        })
    }
}

impl Filesystem for Places {
    fn info(&self) -> &FsInfo {
        &self.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.volume
    }

    fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    fn root(&self) -> FileKey {
        FileKey::new(0)
    }

    fn claims(&self, _: &RangeSet, _: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        let table = ByteRange::new(0, DATA);
        out.put(Claim::structure(table, Role::Superblock, "root"))?;
        out.put(Claim::free(ByteRange::new(DATA, DISK)))?;
        for found in self.all() {
            let entry = ByteRange::at(found.key.number, ENTRY).unwrap();
            out.put(Claim::file(entry, found.key, Role::InodeRecord))?;
            found.content().map_or(Ok(()), |claim| out.put(claim))?;
        }
        Ok(())
    }

    fn links(
        &self,
        wanted: &FileSet,
        _: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        self.put_links(|found| wanted.contains(found.key), out)?;
        Ok(LinkCoverage::Wanted)
    }

    fn attributes(
        &self,
        files: &FileSet,
        _: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        for found in self.all().iter().filter(|f| files.contains(f.key)) {
            let mut attributes = Attributes::new(found.key, found.kind);
            attributes.lineage = found.lineage();
            attributes.size = found.size;
            attributes.mode = Some(found.mode);
            attributes.mtime = Some(Timestamp {
                seconds: found.mtime,
                nanoseconds: 0,
            });
            if let (FileKind::Symlink, Some(claim)) = (found.kind, found.content()) {
                let start = claim.range.start();
                let target = read_vec(&*self.volume, start, found.size as usize).unwrap();
                attributes.target = Some(RawName::from(&target));
            }
            out.put(attributes)?;
        }
        Ok(())
    }

    fn entries(&self, directories: &FileSet, _: &Scan<'_>, out: &mut dyn Sink<Link>) -> Result<()> {
        self.put_links(|found| directories.contains(found.parent), out)
    }

    fn extents(&self, files: &FileSet, _: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        let all = self.all().into_iter().filter(|f| files.contains(f.key));
        all.filter(|f| f.kind == FileKind::File)
            .filter_map(|f| f.content())
            .try_for_each(|claim| out.put(claim))
    }
}
