//! A filesystem that says whatever a test wants it to say.
#![allow(dead_code)] // Each test uses a part of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hexz_resolve::engine::{OpenDisk, Options};
use hexz_resolve::{
    Attributes, ByteRange, Claim, Descriptor, FileKey, FileKind, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, JournalMode, Limits, Link, Member, OpenContext, Probe, RangeSet,
    RawName, ReadAt, ReadError, Registry, Replayed, Result, Scan, Silent, Sink, Timestamp, View,
    Window, engine,
};

/// A file of a [`Fake`].
#[derive(Clone)]
pub(crate) struct Node {
    attributes: Option<Attributes>,
    content: Arc<dyn ReadAt>,
}

impl Node {
    pub(crate) fn kind(kind: FileKind) -> Self {
        let mut attributes = Attributes::new(FileKey::new(0), kind);
        attributes.mode = Some(0o644);
        attributes.nlink = Some(1);
        attributes.mtime = Some(Timestamp {
            seconds: 1_600_000_000,
            nanoseconds: 5,
        });
        Self {
            attributes: Some(attributes),
            content: Arc::new(Vec::new()),
        }
    }

    pub(crate) fn file(bytes: &[u8]) -> Self {
        Self::over(Arc::new(bytes.to_vec()))
    }

    pub(crate) fn over(content: Arc<dyn ReadAt>) -> Self {
        let mut node = Self::kind(FileKind::File);
        node.change(|a| a.size = content.len());
        Self { content, ..node }
    }

    pub(crate) fn directory() -> Self {
        Self::kind(FileKind::Directory).mode(0o755)
    }

    pub(crate) fn link(target: &[u8]) -> Self {
        let mut node = Self::kind(FileKind::Symlink);
        node.change(|a| a.target = Some(RawName::from(target)));
        node
    }

    pub(crate) fn device(kind: FileKind, number: u64) -> Self {
        let mut node = Self::kind(kind);
        node.change(|a| a.rdev = Some(number));
        node
    }

    /// A file of so many zeros: a hole, or not.
    pub(crate) fn zeros(size: u64, hole: bool) -> Self {
        Self::over(Arc::new(Zeros { size, hole }))
    }

    /// A file of which the last byte can't be read.
    pub(crate) fn broken(size: u64) -> Self {
        Self::over(Arc::new(Broken(size)))
    }

    /// An entry that names nothing.
    pub(crate) fn missing() -> Self {
        Self {
            attributes: None,
            content: Arc::new(Vec::new()),
        }
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.change(|a| a.mode = Some(mode));
        self
    }

    pub(crate) fn owner(mut self, id: u32) -> Self {
        self.change(|a| (a.uid, a.gid) = (Some(id), Some(id)));
        self
    }

    pub(crate) fn links(mut self, links: u64) -> Self {
        self.change(|a| a.nlink = Some(links));
        self
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Attributes)) {
        if let Some(attributes) = &mut self.attributes {
            change(attributes);
        }
    }
}

struct Zeros {
    size: u64,
    hole: bool,
}

impl ReadAt for Zeros {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> std::result::Result<(), ReadError> {
        buf.fill(0);
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        match self.hole {
            true => RangeSet::new(),
            false => range.into(),
        }
    }
}

struct Broken(u64);

impl ReadAt for Broken {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::result::Result<(), ReadError> {
        if offset + buf.len() as u64 == self.0 {
            let reason = "a bad sector".to_owned();
            return Err(ReadError::Damaged { offset, reason });
        }
        buf.fill(7);
        Ok(())
    }
}

/// A tree of files; 1 is its root.
#[derive(Clone)]
pub(crate) struct Fake {
    info: FsInfo,
    volume: Arc<dyn ReadAt>,
    replayed: Replayed,
    nodes: BTreeMap<u64, Node>,
    entries: Vec<(u64, Vec<u8>, u64)>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let volume: Arc<dyn ReadAt> = Arc::new(vec![0x5A; 65536]);
        let mut fake = Self {
            info: FsInfo {
                filesystem: "fake",
                identity: vec![1],
                size: volume.len(),
                block_size: 512,
                ..FsInfo::default()
            },
            volume,
            replayed: Replayed::default(),
            nodes: BTreeMap::new(),
            entries: Vec::new(),
        };
        fake.put(1, Node::directory());
        fake
    }

    fn put(&mut self, number: u64, mut node: Node) {
        node.change(|a| a.key = FileKey::new(number));
        self.nodes.insert(number, node);
    }

    /// Adds a file with a name; gives its number.
    pub(crate) fn add(&mut self, parent: u64, name: &[u8], node: Node) -> u64 {
        let number = 100 + self.nodes.len() as u64;
        self.put(number, node);
        self.link(parent, name, number);
        number
    }

    /// Adds a name.
    pub(crate) fn link(&mut self, parent: u64, name: &[u8], child: u64) {
        self.entries.push((parent, name.to_vec(), child));
    }
}

impl Filesystem for Fake {
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
        FileKey::new(1)
    }

    fn claims(&self, _: &RangeSet, _: &Scan<'_>, _: &mut dyn Sink<Claim>) -> Result<()> {
        Ok(())
    }

    fn attributes(
        &self,
        files: &FileSet,
        _: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        files
            .iter()
            .filter_map(|key| self.nodes.get(&key.number)?.attributes.clone())
            .try_for_each(|attributes| out.put(attributes))
    }

    fn entries(&self, directories: &FileSet, _: &Scan<'_>, out: &mut dyn Sink<Link>) -> Result<()> {
        for (parent, name, child) in &self.entries {
            if directories.contains(FileKey::new(*parent)) {
                out.put(Link {
                    parent: FileKey::new(*parent),
                    name: RawName::from(name),
                    child: FileKey::new(*child),
                })?;
            }
        }
        Ok(())
    }

    fn content(&self, file: FileKey, _: Option<&RawName>, _: &Scan<'_>) -> Result<Arc<dyn ReadAt>> {
        Ok(Arc::clone(&self.nodes[&file.number].content))
    }
}

/// Opens as a [`Fake`] whatever it is shown.
struct Plugin(Mutex<Fake>);

const DESCRIPTOR: Descriptor = Descriptor {
    id: "fake",
    name: "Fake",
    magics: &[],
    minimum_size: 0,
    container: false,
    specification: "",
};

impl FilesystemPlugin for Plugin {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, _: &Window) -> Probe {
        Probe::matches(90)
    }

    fn open(&self, _: &[Member], _: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        Ok(Box::new(self.0.lock().unwrap().clone()))
    }
}

/// Opens a disk that holds `fake`.
pub(crate) fn with_disk<T>(fake: Fake, work: impl FnOnce(&OpenDisk<'_>) -> T) -> T {
    let mut plugins = Registry::builder();
    let disk = Arc::clone(&fake.volume);
    plugins.filesystem(Plugin(Mutex::new(fake))).unwrap();
    let registry = plugins.build();
    let options = Options {
        registry: &registry,
        limits: Limits::default(),
        journal: JournalMode::Replay,
        threads: 2,
        volume: None,
        detection: Default::default(),
        disks: hexz_resolve::Disks::default(),
        memo: None,
        progress: &Silent,
        scratch: None,
        cancel: None,
    };
    let disk = engine::open(&disk, View::Merged, &options).unwrap();
    work(&disk)
}
