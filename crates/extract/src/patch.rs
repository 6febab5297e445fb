//! Changes as a patch in git's form.
//!
//! <https://git-scm.com/docs/diff-format#generate_patch_text_with_p>

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use hexz_resolve::report::{Change, ChangeKind};
use hexz_resolve::{Attributes, FileKind, read_vec};

use crate::copy::chain;
use crate::extractor::join;
use crate::hunks::Lines;
use crate::layer::Views;
use crate::moved::Moved;
use crate::problem::Problems;
use crate::restore;
use crate::tree::Tree;

/// Bytes that are looked at to tell text from what is not, as git does.
const FIRST_BYTES: usize = 8000;

/// How a patch is written.
#[derive(Clone, Copy, Debug)]
pub struct PatchOptions<'a> {
    /// Equal lines around what differs.
    pub context: u32,
    /// Files of more bytes are not compared line by line.
    pub limit: u64,
    /// What stands before the paths of the volume: empty, or `p2/`.
    pub prefix: &'a str,
}

/// One side of a file in a patch.
#[derive(Clone)]
struct Side {
    path: Vec<u8>,
    attributes: Attributes,
}

/// Writes the patch that `changes` of one volume make.
///
/// # Errors
/// When it can't be written. A file that can't be read is left out, and is among the problems.
pub fn write_patch<'c>(
    changes: impl Iterator<Item = &'c Change> + Clone,
    views: Views<'_>,
    options: &PatchOptions<'_>,
    problems: &Problems,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut files = Files {
        moved: Moved::of(changes.clone()),
        came: changes
            .clone()
            .filter(|c| matches!(c.change, ChangeKind::Added | ChangeKind::Renamed))
            .map(|c| c.path.clone())
            .collect(),
        pairs: BTreeMap::new(),
    };
    for change in changes.clone() {
        files.change(change);
    }
    for (from, to) in files.moved.clone().iter() {
        files.below(views, from, to, problems);
    }
    let patch = Patch {
        views,
        options,
        problems,
    };
    for (_, (before, after)) in files.pairs {
        patch.file(before, after, out)?;
    }
    Ok(())
}

/// What stands in the patch, by path: where there is a file after the change, by that path.
struct Files {
    moved: Moved,
    /// Names that came, each a record of its own, also where their file changed as well.
    came: BTreeSet<Vec<u8>>,
    pairs: BTreeMap<Vec<u8>, (Option<Side>, Option<Side>)>,
}

impl Files {
    fn change(&mut self, change: &Change) {
        let side = |attributes: &Option<Attributes>, path: &[u8]| {
            let attributes = attributes.clone().filter(|a| shown(a.kind))?;
            let path = path.to_vec();
            Some(Side { path, attributes })
        };
        let paths: Vec<&Vec<u8>> = match change.change {
            // Each name that came or went is a record of its own.
            ChangeKind::Added | ChangeKind::Deleted | ChangeKind::Renamed => vec![&change.path],
            _ if change.links.is_empty() => vec![&change.path],
            _ => change
                .links
                .iter()
                .filter(|link| !self.came.contains(*link))
                .collect(),
        };
        for path in paths {
            let (before, after) = match change.change {
                ChangeKind::Added => (None, side(&change.merged, path)),
                ChangeKind::Deleted => (side(&change.base, path), None),
                _ => {
                    let from = change
                        .from
                        .clone()
                        .unwrap_or_else(|| self.moved.origin(path));
                    (side(&change.base, &from), side(&change.merged, path))
                }
            };
            if before.is_some() || after.is_some() {
                self.pairs.insert(path.clone(), (before, after));
            }
        }
    }

    /// The files below a renamed directory that did not change: git knows no directories.
    fn below(&mut self, views: Views<'_>, from: &[u8], to: &[u8], problems: &Problems) {
        let (Some(before), Some(after)) = (views.before, views.after) else {
            return;
        };
        let Ok(Some(top)) = after.resolve(to, false, problems) else {
            return;
        };
        let Ok(Some(old)) = before.resolve(from, false, problems) else {
            return;
        };
        let was = all_below(before, &old.attributes, from, problems);
        for (path, attributes) in all_below(after, &top.attributes, to, problems) {
            let origin = self.moved.origin(&path);
            if let Some(before) = was.get(&origin)
                && before.lineage == attributes.lineage
            {
                let before = Side {
                    path: origin,
                    attributes: before.clone(),
                };
                self.pairs
                    .entry(path.clone())
                    .or_insert_with(|| (Some(before), Some(Side { path, attributes })));
            }
        }
    }
}

