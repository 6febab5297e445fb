//! Directory indexes: the names in a directory, from its root and from its index blocks.

use hexz_resolve::{
    ByteRange, FileKey, FileSet, Link, RangeSet, RawName, ReadAt, Result, Scan, Sink,
};

use crate::file::{File, Tolerate};
use crate::fs::Ntfs;
use crate::links::FileName;
use crate::mft::Mft;
use crate::ondisk::{
    I30, Reference, STRIDE, apply_fixups, corrupt, kind, le16, le32, number, size,
};

/// Bytes of an index that are read at a time.
const CHUNK: u64 = 1 << 20;
/// Flag of an index entry: the last one of its node, without a name.
const LAST: u16 = 2;

impl Ntfs {
    pub(crate) fn entries_of(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        self.each_file(
            "ntfs-entries",
            directories,
            cx,
            |file, reader, found: &mut Vec<Link>| {
                let tolerate = |error| reader.tolerate(error);
                self.mft
                    .names_in(file, reader, &tolerate, &mut |child, name| {
                        found.push(Link {
                            parent: file.key(),
                            name: RawName::from(&name.name),
                            child: FileKey::new(child.number),
                        });
                    })
            },
            |link| out.put(link.clone()),
        )
    }
}

/// What is told of a directory of which a part is left out.
enum Told {
    Link(Link),
    Clean(ByteRange),
}

/// Index blocks that are left out: those that hold nothing of `dirty` go to `clean`.
struct LeftOut<'a> {
    dirty: &'a RangeSet,
    clean: &'a mut dyn FnMut(ByteRange),
}

impl LeftOut<'_> {
    /// Whether the index block that lies in `places` is one of them.
    fn has(&mut self, places: &[ByteRange], block: u64) -> bool {
        let whole = places.iter().map(ByteRange::len).sum::<u64>() == block;
        if !whole || places.iter().any(|place| self.dirty.overlaps(*place)) {
            return false;
        }
        places.iter().for_each(|place| (self.clean)(*place));
        true
    }
}

impl Ntfs {
    /// [`Ntfs::entries_of`], but for those in index blocks that hold nothing of `dirty`: these go to
    /// `clean`.
    pub(crate) fn dirty_entries_of(
        &self,
        directories: &FileSet,
        dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
        clean: &mut dyn Sink<(FileKey, ByteRange)>,
    ) -> Result<()> {
        self.each_file(
            "ntfs-dirty-entries",
            directories,
            cx,
            |file, reader, found: &mut Vec<(FileKey, Told)>| {
                let tolerate = |error| reader.tolerate(error);
                let key = file.key();
                let mut blocks = Vec::new();
                let left_out = LeftOut {
                    dirty,
                    clean: &mut |range| blocks.push((key, Told::Clean(range))),
                };
                let mut put = |child: Reference, name: FileName| {
                    let link = Link {
                        parent: key,
                        name: RawName::from(&name.name),
                        child: FileKey::new(child.number),
                    };
                    found.push((key, Told::Link(link)));
                };
                self.mft
                    .names_but(file, reader, &tolerate, Some(left_out), &mut put)?;
                found.append(&mut blocks);
                Ok(())
            },
            |(key, told)| match told {
                Told::Link(link) => out.put(link.clone()),
                Told::Clean(range) => clean.put((*key, *range)),
            },
        )
    }
}

impl Mft {
    /// Hands out all names in a directory; none for what is no directory.
    pub(crate) fn names_in(
        &self,
        file: &File,
        reader: &dyn ReadAt,
        tolerate: Tolerate<'_>,
        put: &mut dyn FnMut(Reference, FileName),
    ) -> Result<()> {
        self.names_but(file, reader, tolerate, None, put)
    }

