//! Lists in JSON: flat objects in an array, or in pages of objects, read one by one.

use std::collections::BTreeMap;
use std::io::BufRead;

use hexz_resolve::{Error, Result};

use super::list::{List, ListFormat};
use crate::json::{Value, Words};

/// Longest string; names and words are short.
const MAX_STRING: usize = 4096;

/// Arrays of extents within an object that says more of all of them.
const CONTAINERS: [&str; 5] = [
    "ChangedBlocks",
    "Blocks",
    "block_metadata",
    "blockMetadata",
    "changedArea",
];
/// Bytes of a block of EBS where a page does not say it; it was never another number.
const EBS_BLOCK: u64 = 512 << 10;
/// Keys of an object that an error shows.
const MOST_KEYS: usize = 12;
/// Blocks of one page whose size is not known yet.
const MOST_BLOCKS: usize = 16 << 20;

/// What one of the tools writes of an extent, by the names of its fields.
#[derive(Default)]
struct Object {
    fields: BTreeMap<String, Value>,
    keys: Vec<String>,
    /// Numbers of blocks that wait for the size of one.
    blocks: Vec<u64>,
    /// Whether it holds extents, and is none itself.
    is_page: bool,
}

impl Object {
    fn set(&mut self, name: String, value: Value) {
        if self.keys.len() < MOST_KEYS && !self.keys.contains(&name) {
            self.keys.push(name.clone());
        }
        if FIELDS.contains(&name.as_str()) {
            self.fields.insert(name, value);
        }
    }

    fn get(&self, names: &[&str]) -> Option<&Value> {
        names.iter().find_map(|name| self.fields.get(*name))
    }

    fn has(&self, names: &[&str]) -> bool {
        self.get(names).is_some()
    }

    /// A number; some programs write those of 64 bits as strings.
    fn number(&self, names: &[&str]) -> Option<u64> {
        match self.get(names)? {
            Value::Number(number) => Some(*number),
            Value::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether a flag is set; rbd writes strings.
    fn is(&self, name: &str) -> bool {
        match self.fields.get(name) {
            Some(Value::Bool(is)) => *is,
            Some(Value::Text(text)) => text == "true",
            _ => false,
        }
    }

    fn format(&self) -> Option<ListFormat> {
        Some(if self.has(&["exists"]) {
            ListFormat::RbdDiff
        } else if self.has(&["BlockIndex"]) {
            ListFormat::Ebs
        } else if self.has(SIZE) {
            ListFormat::Csi
        } else if self.has(&["start"]) && self.has(&["depth"]) {
            ListFormat::QemuMap
        } else if self.has(&["offset"]) && self.has(&["type"]) {
            ListFormat::NbdInfo
        } else if self.has(&["start"]) && self.has(&["length"]) {
            ListFormat::Vmware
        } else {
            return None;
        })
    }

    /// The extent in bytes; `None` when it is no change.
    fn range(&self, format: ListFormat) -> std::result::Result<Option<(u64, u64)>, &'static str> {
        let (start, length, changed) = match format {
            ListFormat::QemuMap => {
                let Some(depth) = self.number(&["depth"]) else {
                    return Err("an extent without a depth");
                };
                // Before qemu 6.1, what is not there is neither data nor zero, or deeper.
                let held = match self.has(&["present"]) {
                    true => self.is("present"),
                    false => self.is("data") || self.is("zero"),
                };
                let start = self.number(&["start"]);
                (start, self.number(&["length"]), depth == 0 && held)
            }
            ListFormat::NbdInfo => {
                let Some(Value::Text(words)) = self.get(&["description"]) else {
                    return Err("an extent without a description");
                };
                let changed = is_changed_of_nbd(words);
                let changed = changed.ok_or("an extent of a kind that is not known")?;
                (self.number(&["offset"]), self.number(&["length"]), changed)
            }
            // Zeros are left out of JSON made by protobuf.
            ListFormat::Csi => match self.has(OFFSET) {
                true => (self.number(OFFSET), self.number(SIZE), true),
                false => (Some(0), self.number(SIZE), true),
            },
            ListFormat::Vmware if self.has(&["depth"]) => {
                return Err("an extent of qemu-img map");
            }
            ListFormat::Vmware => (self.number(&["start"]), self.number(&["length"]), true),
            _ => {
                // Lists of other forms have an offset too.
                if !self.has(&["exists"]) {
                    return Err("an extent that neither exists nor went");
                }
                (self.number(&["offset"]), self.number(&["length"]), true)
            }
        };
        match (start, length) {
            (Some(start), Some(length)) => Ok(changed.then_some((start, length))),
            _ => Err("an extent without start and length"),
        }
    }
}

/// Of CSI; the second form is that of JSON made by protobuf.
const OFFSET: &[&str] = &["byte_offset", "byteOffset"];
const SIZE: &[&str] = &["size_bytes", "sizeBytes"];
/// All fields that are looked at.
const FIELDS: [&str; 16] = [
    "start",
    "offset",
    "length",
    "depth",
    "present",
    "data",
    "zero",
    "exists",
    "type",
    "description",
    "BlockIndex",
    "BlockSize",
    "byte_offset",
    "byteOffset",
    "size_bytes",
    "sizeBytes",
];

/// Whether an extent that nbdinfo describes so is a change; `None` for a word that is not known.
pub(super) fn is_changed_of_nbd(words: &str) -> Option<bool> {
    // Old ones say `allocated` for `data`, and `unallocated` for `absent`.
    match words {
        "data" | "allocated" | "zero" | "dirty" | "local" => Some(true),
        "hole" | "hole,zero" | "clean" | "absent" | "unallocated" => Some(false),
        other if other.starts_with("backing depth") => Some(false),
        _ => None,
    }
}

/// Reads a list: an array of extents, or objects one after another that are extents or hold some.
/// Its form is told by its first extent unless it is given.
pub(super) fn parse(from: impl BufRead, format: Option<ListFormat>) -> Result<List> {
    let mut json = Reader {
        words: Words::new("extent list", MAX_STRING, from),
        format,
        list: List::new(None),
    };
    while let Some(next) = json.words.peek_token()? {
        match next {
            b'[' => json.extents(None)?,
            b'{' => {
                json.words.skip();
                let object = json.object(true)?;
                json.add(object, None)?;
            }
            _ => return Err(json.words.wrong("not the JSON of a list of extents")),
        }
    }
    Ok(json.list)
}

struct Reader<R> {
    words: Words<R>,
    format: Option<ListFormat>,
    list: List,
}

impl<R: BufRead> Reader<R> {
    /// An array of extents. Blocks whose size `page` says, when all of it was read, are left there.
    fn extents(&mut self, mut page: Option<&mut Object>) -> Result<()> {
        self.words.expect(b'[')?;
        let mut first = true;
        while let Some(next) = self.words.element(&mut first)? {
            if next != b'{' {
                return Err(self.words.wrong("expected an extent"));
            }
            let object = self.object(false)?;
            self.add(object, page.as_deref_mut())?;
        }
        Ok(())
    }

