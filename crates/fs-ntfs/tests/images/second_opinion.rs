//! The crates `ntfs` and `mft` over the same bytes: contents, streams, times, names.
//!
//! `ntfs` ignores the valid data length, takes cluster 0 for a hole, and misreads data whose first
//! extent is in the base record and whose others are not; neither decompresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;

use hexz_resolve::{Claim, FileKey, FileKind, Owner, ReadAt, Role, Timestamp, read_vec};
use hexz_testkit::Fixture;
use mft::MftParser;
use mft::attribute::x30::FileNamespace;
use mft::attribute::{MftAttributeContent, MftAttributeType};
use ntfs::{Ntfs, NtfsAttributeType, NtfsFile, NtfsReadSeek};

use crate::common::{Opened, open};

/// The volumes of all fixtures, in both views.
fn volumes() -> Vec<(String, Vec<u8>)> {
    let cases = [
        ("ntfs-plain", 0),
        ("ntfs-fragmented", 0),
        ("ntfs-64k", 0),
        ("ntfs-compressed", 0),
        ("ntfs-mbr63", 63 * 512),
        ("ntfs-hibernated", 0),
    ];
    let mut out = Vec::new();
    for (case, start) in cases {
        let fixture = Fixture::load(case);
        for (view, disk) in [("base", fixture.base()), ("merged", fixture.merged())] {
            let length = usize::try_from(disk.len()).unwrap();
            let bytes = read_vec(&disk, 0, length).unwrap();
            out.push((format!("{case} {view}"), bytes[start..].to_vec()));
        }
    }
    out
}

/// What `ntfs` reads of a stream.
fn stream(file: &NtfsFile<'_>, cursor: &mut Cursor<&[u8]>, name: &str) -> Option<Vec<u8>> {
    let item = file.data(cursor, name)?.unwrap();
    let attribute = item.to_attribute().unwrap();
    let mut value = attribute.value(cursor).unwrap();
    let mut bytes = vec![0; usize::try_from(value.len()).unwrap()];
    let mut done = 0;
    while done < bytes.len() {
        let n = value.read(cursor, &mut bytes[done..]).unwrap();
        assert_ne!(n, 0);
        done += n;
    }
    Some(bytes)
}

/// Content put together from claims; `None` where a part is encoded.
fn content(disk: &Arc<dyn ReadAt>, claims: &[&Claim], size: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for claim in claims {
        if claim.encoded {
            return None;
        }
        if claim.role != Role::Data {
            continue;
        }
        let at = usize::try_from(claim.file_offset.unwrap()).unwrap();
        let length = usize::try_from(claim.range.len()).unwrap();
        let length = length.min(bytes.len().saturating_sub(at));
        let found = read_vec(disk, claim.range.start(), length).unwrap();
        bytes[at..at + length].copy_from_slice(&found);
    }
    Some(bytes)
}

/// 100 nanoseconds from 1601 on.
fn raw(time: Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds + 11_644_473_600).unwrap();
    seconds * 10_000_000 + u64::from(time.nanoseconds) / 100
}

#[test]
fn contents_streams_and_times_are_those_that_ntfs_reads() {
    for (name, bytes) in volumes() {
        let disk: Arc<dyn ReadAt> = Arc::new(bytes.clone());
        let opened = open(&disk).unwrap();
        let mut cursor = Cursor::new(bytes.as_slice());
        let mut ntfs = Ntfs::new(&mut cursor).unwrap();
        ntfs.read_upcase_table(&mut cursor).unwrap();
        let info = opened.filesystem.info();
        assert_eq!(u64::from(info.block_size), u64::from(ntfs.cluster_size()));
        let serial = format!("{:016X}", ntfs.serial_number());
        assert_eq!(info.uuid.as_deref(), Some(serial.as_str()));
        let label = ntfs.volume_name(&mut cursor).unwrap().unwrap();
        let label = label.name().to_string_lossy();
        assert_eq!(info.label, label.as_bytes());
        compare(&name, &opened, &ntfs, &mut cursor);
    }
}

