//! Patches, applied by git.

use std::ffi::OsStr;
use std::io::{Error, Result};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has git apply the text part of `patch` to the files below `tree`, and gives the paths that it is
/// about. What the patch says of files with other content, git refuses without their bytes: it is
/// left out, and what it makes room for is removed. A link that such a file takes the place of is
/// only half of a change, and not among the paths.
///
/// # Errors
/// What git says when it does not take the patch; faults of reading and writing.
pub fn git_apply(patch: &[u8], tree: &Path) -> Result<Vec<PathBuf>> {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for section in sections(patch) {
        if !contains(section, b"\nBinary files ") {
            kept.extend_from_slice(section);
            continue;
        }
        left_out.extend(new(section));
        if let Some(path) = gone(section) {
            std::fs::remove_file(tree.join(OsStr::from_bytes(&path)))?;
        }
    }
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    // Beside the tree, so that it is none of its files.
    let file = tree.with_extension("patch");
    std::fs::write(&file, &kept)?;
    let out = Command::new("git")
        .env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree))
        .current_dir(tree)
        .args(["apply", "--whitespace=nowarn", "--numstat", "--apply", "-z"])
        .arg(std::path::absolute(&file)?)
        .output()?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        return Err(Error::other(format!("git apply: {said}")));
    }
    let records = out.stdout.split(|b| *b == 0).filter(|r| !r.is_empty());
    let path = |record: &[u8]| {
        let path = record.rsplit(|b| *b == b'\t').next().unwrap_or_default();
        PathBuf::from(OsStr::from_bytes(path))
    };
    let mut paths: Vec<PathBuf> = records.map(path).collect();
    if paths.is_empty() {
        return Err(Error::other("git found nothing in the patch"));
    }
    paths.retain(|path| {
        !left_out
            .iter()
            .any(|new| path.as_os_str().as_bytes() == new)
    });
    Ok(paths)
}

/// What a patch says of each file.
fn sections(patch: &[u8]) -> Vec<&[u8]> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in patch.split_inclusive(|b| *b == b'\n') {
        if at != 0 && line.starts_with(b"diff --git ") {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(a, b)| &patch[*a..b])
        .collect()
}

/// The path that is no longer there after a section without text.
fn gone(section: &[u8]) -> Option<Vec<u8>> {
    section.split(|b| *b == b'\n').find_map(|line| {
        let deleted = line.strip_prefix(b"Binary files ");
        let deleted = deleted.and_then(|l| l.strip_suffix(b" and /dev/null differ"));
        let deleted = deleted.map(unquoted);
        let renamed = line.strip_prefix(b"rename from ").map(unquoted);
        deleted
            .and_then(|path| path.strip_prefix(b"a/").map(<[u8]>::to_vec))
            .or(renamed)
    })
}

/// The path of a new file without text.
fn new(section: &[u8]) -> Option<Vec<u8>> {
    section.split(|b| *b == b'\n').find_map(|line| {
        let path = line.strip_prefix(b"Binary files /dev/null and ")?;
        let path = unquoted(path.strip_suffix(b" differ")?);
        path.strip_prefix(b"b/").map(<[u8]>::to_vec)
    })
}

/// A path as git writes it, in quotes where it has bytes that are not printable.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let inner = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\""));
    let Some(mut rest) = inner else {
        return text.to_vec();
    };
    let mut out = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let octal = octal.and_then(|d| u8::from_str_radix(d, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &after[3..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