/// The files and links below a directory.
fn all_below(
    tree: Tree<'_>,
    top: &Attributes,
    path: &[u8],
    problems: &Problems,
) -> BTreeMap<Vec<u8>, Attributes> {
    let mut seen = std::collections::HashSet::from([top.key]);
    let mut todo = vec![(path.to_vec(), top.key)];
    let mut out = BTreeMap::new();
    while let Some((path, key)) = todo.pop() {
        for entry in tree.children(&[key], problems).into_iter().flatten() {
            let Some(attributes) = entry.attributes else {
                continue;
            };
            let path = join(&path, entry.name.as_bytes());
            if attributes.kind.has_entries() {
                if seen.insert(attributes.key) {
                    todo.push((path, attributes.key));
                }
            } else if shown(attributes.kind) {
                out.insert(path, attributes);
            }
        }
    }
    out
}

/// Whether git keeps such files.
fn shown(kind: FileKind) -> bool {
    matches!(kind, FileKind::File | FileKind::Symlink)
}

struct Patch<'a> {
    views: Views<'a>,
    options: &'a PatchOptions<'a>,
    problems: &'a Problems,
}

/// The bytes of one side, or that there are too many.
enum Bytes {
    All(Vec<u8>),
    TooMany(u64),
}

impl Patch<'_> {
    fn file(
        &self,
        before: Option<Side>,
        after: Option<Side>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        // A file that became a link, or the other way round, is deleted and added.
        if let (Some(b), Some(a)) = (&before, &after)
            && b.attributes.kind != a.attributes.kind
        {
            self.pair(before.as_ref(), None, out)?;
            return self.pair(None, after.as_ref(), out);
        }
        self.pair(before.as_ref(), after.as_ref(), out)
    }

    fn pair(
        &self,
        before: Option<&Side>,
        after: Option<&Side>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let read = |tree: Option<Tree<'_>>, side: Option<&Side>| match side {
            None => Ok(Bytes::All(Vec::new())),
            Some(side) => self
                .bytes(tree, side)
                .map_err(|reason| (side.path.clone(), reason)),
        };
        let sides = (
            read(self.views.before, before),
            read(self.views.after, after),
        );
        let (old, new) = match sides {
            (Ok(old), Ok(new)) => (old, new),
            (Err((path, reason)), _) | (_, Err((path, reason))) => {
                let tree = self.views.after.or(self.views.before);
                let volume = tree.map_or("", |tree| tree.volume().name());
                self.problems.left_out(volume, &path, reason);
                return Ok(());
            }
        };
        let name = |side: Option<&Side>, sign: &str| {
            let side = side?;
            Some(self.quoted(sign, &side.path))
        };
        let (a, b) = (name(before, "a/"), name(after, "b/"));
        let path = before.or(after).map_or(&b""[..], |side| &side.path);
        let left = a.clone().unwrap_or_else(|| self.quoted("a/", path));
        let right = b.clone().unwrap_or_else(|| self.quoted("b/", path));
        let lines = match (&old, &new) {
            (Bytes::All(old), Bytes::All(new)) if !(is_binary(old) || is_binary(new)) => {
                Some(Lines::new(old, new))
            }
            _ => None,
        };
        let equal = match (&old, &new) {
            (Bytes::All(old), Bytes::All(new)) => old == new,
            _ => false,
        };
        let header = self.header(before, after, lines.as_ref(), equal);
        if header.is_empty() && equal {
            return Ok(());
        }
        writeln!(out, "diff --git {left} {right}")?;
        out.write_all(header.as_bytes())?;
        if equal {
            return Ok(());
        }
        let none = || "/dev/null".to_owned();
        let (a, b) = (a.unwrap_or_else(none), b.unwrap_or_else(none));
        match (lines, &old, &new) {
            (Some(lines), _, _) => {
                writeln!(out, "--- {}{}", a, tab(&a))?;
                writeln!(out, "+++ {}{}", b, tab(&b))?;
                lines.write(out, self.options.context)
            }
            (None, Bytes::TooMany(size), _) | (None, _, Bytes::TooMany(size)) => {
                let limit = self.options.limit;
                writeln!(out, "Binary files {a} and {b} differ")?;
                writeln!(
                    out,
                    "# not compared: {size} bytes are more than {limit}; --patch-limit allows more"
                )
            }
            _ => writeln!(out, "Binary files {a} and {b} differ"),
        }
    }

    /// The lines between `diff --git` and the hunks.
    fn header(
        &self,
        before: Option<&Side>,
        after: Option<&Side>,
        lines: Option<&Lines<'_>>,
        equal: bool,
    ) -> String {
        match (before, after) {
            (None, Some(after)) => format!("new file mode {}\n", mode(&after.attributes)),
            (Some(before), None) => format!("deleted file mode {}\n", mode(&before.attributes)),
            (Some(before), Some(after)) => {
                let mut out = String::new();
                let (old, new) = (mode(&before.attributes), mode(&after.attributes));
                if old != new {
                    out.push_str(&format!("old mode {old}\nnew mode {new}\n"));
                }
                if before.path != after.path {
                    let similar = match equal {
                        true => 100,
                        false => lines.map_or(0, Lines::similarity).min(99),
                    };
                    let from = self.quoted("", &before.path);
                    let to = self.quoted("", &after.path);
                    out.push_str(&format!(
                        "similarity index {similar}%\nrename from {from}\nrename to {to}\n"
                    ));
                }
                out
            }
            (None, None) => String::new(),
        }
    }

    fn bytes(&self, tree: Option<Tree<'_>>, side: &Side) -> Result<Bytes, String> {
        if let (FileKind::Symlink, Some(target)) = (side.attributes.kind, &side.attributes.target) {
            return Ok(Bytes::All(target.as_bytes().to_vec()));
        }
        let tree = tree.ok_or("its filesystem can't be read")?;
        let content = tree.content(side.attributes.key, None);
        let content = content.map_err(|error| restore::reason(&error))?;
        if content.len() > self.options.limit {
            return Ok(Bytes::TooMany(content.len()));
        }
        let length = usize::try_from(content.len()).map_err(|e| e.to_string())?;
        let bytes = read_vec(&*content, 0, length);
        bytes
            .map(Bytes::All)
            .map_err(|error| format!("it can't be read: {}", chain(&error)))
    }

    /// A path as git writes it: in quotes where it holds what could be misread.
    fn quoted(&self, sign: &str, path: &[u8]) -> String {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let all = [sign.as_bytes(), self.options.prefix.as_bytes(), path].concat();
        quote(&all)
    }
}

