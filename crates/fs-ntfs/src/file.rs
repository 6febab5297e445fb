//! One file put together: its base record and the extension records its attribute list names.

use std::collections::BTreeSet;

use hexz_resolve::{Error, FileKey, ReadAt, Result};

use crate::bytes::Content;
use crate::mft::Mft;
use crate::ondisk::{Geometry, Reference, corrupt, kind, le16, le32, size, wide};
use crate::record::{Layout, Piece, Record, run_pieces};
use crate::runs::Run;

/// Largest attribute list that is read; Windows stops at 256 KiB.
const MAX_LIST: u64 = 1 << 20;

/// A file in use, with all its attributes.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) id: Reference,
    pub(crate) is_directory: bool,
    pub(crate) attributes: Vec<Attribute>,
}

/// An attribute, or one extent of a non-resident one.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) kind: u32,
    /// In WTF-8.
    pub(crate) name: Vec<u8>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Resident { value: Vec<u8>, pieces: Vec<Piece> },
    Extent(OwnedExtent),
}

/// As [`crate::record::Extent`], with its runs.
#[derive(Clone, Debug)]
pub(crate) struct OwnedExtent {
    pub(crate) lowest_vcn: u64,
    pub(crate) data_size: u64,
    pub(crate) initialized_size: u64,
    pub(crate) boundary: u64,
    layout: Layout,
    runs: Vec<Run>,
}

impl OwnedExtent {
    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn pieces(&self, geometry: &Geometry) -> Vec<Piece> {
        let mut out = Vec::new();
        for index in 0..self.runs.len() {
            run_pieces(index, &self.runs, self.layout, geometry, |p| out.push(p));
        }
        out
    }
}

/// Says what went wrong in a part; gives back what ends all.
pub(crate) type Tolerate<'a> = &'a dyn Fn(Error) -> Result<()>;

impl Mft {
    /// The file whose base record is `number`; `None` where there is none.
    pub(crate) fn file(
        &self,
        reader: &dyn ReadAt,
        number: u64,
        tolerate: Tolerate<'_>,
    ) -> Result<Option<File>> {
        let mut buf = Vec::new();
        let Some(record) = self.read(reader, number, &mut buf)? else {
            return Ok(None);
        };
        if record.base().is_some() {
            return Ok(None);
        }
        let mut file = File {
            id: record.file(),
            is_directory: record.is_directory(),
            attributes: Vec::new(),
        };
        self.gather(&record, &mut file.attributes, tolerate)?;
        let list = match self.attribute_list(reader, &file) {
            Ok(list) => list,
            Err(error) => {
                tolerate(error.layer("ntfs"))?;
                Vec::new()
            }
        };
        let others: BTreeSet<Reference> = list.into_iter().map(|entry| entry.record).collect();
        for other in others.iter().filter(|r| r.number != number) {
            if let Err(error) = self.extension(reader, *other, &mut file, tolerate) {
                tolerate(error.layer("ntfs"))?;
            }
        }
        if !others.is_empty() {
            file.attributes.sort_by(|a, b| order(a).cmp(&order(b)));
        }
        Ok(Some(file))
    }

    fn extension(
        &self,
        reader: &dyn ReadAt,
        reference: Reference,
        file: &mut File,
        tolerate: Tolerate<'_>,
    ) -> Result<()> {
        let mut buf = Vec::new();
        let record = self.read(reader, reference.number, &mut buf)?;
        let mine = |r: &Record<'_>| r.base().is_some() && r.file() == file.id;
        let Some(record) = record.filter(mine) else {
            let what = format!(
                "record {}, which is none of file {}",
                reference.number, file.id
            );
            return Err(corrupt("attribute list", self.place(file.id.number), &what));
        };
        self.gather(&record, &mut file.attributes, tolerate)
    }

    /// Adds the attributes of one record.
    pub(crate) fn gather(
        &self,
        record: &Record<'_>,
        out: &mut Vec<Attribute>,
        tolerate: Tolerate<'_>,
    ) -> Result<()> {
        for attribute in record.attributes() {
            let added = attribute.and_then(|a| self.attribute(record, &a));
            match added {
                Ok(attribute) => out.push(attribute),
                Err(what) => tolerate(
                    corrupt("attribute", self.place(record.number), what)
                        .message(format!("record {}", record.number))
                        .layer("ntfs"),
                )?,
            }
        }
        Ok(())
    }

