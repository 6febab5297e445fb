//! Files that are said to be the same in both views are: none of them is among the changes that the
//! kernel shows.
#![allow(clippy::disallowed_methods)] // It reads what a fixture expects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hexz_fs_btrfs::BtrfsPlugin;
use hexz_resolve::{
    ByteRange, Diagnostics, FileKey, FileSet, Filesystem, FilesystemPlugin as _, JournalMode,
    Limits, Link, Member, OpenContext, RangeSet, ReadAt, Scan, Silent, View, read_vec,
};
use hexz_testkit::{Fixture, fixtures_dir};

fn open(disk: &Arc<dyn ReadAt>, view: View) -> Box<dyn Filesystem> {
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view,
        diagnostics: &findings,
    };
    let opened = BtrfsPlugin.open(&[Member::alone(Arc::clone(disk))], &cx);
    opened.expect("a filesystem")
}

fn scan<T>(view: View, work: impl FnOnce(&Scan<'_>) -> T) -> T {
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    work(&Scan::new(&limits, view, &findings, &Silent))
}

/// All paths of a view.
fn paths(fs: &dyn Filesystem, view: View) -> BTreeMap<String, FileKey> {
    let mut found = BTreeMap::new();
    let mut level = vec![(String::new(), fs.root())];
    while let Some((path, key)) = level.pop() {
        let mut links: Vec<Link> = Vec::new();
        let directory = [key].into_iter().collect();
        scan(view, |cx| fs.entries(&directory, cx, &mut links)).expect("entries");
        for link in links {
            let name = String::from_utf8_lossy(link.name.as_bytes()).into_owned();
            level.push((format!("{path}/{name}"), link.child));
        }
        found.insert(path, key);
    }
    found
}

/// Where two disks differ, by sector.
fn differing(base: &dyn ReadAt, merged: &dyn ReadAt) -> RangeSet {
    let bytes = |disk: &dyn ReadAt| {
        let length = usize::try_from(disk.len()).expect("a small disk");
        read_vec(disk, 0, length).expect("a disk")
    };
    let (before, after) = (bytes(base), bytes(merged));
    let sectors = before.chunks(512).zip(after.chunks(512)).zip(0u64..);
    let sectors = sectors.filter(|((x, y), _)| x != y);
    sectors
        .filter_map(|(_, number)| ByteRange::at(number * 512, 512))
        .collect()
}

fn unchanged(views: [&dyn Filesystem; 2], files: &FileSet, dirty: &RangeSet) -> BTreeSet<FileKey> {
    let mut found: Vec<FileKey> = Vec::new();
    let [base, merged] = views;
    scan(View::Merged, |cx| {
        merged.unchanged(base, files, dirty, cx, &mut found)
    })
    .expect("an answer");
    found.into_iter().collect()
}

#[test]
fn what_is_called_unchanged_is_in_no_change() {
    for case in ["btrfs-snapshots", "btrfs-mixed", "btrfs-dropped"] {
        let fixture = Fixture::load(case);
        let (before, after) = (fixture.base(), fixture.merged());
        let (base, merged) = (open(&before, View::Base), open(&after, View::Merged));
        let (then, now) = (paths(&*base, View::Base), paths(&*merged, View::Merged));
        let files: FileSet = then.values().chain(now.values()).copied().collect();
        let dirty = differing(&*before, &*after);
        let same = unchanged([&*base, &*merged], &files, &dirty);
        // Many files have nothing to do with the changes, and their leaves were written anew.
        assert!(same.len() > 100, "{case}: {}", same.len());
        let text = std::fs::read_to_string(fixtures_dir().join(case).join("expected.jsonl"));
        let mut changes = 0;
        for line in text.expect("the changes").lines() {
            let change: serde_json::Value = serde_json::from_str(line).expect("a change");
            let path = change["path"]
                .as_str()
                .expect("a path")
                .trim_end_matches('/');
            let from = change["from"].as_str().unwrap_or(path);
            for key in [then.get(from), now.get(path)].into_iter().flatten() {
                assert!(!same.contains(key), "{case}: {line}");
                changes += 1;
            }
        }
        assert!(changes > 5, "{case}: {changes}");
    }
}

/// Bytes of a file that differ on the disk, and nothing in the trees, make it another one.
#[test]
fn data_that_differ_in_place_are_a_change() {
    let fixture = Fixture::load("btrfs-mixed");
    let disk = fixture.base();
    let (base, merged) = (open(&disk, View::Base), open(&disk, View::Merged));
    let paths = paths(&*merged, View::Merged);
    let blob = *paths.get("/srv/data/blob").expect("a file");
    let files: FileSet = [blob].into_iter().collect();
    let mut claims = Vec::new();
    scan(View::Merged, |cx| merged.extents(&files, cx, &mut claims)).expect("its extents");
    let place = claims.first().expect("an extent").range.start();
    let views = [&*base, &*merged];
    let one = ByteRange::new(place + 5, place + 6);
    assert!(unchanged(views, &files, &one.into()).is_empty());
    let before = ByteRange::new(place - 1, place);
    let told = unchanged(views, &files, &before.into());
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [blob]);
}
