//! The folder that `hexz mount ARCHIVE DIR -o LAYER` writes to, over an archive of a directory: a
//! file that was opened is copied whole to `LAYER/<path>`, and an empty file
//! `LAYER/<dir>/.hexz_whiteout/<name>` stands for one that went. Facts from the documentation of
//! hexz-fuse (<https://docs.rs/hexz-fuse>), and from mounts of its release 0.8.2.
#![allow(clippy::disallowed_methods)] // reads a folder

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{
    ChangeSet, ChangeSource, Diagnostics, Error, FileKind, Limits, Loaded, OpenGate, Precision,
    ReadAt as _, Result, Timestamp,
};

use super::content::{Content, InFolder};
use super::pair::images;
use super::tree::{Node, Tree};
use crate::chain::Chain;
use crate::format::Format;
use crate::open::{Given, open};
use crate::two_images::{BLOCK, TwoImages};

/// The folder of names that went.
const WHITEOUTS: &str = ".hexz_whiteout";
/// What a mount of an archive of a disk shows.
const DISK: &str = "main";

/// A write layer, and the archive that was mounted.
#[derive(Clone, Debug)]
pub(crate) struct WriteLayer {
    pub(crate) folder: PathBuf,
    pub(crate) base: Given,
}

/// Whether there is anything in a folder.
fn holds_anything(folder: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(folder).map_err(|e| failed(folder, e))?;
    Ok(entries.next().is_some())
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::io("write layer", error).message(path.display().to_string())
}

impl ChangeSource for WriteLayer {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let base = open(&self.base, &mut Chain::new(limits, gate, &found))?;
        let Some(disk) = base.layer.directory() else {
            return self.of_disk(base.format, limits, gate);
        };
        let mut tree = Tree::clone(disk.tree());
        apply(&self.folder, &mut tree)?;
        let paths = [self.base.path.as_path(), self.folder.as_path()];
        let (before, after, differ) = images(disk.tree(), &Arc::new(tree), paths, limits)?;
        let whole = hexz_resolve::ByteRange::new(0, before.len().max(after.len()));
        Ok(Loaded {
            changes: ChangeSet {
                ranges: differ.aligned_out(BLOCK).clipped(whole),
                block_size: u32::try_from(BLOCK).unwrap_or(u32::MAX),
                candidates: true,
                precision: Precision::Exact,
                diagnostics: found.take(),
            },
            base: Some(before),
            merged: Some(after),
            overlay_name: Some(self.folder.display().to_string()),
            base_name: Some(self.base.path.display().to_string()),
        })
    }
}

impl WriteLayer {
    /// Over an archive of a disk: that is one file, which is copied when it is opened.
    fn of_disk(&self, format: Format, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let name = self.folder.display();
        let base = self.base.path.display();
        let refused = |text: String| Err(Error::unsupported("write layer", text));
        let disk = self.folder.join(DISK);
        // A link would lead to a file that no one gave.
        if fs::symlink_metadata(&disk).is_ok_and(|data| data.is_file()) {
            return TwoImages::new(self.base.clone(), disk).load(limits, gate);
        }
        if self.folder.join(WHITEOUTS).join(DISK).exists() {
            return refused(format!(
                "{name}: the disk of {base} was deleted in this write layer"
            ));
        }
        if format != Format::Hxz || holds_anything(&self.folder)? {
            return refused(format!(
                "{name} is a directory, and no write layer of hexz over {base}: there is no file \
                 `{DISK}` in it"
            ));
        }
        // Nothing was opened.
        TwoImages::new(self.base.clone(), self.base.clone()).load(limits, gate)
    }
}

/// Lays the folder over the files of the archive.
fn apply(folder: &Path, tree: &mut Tree) -> Result<()> {
    let archived = Tree::clone(tree);
    // Directories that are still to be read, by their paths in the layer.
    let mut waiting: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(at) = waiting.pop() {
        let place = join(folder, &at);
        let mut gone = Vec::new();
        for entry in fs::read_dir(&place).map_err(|e| failed(&place, e))? {
            let entry = entry.map_err(|e| failed(&place, e))?;
            let (name, host) = (entry.file_name(), entry.path());
            if name == WHITEOUTS {
                gone = whiteouts(&host)?;
                continue;
            }
            let path = below(&at, name.as_bytes());
            let data = fs::symlink_metadata(&host).map_err(|e| failed(&host, e))?;
            let before = archived.get(&path);
            let node = node(&host, &data, before)?;
            let is_directory = node.kind == FileKind::Directory;
            let was_directory = before.is_some_and(|node| node.kind == FileKind::Directory);
            if is_directory != was_directory {
                tree.remove(&path);
            }
            // Of a directory that the archive has, nothing is known but its files.
            if !(is_directory && was_directory) {
                tree.insert(&path, node)?;
            }
            if is_directory {
                waiting.push(path);
            }
        }
        // What is named there is not seen, whether it was written or not.
        for name in gone {
            let path = below(&at, &name);
            tree.remove(&path);
            waiting.retain(|waiting| *waiting != path);
        }
    }
    // A directory of an archive is there since there is a file in it: it stays when those went, as
    // the mount shows it, unless it was named itself.
    Ok(())
}

fn join(folder: &Path, path: &[u8]) -> PathBuf {
    match path.is_empty() {
        true => folder.to_owned(),
        false => folder.join(std::ffi::OsStr::from_bytes(path)),
    }
}

fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

/// The names in a folder of whiteouts.
fn whiteouts(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(folder).map_err(|e| failed(folder, e))?;
    let names = entries.map(|entry| Ok(entry?.file_name().as_bytes().to_vec()));
    names
        .collect::<io::Result<_>>()
        .map_err(|e| failed(folder, e))
}

/// What lies at `host`, which in the archive is `before`.
fn node(host: &Path, data: &Metadata, before: Option<&Node>) -> Result<Node> {
    let kind = data.file_type();
    let kind = match () {
        () if kind.is_dir() => FileKind::Directory,
        () if kind.is_symlink() => FileKind::Symlink,
        () if kind.is_fifo() => FileKind::Fifo,
        () if kind.is_socket() => FileKind::Socket,
        () if kind.is_block_device() => FileKind::BlockDevice,
        () if kind.is_char_device() => FileKind::CharDevice,
        () => FileKind::File,
    };
    let mut node = Node {
        kind,
        mode: Some(data.mode() & 0o7777),
        mtime: Some(Timestamp {
            seconds: data.mtime(),
            nanoseconds: u32::try_from(data.mtime_nsec()).unwrap_or(0),
        }),
        size: 0,
        content: None,
    };
    match kind {
        FileKind::Symlink => {
            let target = fs::read_link(host).map_err(|e| failed(host, e))?;
            let bytes = target.as_os_str().as_bytes();
            node.size = crate::num::u64_of(bytes.len());
            node.mode = None;
            node.content = Some(Content::Here(bytes.into()));
        }
        FileKind::File => {
            node.size = data.len();
            let file = InFolder::new(host.to_owned(), data);
            node.content = Some(Content::Folder(Arc::new(file)));
        }
        _ => {}
    }
    // A file is copied when it is opened, also to be read: the time of such a copy says nothing.
    let copy = before.filter(|before| before.kind == kind && before.size == node.size);
    if let (Some(before), FileKind::File) = (copy, kind)
        && let (Some(here), Some(there)) = (&node.content, &before.content)
        && here.equals(there, node.size)
    {
        node.mtime = before.mtime;
        node.content.clone_from(&before.content);
    }
    Ok(node)
}