    fn attribute(
        &self,
        record: &Record<'_>,
        attribute: &crate::record::Attribute<'_>,
    ) -> Result<Attribute, &'static str> {
        let name = attribute.name()?;
        let body = if attribute.is_resident() {
            let (value, range) = attribute.value().ok_or("a value out of bounds")?;
            let start = self.offset(record.number);
            let places = record.places(range).into_iter();
            let pieces = places.flat_map(|(offset, place)| {
                let from = start.saturating_add(place.start());
                self.places(from, place.len())
                    .map(move |(at, range)| Piece {
                        offset: offset.saturating_add(at.saturating_sub(from)),
                        range,
                        encoded: false,
                    })
            });
            Body::Resident {
                value: value.to_vec(),
                pieces: pieces.collect(),
            }
        } else {
            let extent = attribute.extent()?;
            let runs = extent.runs(&self.geometry);
            Body::Extent(OwnedExtent {
                lowest_vcn: extent.lowest_vcn,
                data_size: extent.data_size,
                initialized_size: extent.initialized_size,
                boundary: extent.boundary(&self.geometry),
                layout: extent.layout(),
                runs: runs.collect::<Result<_, _>>()?,
            })
        };
        Ok(Attribute {
            kind: attribute.kind,
            name,
            body,
        })
    }

    /// The entries of a file's attribute list; none where it has no list.
    pub(crate) fn attribute_list(
        &self,
        reader: &dyn ReadAt,
        file: &File,
    ) -> Result<Vec<ListEntry>> {
        let place = self.place(file.id.number);
        let Some(content) = file.content(kind::ATTRIBUTE_LIST, b"", &self.geometry) else {
            return Ok(Vec::new());
        };
        if content.size > MAX_LIST {
            return Err(corrupt("attribute list", place, "more than 1 MiB"));
        }
        let bytes = content.read(reader, 0, size(content.size))?;
        let mut out = Vec::new();
        let mut rest = bytes.as_slice();
        while rest.len() >= 24 {
            let entry = ListEntry::parse(rest);
            let length = size(le16(rest, 4).unwrap_or(0)).max(8);
            match (entry, rest.get(length..)) {
                (Some(entry), Some(after)) => {
                    out.push(entry);
                    rest = after;
                }
                _ => return Err(corrupt("attribute list", place, "an entry out of bounds")),
            }
        }
        Ok(out)
    }
}

/// Attributes in the order NTFS keeps them in; the extents of one follow each other.
fn order(attribute: &Attribute) -> (u32, &[u8], u64) {
    let vcn = match &attribute.body {
        Body::Resident { .. } => 0,
        Body::Extent(extent) => extent.lowest_vcn,
    };
    (attribute.kind, &attribute.name, vcn)
}

/// An entry of an attribute list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListEntry {
    pub(crate) kind: u32,
    /// Where the attribute, or this extent of it, stands.
    pub(crate) record: Reference,
}

impl ListEntry {
    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: le32(bytes, 0)?,
            record: Reference::read(bytes, 16)?,
        })
    }
}

impl File {
    pub(crate) fn key(&self) -> FileKey {
        self.id.key()
    }

    /// The value of the first resident attribute of `kind`.
    pub(crate) fn value(&self, kind: u32) -> Option<&[u8]> {
        self.values(kind).next()
    }

    /// The values of the resident attributes of `kind`.
    pub(crate) fn values(&self, kind: u32) -> impl Iterator<Item = &[u8]> {
        let of_kind = self.attributes.iter().filter(move |a| a.kind == kind);
        of_kind.filter_map(|a| match &a.body {
            Body::Resident { value, .. } => Some(value.as_slice()),
            Body::Extent(_) => None,
        })
    }

    /// Where the content of an attribute lies.
    pub(crate) fn content(&self, kind: u32, name: &[u8], geometry: &Geometry) -> Option<Content> {
        let mut found: Option<Content> = None;
        for attribute in &self.attributes {
            if attribute.kind != kind || attribute.name != name {
                continue;
            }
            match &attribute.body {
                Body::Resident { value, pieces } => {
                    found.get_or_insert_with(|| Content {
                        size: wide(value.len()),
                        initialized: wide(value.len()),
                        pieces: pieces.clone(),
                    });
                }
                Body::Extent(extent) => {
                    let content = found.get_or_insert_with(|| Content {
                        size: extent.data_size,
                        initialized: extent.initialized_size,
                        pieces: Vec::new(),
                    });
                    content.pieces.extend(extent.pieces(geometry));
                }
            }
        }
        found
    }
}
