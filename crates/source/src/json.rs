//! The words of a JSON text, one after the other, with bounds on what is held of them.

use std::io::BufRead;

use hexz_resolve::{Error, Result};

/// Deepest nesting of a value that is skipped.
const MAX_DEPTH: u32 = 32;

/// What is looked at of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Text(String),
    Bool(bool),
    /// `null`, a fraction, a negative number, an array, an object.
    Other,
}

/// Reads words from a text.
pub(crate) struct Words<R> {
    from: R,
    at: u64,
    /// What errors call the text.
    structure: &'static str,
    /// Bytes of the longest string.
    longest: usize,
}

impl<R: BufRead> Words<R> {
    pub(crate) const fn new(structure: &'static str, longest: usize, from: R) -> Self {
        Self {
            from,
            at: 0,
            structure,
            longest,
        }
    }

    pub(crate) fn wrong(&self, what: &str) -> Error {
        Error::corrupt(self.structure).at(self.at).message(what)
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let buffer = self
            .from
            .fill_buf()
            .map_err(|e| Error::io(self.structure, e))?;
        Ok(buffer.first().copied())
    }

    pub(crate) fn skip(&mut self) {
        self.from.consume(1);
        self.at = self.at.saturating_add(1);
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self
            .peek()?
            .ok_or_else(|| self.wrong("the text ends early"))?;
        self.skip();
        Ok(byte)
    }

    /// The next byte that is not white space, which stays to be read.
    pub(crate) fn peek_token(&mut self) -> Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.skip();
        }
        Ok(None)
    }

    /// The next byte that is not white space.
    pub(crate) fn token(&mut self) -> Result<u8> {
        self.peek_token()?;
        self.byte()
    }

    pub(crate) fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.token()? == wanted {
            return Ok(());
        }
        Err(self.wrong(&format!("expected `{}`", char::from(wanted))))
    }

    /// The name of the next member of an object whose brace was read, if there is one; its value
    /// is read next. `first` says whether none was read before.
    pub(crate) fn member(&mut self, first: &mut bool) -> Result<Option<String>> {
        match self.further(b'}', first)? {
            None => Ok(None),
            Some(b'"') => {
                let name = self.string()?;
                self.expect(b':')?;
                Ok(Some(name))
            }
            Some(_) => Err(self.wrong("expected a name")),
        }
    }

    /// The first byte of the next element of an array whose bracket was read, if there is one.
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<Option<u8>> {
        self.further(b']', first)
    }

    fn further(&mut self, end: u8, first: &mut bool) -> Result<Option<u8>> {
        let mut next = self.token()?;
        if !std::mem::replace(first, false) && next != end {
            if next != b',' {
                return Err(self.wrong(&format!("expected `,` or `{}`", char::from(end))));
            }
            next = self.token()?;
        }
        Ok((next != end).then_some(next))
    }

    pub(crate) fn value(&mut self) -> Result<Value> {
        Ok(match self.token()? {
            b'"' => Value::Text(self.string()?),
            b'[' | b'{' => {
                self.skip_nested()?;
                Value::Other
            }
            first => {
                let mut word = vec![first];
                while let Some(byte) = self.peek()? {
                    let part = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                    if !part || word.len() >= self.longest {
                        break;
                    }
                    word.push(byte);
                    self.skip();
                }
                match word.as_slice() {
                    b"true" => Value::Bool(true),
                    b"false" => Value::Bool(false),
                    b"null" => Value::Other,
                    [b'-' | b'0'..=b'9', ..] => {
                        let number = std::str::from_utf8(&word).ok().and_then(|w| w.parse().ok());
                        number.map_or(Value::Other, Value::Number)
                    }
                    _ => return Err(self.wrong("expected a value")),
                }
            }
        })
    }

    /// The rest of a string whose quote was read.
    fn string(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                byte => bytes.push(byte),
            }
            if bytes.len() > self.longest {
                return Err(self.wrong("a string that is too long"));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What stands behind a backslash.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let plain = match self.byte()? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(bytes),
            byte @ (b'"' | b'\\' | b'/') => byte,
            _ => return Err(self.wrong("an escape that JSON has not")),
        };
        bytes.push(plain);
        Ok(())
    }

    /// A character by its number, or by the two halves that UTF-16 has of it.
    fn unicode(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let mut units = vec![self.unit()?];
        if matches!(units.first(), Some(0xD800..=0xDBFF)) && self.peek()? == Some(b'\\') {
            self.skip();
            if self.byte()? != b'u' {
                return Err(self.wrong("half of a character"));
            }
            units.push(self.unit()?);
        }
        for found in char::decode_utf16(units) {
            let found = found.unwrap_or(char::REPLACEMENT_CHARACTER);
            bytes.extend(found.encode_utf8(&mut [0; 4]).bytes());
        }
        Ok(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16> {
        let mut unit = 0u16;
        for _ in 0..4 {
            let digit = char::from(self.byte()?).to_digit(16);
            let digit = digit.and_then(|digit| u16::try_from(digit).ok());
            let digit = digit.ok_or_else(|| self.wrong("expected a hexadecimal digit"))?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    /// Skips to the end of an array or object that was begun.
    fn skip_nested(&mut self) -> Result<()> {
        let mut depth = 1u32;
        while depth > 0 {
            match self.byte()? {
                b'"' => {
                    self.string()?;
                }
                b'[' | b'{' => depth = depth.saturating_add(1),
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(self.wrong("nested too deep"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_what_they_stand_for() {
        let of = |text: &str| Words::new("test", 64, text.as_bytes()).value();
        let text = of(r#""a\n\"\\\/\u00e9\ud83d\ude00""#).unwrap();
        assert_eq!(text, Value::Text("a\n\"\\/é😀".into()));
        let lone = of(r#""\ud83dx""#).unwrap();
        assert_eq!(lone, Value::Text("\u{FFFD}x".into()));
        for wrong in [r#""\x""#, r#""\u12g4""#, "\"open", r#""\ud83d\n""#] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let long = format!("\"{}\"", "x".repeat(65));
        assert!(of(&long).is_err());
    }
}