    /// The same, but for those in index blocks that are left out.
    fn names_but(
        &self,
        file: &File,
        reader: &dyn ReadAt,
        tolerate: Tolerate<'_>,
        mut left_out: Option<LeftOut<'_>>,
        put: &mut dyn FnMut(Reference, FileName),
    ) -> Result<()> {
        if !file.is_directory {
            return Ok(());
        }
        let place = self.place(file.id.number);
        let told = |error: hexz_resolve::Error| {
            let error = error.message(format!("directory {}", file.id));
            tolerate(error.layer("ntfs"))
        };
        let root = file
            .attributes
            .iter()
            .find(|a| a.kind == kind::INDEX_ROOT && a.name == I30);
        let root = root.and_then(|a| match &a.body {
            crate::file::Body::Resident { value, .. } => Some(value.as_slice()),
            crate::file::Body::Extent(_) => None,
        });
        let Some(root) = root else {
            return told(corrupt("directory", place, "no index root"));
        };
        if let Err(what) = node(root, 16, put) {
            told(corrupt("index root", place, what))?;
        }
        let Some(blocks) = file.content(kind::INDEX_ALLOCATION, I30, &self.geometry) else {
            return Ok(());
        };
        let block = u64::from(le32(root, 8).unwrap_or(0));
        if !block.is_power_of_two() || !(512..=CHUNK).contains(&block) {
            return told(corrupt("index root", place, "index blocks of an odd size"));
        }
        let bitmap = file.content(kind::BITMAP, I30, &self.geometry);
        let Some(bitmap) = bitmap else {
            return told(corrupt("directory", place, "index blocks without a bitmap"));
        };
        let end = blocks.size.min(blocks.initialized);
        let mut at = 0u64;
        while at < end {
            let length = CHUNK.min(end.saturating_sub(at));
            let first = at.checked_div(block).unwrap_or(0);
            let bits = bitmap.read(
                reader,
                first >> 3,
                size((length / 512 / 8).saturating_add(2)),
            );
            let done = bits.and_then(|bits| {
                let is_used = |offset: u64| {
                    let n = offset.saturating_sub(at).checked_div(block).unwrap_or(0);
                    let index = (first & 7).saturating_add(n);
                    let byte = bits.get(size(index >> 3)).copied().unwrap_or(0);
                    byte >> (index & 7) & 1 != 0
                };
                let all = ByteRange::new(at, at.saturating_add(length));
                let parts = match &mut left_out {
                    None => RangeSet::from(all),
                    Some(left_out) => (0..length.checked_div(block).unwrap_or(0))
                        .map(|n| at.saturating_add(n.saturating_mul(block)))
                        .filter(|offset| is_used(*offset))
                        .filter_map(|offset| {
                            let range = ByteRange::at(offset, block)?;
                            let places = blocks.places(range).map(|(_, place)| place);
                            let places: Vec<ByteRange> = places.collect();
                            (!left_out.has(&places, block)).then_some(range)
                        })
                        .collect(),
                };
                for part in &parts {
                    let mut bad = RangeSet::new();
                    let mut lost = |range: ByteRange, error| {
                        bad.insert(range.aligned_out(block));
                        told(error)
                    };
                    let (start, length) = (part.start(), size(part.len()));
                    let mut bytes = blocks.read_what_can_be(reader, start, length, &mut lost)?;
                    for (n, bytes) in (0u64..).zip(bytes.chunks_exact_mut(size(block))) {
                        let offset = start.saturating_add(n.saturating_mul(block));
                        if !is_used(offset) || bad.contains(offset) {
                            continue;
                        }
                        let place = blocks
                            .places(ByteRange::new(offset, offset.saturating_add(1)))
                            .next()
                            .map_or(0, |(_, range)| range.start());
                        if let Err(what) = index_block(bytes, put) {
                            told(corrupt("index block", place, what))?;
                        }
                    }
                }
                Ok(())
            });
            if let Err(error) = done {
                told(error)?;
            }
            at = at.saturating_add(length);
        }
        Ok(())
    }
}

fn index_block(
    bytes: &mut [u8],
    put: &mut dyn FnMut(Reference, FileName),
) -> Result<(), &'static str> {
    if !bytes.starts_with(b"INDX") {
        return Err("no INDX signature");
    }
    if bytes.len() >= STRIDE {
        apply_fixups(bytes)?;
    }
    node(bytes, 24, put)
}

/// The entries of a node whose index header stands at byte `header`.
fn node(
    bytes: &[u8],
    header: usize,
    put: &mut dyn FnMut(Reference, FileName),
) -> Result<(), &'static str> {
    let read = || -> Option<&[u8]> {
        let first = size(le32(bytes, header)?);
        let end = size(le32(bytes, header.checked_add(4)?)?);
        bytes.get(header.checked_add(first)?..header.checked_add(end)?)
    };
    let mut rest = read().ok_or("entries out of bounds")?;
    loop {
        let entry = || {
            let flags = le16(rest, 12)?;
            Some((
                Reference::read(rest, 0)?,
                size(le16(rest, 8)?),
                size(le16(rest, 10)?),
                flags,
            ))
        };
        let (child, length, key, flags) = entry().ok_or("entries without an end")?;
        if flags & LAST != 0 {
            return Ok(());
        }
        let after = rest.get(length..).filter(|_| length >= 16);
        let after = after.ok_or("an entry out of bounds")?;
        let key = rest
            .get(16..16usize.saturating_add(key))
            .ok_or("a name out of bounds")?;
        match FileName::parse(key)? {
            // The root names itself.
            Some(name) if child.number == number::ROOT && name.name == b"." => {}
            Some(name) if !name.is_name() => return Err("a name that is none"),
            Some(name) => put(child, name),
            None => {}
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(child: u8, name: &str, flags: u8) -> Vec<u8> {
        let name: Vec<u8> = name.bytes().flat_map(|b| [b, 0]).collect();
        let key = 66 + name.len();
        let length = (16 + key).next_multiple_of(8);
        let mut bytes = vec![0; length];
        bytes[0] = child;
        bytes[8] = length as u8;
        bytes[10] = key as u8;
        bytes[12] = flags;
        bytes[16 + 64] = (name.len() / 2) as u8;
        bytes[16 + 66..16 + key].copy_from_slice(&name);
        bytes
    }

    fn names(entries: &[Vec<u8>]) -> Result<Vec<(u64, Vec<u8>)>, &'static str> {
        let entries = entries.concat();
        let mut bytes = vec![0; 16];
        bytes[0] = 16;
        bytes[4..8].copy_from_slice(&(16 + entries.len() as u32).to_le_bytes());
        bytes.extend(entries);
        let mut found = Vec::new();
        node(&bytes, 0, &mut |child, name| {
            found.push((child.number, name.name));
        })?;
        Ok(found)
    }

    #[test]
    fn entries_end_with_the_one_that_is_marked() {
        let found = names(&[entry(40, "a", 0), entry(41, "bc", 1), entry(0, "", 2)]);
        assert_eq!(found, Ok(vec![(40, b"a".to_vec()), (41, b"bc".to_vec())]));
        assert!(names(&[entry(40, "a", 0)]).is_err());
        let mut endless = entry(40, "a", 0);
        endless[8] = 0;
        assert!(names(&[endless, entry(0, "", 2)]).is_err());
        assert!(names(&[entry(40, "a/b", 0), entry(0, "", 2)]).is_err());
    }
}
