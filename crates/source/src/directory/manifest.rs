//! The manifest of an archive of a directory: JSON at `metadata_offset`, as hexz-core's
//! `ArchiveManifest` has it (<https://docs.rs/hexz-core>): `files: [{path, offset, size, mode,
//! mtime}]`. Offsets are those of the main stream, but for a file `memory` at the root, which has
//! the other one to itself.

use std::io::{self, BufReader, Read};
use std::path::Path;

use hexz_resolve::{Diagnostic, Diagnostics, Error, Limits, ReadAt as _, Result};

use crate::file::RawFile;
use crate::json::{Value, Words};
use crate::num::{u64_of, usize_of};

/// Bytes of the longest manifest that is read.
const MAX_MANIFEST: u32 = 256 << 20;
/// Bytes of the longest path: as long as Linux has them, with room for escapes.
const MAX_STRING: usize = 16 << 10;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
}

/// What is odd about a manifest, counted: it may be odd in a million places.
#[derive(Debug, Default)]
pub(super) struct Odd {
    /// Paths that no file can have, and the first of them.
    nameless: (u64, String),
    /// Paths that came before.
    again: (u64, String),
    /// Files that reach past the end of their stream.
    cut: (u64, String),
}

impl Odd {
    pub(super) fn say_nameless(&mut self, path: &str) {
        count(&mut self.nameless, path);
    }

    pub(super) fn say_again(&mut self, path: &str) {
        count(&mut self.again, path);
    }

    pub(super) fn say_cut(&mut self, path: &str) {
        count(&mut self.cut, path);
    }

    pub(super) fn tell(&self, by: &Path, found: &Diagnostics) {
        let by = by.display();
        let (nameless, again, cut) = (&self.nameless, &self.again, &self.cut);
        if nameless.0 > 0 {
            let (count, first) = nameless;
            let text = format!(
                "{by}: {count} entries of the manifest are left out: their paths are none that a \
                 file can have ({first:?})"
            );
            found.push(Diagnostic::error("manifest-path", text));
        }
        if again.0 > 0 {
            let (count, first) = again;
            let text = format!(
                "{by}: {count} paths are in the manifest more than once ({first:?}): the last counts"
            );
            found.push(Diagnostic::warning("manifest-path-twice", text));
        }
        if cut.0 > 0 {
            let (count, first) = cut;
            let text = format!(
                "{by}: {count} files of the manifest reach past the end of what is stored \
                 ({first:?}): they are cut"
            );
            found.push(Diagnostic::error("manifest-past-end", text));
        }
    }
}

fn count(of: &mut (u64, String), path: &str) {
    if of.0 == 0 {
        of.1 = path.chars().take(80).collect();
    }
    of.0 = of.0.saturating_add(1);
}

/// The entries of the manifest at `place` of `file`; `None` where the metadata is no manifest.
pub(super) fn read(
    file: &RawFile,
    place: (u64, u32),
    limits: &Limits,
    odd: &mut Odd,
) -> Result<Option<Vec<Entry>>> {
    let (offset, length) = place;
    if length > MAX_MANIFEST {
        let text = format!("{length} bytes; at most {MAX_MANIFEST} are read");
        return Err(Error::limit("hxz manifest", text).at(offset));
    }
    let section = Section {
        file,
        at: offset,
        end: offset.saturating_add(u64::from(length)),
    };
    parse(BufReader::new(section), limits.files, odd)
}

fn parse(from: impl io::BufRead, most: usize, odd: &mut Odd) -> Result<Option<Vec<Entry>>> {
    let mut words = Words::new("hxz manifest", MAX_STRING, from);
    if words.peek_token()? != Some(b'{') {
        return Ok(None);
    }
    words.skip();
    let mut entries = None;
    let mut first = true;
    while let Some(name) = words.member(&mut first)? {
        if name != "files" || words.peek_token()? != Some(b'[') {
            words.value()?;
            continue;
        }
        words.skip();
        let mut all = Vec::new();
        let mut first = true;
        while let Some(next) = words.element(&mut first)? {
            if next != b'{' {
                return Err(words.wrong("expected a file"));
            }
            if all.len() >= most {
                return Err(Error::limit(
                    "hxz manifest",
                    format!("more than {most} files"),
                ));
            }
            all.extend(entry(&mut words, odd)?);
        }
        entries = Some(all);
    }
    Ok(entries)
}

/// The rest of an entry whose brace was read. One without a path is left out.
fn entry<R: io::BufRead>(words: &mut Words<R>, odd: &mut Odd) -> Result<Option<Entry>> {
    let mut path = None;
    let mut numbers = [None; 4];
    let mut first = true;
    while let Some(name) = words.member(&mut first)? {
        let value = words.value()?;
        let at = ["offset", "size", "mode", "mtime"]
            .iter()
            .position(|known| *known == name);
        match (at.and_then(|at| numbers.get_mut(at)), value) {
            (Some(number), Value::Number(value)) => *number = Some(value),
            (None, Value::Text(text)) if name == "path" => path = Some(text),
            _ => {}
        }
    }
    let [Some(offset), Some(size), Some(mode), Some(mtime)] = numbers else {
        return Err(words.wrong("a file without offset, size, mode or mtime"));
    };
    let Some(path) = path else {
        odd.say_nameless("");
        return Ok(None);
    };
    Ok(Some(Entry {
        path,
        offset,
        size,
        mode: u32::try_from(mode).unwrap_or(0),
        mtime,
    }))
}

/// A part of a file, from its start to its end.
struct Section<'a> {
    file: &'a RawFile,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize_of(self.end.saturating_sub(self.at));
        let count = left.min(buf.len());
        if let Some(out) = buf.get_mut(..count) {
            let read = self.file.read_exact_at(self.at, out);
            read.map_err(|error| io::Error::other(error.to_string()))?;
        }
        self.at = self.at.saturating_add(u64_of(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Vec<Entry>>> {
        parse(text.as_bytes(), 3, &mut Odd::default())
    }

    #[test]
    fn files_are_read_and_other_metadata_is_none() {
        let file = r#"{"path":"a\/\u00fc","offset":1,"size":2,"mode":33188,"mtime":4,"new":[{}]}"#;
        let entry = Entry {
            path: "a/ü".into(),
            offset: 1,
            size: 2,
            mode: 0o100_644,
            mtime: 4,
        };
        let text = format!(r#"{{"x":{{"files":[]}},"files":[{file},{file}]}}"#);
        let entries = of(&text).unwrap().unwrap();
        assert_eq!(entries, [entry.clone(), entry]);
        assert_eq!(of(r#"{"files":[]}"#).unwrap(), Some(Vec::new()));
        assert_eq!(of(r#"{"hexz_checkpoint":1,"tensors":{}}"#).unwrap(), None);
        assert_eq!(of("free text").unwrap(), None);
        assert!(of(&format!(r#"{{"files":[{file}"#)).is_err(), "cut");
        assert!(of(r#"{"files":[{"path":"a"}]}"#).is_err());
        let many = [file; 4].join(",");
        assert!(of(&format!(r#"{{"files":[{many}]}}"#)).is_err());
    }
}