fn compare(name: &str, opened: &Opened, ntfs: &Ntfs, cursor: &mut Cursor<&[u8]>) {
    let files = opened.files();
    let extents = opened.extents(&files);
    let of = |key: FileKey| -> Vec<&Claim> {
        let mine = |c: &&Claim| matches!(c.owner, Owner::File(id) if id == key);
        extents
            .iter()
            .filter(mine)
            .filter(|c| c.stream.is_none())
            .collect()
    };
    let (mut compared, mut streams) = (0, 0);
    for file in opened.attributes(&files) {
        let number = file.key.number;
        let theirs = ntfs.file(cursor, number).unwrap();
        assert_eq!(Some(u64::from(theirs.sequence_number())), file.generation);
        if number >= 24 {
            assert_eq!(Some(u64::from(theirs.hard_link_count())), file.nlink);
        }
        let times = theirs.info().unwrap();
        for (ours, time) in [
            (file.mtime, times.modification_time()),
            (file.ctime, times.mft_record_modification_time()),
            (file.atime, times.access_time()),
            (file.btime, times.creation_time()),
        ] {
            assert_eq!(raw(ours.unwrap()), time.nt_timestamp(), "{name} {number}");
        }
        // Of metadata files no content is told.
        let in_list = theirs.attributes_raw().any(|attribute| {
            let ty = attribute.unwrap().ty().unwrap();
            ty == NtfsAttributeType::AttributeList
        });
        if file.kind == FileKind::File && number >= 24 && !in_list {
            // Those below `$Extend` may have none.
            let expected = stream(&theirs, cursor, "").unwrap_or_default();
            assert_eq!(file.size, expected.len() as u64, "{name} {number}");
            if let Some(found) = content(&opened.disk, &of(file.key), file.size) {
                assert!(found == expected, "{name}: content of {number}");
                compared += 1;
            }
        }
        for xattr in &file.xattrs {
            let text = String::from_utf8_lossy(xattr.name.as_bytes()).into_owned();
            let stream_name = text.strip_prefix("stream:").unwrap();
            let expected = stream(&theirs, cursor, stream_name).unwrap();
            if expected.len() <= 4096 {
                assert_eq!(*xattr.value, *expected, "{name} {text}");
            } else {
                assert_eq!(xattr.value.len(), 32, "{name} {text}");
            }
            streams += 1;
        }
    }
    assert!(compared > 0, "{name}");
    let has_streams = name.contains("plain") || name.contains("64k");
    assert_eq!(streams > 0, has_streams, "{name}");
}

#[test]
fn names_are_those_that_mft_reads() {
    for (name, bytes) in volumes() {
        let disk: Arc<dyn ReadAt> = Arc::new(bytes.clone());
        let opened = open(&disk).unwrap();
        let mut cursor = Cursor::new(bytes.as_slice());
        let ntfs = Ntfs::new(&mut cursor).unwrap();
        let record = ntfs.file_record_size();
        let file = ntfs.file(&mut cursor, 0).unwrap();
        let table = stream(&file, &mut cursor, "").unwrap();
        assert_eq!(table.len() % record as usize, 0);
        let mut parser = MftParser::from_buffer(table).unwrap();
        let mut expected: BTreeSet<(u64, String, u64)> = BTreeSet::new();
        let mut used: BTreeMap<u64, bool> = BTreeMap::new();
        let entries: Vec<_> = parser.iter_entries().filter_map(Result::ok).collect();
        for entry in entries.iter().filter(|e| e.is_allocated()) {
            let base = &entry.header.base_reference;
            let number = if base.entry == 0 {
                used.insert(entry.header.record_number, entry.is_dir());
                entry.header.record_number
            } else {
                base.entry
            };
            let names = entry.iter_attributes_matching(Some(vec![MftAttributeType::FileName]));
            for attribute in names {
                let attribute = attribute.unwrap();
                let MftAttributeContent::AttrX30(found) = &attribute.data else {
                    panic!("{name}: no name");
                };
                let root = number == 5 && found.parent.entry == 5;
                if found.namespace != FileNamespace::DOS && !root {
                    expected.insert((found.parent.entry, found.name.to_string(), number));
                }
            }
        }
        let all = used.keys().map(|n| FileKey::new(*n)).collect();
        let links = opened.links(&all);
        let found: BTreeSet<_> = links
            .iter()
            .map(|l| {
                let text = String::from_utf8(l.name.as_bytes().to_vec()).unwrap();
                (l.parent.number, text, l.child.number)
            })
            .collect();
        assert!(expected.len() > 10, "{name}");
        assert_eq!(found, expected, "{name}");
        let attributes = opened.attributes(&all);
        let kinds: BTreeMap<u64, bool> = attributes
            .iter()
            .map(|a| (a.key.number, a.kind == FileKind::Directory))
            .collect();
        assert_eq!(kinds, used, "{name}");
    }
}
