//! A filesystem of one's own: `cargo run -p hexz-files --example plugin`.
//!
//! It has blocks of 4096 bytes. The first holds `SHELF001` and then records of 32 bytes: a name of
//! 24, the first block and the number of blocks, both with the lowest byte first. All files lie in
//! the root, and have no attributes. `docs/adding-a-filesystem.md` builds a larger one.
#![allow(clippy::print_stdout)] // A program for a terminal.

use std::error::Error;
use std::sync::Arc;

use hexz_files::plugin::{
    Claim, Descriptor, FileSet, Filesystem, FilesystemPlugin, FsInfo, Link, LinkCoverage, Magic,
    Member, OpenContext, Probe, Replayed, Scan, Sink, Window, read_vec,
};
use hexz_files::{
    Attributes, ByteRange, Diff, FileKey, FileKind, Image, RangeSet, ReadAt, Result, Role, Settings,
};

const BLOCK: u64 = 4096;
const SIGN: &[u8] = b"SHELF001";
const RECORD: usize = 32;
const ROOT: FileKey = FileKey::new(0);

/// The format.
struct Shelf;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "shelf",
    name: "Shelf",
    magics: &[Magic::at(0, SIGN)],
    minimum_size: BLOCK,
    container: false,
    specification: "the text above",
};

impl FilesystemPlugin for Shelf {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        match window.bytes(0, SIGN.len()) == Some(SIGN) {
            true => Probe::matches(50),
            false => Probe::No,
        }
    }

    fn open(&self, members: &[Member], _: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let volume = Arc::clone(Member::only(members)?);
        Ok(Box::new(Opened {
            info: FsInfo {
                filesystem: "shelf",
                block_size: 4096,
                size: volume.len(),
                ..FsInfo::default()
            },
            volume,
            replayed: Replayed::default(),
        }))
    }
}

/// A shelf that was opened.
struct Opened {
    info: FsInfo,
    volume: Arc<dyn ReadAt>,
    replayed: Replayed,
}

/// A file: its number, its name, where it lies.
struct File {
    key: FileKey,
    name: Vec<u8>,
    range: ByteRange,
}

impl Opened {
    /// The files, read through the scan so that it knows what was read.
    fn files(&self, pass: &'static str, cx: &Scan<'_>) -> Result<Vec<File>> {
        let mut files = Vec::new();
        cx.units(
            pass,
            &self.volume,
            &[0u8],
            |_, reader| {
                let failed = |e| hexz_files::Error::io("shelf", e);
                read_vec(reader, SIGN.len() as u64, BLOCK as usize - SIGN.len()).map_err(failed)
            },
            |_, table| {
                for (number, record) in (1..).zip(table.chunks_exact(RECORD)) {
                    files.extend(parse(number, record));
                }
                Ok(())
            },
        )?;
        Ok(files)
    }
}

/// A record in use. One that leads nowhere a disk can reach is none.
fn parse(number: u64, record: &[u8]) -> Option<File> {
    let word = |at: usize| {
        let bytes = record.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(bytes)))
    };
    let name = record.get(..24)?.split(|b| *b == 0).next()?;
    let start = word(24)?.checked_mul(BLOCK)?;
    let length = word(28)?.checked_mul(BLOCK)?;
    (!name.is_empty()).then_some(File {
        key: FileKey::new(number),
        name: name.to_vec(),
        range: ByteRange::at(start, length)?,
    })
}

impl Filesystem for Opened {
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

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        let table = ByteRange::new(0, BLOCK);
        if wanted.overlaps(table) {
            out.put(Claim::file(table, ROOT, Role::Directory))?;
        }
        let mut used = RangeSet::from(table);
        for file in self.files("claims", cx)? {
            used.insert(file.range);
            if wanted.overlaps(file.range) {
                out.put(Claim::file(file.range, file.key, Role::Data).offset(0))?;
            }
        }
        let free = wanted.difference(&used);
        free.iter().try_for_each(|run| out.put(Claim::free(run)))
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        for file in self.files("links", cx)? {
            if wanted.contains(file.key) {
                out.put(link(file))?;
            }
        }
        Ok(LinkCoverage::Wanted)
    }

    fn entries(&self, wanted: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Link>) -> Result<()> {
        if wanted.contains(ROOT) {
            for file in self.files("entries", cx)? {
                out.put(link(file))?;
            }
        }
        Ok(())
    }

    fn attributes(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        if wanted.contains(ROOT) {
            out.put(Attributes::new(ROOT, FileKind::Directory))?;
        }
        for file in self.files("attributes", cx)? {
            if wanted.contains(file.key) {
                let mut attributes = Attributes::new(file.key, FileKind::File);
                attributes.size = file.range.len();
                out.put(attributes)?;
            }
        }
        Ok(())
    }

    fn extents(&self, wanted: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        for file in self.files("extents", cx)? {
            if wanted.contains(file.key) {
                out.put(Claim::file(file.range, file.key, Role::Data).offset(0))?;
            }
        }
        Ok(())
    }
}

fn link(file: File) -> Link {
    Link {
        parent: ROOT,
        name: file.name.as_slice().into(),
        child: file.key,
    }
}

/// A disk with these files, each a block of one letter.
fn disk(files: &[(&str, u8)]) -> Vec<u8> {
    let mut disk = vec![0; 16 * BLOCK as usize];
    disk[..SIGN.len()].copy_from_slice(SIGN);
    for (n, (name, letter)) in files.iter().enumerate() {
        let (record, block) = (SIGN.len() + n * RECORD, n + 1);
        disk[record..record + name.len()].copy_from_slice(name.as_bytes());
        disk[record + 24..record + 28].copy_from_slice(&(block as u32).to_le_bytes());
        disk[record + 28..record + 32].copy_from_slice(&1u32.to_le_bytes());
        disk[block * BLOCK as usize..][..BLOCK as usize].fill(*letter);
    }
    disk
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut plugins = hexz_files::plugins()?;
    plugins.filesystem(Shelf)?;
    let report = Diff::new()
        .base(Image::reader(disk(&[("bread", b'b'), ("salt", b's')])))
        .merged(Image::reader(disk(&[
            ("bread", b'B'),
            ("salt", b's'),
            ("tea", b't'),
        ])))
        .settings(Settings::new().registry(plugins.build()))
        .run()?;
    for change in &report.changes {
        let path = String::from_utf8_lossy(&change.path);
        println!("{} {path:?}", change.change.letter());
    }
    println!("complete: {}", report.summary.complete);
    Ok(())
}
