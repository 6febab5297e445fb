//! Pass 2: the names of files, from the `$FILE_NAME` attributes of one sweep.

use std::collections::BTreeSet;

use hexz_ondisk::wtf8_from_utf16le;
use hexz_resolve::{
    Diagnostic, Error, FileKey, FileSet, Link, RawName, Result, Scan, Sink, UnitReader,
};

use crate::fs::Ntfs;
use crate::mft::Slice;
use crate::ondisk::{Reference, corrupt, file_attributes, kind, le32, number, size};
use crate::record::Record;

/// `file_name_type` of a name that only DOS uses: another name of the same link.
const DOS: u8 = 2;

/// A `$FILE_NAME`, in a record or in a directory's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    /// `parent_directory`.
    pub(crate) parent: Reference,
    pub(crate) name: Vec<u8>,
}

impl FileName {
    /// Reads one; `None` inside for a DOS name, which is no link of its own.
    pub(crate) fn parse(value: &[u8]) -> Result<Option<Self>, &'static str> {
        let parse = || {
            let length = size(*value.get(64)?).checked_mul(2)?;
            let namespace = *value.get(65)?;
            let name = value.get(66..66usize.checked_add(length)?)?;
            Some((Reference::read(value, 0)?, namespace, name))
        };
        let (parent, namespace, name) = parse().ok_or("a file name out of bounds")?;
        if namespace == DOS {
            return Ok(None);
        }
        let name = wtf8_from_utf16le(name);
        Ok(Some(Self { parent, name }))
    }

    /// Whether it says that the file is a directory.
    fn is_of_directory(value: &[u8]) -> bool {
        le32(value, 56).unwrap_or(0) & file_attributes::DIRECTORY_INDEX != 0
    }

    /// Whether a directory may show it.
    pub(crate) fn is_name(&self) -> bool {
        let name = self.name.as_slice();
        !name.is_empty()
            && !name.contains(&b'/')
            && !name.contains(&0)
            && !matches!(name, b"." | b"..")
    }
}

/// What one slice gave.
#[derive(Debug, Default)]
struct Named {
    links: Vec<(Reference, Link, Reference, bool)>,
    directories: Vec<Reference>,
    bases: Vec<Reference>,
}

/// A link as a record tells it: the directory with its sequence, the link, the file.
type Told = (Reference, Link, Reference);

impl Ntfs {
    /// Whether so few files are asked about that their records are read one by one.
    pub(crate) fn are_few(&self, files: &FileSet) -> bool {
        let files = u64::try_from(files.len()).unwrap_or(u64::MAX);
        files < self.mft.records / 8
    }

    /// The links to `wanted`, from their records.
    pub(crate) fn some_links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let mut links: Vec<Told> = Vec::new();
        self.each_file(
            "ntfs-names",
            wanted,
            cx,
            |file, reader, found: &mut Vec<Told>| {
                for value in file.values(kind::FILE_NAME) {
                    match link(value, file.id) {
                        Ok(told) => found.extend(told),
                        Err(what) => reader.tolerate(self.bad_name(file.id.number, what))?,
                    }
                }
                Ok(())
            },
            |told| {
                links.push(told.clone());
                Ok(())
            },
        )?;
        // A parent is a directory, and still the one that was meant.
        let parents: FileSet = links.iter().map(|(_, link, _)| link.parent).collect();
        let mut directories: BTreeSet<Reference> = BTreeSet::new();
        self.each_file(
            "ntfs-parents",
            &parents,
            cx,
            |file, _, found: &mut Vec<Reference>| {
                found.extend(file.is_directory.then_some(file.id));
                Ok(())
            },
            |id| {
                directories.insert(*id);
                Ok(())
            },
        )?;
        for (parent, link, child) in links {
            if directories.contains(&parent) {
                out.put(link)?;
            } else {
                self.stale(parent, child, cx);
            }
        }
        Ok(())
    }

    fn bad_name(&self, number: u64, what: &'static str) -> Error {
        corrupt("file name", self.mft.place(number), what)
            .message(format!("record {number}"))
            .layer("ntfs")
    }

    /// Tells of a name in what is no directory.
    fn stale(&self, parent: Reference, child: Reference, cx: &Scan<'_>) {
        let text = format!(
            "file {child} has a name in {}:{}, which is no directory",
            parent.number, parent.sequence
        );
        let place = self.mft.place(child.number);
        cx.diagnose(Diagnostic::warning("stale-parent", text).at(place));
    }

    /// All links, from one sweep.
    pub(crate) fn all_links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let slices = self.mft.slices(cx.limits().unit_bytes);
        let mut directories: BTreeSet<Reference> = BTreeSet::new();
        let mut bases: BTreeSet<Reference> = BTreeSet::new();
        let mut links: Vec<(Reference, Link, Reference, bool)> = Vec::new();
        cx.units(
            "ntfs-links",
            &self.reader,
            &slices,
            |slice, reader| names(slice, wanted, reader),
            |slice, found: &Named| {
                cx.advance(slice.length());
                directories.extend(found.directories.iter().copied());
                bases.extend(found.bases.iter().copied());
                links.extend(found.links.iter().cloned());
                Ok(())
            },
        )?;
        for (parent, link, child, in_extension) in links {
            let there = directories.contains(&parent);
            if !there || (in_extension && !bases.contains(&child)) {
                self.stale(parent, child, cx);
                continue;
            }
            out.put(link)?;
        }
        Ok(())
    }
}

