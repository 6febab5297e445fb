//! Names from an image, made safe for a terminal.

use std::io::{self, Write};

/// `bytes` as text that moves no cursor, changes no colour and reorders nothing: control
/// characters, bidirectional overrides and what is not UTF-8 are written as escapes, and so is the
/// backslash, so that the text stays unambiguous.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if hidden(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        c => out.push(c),
    }
}

/// Characters that have no width or change the order of others: a name must not look like another.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
            | 0xFE00..=0xFE0F | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE0FFF)
}

/// JSON Lines on their way to a terminal: characters that would move the cursor, be hidden or
/// change the order of others are written as `\\u…`, which means the same in JSON.
#[derive(Debug)]
pub struct JsonForTerminal<W: Write> {
    out: W,
    /// A line that has not ended.
    line: Vec<u8>,
}

impl<W: Write> JsonForTerminal<W> {
    /// Before `out`.
    pub fn new(out: W) -> Self {
        let line = Vec::new();
        Self { out, line }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let mut start = 0;
        for (at, c) in text.char_indices() {
            if (hidden(c) || c == '\x7f') && c != '\n' {
                self.out.write_all(&text.as_bytes()[start..at])?;
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(self.out, "\\u{unit:04x}")?;
                }
                start = at + c.len_utf8();
            }
        }
        self.out.write_all(&text.as_bytes()[start..])
    }
}

impl<W: Write> Write for JsonForTerminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, tail) = rest.split_at(end + 1);
            self.line.extend_from_slice(line);
            self.pass_on()?;
            rest = tail;
        }
        self.line.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_on_a_terminal_says_the_same_and_moves_nothing() {
        let record = serde_json::json!({"path": "/a\u{9b}b\u{7f}c\u{202e}d\u{e0001}e grün"});
        let mut out = Vec::new();
        let mut terminal = JsonForTerminal::new(&mut out);
        // In pieces that cut characters.
        for piece in format!("{record}\n").as_bytes().chunks(3) {
            terminal.write_all(piece).unwrap();
        }
        terminal.flush().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"path\":\"/a\\u009bb\\u007fc\\u202ed\\udb40\\udc01e grün\"}\n"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            record
        );
    }

    #[test]
    fn a_name_cannot_move_the_cursor_or_reorder_text() {
        assert_eq!(escaped(b"a\x1b[31mb\n"), "a\\x1b[31mb\\n");
        assert_eq!(escaped("a\u{202e}b\u{9b}".as_bytes()), "a\\u{202e}b\\u{9b}");
        assert_eq!(escaped(b"\xff\\x"), "\\xff\\\\x");
        assert_eq!(escaped("grün 文".as_bytes()), "grün 文");
    }
}
