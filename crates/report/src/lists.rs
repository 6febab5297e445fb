//! Answers about many lists of changed blocks of one disk.

use std::io::Result;

use serde::Serialize;

use crate::escape::escaped;

/// What lines of sums say besides the list and the bytes, put into words once for all lists: there
/// may be hundreds of millions of lines.
#[derive(Clone, Debug, Default)]
pub struct SumLines {
    /// Volumes and classes, as they stand in a line.
    kinds: Vec<Vec<u8>>,
    /// Of each sum, one behind the other: the index of its kind in four bytes, its path and the end
    /// of the line.
    text: Vec<u8>,
    /// Where in the text each sum starts.
    starts: Vec<usize>,
}

/// What lines of one list start with, up to the bytes.
#[derive(Clone, Debug)]
pub struct LineStarts(Vec<Vec<u8>>);

/// Where the parts of a line stand.
#[derive(Clone, Copy, Default)]
struct Parts {
    kind: u32,
    path: (usize, usize),
}

impl SumLines {
    /// Adds a sum, whose number is how many were added before: its volume (`None` outside every
    /// volume), its class in the word of the schema, and the first name of the first file that owns
    /// it.
    pub fn add(&mut self, volume: Option<&str>, class: &str, path: Option<&[u8]>) {
        let mut kind = vec![b'\t'];
        put(&mut kind, volume.unwrap_or("-").as_bytes());
        kind.push(b'\t');
        kind.extend_from_slice(class.as_bytes());
        kind.push(b'\t');
        // Neighbours are mostly alike, and there are few.
        let known = self.kinds.iter().rposition(|known| *known == kind);
        let index = known.unwrap_or_else(|| {
            self.kinds.push(kind);
            self.kinds.len() - 1
        });
        // No memory holds more kinds.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.starts.push(self.text.len());
        self.text.extend_from_slice(&index.to_le_bytes());
        put(&mut self.text, path.unwrap_or(b"-"));
        self.text.push(b'\n');
    }

    /// How lines of a list start, which is [`escaped`].
    #[must_use]
    pub fn starting(&self, list: &str) -> LineStarts {
        let start = |kind: &Vec<u8>| [list.as_bytes(), kind].concat();
        LineStarts(self.kinds.iter().map(start).collect())
    }

    /// Adds the lines of sums of a list to `out`, each by its number and its bytes: the list, the
    /// volume, the class, the bytes and the path, with tabs between them and `-` where there is
    /// none.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        list: &LineStarts,
        mut sums: impl ExactSizeIterator<Item = (usize, u64)>,
    ) {
        // Looked up before any of them is written, so that they don't wait for memory one by one.
        const AHEAD: usize = 32;
        let mut lines = [(Parts::default(), 0); AHEAD];
        while sums.len() > 0 {
            let mut found = 0;
            for (line, (number, bytes)) in lines.iter_mut().zip(sums.by_ref()) {
                *line = (self.parts(number), bytes);
                found += 1;
            }
            for (parts, bytes) in lines.iter().take(found) {
                let start = list.0.get(parts.kind as usize);
                out.extend_from_slice(start.map(Vec::as_slice).unwrap_or_default());
                out.extend_from_slice(itoa::Buffer::new().format(*bytes).as_bytes());
                out.push(b'\t');
                let path = self.text.get(parts.path.0..parts.path.1);
                out.extend_from_slice(path.unwrap_or(b"\n"));
            }
        }
    }

    fn parts(&self, number: usize) -> Parts {
        let end = |number: usize| self.starts.get(number).copied().unwrap_or(self.text.len());
        let (start, end) = (end(number), end(number.saturating_add(1)));
        let behind = self.text.get(start..).unwrap_or_default();
        let kind: [u8; 4] = behind.first_chunk().copied().unwrap_or_default();
        Parts {
            kind: u32::from_le_bytes(kind),
            path: (start.saturating_add(kind.len()), end),
        }
    }
}

/// Adds a name, escaped; most need nothing of it.
fn put(out: &mut Vec<u8>, name: &[u8]) {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'\\';
    if name.iter().all(plain) {
        out.extend_from_slice(name);
    } else {
        out.extend_from_slice(escaped(name).as_bytes());
    }
}