fn names(slice: &Slice, wanted: &FileSet, reader: &UnitReader<'_>) -> Result<Named> {
    let mut found = Named::default();
    slice.records(reader, |record| {
        let id = record.file();
        let is_base = record.base().is_none();
        if is_base && record.is_directory() {
            found.directories.push(id);
        }
        if let Err(what) = record_names(&record, id, wanted, &mut found) {
            reader.tolerate(
                corrupt("file name", slice.place(record.number), what)
                    .message(format!("record {}", record.number))
                    .layer("ntfs"),
            )?;
        }
        Ok(())
    })?;
    Ok(found)
}

fn record_names(
    record: &Record<'_>,
    id: Reference,
    wanted: &FileSet,
    found: &mut Named,
) -> Result<(), &'static str> {
    let is_base = record.base().is_none();
    let asked = wanted.contains(id.key()) || (is_base && record.is_directory());
    for attribute in record.attributes() {
        let attribute = attribute?;
        match attribute.kind {
            kind::ATTRIBUTE_LIST if is_base => found.bases.push(id),
            kind::FILE_NAME => {
                let (value, _) = attribute.value().ok_or("a file name out of bounds")?;
                if !asked && !FileName::is_of_directory(value) {
                    continue;
                }
                let told = link(value, id)?;
                let told = told.map(|(parent, link, id)| (parent, link, id, !is_base));
                found.links.extend(told);
            }
            // Attributes stand in the order of their types.
            other if other > kind::FILE_NAME => break,
            _ => {}
        }
    }
    Ok(())
}

/// The link that a `$FILE_NAME` of `id` is; `None` for a name that is no link of its own.
fn link(value: &[u8], id: Reference) -> Result<Option<Told>, &'static str> {
    let Some(name) = FileName::parse(value)? else {
        return Ok(None);
    };
    // The root names itself.
    if id.number == number::ROOT && name.parent.number == number::ROOT {
        return Ok(None);
    }
    if !name.is_name() {
        return Err("a name that is none");
    }
    let link = Link {
        parent: FileKey::new(name.parent.number),
        name: RawName::from(&name.name),
        child: id.key(),
    };
    Ok(Some((name.parent, link, id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_names_are_no_links_and_surrogates_stay() {
        let mut value = vec![0; 70];
        value[..8].copy_from_slice(&[5, 0, 0, 0, 0, 0, 7, 0]);
        value[64] = 2;
        value[66..70].copy_from_slice(&[b'a', 0, 0x00, 0xD8]);
        let found = FileName::parse(&value).unwrap().unwrap();
        assert_eq!((found.parent.number, found.parent.sequence), (5, 7));
        assert_eq!(found.name, b"a\xED\xA0\x80");
        value[65] = DOS;
        assert_eq!(FileName::parse(&value), Ok(None));
        value[64] = 3;
        assert!(FileName::parse(&value).is_err());
    }
}
