//! Attributes of files.

use hexz_ondisk::Guid;
use hexz_resolve::{
    Attributes, FileKind, FileSet, Lineage, RawName, ReadAt, Result, Scan, Sink, Timestamp, Xattr,
};
use sha2::{Digest, Sha256};

use crate::file::File;
use crate::fs::Ntfs;
use crate::links::FileName;
use crate::ondisk::{I30, file_attributes, kind, le32, le64, number, size};
use crate::reparse::{self, INTERIX_MOST, Stands};
use crate::streams::{Stream, StreamReader, attribute_error};

/// Most bytes of a reparse point, of all extended attributes, or of another small attribute.
const MOST: u64 = 64 << 10;

/// Attributes, and the streams whose values are still to be read.
struct Found {
    attributes: Attributes,
    streams: Vec<Stream>,
}

impl Ntfs {
    pub(crate) fn attributes_of(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        let mut streams = StreamReader::new(&*self.reader, cx);
        self.each_file(
            "ntfs-attributes",
            files,
            cx,
            |file, reader, found: &mut Vec<Found>| {
                let one = One {
                    fs: self,
                    file,
                    reader,
                };
                found.push(one.read(&|error| reader.tolerate(error))?);
                Ok(())
            },
            |found| {
                let mut attributes = found.attributes.clone();
                for stream in &found.streams {
                    attributes.xattrs.push(Xattr {
                        name: stream.name.clone(),
                        value: streams.value(stream)?,
                    });
                }
                attributes.xattrs.sort();
                out.put(attributes)
            },
        )
    }
}

struct One<'a> {
    fs: &'a Ntfs,
    file: &'a File,
    reader: &'a dyn ReadAt,
}

impl One<'_> {
    fn read(&self, tolerate: crate::file::Tolerate<'_>) -> Result<Found> {
        let file = self.file;
        let kind = if file.is_directory {
            FileKind::Directory
        } else {
            FileKind::File
        };
        let mut a = Attributes::inode(file.id.key(), file.id.sequence.into(), kind);
        let geometry = &self.fs.mft.geometry;
        let (stream, name): (u32, &[u8]) = if file.is_directory {
            (kind::INDEX_ALLOCATION, I30)
        } else {
            (kind::DATA, b"")
        };
        let content = file.content(stream, name, geometry);
        // What a metadata file holds is not content that a user changes, and neither is its size.
        if !self.fs.systems.contains(file.id.number) {
            a.size = content.as_ref().map_or(0, |c| c.size);
        }
        let flags = standard_information(file, &mut a);
        a.nlink = Some(self.links());
        a.reserved = (file.id.number != number::ROOT
            && file.id.number < number::FIRST_USER
            && a.nlink == Some(0))
        .then_some("<reserved>");
        let mut streams = Vec::new();
        let done = self
            .reparse(&mut a)
            .and_then(|()| match &content {
                Some(content) if flags & INTERIX == file_attributes::SYSTEM => {
                    self.interix(content, &mut a)
                }
                _ => Ok(()),
            })
            .and_then(|()| self.extended_attributes(&mut a));
        if let Err(error) = done {
            tolerate(error.layer("ntfs"))?;
        }
        a.lineage = Lineage::inode(a.kind, a.key.number, file.id.sequence.into());
        self.small(&mut a);
        if !self.fs.systems.contains(file.id.number) {
            self.streams(&mut streams);
        }
        a.special.sort();
        Ok(Found {
            attributes: a,
            streams,
        })
    }

    /// Names that are links of their own.
    fn links(&self) -> u64 {
        let root = |name: &FileName| {
            self.file.id.number == number::ROOT && name.parent.number == number::ROOT
        };
        let names = self.file.values(kind::FILE_NAME);
        let names = names.filter_map(|value| FileName::parse(value).ok().flatten());
        crate::ondisk::wide(names.filter(|name| !root(name)).count())
    }

    /// The whole of a small attribute.
    fn whole(&self, kind: u32, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(content) = self.file.content(kind, name, &self.fs.mft.geometry) else {
            return Ok(None);
        };
        if content.size > MOST {
            let place = self.fs.mft.place(self.file.id.number);
            return Err(attribute_error(place, "more than 64 KiB"));
        }
        content.read(self.reader, 0, size(content.size)).map(Some)
    }

    fn reparse(&self, a: &mut Attributes) -> Result<()> {
        let Some(data) = self.whole(kind::REPARSE_POINT, b"")? else {
            return Ok(());
        };
        let stands = reparse::reparse(&data);
        let told = stands.as_ref().is_some_and(|s| s.target.is_some());
        let tag = reparse::tag(&data);
        let value = if told {
            format!("{tag:#010x}")
        } else {
            format!("{tag:#010x} {}", digest(&data))
        };
        a.special.push(("reparse", value));
        if let Some(stands) = stands {
            apply(stands, a);
        }
        Ok(())
    }

    fn interix(&self, content: &crate::bytes::Content, a: &mut Attributes) -> Result<()> {
        if a.kind != FileKind::File || content.size > INTERIX_MOST {
            return Ok(());
        }
        // A stored link is never compressed.
        if self.fs.systems.contains(self.file.id.number) || content.pieces.iter().any(|p| p.encoded)
        {
            return Ok(());
        }
        let bytes = content.read(self.reader, 0, size(content.size))?;
        if let Some(stands) = reparse::interix(&bytes, content.size) {
            apply(stands, a);
        }
        Ok(())
    }

    fn extended_attributes(&self, a: &mut Attributes) -> Result<()> {
        let Some(data) = self.whole(kind::EA, b"")? else {
            return Ok(());
        };
        let place = self.fs.mft.place(self.file.id.number);
        let list = reparse::extended_attributes(&data);
        for (name, value) in list.map_err(|what| attribute_error(place, what))? {
            let number = || le32(value, 0);
            match name.to_ascii_uppercase().as_slice() {
                b"$LXUID" => a.uid = number(),
                b"$LXGID" => a.gid = number(),
                b"$LXMOD" => a.mode = number().map(|mode| mode & 0o7777),
                b"$LXDEV" => {
                    let minor = le32(value, 4);
                    a.rdev = number()
                        .zip(minor)
                        .map(|(major, minor)| u64::from(major) << 32 | u64::from(minor));
                }
                _ => {}
            }
            a.xattrs.push(Xattr {
                name: RawName::from(&[b"ea:", name].concat()),
                value: value.into(),
            });
        }
        Ok(())
    }

    /// Small attributes that only NTFS has.
    fn small(&self, a: &mut Attributes) {
        let file = self.file;
        if let Some(id) = file.value(kind::OBJECT_ID).and_then(|v| v.first_chunk()) {
            a.special
                .push(("object-id", Guid::from_mixed(*id).to_string()));
        }
        // Before NTFS 3.0, and in what mkntfs makes, the descriptor is in the record.
        if let Some(descriptor) = file.value(kind::SECURITY_DESCRIPTOR) {
            a.special.push(("security-descriptor", digest(descriptor)));
        }
        let utility = file.attributes.iter().find(|attribute| {
            attribute.kind == kind::LOGGED_UTILITY_STREAM && attribute.name == b"$EFS"
        });
        if utility.is_some()
            && let Ok(Some(data)) = self.whole(kind::LOGGED_UTILITY_STREAM, b"$EFS")
        {
            a.special.push(("efs", digest(&data)));
        }
    }

    fn streams(&self, out: &mut Vec<Stream>) {
        let file = self.file;
        let mut last: Option<&[u8]> = None;
        for attribute in file.attributes.iter().filter(|a| a.kind == kind::DATA) {
            let name = attribute.name.as_slice();
            if name.is_empty() || last == Some(name) {
                continue;
            }
            last = Some(name);
            if let Some(content) = file.content(kind::DATA, name, &self.fs.mft.geometry) {
                out.push(Stream {
                    name: RawName::from(&[b"stream:", name].concat()),
                    content,
                });
            }
        }
    }
}

