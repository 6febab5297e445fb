//! The text in which LVM2 describes a volume group: `key = value` and `section { … }`.
//!
//! <https://man7.org/linux/man-pages/man5/lvm.conf.5.html>, "Syntax".

use hexz_resolve::{Error, Result};

/// Sections and lists within each other; a volume group has five.
const MAX_DEPTH: usize = 16;
/// Values and sections in all.
const MAX_ITEMS: usize = 500_000;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Section(Section),
}

/// Keys with their values, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Section {
    pub(crate) items: Vec<(String, Value)>,
}

impl Section {
    /// Whether a list has this word.
    pub(crate) fn has_flag(&self, list: &str, flag: &str) -> bool {
        let mut flags = self.list(list).iter();
        flags.any(|value| matches!(value, Value::Text(text) if text == flag))
    }

    /// Reads a whole text, up to a NUL byte if it has one.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let text = text.split(|b| *b == 0).next().unwrap_or_default();
        let mut parser = Parser {
            rest: text,
            items: 0,
        };
        parser.section(0)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.items.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub(crate) fn number(&self, key: &str) -> Result<u64> {
        match self.get(key) {
            Some(Value::Number(n)) => u64::try_from(*n).ok(),
            _ => None,
        }
        .ok_or_else(|| wrong(&format!("no number is given for {key}")))
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The sections in the section `key`, with their names; nothing where there is none.
    pub(crate) fn sections(&self, key: &str) -> impl Iterator<Item = (&str, &Self)> {
        let items = match self.get(key) {
            Some(Value::Section(section)) => section.items.as_slice(),
            _ => &[],
        };
        items.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }
}

pub(crate) fn wrong(message: &str) -> Error {
    Error::corrupt("LVM2 metadata").message(message)
}

struct Parser<'a> {
    rest: &'a [u8],
    items: usize,
}

impl Parser<'_> {
    /// The next byte that is neither space nor comment.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let blank = self.rest.iter().take_while(|b| b.is_ascii_whitespace());
            self.skip(blank.count());
            match self.rest.first() {
                Some(b'#') => {
                    let comment = self.rest.iter().take_while(|b| **b != b'\n');
                    self.skip(comment.count());
                }
                other => return other.copied(),
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() == Some(byte) {
            self.skip(1);
            return Ok(());
        }
        Err(self.unexpected(&format!("{:?}", char::from(byte))))
    }

    fn unexpected(&self, expected: &str) -> Error {
        let found: Vec<u8> = self.rest.iter().copied().take(20).collect();
        wrong("the text is no description of a volume group")
            .expected(expected)
            .found(format_args!("{:?}", String::from_utf8_lossy(&found)))
    }

    fn count(&mut self) -> Result<()> {
        self.items = self.items.saturating_add(1);
        if self.items > MAX_ITEMS {
            return Err(wrong(&format!("it has more than {MAX_ITEMS} values")));
        }
        Ok(())
    }

    /// Items up to the closing brace, or to the end of the text at depth 0.
    fn section(&mut self, depth: usize) -> Result<Section> {
        if depth > MAX_DEPTH {
            return Err(wrong(&format!("sections more than {MAX_DEPTH} deep")));
        }
        let mut section = Section::default();
        loop {
            match self.peek() {
                None if depth == 0 => return Ok(section),
                Some(b'}') if depth > 0 => {
                    self.skip(1);
                    return Ok(section);
                }
                None => return Err(self.unexpected("a closing brace")),
                Some(_) => {}
            }
            self.count()?;
            let key = self.word()?;
            let value = match self.peek() {
                Some(b'{') => {
                    self.skip(1);
                    Value::Section(self.section(depth.saturating_add(1))?)
                }
                _ => {
                    self.expect(b'=')?;
                    self.value(depth)?
                }
            };
            section.items.push((key, value));
        }
    }

    /// A key, or a value without quotes.
    fn word(&mut self) -> Result<String> {
        let part = |b: &&u8| b.is_ascii_alphanumeric() || b"_+.-/@:!".contains(b) || **b >= 0x80;
        let length = match self.peek() {
            Some(b'"' | b'\'') => return self.quoted(),
            _ => self.rest.iter().take_while(part).count(),
        };
        if length == 0 {
            return Err(self.unexpected("a name"));
        }
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        Ok(String::from_utf8_lossy(word).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(wrong(&format!("lists more than {MAX_DEPTH} deep")));
        }
        match self.peek() {
            Some(b'"' | b'\'') => Ok(Value::Text(self.quoted()?)),
            Some(b'[') => {
                self.skip(1);
                let mut list = Vec::new();
                loop {
                    match self.peek() {
                        Some(b']') => {
                            self.skip(1);
                            return Ok(Value::List(list));
                        }
                        Some(b',') => self.skip(1),
                        _ => {
                            self.count()?;
                            list.push(self.value(depth.saturating_add(1))?);
                        }
                    }
                }
            }
            _ => {
                let word = self.word()?;
                Ok(word.parse().map_or(Value::Text(word), Value::Number))
            }
        }
    }

    /// Text in quotes; a backslash keeps the byte behind it from its meaning.
    fn quoted(&mut self) -> Result<String> {
        let Some((quote, mut rest)) = self.rest.split_first() else {
            return Err(self.unexpected("a quote"));
        };
        let mut text = Vec::new();
        loop {
            match rest {
                [b'\\', byte, behind @ ..] => {
                    text.push(*byte);
                    rest = behind;
                }
                [byte, behind @ ..] if byte == quote => {
                    self.rest = behind;
                    return Ok(String::from_utf8_lossy(&text).into_owned());
                }
                [byte, behind @ ..] => {
                    text.push(*byte);
                    rest = behind;
                }
                [] => return Err(self.unexpected("a closing quote")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_lists_comments_and_escapes() {
        let text = b"vg0 { # a group\n id = \"a\\\"b\\\\\"\n n=-5\nstripes = [ \"pv0\", 0,\n \"pv1\", 12 ]\nempty=[]\n x { y=1 } }\nversion = 1\0garbage {";
        let all = Section::parse(text).unwrap();
        assert_eq!(all.number("version").unwrap(), 1);
        let Some(Value::Section(vg)) = all.get("vg0") else {
            panic!("no section");
        };
        assert_eq!(vg.text("id"), Some("a\"b\\"));
        assert_eq!(vg.get("n"), Some(&Value::Number(-5)));
        assert!(vg.number("n").is_err());
        assert_eq!(vg.list("stripes").len(), 4);
        assert_eq!(vg.list("stripes")[3], Value::Number(12));
        assert!(vg.list("empty").is_empty());
        assert_eq!(all.sections("vg0").count(), 1);
    }

    #[test]
    fn what_is_broken_or_too_deep_is_refused() {
        for text in ["a {", "a = ", "a = [1", "= 1", "a = \"x", "a b", "}"] {
            assert!(Section::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Section::parse("a {".repeat(100_000).as_bytes()).is_err());
        assert!(Section::parse(format!("a = {}", "[".repeat(100_000)).as_bytes()).is_err());
        assert!(Section::parse("a=1 ".repeat(600_000).as_bytes()).is_err());
    }
}
