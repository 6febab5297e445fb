//! What the fixtures hold, by how they were made; states of volumes; damage in one place.

use std::sync::Arc;

use hexz_fs_ntfs::NtfsPlugin;
use hexz_resolve::{
    ByteRange, Claim, Class, ErrorKind, FileKey, FileKind, FileSet, FilesystemPlugin, FsState,
    Owner, Probe, ReadAt, Role, Window, read_vec,
};
use hexz_testkit::{Fixture, Patched};

use crate::common::{Opened, open};

/// Text as the recipes write it.
fn words(seed: &str, length: usize) -> Vec<u8> {
    let lines = (0..length).flat_map(|i| format!("{seed} line {i}\n").into_bytes());
    lines.take(length).collect()
}

fn one(key: FileKey) -> FileSet {
    [key].into_iter().collect()
}

/// The unnamed data of a file, by its claims, holes as zeros.
fn content(opened: &Opened, key: FileKey) -> Vec<u8> {
    let size = opened.attributes(&one(key))[0].size;
    let mut bytes = vec![0; size as usize];
    for claim in opened.extents(&one(key)) {
        if claim.stream.is_some() || claim.role != Role::Data {
            continue;
        }
        assert!(!claim.encoded);
        let at = claim.file_offset.unwrap() as usize;
        let length = bytes
            .len()
            .saturating_sub(at)
            .min(claim.range.len() as usize);
        let found = read_vec(&opened.disk, claim.range.start(), length).unwrap();
        bytes[at..at + length].copy_from_slice(&found);
    }
    bytes
}

#[test]
fn a_file_of_hundreds_of_pieces_is_read_through_its_attribute_list() {
    let opened = open(&Fixture::load("ntfs-fragmented").base()).unwrap();
    let mut expected = Vec::new();
    for n in (0..900).step_by(2) {
        expected.resize(n * 512, 0);
        expected.extend(words(&format!("piece {n}"), 512));
    }
    let key = opened.file("/data/pieces");
    assert!(content(&opened, key) == expected);
    assert!(opened.extents(&one(key)).len() >= 400);
    let lists = opened.claims();
    let lists = lists.iter().filter(|c| c.role == Role::ExtentMap);
    assert!(lists.clone().all(|c| c.detail == "$ATTRIBUTE_LIST"));
    let mine = |c: &&Claim| matches!(c.owner, Owner::File(id) if id == key);
    assert!(lists.filter(mine).count() > 0);
    // All names of a file with many, most of which are in extension records.
    let second = opened.file("/data/second");
    assert_eq!(
        opened
            .links(&one(second))
            .iter()
            .filter(|l| l.child == second)
            .count(),
        61
    );
    assert_eq!(opened.attributes(&one(second))[0].nlink, Some(61));
    assert_eq!(opened.codes(), Vec::<String>::new());
}

#[test]
fn content_in_records_is_read_across_fixups() {
    let fixture = Fixture::load("ntfs-plain");
    for (disk, seed) in [(fixture.base(), "long"), (fixture.merged(), "other")] {
        let opened = open(&disk).unwrap();
        let key = opened.file("/etc/long");
        assert_eq!(content(&opened, key), words(seed, 650));
        // The two bytes at the end of a sector are elsewhere.
        assert_eq!(opened.extents(&one(key)).len(), 3);
    }
    let opened = open(&Fixture::load("ntfs-64k").merged()).unwrap();
    let key = opened.file("/dir/resident");
    assert_eq!(content(&opened, key), words("other", 2500));
}

#[test]
fn compressed_units_are_encoded_and_whole_ones_are_not() {
    let opened = open(&Fixture::load("ntfs-compressed").base()).unwrap();
    let text = opened.extents(&one(opened.file("/packed/text")));
    assert!(
        text.iter()
            .all(|c| c.encoded && c.file_offset.unwrap() % 65536 == 0)
    );
    assert_eq!(text.len(), 5);
    // What does not get smaller is stored as it is.
    let noise = opened.extents(&one(opened.file("/packed/noise")));
    let stored: u64 = noise
        .iter()
        .filter(|c| !c.encoded)
        .map(|c| c.range.len())
        .sum();
    assert!(stored >= 131_072, "{noise:?}");
}

#[test]
fn links_and_special_files_are_told_as_such() {
    let opened = open(&Fixture::load("ntfs-plain").base()).unwrap();
    let link = opened.attributes(&one(opened.file("/home/ann/link")));
    assert_eq!(link[0].kind, FileKind::Symlink);
    assert_eq!(link[0].target.as_ref().unwrap().as_bytes(), b"doc");
    let notes = opened.file("/home/ann/notes");
    assert_eq!(opened.file("/home/ann/notes-too"), notes);
    let stream: Vec<_> = opened.extents(&one(opened.file("/home/ann/doc2")));
    let stream = stream.iter().find(|c| c.stream.is_some()).unwrap();
    assert_eq!(stream.stream.as_ref().unwrap().as_bytes(), b"big");
}

