//! A filesystem small enough to be random: 64 inodes of 256 bytes, then 128 blocks of 1 KiB.
//! Every file and directory has at most one block.

pub(crate) mod places;

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_resolve::{
    Attributes, ByteRange, Claim, Descriptor, FileKey, FileKind, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet, RawName,
    ReadAt, Replayed, Result, Role, Scan, Sink, Timestamp, Window, read_vec,
};

pub(crate) const INODES: u64 = 64;
const INODE: u64 = 256;
const BLOCK: u64 = 1024;
pub(crate) const BLOCKS: u64 = 128;
const DATA: u64 = INODES * INODE;
pub(crate) const DISK: u64 = DATA + BLOCKS * BLOCK;
pub(crate) const ROOT: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) generation: u64,
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) mtime: i64,
    pub(crate) block: u64,
    /// Content of a file, target of a symlink.
    pub(crate) data: Vec<u8>,
    /// Content of a directory.
    pub(crate) names: BTreeMap<Vec<u8>, u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: BTreeMap<u64, Node>,
}

impl Tree {
    pub(crate) fn links_to(&self, number: u64) -> u64 {
        let names = self.nodes.values().flat_map(|n| n.names.values());
        names.filter(|child| **child == number).count() as u64
    }

    fn content(node: &Node) -> Vec<u8> {
        if node.kind != FileKind::Directory {
            return node.data.clone();
        }
        let entries = node.names.iter().flat_map(|(name, child)| {
            let head = [*child as u8, name.len() as u8];
            head.into_iter().chain(name.iter().copied())
        });
        entries.collect()
    }

    /// The disk that holds this tree. What no file uses keeps what `before` had there.
    pub(crate) fn write(&self, before: &[u8]) -> Vec<u8> {
        let mut disk = before.to_vec();
        for number in 0..INODES {
            let at = (number * INODE) as usize;
            disk[at] = 0;
            let Some(node) = self.nodes.get(&number) else {
                continue;
            };
            let content = Self::content(node);
            assert!(
                content.len() as u64 <= BLOCK,
                "the model has one block a file"
            );
            disk[at] = 1;
            disk[at + 1] = node.kind as u8;
            disk[at + 2..at + 4].copy_from_slice(&(node.mode as u16).to_le_bytes());
            disk[at + 4..at + 8].copy_from_slice(&(node.mtime as u32).to_le_bytes());
            disk[at + 8..at + 12].copy_from_slice(&(node.generation as u32).to_le_bytes());
            disk[at + 12..at + 16].copy_from_slice(&(content.len() as u32).to_le_bytes());
            disk[at + 16] = node.block as u8;
            disk[at + 17] = self.links_to(number) as u8;
            let at = (DATA + node.block * BLOCK) as usize;
            disk[at..at + content.len()].copy_from_slice(&content);
        }
        disk
    }
}

pub(crate) struct ModelPlugin;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "model",
    name: "model",
    magics: &[],
    minimum_size: DISK,
    container: false,
    specification: "this file",
};

impl FilesystemPlugin for ModelPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, _: &Window) -> Probe {
        Probe::matches(90)
    }

    fn open(&self, members: &[Member], _: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let info = FsInfo {
            filesystem: "model",
            size: DISK,
            block_size: 1024,
            ..FsInfo::default()
        };
        Ok(Box::new(Model {
            info,
            volume: Arc::clone(Member::only(members)?),
            replayed: Replayed::default(),
        }))
    }
}

struct Model {
    info: FsInfo,
    volume: Arc<dyn ReadAt>,
    replayed: Replayed,
}

struct Inode {
    key: FileKey,
    generation: u64,
    kind: FileKind,
    mode: u32,
    mtime: i64,
    size: u64,
    nlink: u64,
    block: ByteRange,
}

