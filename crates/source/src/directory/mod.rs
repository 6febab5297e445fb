//! Archives of directories, which hexz writes from release 0.8 on, and the folders that a writable
//! mount of one writes to. Neither lies on a disk: they are shown as one with a file table (see
//! [`hexz_ondisk::file_table`]), so that they are read like any other.

mod content;
mod disk;
mod manifest;
mod pair;
mod tree;
mod write_layer;

use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{Diagnostic, Result};

use crate::chain::Chain;
use crate::file::RawFile;
use crate::hxz::{self, Archive, Stream};
use content::Content;
use tree::{Node, Tree};

pub(crate) use disk::Disk;
pub(crate) use pair::pair;
pub(crate) use write_layer::WriteLayer;

/// The file at the root of a packed directory that goes to the other stream.
const MEMORY: &str = "memory";

/// The archive in `file`, which lies at `path`, as a disk with its files; `None` where it has no
/// manifest, and so is one of a disk.
pub(crate) fn open(file: &RawFile, path: &Path, chain: &Chain<'_>) -> Result<Option<Disk>> {
    let Some(tree) = tree_of(file, path, chain)? else {
        return Ok(None);
    };
    Disk::alone(tree).map(Some)
}

/// The files of the archive in `file`.
fn tree_of(file: &RawFile, path: &Path, chain: &Chain<'_>) -> Result<Option<Tree>> {
    let header = hxz::read_header(file, path)?;
    let Some(place) = header.metadata else {
        return Ok(None);
    };
    let mut odd = manifest::Odd::default();
    let named = match manifest::read(file, place, chain.limits, &mut odd) {
        Ok(Some(entries)) => entries,
        Ok(None) => return Ok(None),
        Err(error) => {
            let text = format!(
                "{}: its metadata is no manifest of files: {}: the archive is read as a disk",
                path.display(),
                error.chain()
            );
            let finding = Diagnostic::warning("hxz-metadata", text);
            chain.diagnostics.push(finding.losing());
            return Ok(None);
        }
    };
    let stream = |stream: Stream| -> Result<Arc<Archive>> {
        let file = RawFile::open(path)?;
        let (limits, gate) = (chain.limits, chain.gate);
        let archive = Archive::open_stream(file, path, stream, limits, gate, chain.diagnostics)?;
        Ok(Arc::new(archive))
    };
    let main = stream(Stream::Main)?;
    let memory = match header.has_memory {
        true => Some(stream(Stream::Memory)?),
        false => None,
    };
    let mut tree = Tree::new(chain.limits);
    for entry in named {
        let archive = match &memory {
            Some(memory) if entry.path == MEMORY => memory,
            _ => &main,
        };
        let there = archive.length().saturating_sub(entry.offset);
        if entry.size > there {
            odd.say_cut(&entry.path);
        }
        let size = entry.size.min(there);
        let node = Node {
            content: Some(Content::of_archive(archive, entry.offset, size)),
            ..Node::file(entry.mode, entry.mtime, size)
        };
        tree.put(&entry.path, node, &mut odd)?;
    }
    odd.tell(path, chain.diagnostics);
    Ok(Some(tree))
}
