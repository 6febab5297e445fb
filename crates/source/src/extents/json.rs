//! Lists in JSON: an array of flat objects, read one by one.

use std::io::BufRead;

use hexz_resolve::{Error, Result};

use super::{List, ListFormat};

/// Deepest nesting of a value that is skipped.
const MAX_DEPTH: u32 = 32;
/// Longest string; names and words are short.
const MAX_STRING: usize = 4096;

/// What we look at of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
    Bool(bool),
    /// `null`, a fraction, a negative number, an array, an object.
    Other,
}

/// The fields of an extent that any of the tools writes.
#[derive(Default)]
struct Extent {
    start: Option<Value>,
    offset: Option<Value>,
    length: Option<Value>,
    depth: Option<Value>,
    present: Option<Value>,
    data: Option<Value>,
    zero: Option<Value>,
    exists: Option<Value>,
    kind: Option<Value>,
    description: Option<Value>,
}

impl Extent {
    fn set(&mut self, name: &str, value: Value) {
        let field = match name {
            "start" => &mut self.start,
            "offset" => &mut self.offset,
            "length" => &mut self.length,
            "depth" => &mut self.depth,
            "present" => &mut self.present,
            "data" => &mut self.data,
            "zero" => &mut self.zero,
            "exists" => &mut self.exists,
            "type" => &mut self.kind,
            "description" => &mut self.description,
            _ => return,
        };
        *field = Some(value);
    }

    fn format(&self) -> Option<ListFormat> {
        if self.exists.is_some() {
            Some(ListFormat::RbdDiff)
        } else if self.start.is_some() && self.depth.is_some() {
            Some(ListFormat::QemuMap)
        } else if self.offset.is_some() && self.kind.is_some() {
            Some(ListFormat::NbdInfo)
        } else {
            None
        }
    }

    /// The extent in bytes; `None` when it is no change.
    fn range(&self, format: ListFormat) -> std::result::Result<Option<(u64, u64)>, &'static str> {
        let is = |value: &Option<Value>| match value {
            Some(Value::Bool(is)) => *is,
            // rbd writes strings.
            Some(Value::Text(text)) => text == "true",
            _ => false,
        };
        let (start, changed) = match format {
            ListFormat::QemuMap => {
                if !matches!(self.depth, Some(Value::Number(_))) {
                    return Err("an extent without a depth");
                }
                let top = self.depth == Some(Value::Number(0));
                // Before qemu 6.1, what is not there is neither data nor zero, or deeper.
                let held = match &self.present {
                    Some(_) => is(&self.present),
                    None => is(&self.data) || is(&self.zero),
                };
                (&self.start, top && held)
            }
            ListFormat::NbdInfo => {
                let words = match &self.description {
                    Some(Value::Text(text)) => text.as_str(),
                    _ => return Err("an extent without a description"),
                };
                // Old ones say `allocated` for `data`, and `unallocated` for `absent`.
                let changed = match words {
                    "data" | "allocated" | "zero" | "dirty" | "local" => true,
                    "hole" | "hole,zero" | "clean" | "absent" | "unallocated" => false,
                    other if other.starts_with("backing depth") => false,
                    _ => return Err("an extent of a kind that is not known"),
                };
                (&self.offset, changed)
            }
            _ => {
                // Lists of other forms have an offset too.
                if self.exists.is_none() {
                    return Err("an extent that neither exists nor went");
                }
                (&self.offset, true)
            }
        };
        match (start, &self.length) {
            (Some(Value::Number(start)), Some(Value::Number(length))) => {
                Ok(changed.then_some((*start, *length)))
            }
            _ => Err("an extent without start and length"),
        }
    }
}

/// Reads a list; its form is told by its first extent unless it is given.
pub(super) fn parse(from: impl BufRead, mut format: Option<ListFormat>) -> Result<List> {
    let mut list = List::new(None);
    let mut json = Reader { from, at: 0 };
    json.expect(b'[')?;
    let mut next = json.token()?;
    while next != b']' {
        if next != b'{' {
            return Err(json.wrong("expected an extent"));
        }
        let extent = json.extent()?;
        let form = match format.or_else(|| extent.format()) {
            Some(form) => *format.insert(form),
            None => return Err(json.wrong("a list of a form that is not known")),
        };
        if let Some((start, length)) = extent.range(form).map_err(|what| json.wrong(what))? {
            list.add(start, length)?;
        }
        next = match json.token()? {
            b',' => json.token()?,
            b']' => break,
            _ => return Err(json.wrong("expected `,` or `]`")),
        };
    }
    match json.peek_token()? {
        None => Ok(list),
        Some(_) => Err(json.wrong("more behind the list")),
    }
}

struct Reader<R> {
    from: R,
    at: u64,
}

impl<R: BufRead> Reader<R> {
    fn wrong(&self, what: &str) -> Error {
        Error::corrupt("extent list").at(self.at).message(what)
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let buffer = self
            .from
            .fill_buf()
            .map_err(|e| Error::io("extent list", e))?;
        Ok(buffer.first().copied())
    }

    fn skip(&mut self) {
        self.from.consume(1);
        self.at = self.at.saturating_add(1);
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self
            .peek()?
            .ok_or_else(|| self.wrong("the list ends early"))?;
        self.skip();
        Ok(byte)
    }

    fn peek_token(&mut self) -> Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.skip();
        }
        Ok(None)
    }

    /// The next byte that is not white space.
    fn token(&mut self) -> Result<u8> {
        self.peek_token()?;
        self.byte()
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.token()? == wanted {
            return Ok(());
        }
        Err(self.wrong("not the JSON of a list of extents"))
    }

    /// The rest of an object whose brace was read.
    fn extent(&mut self) -> Result<Extent> {
        let mut extent = Extent::default();
        let mut next = self.token()?;
        while next != b'}' {
            if next != b'"' {
                return Err(self.wrong("expected a name"));
            }
            let name = self.string()?;
            self.expect(b':')?;
            let value = self.value()?;
            extent.set(&name, value);
            next = match self.token()? {
                b',' => self.token()?,
                b'}' => break,
                _ => return Err(self.wrong("expected `,` or `}`")),
            };
        }
        Ok(extent)
    }

    fn value(&mut self) -> Result<Value> {
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
                    if !part || word.len() >= MAX_STRING {
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

    /// The rest of a string whose quote was read. Escapes are kept as they are: no word that we
    /// look for has any.
    fn string(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => bytes.extend([b'\\', self.byte()?]),
                byte => bytes.push(byte),
            }
            if bytes.len() > MAX_STRING {
                return Err(self.wrong("a string that is too long"));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
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