impl Model {
    fn inode(reader: &dyn ReadAt, number: u64) -> Option<Inode> {
        let raw = read_vec(reader, number * INODE, INODE as usize).ok()?;
        let kinds = [
            FileKind::File,
            FileKind::Directory,
            FileKind::Symlink,
            FileKind::Fifo,
            FileKind::Socket,
        ];
        let le32 = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().unwrap());
        (raw[0] == 1).then(|| Inode {
            key: FileKey::new(number),
            generation: le32(8).into(),
            kind: kinds.into_iter().find(|k| *k as u8 == raw[1]).unwrap(),
            mode: le32(0) >> 16,
            mtime: le32(4).into(),
            size: le32(12).into(),
            nlink: raw[17].into(),
            block: ByteRange::at(DATA + u64::from(raw[16]) * BLOCK, BLOCK).unwrap(),
        })
    }

    fn links_in(reader: &dyn ReadAt, inode: &Inode) -> Vec<Link> {
        if inode.kind != FileKind::Directory {
            return Vec::new();
        }
        let raw = read_vec(reader, inode.block.start(), inode.size as usize).unwrap();
        let (mut links, mut rest) = (Vec::new(), raw.as_slice());
        while let [child, length, after @ ..] = rest {
            let (name, next) = after.split_at((*length).into());
            links.push(Link {
                parent: inode.key,
                name: RawName::from(name),
                child: FileKey::new((*child).into()),
            });
            rest = next;
        }
        links
    }

    fn role(kind: FileKind) -> Role {
        match kind {
            FileKind::Directory => Role::Directory,
            FileKind::Symlink => Role::Symlink,
            _ => Role::Data,
        }
    }
}

impl Filesystem for Model {
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
        FileKey::new(ROOT)
    }

    fn claims(&self, _: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        let units: Vec<u64> = (0..INODES).collect();
        out.put(Claim::structure(
            ByteRange::new(0, DATA),
            Role::InodeTable,
            "table",
        ))?;
        out.put(Claim::free(ByteRange::new(DATA, DISK)))?;
        let inode = |n: &u64, reader: &hexz_resolve::UnitReader<'_>| Ok(Self::inode(reader, *n));
        cx.units("claims", &self.volume, &units, inode, |number, inode| {
            let Some(inode) = inode else { return Ok(()) };
            let record = ByteRange::at(number * INODE, INODE).unwrap();
            out.put(Claim::file(record, inode.key, Role::InodeRecord))?;
            out.put(Claim::file(inode.block, inode.key, Self::role(inode.kind)).offset(0))
        })
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        let units: Vec<u64> = (0..INODES).collect();
        let read = |number: &u64, reader: &hexz_resolve::UnitReader<'_>| {
            let inode = Self::inode(reader, *number);
            let links = inode
                .map(|i| Self::links_in(reader, &i))
                .unwrap_or_default();
            let directory = |key: FileKey| {
                Self::inode(reader, key.number).is_some_and(|i| i.kind == FileKind::Directory)
            };
            let keep = |l: &Link| wanted.contains(l.child) || directory(l.child);
            Ok(links.into_iter().filter(keep).collect::<Vec<_>>())
        };
        cx.units("links", &self.volume, &units, read, |_, links| {
            links.iter().try_for_each(|l| out.put(l.clone()))
        })?;
        Ok(LinkCoverage::AllDirectories)
    }

    fn attributes(
        &self,
        files: &FileSet,
        _: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        for inode in files
            .iter()
            .filter_map(|k| Self::inode(&*self.volume, k.number))
        {
            let mut attributes = Attributes::inode(inode.key, inode.generation, inode.kind);
            attributes.size = inode.size;
            attributes.mode = Some(inode.mode);
            attributes.nlink = Some(inode.nlink);
            attributes.mtime = Some(Timestamp {
                seconds: inode.mtime,
                nanoseconds: 0,
            });
            if inode.kind == FileKind::Symlink {
                let target =
                    read_vec(&*self.volume, inode.block.start(), inode.size as usize).unwrap();
                attributes.target = Some(RawName::from(&target));
            }
            out.put(attributes)?;
        }
        Ok(())
    }

    fn entries(&self, directories: &FileSet, _: &Scan<'_>, out: &mut dyn Sink<Link>) -> Result<()> {
        for inode in directories
            .iter()
            .filter_map(|k| Self::inode(&*self.volume, k.number))
        {
            Self::links_in(&*self.volume, &inode)
                .into_iter()
                .try_for_each(|l| out.put(l))?;
        }
        Ok(())
    }

    fn extents(&self, files: &FileSet, _: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        for inode in files
            .iter()
            .filter_map(|k| Self::inode(&*self.volume, k.number))
        {
            out.put(Claim::file(inode.block, inode.key, Role::Data).offset(0))?;
        }
        Ok(())
    }
}