    /// Adds what `object` says to the list.
    fn add(&mut self, object: Object, page: Option<&mut Object>) -> Result<()> {
        if object.is_page {
            let size = object.number(&["BlockSize"]).unwrap_or(EBS_BLOCK);
            for block in object.blocks {
                self.add_block(block, size)?;
            }
            return Ok(());
        }
        let format = match self.format.or_else(|| object.format()) {
            Some(format) => *self.format.insert(format),
            None => return Err(self.unknown(&object)),
        };
        if format == ListFormat::Ebs {
            let block = object.number(&["BlockIndex"]);
            let block = block.ok_or_else(|| self.words.wrong("a block without an index"))?;
            return match page {
                Some(page) if page.blocks.len() >= MOST_BLOCKS => {
                    Err(Error::limit("extent list", "too many blocks of one page"))
                }
                Some(page) => {
                    page.blocks.push(block);
                    Ok(())
                }
                None => self.add_block(block, EBS_BLOCK),
            };
        }
        match object
            .range(format)
            .map_err(|what| self.words.wrong(what))?
        {
            Some((start, length)) => self.list.add(start, length),
            None => Ok(()),
        }
    }

    fn add_block(&mut self, block: u64, size: u64) -> Result<()> {
        match block.checked_mul(size) {
            Some(start) => self.list.add(start, size),
            None => {
                self.list.too_far = self.list.too_far.saturating_add(1);
                Ok(())
            }
        }
    }

    fn unknown(&self, object: &Object) -> Error {
        let keys = match object.keys.len() {
            0 => "no keys".to_owned(),
            _ => format!("the keys {}", object.keys.join(", ")),
        };
        self.words.wrong(&format!(
            "a list of a form that is not known: its first object has {keys}; known are those of \
             qemu-img map (start, length, depth), nbdinfo (offset, length, type), rbd diff (offset, \
             length, exists), AWS EBS (BlockIndex), Kubernetes CSI (byte_offset, size_bytes) and \
             VMware (start, length)"
        ))
    }

    /// The rest of an object whose brace was read. One at the `top` may hold extents.
    fn object(&mut self, top: bool) -> Result<Object> {
        let mut object = Object::default();
        let mut first = true;
        while let Some(name) = self.words.member(&mut first)? {
            let container = top && CONTAINERS.contains(&name.as_str());
            if container && self.words.peek_token()? == Some(b'[') {
                object.is_page = true;
                self.extents(Some(&mut object))?;
            } else {
                let value = self.words.value()?;
                object.set(name, value);
            }
        }
        Ok(object)
    }
}