/// A piece that a list names.
#[derive(Clone, Debug)]
pub struct ListPiece<'a> {
    /// The list, as it was named.
    pub list: &'a str,
    /// The volume; `None` outside every volume.
    pub volume: Option<&'a str>,
    /// Offset on the disk.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// The class, in the word of the schema.
    pub class: &'static str,
    /// The first name of each file that owns it.
    pub paths: Vec<&'a [u8]>,
    /// Offset of the first byte in the first of them.
    pub file_offset: Option<u64>,
}

#[derive(Serialize)]
struct PieceLine<'a> {
    r#type: &'static str,
    list: &'a str,
    volume: Option<&'a str>,
    start: u64,
    length: u64,
    class: &'static str,
    paths: Vec<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_raw: Option<Vec<String>>,
    file_offset: Option<u64>,
}

/// Adds the piece as a line of JSON.
///
/// # Errors
/// Of `out`.
pub fn write_list_piece(out: &mut Vec<u8>, piece: &ListPiece<'_>) -> Result<()> {
    let text = |path: &&'_ [u8]| String::from_utf8_lossy(path).into_owned().into();
    line(
        out,
        &PieceLine {
            r#type: "list-piece",
            list: piece.list,
            volume: piece.volume,
            start: piece.start,
            length: piece.length,
            class: piece.class,
            paths: piece.paths.iter().map(text).collect(),
            paths_raw: crate::json::all_raw(&piece.paths),
            file_offset: piece.file_offset,
        },
    )
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    r#type: &'static str,
    list: &'a str,
    error: &'a str,
}

/// Adds, as a line of JSON, that a list can't be read.
///
/// # Errors
/// Of `out`.
pub fn write_list_error(out: &mut Vec<u8>, list: &str, error: &str) -> Result<()> {
    line(
        out,
        &ErrorLine {
            r#type: "list-error",
            list,
            error,
        },
    )
}

#[derive(Serialize)]
struct OverlayError<'a> {
    r#type: &'static str,
    overlay: &'a str,
    error: &'a str,
}

/// Adds, as a line of JSON, that there is no report of an overlay.
///
/// # Errors
/// Of `out`.
pub fn write_overlay_error(out: &mut Vec<u8>, overlay: &str, error: &str) -> Result<()> {
    line(
        out,
        &OverlayError {
            r#type: "overlay-error",
            overlay,
            error,
        },
    )
}

/// The start of a record that says first which overlay it is about: `{"overlay":"…",`.
///
/// # Errors
/// Never, as long as memory lasts.
pub fn overlay_prefix(overlay: &str) -> Result<Vec<u8>> {
    let mut text = b"{\"overlay\":".to_vec();
    serde_json::to_writer(&mut text, overlay)?;
    text.push(b',');
    Ok(text)
}

fn line(out: &mut Vec<u8>, record: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_break_a_line() {
        let mut out = Vec::new();
        let mut lines = SumLines::default();
        lines.add(Some("p1"), "free", None);
        lines.add(None, "file-data", Some(b"/x\n\x1B[31m\xFF\\"));
        lines.write(
            &mut out,
            &lines.starting(&escaped(b"a\tb")),
            [(1, 7)].into_iter(),
        );
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(text.matches('\t').count(), 4);
        assert!(!text.contains('\u{1B}'));
        assert!(text.contains("\t-\tfile-data\t7\t/x"), "{text}");
        let mut out = Vec::new();
        lines.write(&mut out, &lines.starting("list"), [(0, 4096)].into_iter());
        assert_eq!(out, b"list\tp1\tfree\t4096\t-\n");
    }

    #[test]
    fn each_of_many_sums_has_its_line() {
        let mut lines = SumLines::default();
        for number in 0..200u32 {
            let volume = if number % 3 == 0 { "p1" } else { "p2" };
            lines.add(
                Some(volume),
                "file-data",
                Some(format!("/{number}").as_bytes()),
            );
        }
        for count in [0, 1, 31, 32, 33, 64, 100] {
            let mut out = Vec::new();
            let sums = (0..count).map(|n| (n * 2, n as u64 * 4096));
            lines.write(&mut out, &lines.starting("list"), sums);
            let expected: String = (0..count)
                .map(|n| {
                    let volume = if n * 2 % 3 == 0 { "p1" } else { "p2" };
                    format!("list\t{volume}\tfile-data\t{}\t/{}\n", n * 4096, n * 2)
                })
                .collect();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
