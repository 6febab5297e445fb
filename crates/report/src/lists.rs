//! Answers about many lists of changed blocks of one disk.

use std::io::Result;

use serde::Serialize;

use crate::escape::escaped;

/// What lines of sums say besides the list and the bytes, put into words once for all lists: there
/// may be hundreds of millions of lines.
#[derive(Clone, Debug, Default)]
pub struct SumLines {
    /// Volume and class of each sum, and then its path.
    text: Vec<u8>,
    /// Where in the text the path of each sum starts, and where it ends.
    ends: Vec<(usize, usize)>,
}

impl SumLines {
    /// Adds a sum, whose number is how many were added before: its volume (`None` outside every
    /// volume), its class in the word of the schema, and the first name of the first file that owns
    /// it.
    pub fn add(&mut self, volume: Option<&str>, class: &str, path: Option<&[u8]>) {
        self.text.push(b'\t');
        put(&mut self.text, volume.unwrap_or("-").as_bytes());
        self.text.push(b'\t');
        self.text.extend_from_slice(class.as_bytes());
        self.text.push(b'\t');
        let path_start = self.text.len();
        put(&mut self.text, path.unwrap_or(b"-"));
        self.text.push(b'\n');
        self.ends.push((path_start, self.text.len()));
    }

    /// Adds the line of sum `number` of a list to `out`: the list, which is [`escaped`], the volume,
    /// the class, the bytes and the path, with tabs between them and `-` where there is none.
    pub fn write(&self, out: &mut Vec<u8>, list: &str, number: usize, bytes: u64) {
        let Some((path_start, end)) = self.ends.get(number) else {
            return;
        };
        let start = number.checked_sub(1).and_then(|n| self.ends.get(n));
        let start = start.map_or(0, |(_, end)| *end);
        let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        out.extend_from_slice(list.as_bytes());
        out.extend_from_slice(part(start, *path_start));
        out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
        out.push(b'\t');
        out.extend_from_slice(part(*path_start, *end));
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
        lines.write(&mut out, &escaped(b"a\tb"), 1, 7);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(text.matches('\t').count(), 4);
        assert!(!text.contains('\u{1B}'));
        assert!(text.contains("\t-\tfile-data\t7\t/x"), "{text}");
        let mut out = Vec::new();
        lines.write(&mut out, "list", 0, 4096);
        assert_eq!(out, b"list\tp1\tfree\t4096\t-\n");
    }
}
