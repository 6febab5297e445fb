//! Two mounted trees, compared path by path. Nothing of the project is used here: only what the
//! kernel says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::disk::output;

/// The attributes that are compared: those that a mount or a look at the tree does not change.
pub(crate) const ATTRIBUTES: [&str; 7] = ["mode", "uid", "gid", "mtime", "xattr", "rdev", "nlink"];

/// One file at one path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Number and generation.
    pub(crate) id: (u64, String),
    /// In the words of the report.
    pub(crate) kind: String,
    pub(crate) size: u64,
    /// Whether it is the root of a snapshot.
    pub(crate) snapshot: bool,
    digest: Value,
    /// In the order of [`ATTRIBUTES`].
    attributes: [Value; 7],
    /// Extents, where the filesystem tells them.
    pub(crate) extents: Option<Vec<Extent>>,
}

impl Node {
    /// Leaves out attributes that the filesystem does not have, and a kernel makes up.
    pub(crate) fn without(&mut self, made_up: &[&str]) {
        for (name, value) in ATTRIBUTES.iter().zip(&mut self.attributes) {
            if made_up.contains(name) {
                *value = Value::Null;
            }
        }
    }

    /// Whether it has extended attributes, which on NTFS are named streams.
    pub(crate) fn has_streams(&self) -> bool {
        ATTRIBUTES
            .iter()
            .zip(&self.attributes)
            .any(|(name, value)| {
                *name == "xattr" && value.as_object().is_some_and(|m| !m.is_empty())
            })
    }
}

/// What FIEMAP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) logical: u64,
    /// From the start of the volume.
    pub(crate) physical: u64,
    pub(crate) length: u64,
    pub(crate) flags: u64,
}

/// A tree by path.
pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) path: Vec<u8>,
    pub(crate) change: String,
    pub(crate) from: Option<Vec<u8>>,
    pub(crate) kind: String,
    pub(crate) content_changed: bool,
    pub(crate) attributes: BTreeSet<String>,
    pub(crate) replaced: bool,
}

/// Walks the tree mounted at `root`.
pub(crate) fn walk(root: &Path) -> Result<Tree> {
    let root = root.to_str().context("path of the mount")?;
    let lines = output("python3", &["-c", include_str!("walk.py"), root])?;
    let lines = String::from_utf8(lines)?;
    lines
        .lines()
        .map(|line| node(&serde_json::from_str(line)?))
        .collect()
}