/// Interix files are system files that are not hidden.
const INTERIX: u32 = file_attributes::SYSTEM | file_attributes::HIDDEN;

fn apply(stands: Stands, a: &mut Attributes) {
    a.kind = stands.kind;
    if let Some(target) = stands.target {
        a.size = crate::ondisk::wide(target.len());
        a.target = Some(RawName::from(&target));
    } else {
        a.size = 0;
    }
    if let Some((major, minor)) = stands.device {
        a.rdev = Some(major << 32 | minor & 0xFFFF_FFFF);
    }
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// Reads `$STANDARD_INFORMATION`; gives its `file_attributes`.
fn standard_information(file: &File, a: &mut Attributes) -> u32 {
    let Some(value) = file.value(kind::STANDARD_INFORMATION) else {
        return 0;
    };
    let at = |offset: usize| le64(value, offset).map(time);
    a.btime = at(0);
    a.mtime = at(8);
    a.ctime = at(16);
    a.atime = at(24);
    let flags = le32(value, 32).unwrap_or(0);
    a.flags = Some(u64::from(flags & file_attributes::VISIBLE));
    // The short form of NTFS 1.2 ends before security_id.
    if let Some(id) = le32(value, 52).filter(|id| *id != 0) {
        a.special.push(("security-id", id.to_string()));
    }
    flags
}

/// 100 nanoseconds each, from 1601 on.
fn time(raw: u64) -> Timestamp {
    const TO_UNIX: i64 = 11_644_473_600;
    const SECOND: i64 = 10_000_000;
    let raw = raw.cast_signed();
    let nanoseconds = raw.rem_euclid(SECOND).saturating_mul(100);
    Timestamp {
        seconds: raw.div_euclid(SECOND).saturating_sub(TO_UNIX),
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_1601() {
        // "How To Convert a UNIX time_t to a Win32 FILETIME": 116444736000000000.
        let epoch = time(116_444_736_000_000_000);
        assert_eq!(epoch, Timestamp::default());
        let later = time(116_444_736_000_000_000 + 15_000_001);
        assert_eq!((later.seconds, later.nanoseconds), (1, 500_000_100));
        assert_eq!(time(0).seconds, -11_644_473_600);
    }
}
