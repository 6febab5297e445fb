//! The upper folder of an overlayfs: what is kept there, in terms of what its user saw.
//!
//! <https://docs.kernel.org/filesystems/overlayfs.html>: "whiteouts and opaque directories",
//! "redirect_dir", "Metadata only copy up", "User xattr".

use std::collections::BTreeSet;

use hexz_resolve::report::{Change, ChangeKind, Report};
use hexz_resolve::{Attributes, FileKind};

/// The prefixes of overlayfs's own extended attributes.
const PREFIXES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// The value of one of overlayfs's own extended attributes.
fn own<'a>(file: &'a Attributes, name: &str) -> Option<&'a [u8]> {
    let mut xattrs = file.xattrs.iter();
    let found = xattrs.find(|xattr| {
        let rest = PREFIXES
            .iter()
            .find_map(|prefix| xattr.name.as_bytes().strip_prefix(*prefix));
        rest == Some(name.as_bytes())
    })?;
    Some(&found.value)
}

/// Whether a file of an upper folder says that nothing is there.
pub(crate) fn is_whiteout(file: &Attributes) -> bool {
    let device = file.kind == FileKind::CharDevice && file.rdev == Some(0);
    device || (file.kind == FileKind::File && file.size == 0 && own(file, "whiteout").is_some())
}

/// Whether a directory of an upper folder hides what is below it.
pub(crate) fn is_opaque(file: &Attributes) -> bool {
    // `x` says only that files with the attribute `whiteout` are in it.
    own(file, "opaque") == Some(b"y")
}

/// Why the content of a file of an upper folder is elsewhere.
pub(crate) fn elsewhere(file: &Attributes) -> Option<&'static str> {
    if own(file, "metacopy").is_some() {
        return Some("its content is below the overlay: only its attributes were copied up");
    }
    let moved = file.kind.has_entries() && own(file, "redirect").is_some();
    moved.then_some("what is in it is below the overlay: the directory was renamed there")
}

/// Takes overlayfs's own extended attributes away.
pub(crate) fn strip(file: &mut Attributes) {
    let own = |name: &[u8]| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    file.xattrs.retain(|xattr| !own(xattr.name.as_bytes()));
}

/// Where the file was before it was renamed, as overlayfs remembers it.
fn redirected(file: &Attributes, path: &[u8]) -> Option<Vec<u8>> {
    let to = own(file, "redirect")?;
    let from = match to.first()? {
        b'/' => to.to_vec(),
        _ => {
            let at = path.iter().rposition(|b| *b == b'/')?;
            [path.get(..=at)?, to].concat()
        }
    };
    (from != path).then_some(from)
}

/// What an upper folder has at a path.
enum Kept<'a> {
    /// Nothing: what is below shows.
    Nothing,
    /// That nothing is there.
    Whiteout,
    There(&'a Attributes),
}

fn kept(file: Option<&Attributes>) -> Kept<'_> {
    match file {
        None => Kept::Nothing,
        Some(file) if is_whiteout(file) => Kept::Whiteout,
        Some(file) => Kept::There(file),
    }
}

/// Makes the changes of `report` those that a user of the overlay saw whose upper folder is
/// `upper`: changes elsewhere are left out, and paths are those in the overlay.
pub fn as_seen(report: &mut Report, upper: &[u8]) {
    let upper = upper.strip_suffix(b"/").unwrap_or(upper);
    let below = |path: &[u8]| match path.strip_prefix(upper) {
        Some([]) => Some(b"/".to_vec()),
        Some(rest @ [b'/', ..]) => Some(rest.to_vec()),
        _ => None,
    };
    let mut seen = Vec::new();
    for mut change in std::mem::take(&mut report.changes) {
        let (path, from) = (below(&change.path), change.from.as_deref().and_then(below));
        match (path, from) {
            (Some(path), from) => {
                change.path = path;
                change.from = from;
            }
            // It left the folder.
            (None, Some(from)) => {
                change.path = from;
                change.from = None;
                change.merged = None;
                change.change = ChangeKind::Deleted;
            }
            (None, None) => continue,
        }
        change.links = change.links.iter().filter_map(|link| below(link)).collect();
        if change.change == ChangeKind::Renamed && change.from.is_none() {
            change.base = None;
            change.change = ChangeKind::Added;
        }
        seen.extend(one(change));
    }
    // The whiteout that a rename leaves is a part of it.
    let left: BTreeSet<(usize, Vec<u8>)> = seen
        .iter()
        .filter_map(|change| Some((change.volume, change.from.clone()?)))
        .collect();
    seen.retain(|change| {
        change.change != ChangeKind::Deleted
            || !left.contains(&(change.volume, change.path.clone()))
    });
    settle_directories(&mut seen);
    seen.sort_by(|a, b| (a.volume, &a.path).cmp(&(b.volume, &b.path)));
    report.summary.changes.clear();
    for change in &seen {
        let count = report.summary.changes.entry(change.change).or_default();
        *count = count.saturating_add(1);
    }
    report.changes = seen;
}

/// What became of directories: a name that stays in the folder can come or go in the overlay, and a
/// directory that came to the folder was copied up for what is in it, or for its attributes.
fn settle_directories(seen: &mut [Change]) {
    let mut changed: BTreeSet<(usize, Vec<u8>)> = BTreeSet::new();
    for change in &*seen {
        let new = matches!(
            change.change,
            ChangeKind::Added | ChangeKind::Deleted | ChangeKind::Renamed
        );
        let names = [Some(&change.path), change.from.as_ref()];
        for path in names.into_iter().flatten().filter(|_| new) {
            changed.insert((change.volume, above(path).to_vec()));
        }
    }
    for change in seen {
        let word = change.change;
        let stays = matches!(word, ChangeKind::Modified | ChangeKind::Metadata);
        if change.kind.has_entries() && stays {
            change.content_changed = changed.contains(&(change.volume, change.path.clone()));
            change.change = match change.content_changed {
                true => ChangeKind::Modified,
                false => ChangeKind::Metadata,
            };
        }
    }
}