fn node(value: &Value) -> Result<(Vec<u8>, Node)> {
    let number = |key: &str| {
        value[key]
            .as_u64()
            .with_context(|| format!("{key} of {value}"))
    };
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let extents = value["e"].as_array().map(|list| {
        list.iter()
            .map(|extent| Extent {
                logical: extent[0].as_u64().unwrap_or(0),
                physical: extent[1].as_u64().unwrap_or(0),
                length: extent[2].as_u64().unwrap_or(0),
                flags: extent[3].as_u64().unwrap_or(0),
            })
            .collect()
    });
    let node = Node {
        id: (number("ino")?, text("id")),
        kind: text("t"),
        size: number("size")?,
        snapshot: value["s"] == true,
        digest: value["d"].clone(),
        attributes: ["mode", "uid", "gid", "mtime", "x", "rdev", "nlink"]
            .map(|key| value[key].clone()),
        extents,
    };
    Ok((unhex(&text("p")).context("a path in hex")?, node))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// What changed from `base` to `merged`, by path.
pub(crate) fn compare(base: &Tree, merged: &Tree) -> Vec<Record> {
    let (names_before, names_after) = (names(base), names(merged));
    let mut by_id: BTreeMap<&(u64, String), Vec<&Vec<u8>>> = BTreeMap::new();
    for (path, node) in base {
        by_id.entry(&node.id).or_default().push(path);
    }
    let mut records = Vec::new();
    // Paths that went, to where their file went.
    let mut renames: BTreeMap<&Vec<u8>, &Vec<u8>> = BTreeMap::new();
    for (path, now) in merged {
        let content = |from: &Vec<u8>, then: &Node| {
            if is_directory(then) && is_directory(now) {
                names_before.get(from) != names_after.get(path)
            } else {
                then.digest != now.digest || then.size != now.size
            }
        };
        let record =
            |change: &str, from: Option<&Vec<u8>>, content_changed, then: Option<&Node>| Record {
                path: path.clone(),
                change: change.to_owned(),
                from: from.cloned(),
                kind: now.kind.clone(),
                content_changed,
                attributes: then.map(|then| attributes(then, now)).unwrap_or_default(),
                replaced: from.is_none() && then.is_some_and(|then| then.id != now.id),
            };
        if let Some(then) = base.get(path) {
            if then.kind != now.kind {
                let mut typed = record("type", None, true, Some(then));
                typed.replaced = true;
                records.push(typed);
                continue;
            }
            let changed = content(path, then);
            let what = if changed { "modified" } else { "metadata" };
            let found = record(what, None, changed, Some(then));
            if changed || found.replaced || !found.attributes.is_empty() {
                records.push(found);
            }
            continue;
        }
        let gone = by_id.get(&now.id).into_iter().flatten().find(|old| {
            !merged.contains_key(**old)
                && !renames.contains_key(**old)
                && base.get(**old).is_some_and(|then| then.kind == now.kind)
        });
        let Some((old, then)) = gone.and_then(|old| Some((*old, base.get(*old)?))) else {
            records.push(record("added", None, true, None));
            continue;
        };
        let changed = content(old, then);
        let moved = record("renamed", Some(old), changed, Some(then));
        if went_with_its_parent(old, path, &renames) {
            // Only a directory above it moved.
            if changed || !moved.attributes.is_empty() {
                let what = if changed { "modified" } else { "metadata" };
                records.push(Record {
                    change: what.to_owned(),
                    from: None,
                    ..moved
                });
            }
        } else {
            records.push(moved);
        }
        renames.insert(old, path);
    }
    for (path, then) in base {
        if !merged.contains_key(path) && !renames.contains_key(path) {
            records.push(Record {
                path: path.clone(),
                change: "deleted".to_owned(),
                from: None,
                kind: then.kind.clone(),
                content_changed: true,
                attributes: BTreeSet::new(),
                replaced: false,
            });
        }
    }
    records.sort();
    records
}

fn is_directory(node: &Node) -> bool {
    matches!(node.kind.as_str(), "directory" | "subvolume")
}

/// The attributes in which two files differ. The links of a directory are its subdirectories, and
/// so its content.
fn attributes(then: &Node, now: &Node) -> BTreeSet<String> {
    let directories = is_directory(then) && is_directory(now);
    ATTRIBUTES
        .iter()
        .zip(then.attributes.iter().zip(&now.attributes))
        .filter(|(name, (a, b))| a != b && !(directories && **name == "nlink"))
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
    (&path[..at], &path[at + 1..])
}

/// The names in each directory, by its path.
fn names(tree: &Tree) -> BTreeMap<Vec<u8>, BTreeSet<&[u8]>> {
    let mut names: BTreeMap<Vec<u8>, BTreeSet<&[u8]>> = BTreeMap::new();
    for path in tree.keys().filter(|path| **path != b"/") {
        let (parent, name) = split(path);
        let parent = if parent.is_empty() { b"/" } else { parent };
        names.entry(parent.to_vec()).or_default().insert(name);
    }
    names
}

fn went_with_its_parent(old: &[u8], new: &[u8], renames: &BTreeMap<&Vec<u8>, &Vec<u8>>) -> bool {
    let ((old_parent, old_name), (new_parent, new_name)) = (split(old), split(new));
    old_name == new_name
        && old_parent != new_parent
        && renames
            .get(&old_parent.to_vec())
            .is_some_and(|to| to.as_slice() == new_parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(ino: u64, digest: &str, mode: u64) -> Value {
        json!({"ino": ino, "id": format!("{ino}"), "t": "file", "size": 1, "d": digest,
               "mode": mode, "uid": 0, "gid": 0, "mtime": 5, "x": {}, "rdev": 0, "nlink": 1})
    }

    fn directory(ino: u64) -> Value {
        let mut value = file(ino, "", 0o755);
        value["t"] = json!("directory");
        value
    }

    fn tree(nodes: &[(&str, Value)]) -> Tree {
        nodes
            .iter()
            .map(|(path, value)| {
                let mut value = value.clone();
                value["p"] = json!("");
                (path.as_bytes().to_vec(), node(&value).unwrap().1)
            })
            .collect()
    }

    fn short(base: &[(&str, Value)], merged: &[(&str, Value)]) -> Vec<String> {
        compare(&tree(base), &tree(merged))
            .into_iter()
            .map(|r| {
                let from = r.from.map(|f| String::from_utf8(f).unwrap() + " ");
                let path = String::from_utf8(r.path).unwrap();
                let attributes: Vec<String> = r.attributes.into_iter().collect();
                format!(
                    "{} {}{path} {} {}{}",
                    r.change,
                    from.unwrap_or_default(),
                    attributes.join(","),
                    if r.content_changed { "content" } else { "same" },
                    if r.replaced { " replaced" } else { "" },
                )
            })
            .collect()
    }

    #[test]
    fn each_kind_of_change_has_its_word() {
        let base = [
            ("/", directory(2)),
            ("/d", directory(3)),
            ("/d/in", file(4, "a", 1)),
            ("/gone", file(5, "a", 1)),
            ("/mode", file(6, "a", 1)),
            ("/old", file(7, "a", 1)),
            ("/saved", file(8, "a", 1)),
            ("/turned", file(9, "a", 1)),
            ("/written", file(10, "a", 1)),
        ];
        let merged = [
            ("/", directory(2)),
            ("/d2", directory(3)),
            ("/d2/in", file(4, "a", 1)),
            ("/mode", file(6, "a", 2)),
            ("/new", file(7, "a", 1)),
            ("/other", file(30, "a", 1)),
            ("/saved", file(31, "a", 1)),
            ("/turned", directory(32)),
            ("/written", file(10, "b", 1)),
        ];
        let expected = [
            "modified /  content",
            "renamed /d /d2  same",
            "deleted /gone  content",
            "metadata /mode mode same",
            "renamed /old /new  same",
            "added /other  content",
            "metadata /saved  same replaced",
            "type /turned mode content replaced",
            "modified /written  content",
        ];
        assert_eq!(short(&base, &merged), expected);
    }
}