/// git puts a tab behind a name with a space in it.
fn tab(name: &str) -> &'static str {
    match name.contains(' ') && !name.starts_with('"') {
        true => "\t",
        false => "",
    }
}

/// C quoting, as `core.quotePath` has it.
fn quote(bytes: &[u8]) -> String {
    let plain = |b: &u8| (0x20..0x7F).contains(b) && *b != b'"' && *b != b'\\';
    if bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            11 => out.push_str("\\v"),
            12 => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b if plain(b) => out.push(char::from(*b)),
            b => out.push_str(&format!("\\{b:03o}")),
        }
    }
    out.push('"');
    out
}

/// The modes that git keeps.
fn mode(attributes: &Attributes) -> &'static str {
    match (attributes.kind, attributes.mode) {
        (FileKind::Symlink, _) => "120000",
        (_, Some(mode)) if mode & 0o100 != 0 => "100755",
        _ => "100644",
    }
}

/// As git decides: a NUL byte among the first ones.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(FIRST_BYTES).any(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_does() {
        assert_eq!(quote(b"a/b c"), "a/b c");
        assert_eq!(quote("a/ü".as_bytes()), "\"a/\\303\\274\"");
        assert_eq!(quote(b"a\"\\\n\x01"), "\"a\\\"\\\\\\n\\001\"");
    }

    #[test]
    fn text_has_no_nul_near_its_start() {
        assert!(is_binary(b"a\0"));
        let mut late = vec![b'a'; FIRST_BYTES];
        late.push(0);
        assert!(!is_binary(&late));
    }
}
