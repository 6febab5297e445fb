//! What one sector that can't be read costs. What is right is what the sound image gives, which
//! other tests hold against other readers.

use std::collections::BTreeSet;
use std::sync::Arc;

use hexz_resolve::{ByteRange, Claim, FileSet, Owner, RangeSet, ReadAt, Role, Severity};
use hexz_testkit::{Faulty, Fixture, Patched};

use crate::common::{Opened, open};

fn image() -> Arc<dyn ReadAt> {
    Fixture::load("ntfs-fragmented").base()
}

/// The image where the sector at `start` can't be read.
fn failing(start: u64) -> Opened {
    let bad = ByteRange::new(start, start + 512);
    let disk: Arc<dyn ReadAt> = Arc::new(Faulty::failing(image(), bad.into()));
    open(&disk).unwrap()
}

fn free(claims: &[Claim]) -> RangeSet {
    let free = claims.iter().filter(|c| c.owner == Owner::Free);
    free.map(|c| c.range).collect()
}

#[test]
fn of_a_record_costs_that_record() {
    let claims = open(&image()).unwrap().claims();
    let records = |claims: &[Claim]| -> BTreeSet<(u64, u64)> {
        let records = claims.iter().filter(|c| c.role == Role::InodeRecord);
        records.map(|c| (c.range.start(), c.range.end())).collect()
    };
    let all = records(&claims);
    let (start, end) = *all.iter().nth(all.len() / 2).unwrap();
    let told = failing(start);
    let left = records(&told.claims());
    let lost: Vec<_> = all.difference(&left).copied().collect();
    assert_eq!(lost, [(start, end)]);
    let errors = told.findings.take();
    let mut errors = errors.iter().filter(|f| f.severity == Severity::Error);
    assert!(errors.any(|f| f.offset == Some(start)));
}

#[test]
fn of_the_bitmap_costs_what_is_known_of_its_clusters() {
    let claims = open(&image()).unwrap().claims();
    let bitmap = claims.iter().find(|c| c.detail == "$Bitmap").unwrap().range;
    // The second sector tells of clusters 4096 to 8191, of 512 bytes each.
    let told = failing(bitmap.start() + 512).claims();
    let unknown = RangeSet::from(ByteRange::new(4096 * 512, 8192 * 512));
    let expected = free(&claims).difference(&unknown);
    assert!(expected != free(&claims));
    assert_eq!(free(&told), expected);
}

#[test]
fn of_an_index_costs_the_names_of_a_block() {
    let sound = open(&image()).unwrap();
    let many = sound.file("/many");
    let key: FileSet = [many].into_iter().collect();
    let names = |opened: &Opened| -> BTreeSet<Vec<u8>> {
        let links = opened.entries(&key);
        links.iter().map(|l| l.name.as_bytes().to_vec()).collect()
    };
    let all = names(&sound);
    let claims = sound.claims();
    let of_many = |c: &&Claim| matches!(c.owner, Owner::File(id) if id == many);
    let index = claims.iter().filter(of_many);
    let index = index.filter(|c| c.role == Role::Directory);
    let index = index.max_by_key(|c| c.range.len()).unwrap().range;
    // A sector of a block that is in use: 4096 bytes hold up to 25 such names.
    let opened = failing(index.start() + 1024);
    let left = names(&opened);
    let lost = all.len() - left.len();
    assert!(left.is_subset(&all) && (8..=25).contains(&lost), "{lost}");
}

#[test]
fn a_volume_that_is_cut_is_an_error() {
    let cut = Patched::new(image()).truncate(4 << 20);
    let opened = open(&(Arc::new(cut) as Arc<dyn ReadAt>)).unwrap();
    let found = opened.findings.take();
    let mut errors = found.iter().filter(|f| f.severity == Severity::Error);
    assert!(errors.any(|f| f.code == "volume-too-short"));
}