#[test]
fn metadata_files_have_names_and_classes() {
    let opened = open(&Fixture::load("ntfs-plain").base()).unwrap();
    let claims = opened.claims();
    let class = |path: &str| {
        let key = opened.file(path);
        let mine = |c: &&Claim| {
            matches!(c.owner, Owner::File(id) if id == key) && c.role != Role::InodeRecord
        };
        let claim = claims.iter().find(mine).unwrap_or_else(|| panic!("{path}"));
        (claim.role.class(), claim.detail)
    };
    for (path, expected) in [
        ("/$Boot", Class::Boot),
        ("/$MFTMirr", Class::InodeTable),
        ("/$LogFile", Class::Journal),
        ("/$Bitmap", Class::Allocation),
        ("/$Secure", Class::Xattr),
        ("/$UpCase", Class::Superblock),
        ("/$AttrDef", Class::Superblock),
    ] {
        assert_eq!(class(path), (expected, &path[1..]), "{path}");
    }
    // Cluster 0 is a place, and so is the copy of the boot sector behind the last cluster.
    let boot = |at| {
        claims
            .iter()
            .any(|c| c.role == Role::Boot && c.range.contains(at))
    };
    assert!(boot(0) && boot(opened.disk.len() - 1));
    // No byte is without an owner.
    let all = claims
        .iter()
        .map(|c| c.range)
        .collect::<hexz_resolve::RangeSet>();
    assert_eq!(all, ByteRange::new(0, opened.disk.len()).into());
}

#[test]
fn a_volume_that_sleeps_says_so() {
    let fixture = Fixture::load("ntfs-hibernated");
    let awake = open(&fixture.base()).unwrap();
    assert_eq!(awake.filesystem.info().state, FsState::Clean);
    assert_eq!(awake.codes(), Vec::<String>::new());
    let opened = open(&fixture.merged()).unwrap();
    assert_eq!(opened.filesystem.info().state, FsState::NeedsRecovery);
    assert_eq!(opened.codes(), ["volume-dirty", "hibernated"]);
}

/// The plain fixture with some bytes written over.
fn patched(at: u64, bytes: &[u8]) -> Arc<dyn ReadAt> {
    let base = Fixture::load("ntfs-plain").base();
    Arc::new(Patched::new(base).patch(at, bytes.to_vec()))
}

fn probe(disk: &Arc<dyn ReadAt>) -> Probe {
    NtfsPlugin.probe(&Window::read(&**disk))
}

#[test]
fn a_boot_sector_that_is_damaged_is_read_from_its_copy() {
    let disk = patched(0, &[0; 512]);
    assert_eq!(probe(&disk), Probe::matches(60));
    let opened = open(&disk).unwrap();
    let sound = open(&patched(0, &[])).unwrap();
    assert_eq!(opened.filesystem.info(), sound.filesystem.info());
    assert_eq!(opened.codes(), ["backup-boot-sector"]);
}

#[test]
fn bitlocker_and_others_are_known_by_name() {
    let locked = patched(3, b"-FVE-FS-");
    assert!(matches!(probe(&locked), Probe::Match { .. }));
    let error = open(&locked).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("BitLocker"), "{error}");
    for oem in [b"ReFS\0\0\0\0", b"EXFAT   ", b"MSDOS5.0"] {
        let other: Arc<dyn ReadAt> = Arc::new(read_vec(&patched(3, oem), 0, 1 << 20).unwrap());
        assert_eq!(probe(&other), Probe::No);
    }
}

#[test]
fn a_torn_record_is_told_and_left_out() {
    let sound = open(&patched(0, &[])).unwrap();
    let key = sound.file("/etc/hosts");
    let record =
        |c: &&Claim| c.role == Role::InodeRecord && matches!(c.owner, Owner::File(id) if id == key);
    let place = sound.claims().iter().find(record).unwrap().range;
    let opened = open(&patched(place.end() - 2, &[0x5A, 0x5A])).unwrap();
    let claims = opened.claims();
    assert!(!claims.iter().any(|c| record(&c)));
    let under: Vec<_> = claims.iter().filter(|c| c.range.overlaps(&place)).collect();
    assert!(under.iter().all(|c| c.role.class() == Class::InodeTable));
    assert!(opened.codes().contains(&"corrupt-file-record".to_owned()));
    assert!(opened.attributes(&one(key)).is_empty());
}

#[test]
fn a_name_in_another_file_than_it_was_made_for_is_no_link() {
    // The directory /etc is used again: its sequence number is another one.
    let sound = open(&patched(0, &[])).unwrap();
    let (etc, hosts) = (sound.file("/etc"), sound.file("/etc/hosts"));
    let record =
        |c: &&Claim| c.role == Role::InodeRecord && matches!(c.owner, Owner::File(id) if id == etc);
    let place = sound.claims().iter().find(record).unwrap().range;
    let opened = open(&patched(place.start() + 16, &[0x77])).unwrap();
    assert!(opened.links(&one(hosts)).iter().all(|l| l.child != hosts));
    assert!(opened.codes().contains(&"stale-parent".to_owned()));
}
