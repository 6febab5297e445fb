//! Answers about many lists of changed blocks of one disk.

use std::io::{Result, Write};

use serde::Serialize;

use crate::escape::escaped;

/// Bytes of one list that are of one class and, where files own them, of the same files.
#[derive(Clone, Copy, Debug)]
pub struct ListSum<'a> {
    /// The list, as it was named.
    pub list: &'a str,
    /// The volume; `None` outside every volume.
    pub volume: Option<&'a str>,
    /// The class, in the word of the schema.
    pub class: &'static str,
    /// How many bytes.
    pub bytes: u64,
    /// The first name of the first file that owns them.
    pub path: Option<&'a [u8]>,
}

/// Adds a line with the values apart by tabs; `-` where there is none.
///
/// # Errors
/// Of `out`.
pub fn write_list_sum(out: &mut Vec<u8>, sum: &ListSum<'_>) -> Result<()> {
    put(out, sum.list.as_bytes());
    out.push(b'\t');
    put(out, sum.volume.unwrap_or("-").as_bytes());
    write!(out, "\t{}\t{}\t", sum.class, sum.bytes)?;
    put(out, sum.path.unwrap_or(b"-"));
    out.push(b'\n');
    Ok(())
}

/// Adds a name, escaped: there may be hundreds of millions, and most need nothing of it.
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
        let sum = ListSum {
            list: "a\tb",
            volume: None,
            class: "file-data",
            bytes: 7,
            path: Some(b"/x\n\x1B[31m\xFF\\"),
        };
        write_list_sum(&mut out, &sum).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(text.matches('\t').count(), 4);
        assert!(!text.contains('\u{1B}'));
    }
}
