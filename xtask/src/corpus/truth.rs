//! What is known to lie where, and whether a map says the same.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The records of one image.
pub(super) struct Truth {
    /// Its path within the corpus.
    pub(super) image: String,
    records: Vec<Value>,
}

/// How far a map agrees.
#[derive(Default)]
pub(super) struct Score {
    right: u64,
    bytes: u64,
    /// What does not.
    pub(super) wrong: Vec<String>,
}

impl Score {
    pub(super) fn is_perfect(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.right += other.right;
        self.bytes += other.bytes;
        self.wrong.extend_from_slice(&other.wrong);
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (right, all) = (self.right, self.right + self.wrong.len() as u64);
        write!(f, "{right} of {all} extents right, {} bytes", self.bytes)
    }
}

/// A piece of a map.
struct Piece {
    start: u64,
    end: u64,
    class: String,
    files: BTreeSet<u64>,
    paths: BTreeSet<String>,
}

impl Truth {
    /// The records at `path` that are about one of `filesystems`.
    pub(super) fn read(path: &Path, filesystems: &[&str]) -> Result<Self> {
        let mut records = Vec::new();
        for line in fs::read_to_string(path)?.lines() {
            // Names that are not Unicode have lone surrogates, which are not JSON.
            let line = without_surrogates(line);
            let record: Value = serde_json::from_str(&line)?;
            if record["fs"]
                .as_str()
                .is_some_and(|f| filesystems.contains(&f))
            {
                records.push(record);
            }
        }
        let image = match records.first() {
            Some(first) => first["image"].as_str().context("an image")?.to_owned(),
            None => String::new(),
        };
        Ok(Self { image, records })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The filesystems in it.
    pub(super) fn filesystems(&self) -> String {
        let names = self.records.iter().filter_map(|r| r["fs"].as_str());
        let names: BTreeSet<&str> = names.collect();
        names.into_iter().collect::<Vec<_>>().join("+")
    }

    /// Holds the output of `hexz map --json` against it.
    pub(super) fn score(&self, map: &str) -> Score {
        let pieces: Vec<Piece> = map.lines().filter_map(piece).collect();
        // Of an image that ends early, what would lie behind its end is not asked for.
        let size = pieces.last().map_or(0, |p| p.end);
        let mut score = Score::default();
        for record in &self.records {
            let number = |key: &str| record[key].as_u64().unwrap_or_default();
            let (start, length) = (number("byte_offset"), number("length"));
            let kind = record["kind"].as_str().unwrap_or_default();
            let behind = start >= size && size > 0;
            if kind == "deleted" || length == 0 || behind {
                continue;
            }
            match differs(record, kind, &pieces, start, start + length) {
                None => {
                    score.right += 1;
                    score.bytes += length;
                }
                Some(what) => score.wrong.push(format!(
                    "{kind} of {} at {start}+{length} {}: {what}",
                    record["owner_inode"], record["paths"]
                )),
            }
        }
        score
    }
}

/// `line` with each lone surrogate `\udcXX` replaced.
fn without_surrogates(line: &str) -> String {
    let mut parts = line.split("\\udc");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("\\ufffd");
        out.push_str(part.get(2..).unwrap_or_default());
    }
    out
}

/// All names of an owner.
fn paths(owner: &Value) -> impl Iterator<Item = &str> {
    let paths = owner["paths"].as_array().into_iter().flatten();
    paths.filter_map(Value::as_str)
}

fn piece(line: &str) -> Option<Piece> {
    let record: Value = serde_json::from_str(line).ok()?;
    if record["type"] != "owner" {
        return None;
    }
    let start = record["start"].as_u64()?;
    let owners = record["owners"].as_array()?;
    let number = |owner: &Value| {
        let file = owner["file"].as_str()?;
        let number = file.rsplit('/').next()?.split(':').next()?;
        number.parse().ok()
    };
    Some(Piece {
        start,
        end: start + record["length"].as_u64()?,
        class: record["class"].as_str()?.to_owned(),
        files: owners.iter().filter_map(number).collect(),
        paths: owners.iter().flat_map(paths).map(str::to_owned).collect(),
    })
}

/// What is wrong with what the map says of one extent.
fn differs(record: &Value, kind: &str, pieces: &[Piece], start: u64, end: u64) -> Option<String> {
    let from = pieces.partition_point(|p| p.end <= start);
    let owner = record["owner_inode"].as_u64();
    let filesystem = record["fs"].as_str().unwrap_or_default();
    // NTFS keeps its structures in files of its own, whose bytes are of many classes; those of
    // the table of files are owned by the files.
    let own = record["paths"][0]
        .as_str()
        .is_some_and(|p| p.starts_with("/$"));
    let system = filesystem == "ntfs" && (own || owner.is_some_and(|n| n < 24));
    // Files of a FAT have no numbers: its truth has some of its own.
    let by_path = filesystem.contains("fat");
    let owner = owner.filter(|_| !by_path);
    let names: Vec<&str> = record["paths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let system = system || by_path && own;
    let table = filesystem == "ntfs" && owner == Some(0);
    let class = class(kind).filter(|_| !system);
    let owned = ["data", "dir", "xattr", "indirect", "extent_tree", "symlink"].contains(&kind);
    let mut at = start;
    for piece in pieces.iter().skip(from).take_while(|p| p.start < end) {
        if piece.start > at {
            break;
        }
        let wrong = class.map_or_else(
            || ["free", "unresolved"].contains(&piece.class.as_str()),
            |class| !class.split(' ').any(|class| piece.class == class),
        );
        // The XFS truth tells what maps a file as a part of it.
        let map = filesystem == "xfs" && owned && piece.class == "extent-map";
        if wrong && !map {
            return Some(format!("class {} at {at}", piece.class));
        }
        if let Some(owner) = owner.filter(|n| owned && !table && !piece.files.contains(n)) {
            return Some(format!("owners {:?} at {at}, not {owner}", piece.files));
        }
        let named = names.iter().any(|name| piece.paths.contains(*name));
        if by_path && kind == "data" && !system && !named {
            return Some(format!("paths {:?} at {at}, not {names:?}", piece.paths));
        }
        at = piece.end;
    }
    (at < end).then(|| format!("nothing said of byte {at}"))
}

/// The classes that a kind of extent may have; `None`: any but free.
fn class(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "data" => "file-data",
        "dir" => "directory",
        "symlink" => "symlink",
        "xattr" => "xattr",
        "indirect" | "extent_tree" => "extent-map",
        "journal" | "meta:log" => "journal",
        "free" => "free",
        "meta:superblock" => "superblock",
        // Said of the whole block, whose further sectors hold the headers of the group.
        "meta:sb" => "superblock group-descriptors",
        "meta:group_descriptors" => "group-descriptors",
        // The resize inode has them for its map.
        "meta:reserved_gdt" => "group-descriptors extent-map",
        "meta:agf" | "meta:agi" => "group-descriptors",
        "meta:block_bitmap" | "meta:inode_bitmap" => "allocation",
        "meta:inode_table" | "meta:inode" => "inode-table",
        "meta:reserved" => "boot superblock",
        "meta:fat1" | "meta:fat2" | "meta:fat3" | "meta:fat4" => "allocation",
        "meta:rootdir" => "directory",
        _ => return None,
    })
}