/// The path of the directory that a path is in.
fn above(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        Some(0) | None => b"/",
        Some(at) => path.get(..at).unwrap_or_default(),
    }
}

/// What one change of the folder is to a user of the overlay.
fn one(mut change: Change) -> Option<Change> {
    let (base, merged) = (change.base.clone(), change.merged.clone());
    let word = match (kept(base.as_ref()), kept(merged.as_ref())) {
        (Kept::Whiteout, Kept::Whiteout) | (Kept::Nothing, Kept::Nothing) => return None,
        (Kept::There(_) | Kept::Nothing, Kept::Whiteout) => ChangeKind::Deleted,
        (Kept::Whiteout, Kept::There(_) | Kept::Nothing) => ChangeKind::Added,
        (Kept::There(_), Kept::Nothing) => change.change,
        (Kept::Nothing, Kept::There(file)) => copied_up(&mut change, file),
        (Kept::There(before), Kept::There(file)) => {
            let from = redirected(file, &change.path);
            match from.filter(|from| redirected(before, &change.path).as_ref() != Some(from)) {
                Some(from) => {
                    change.from.get_or_insert(from);
                    ChangeKind::Renamed
                }
                None if own(file, "metacopy").is_some() => ChangeKind::Metadata,
                None => change.change,
            }
        }
    };
    change.change = word;
    if word == ChangeKind::Deleted {
        change.from = None;
        change.merged = None;
        if let Some(base) = change.base.as_ref().filter(|file| !is_whiteout(file)) {
            change.kind = base.kind;
        } else {
            // What was below can't be seen from here.
            change.base = None;
            change.kind = FileKind::File;
        }
    }
    if matches!(kept(change.base.as_ref()), Kept::Whiteout) {
        change.base = None;
    }
    [&mut change.base, &mut change.merged]
        .into_iter()
        .flatten()
        .for_each(strip);
    Some(change)
}

/// What it means that a file came to the folder.
fn copied_up(change: &mut Change, file: &Attributes) -> ChangeKind {
    if let Some(from) = redirected(file, &change.path) {
        change.from = Some(from);
        return ChangeKind::Renamed;
    }
    if own(file, "metacopy").is_some() {
        change.content_changed = false;
        return ChangeKind::Metadata;
    }
    // Set on what was copied up: something is below.
    match own(file, "origin") {
        Some(_) => ChangeKind::Modified,
        None => ChangeKind::Added,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::{FileKey, RawName, Xattr};

    fn file(kind: FileKind, xattrs: &[(&str, &str)]) -> Attributes {
        let mut file = Attributes::new(FileKey::new(7), kind);
        file.xattrs = xattrs
            .iter()
            .map(|(name, value)| Xattr {
                name: RawName::from(name),
                value: value.as_bytes().into(),
            })
            .collect();
        file
    }

    fn whiteout() -> Attributes {
        let mut file = file(FileKind::CharDevice, &[]);
        file.rdev = Some(0);
        file
    }

    /// The word and the origin of what came to `/d/f`.
    fn seen(base: Option<Attributes>, merged: Option<Attributes>) -> Option<(ChangeKind, String)> {
        let kind = merged.as_ref().or(base.as_ref()).map(|file| file.kind);
        let path = b"/d/f".to_vec();
        let mut change = Change::new(0, ChangeKind::Added, path, kind.unwrap());
        (change.base, change.merged) = (base, merged);
        let change = one(change)?;
        let from = String::from_utf8(change.from.unwrap_or_default()).unwrap();
        Some((change.change, from))
    }

    #[test]
    fn files_of_the_upper_folder_say_what_the_user_saw() {
        let none = String::new;
        let regular = |xattrs: &[(&str, &str)]| Some(file(FileKind::File, xattrs));
        assert_eq!(
            seen(None, Some(whiteout())),
            Some((ChangeKind::Deleted, none()))
        );
        assert_eq!(seen(Some(whiteout()), Some(whiteout())), None);
        let other = regular(&[("trusted.overlay.whiteout", "y")]);
        assert_eq!(seen(None, other), Some((ChangeKind::Deleted, none())));
        assert_eq!(seen(None, regular(&[])), Some((ChangeKind::Added, none())));
        let copied = regular(&[("user.overlay.origin", "handle")]);
        assert_eq!(seen(None, copied), Some((ChangeKind::Modified, none())));
        let meta = regular(&[("trusted.overlay.metacopy", "")]);
        assert_eq!(seen(None, meta), Some((ChangeKind::Metadata, none())));
        let back = seen(Some(whiteout()), regular(&[]));
        assert_eq!(back, Some((ChangeKind::Added, none())));
        let moved = |to| {
            Some(file(
                FileKind::Directory,
                &[("trusted.overlay.redirect", to)],
            ))
        };
        let renamed = |from: &str| Some((ChangeKind::Renamed, from.to_owned()));
        assert_eq!(seen(None, moved("/a/b")), renamed("/a/b"));
        assert_eq!(seen(None, moved("old")), renamed("/d/old"));
    }
}
