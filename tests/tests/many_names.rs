//! The map of a disk with a file of very many names and very many pieces: the names are said once,
//! not with each piece.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use hexz_report::JsonOwners;
use hexz_resolve::engine::{Options, visit_owners};
use hexz_resolve::report::{FileNames, Header, OwnerRecord, OwnerVisitor, VolumeRecord};
use hexz_resolve::{
    Attributes, ByteRange, Claim, Descriptor, Error, FileKey, FileKind, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, JournalMode, Limits, Link, LinkCoverage, Member, OpenContext, Probe,
    RangeSet, RawName, ReadAt, Registry, Replayed, Result, Role, Scan, Silent, Sink, Window,
};

const NAMES: u64 = 50_000;
const PIECES: u64 = 50_000;
const BLOCK: u64 = 1024;
/// Bytes of JSON. With its names each piece would have half a megabyte: 25 GB in all.
const MOST: usize = 40 << 20;
const ROOT: FileKey = FileKey::new(1);
const FILE: FileKey = FileKey::new(2);

fn name(number: u64) -> RawName {
    RawName::from(format!("name-{number:05}").as_bytes())
}

/// A filesystem in which one file has every other block.
struct Many {
    info: FsInfo,
    volume: Arc<dyn ReadAt>,
    replayed: Replayed,
}

impl Filesystem for Many {
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
        ROOT
    }

    fn claims(&self, _: &RangeSet, _: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        for piece in 0..PIECES {
            let place = |block: u64| ByteRange::new(block * BLOCK, (block + 1) * BLOCK);
            let data = Claim::file(place(2 * piece), FILE, Role::Data);
            out.put(data.offset(piece * BLOCK))?;
            out.put(Claim::free(place(2 * piece + 1)))?;
        }
        Ok(())
    }

    fn links(
        &self,
        wanted: &FileSet,
        _: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        if wanted.contains(FILE) {
            for number in 0..NAMES {
                out.put(Link {
                    parent: ROOT,
                    name: name(number),
                    child: FILE,
                })?;
            }
        }
        Ok(LinkCoverage::Wanted)
    }

    fn attributes(
        &self,
        files: &FileSet,
        _: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        for (key, kind) in [(ROOT, FileKind::Directory), (FILE, FileKind::File)] {
            if files.contains(key) {
                out.put(Attributes::new(key, kind))?;
            }
        }
        Ok(())
    }
}

struct Plugin;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "many",
    name: "many",
    magics: &[],
    minimum_size: 0,
    container: false,
    specification: "this file",
};

impl FilesystemPlugin for Plugin {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, _: &Window) -> Probe {
        Probe::matches(90)
    }

    fn open(&self, members: &[Member], _: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let volume = Arc::clone(Member::only(members)?);
        Ok(Box::new(Many {
            info: FsInfo {
                filesystem: "many",
                size: volume.len(),
                block_size: 1024,
                ..FsInfo::default()
            },
            volume,
            replayed: Replayed::default(),
        }))
    }
}

/// Writes what is found as JSON.
#[derive(Default)]
struct Json {
    form: OnceLock<JsonOwners>,
    text: Mutex<Vec<u8>>,
    pieces: AtomicUsize,
}

impl OwnerVisitor for Json {
    type Made = Vec<u8>;

    fn begin(&mut self, _: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        self.form.get_or_init(|| JsonOwners::new(volumes));
        Ok(())
    }

    fn names(&self, names: &FileNames) -> Result<()> {
        let mut text = self.text.lock().unwrap();
        self.form.get().unwrap().names(&mut *text, names).unwrap();
        Ok(())
    }

    fn make(&self, records: &[OwnerRecord]) -> Vec<u8> {
        let mut text = Vec::new();
        self.form.get().unwrap().owners(&mut text, records).unwrap();
        let of_file = records.iter().filter(|record| !record.owners.is_empty());
        self.pieces.fetch_add(of_file.count(), Ordering::Relaxed);
        text
    }

    fn take(&self, made: Vec<u8>) -> Result<()> {
        let mut text = self.text.lock().unwrap();
        text.extend(made);
        match text.len() <= MOST {
            true => Ok(()),
            false => Err(Error::limit("test", "so much text")),
        }
    }
}

#[test]
fn the_names_of_a_file_are_said_once_however_many_pieces_it_has() {
    let mut builder = Registry::builder();
    builder.filesystem(Plugin).unwrap();
    let registry = builder.build();
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
    let disk: Arc<dyn ReadAt> = Arc::new(vec![0; (2 * PIECES * BLOCK) as usize]);
    let whole = ByteRange::new(0, disk.len()).into();
    let mut json = Json::default();
    let end = visit_owners(&disk, &whole, &options, &mut json).expect("an answer");
    assert!(end.summary.complete, "{:?}", end.diagnostics);
    assert_eq!(*json.pieces.get_mut() as u64, PIECES);
    let text = String::from_utf8(json.text.into_inner().unwrap()).unwrap();
    for number in [1, NAMES / 2, NAMES - 1] {
        let name = format!("name-{number:05}");
        assert_eq!(text.matches(&name).count(), 1, "{name}");
    }
}
