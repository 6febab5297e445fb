//! What a line says of one change, beside its letter and size.

use hexz_resolve::report::{Change, ChangeKind};
use hexz_resolve::{Attributes, FileKind, RawName};

use crate::escape::escaped;

/// Where a link leads: shown where it came, went, moved or leads elsewhere.
pub(super) fn target(change: &Change) -> Option<&[u8]> {
    let shown = change.merged.as_ref().or(change.base.as_ref())?;
    let is = change.kind == FileKind::Symlink && change.change != ChangeKind::Metadata;
    shown.target.as_ref().filter(|_| is).map(RawName::as_bytes)
}

/// What is no file, directory or link, by name.
pub(super) fn special(change: &Change) -> Option<String> {
    let a = change.merged.as_ref().or(change.base.as_ref())?;
    let device = |word: &str| match a.rdev {
        Some(rdev) => format!("{word} {}:{}", rdev >> 32, rdev & 0xFFFF_FFFF),
        None => word.to_owned(),
    };
    Some(match a.kind {
        FileKind::BlockDevice => device("block device"),
        FileKind::CharDevice => device("character device"),
        FileKind::Fifo => "fifo".to_owned(),
        FileKind::Socket => "socket".to_owned(),
        _ => return None,
    })
}

/// What differs, in words: of a change of metadata all of it, else what is not plain by its letter.
pub(crate) fn details(change: &Change) -> String {
    let mut words: Vec<String> = Vec::new();
    match change.change {
        ChangeKind::Type => {
            let was = change.base.as_ref().map(|a| a.kind.as_str());
            let is = change.merged.as_ref().map(|a| a.kind.as_str());
            if let (Some(was), Some(is)) = (was, is) {
                words.push(format!("was a {was}, is a {is}"));
            }
        }
        ChangeKind::Added | ChangeKind::Deleted => return String::new(),
        _ if change.replaced => words.push("replaced".to_owned()),
        _ => {}
    }
    let metadata = change.change == ChangeKind::Metadata;
    let mut names = change.attributes.clone();
    if names.iter().any(|n| !matches!(*n, "atime" | "ctime")) {
        names.retain(|n| !matches!(*n, "atime" | "ctime"));
    }
    for name in names {
        match attribute(change, name) {
            Some(text) => words.push(text),
            None if metadata => words.push(name.to_owned()),
            None => {}
        }
    }
    words.join(", ")
}

/// An attribute with its values, where these say something.
fn attribute(change: &Change, name: &str) -> Option<String> {
    let (then, now) = (change.base.as_ref()?, change.merged.as_ref()?);
    let both = |f: fn(&Attributes) -> Option<u32>| Some((f(then)?, f(now)?));
    match name {
        "mode" => both(|a| a.mode).map(|(t, n)| format!("mode {t:04o} -> {n:04o}")),
        "uid" => both(|a| a.uid).map(|(t, n)| format!("uid {t} -> {n}")),
        "gid" => both(|a| a.gid).map(|(t, n)| format!("gid {t} -> {n}")),
        "xattr" => {
            let differs = |x: &&hexz_resolve::Xattr, of: &Attributes| !of.xattrs.contains(x);
            let gone = then.xattrs.iter().filter(|x| differs(x, now));
            let came = now.xattrs.iter().filter(|x| differs(x, then));
            let mut names: Vec<String> = gone
                .chain(came)
                .map(|x| escaped(x.name.as_bytes()))
                .collect();
            names.sort();
            names.dedup();
            Some(format!("xattr {}", names.join(" ")))
        }
        _ => None,
    }
}
