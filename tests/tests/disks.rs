//! Sets of disks, each given as `--disk`: volumes that a kernel made and changed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use hexz_acceptance::Hexz;
use hexz_acceptance::schema::Report;
use hexz_testkit::{decompress, fixtures_dir};
use tempfile::TempDir;

/// What `fixtures/members/make.sh` changes on each set.
const CHANGES: [(&str, &str); 12] = [
    ("added", "/new"),
    ("added", "/new/file"),
    ("deleted", "/gone"),
    ("deleted", "/gone/one"),
    ("deleted", "/gone/two"),
    ("metadata", "/directory/file-7"),
    ("modified", "/"),
    ("modified", "/directory"),
    ("modified", "/directory/file-2"),
    ("modified", "/directory/file-9"),
    ("modified", "/long"),
    ("renamed", "/moved"),
];

struct Set {
    dir: TempDir,
    hexz: Hexz,
    disks: u32,
}

impl Set {
    fn unpacked(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = fixtures_dir().join("members").join(name);
        let mut disks = 0;
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name");
            fs::write(dir.path().join(name), decompress(&path)).expect("written");
            disks += 1;
        }
        Self {
            hexz: Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path()),
            dir,
            disks: disks / 2,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The arguments for both views of `disks`.
    fn line(disks: impl IntoIterator<Item = u32>) -> String {
        let mut disks = disks.into_iter();
        let first = disks.next().expect("a disk");
        let mut line = format!("before-{first}.img after-{first}.img");
        for n in disks {
            write!(line, " --disk before-{n}.img:after-{n}.img").expect("a string");
        }
        line
    }

    /// The arguments for all disks in `view`.
    fn view(&self, view: &str) -> (String, String) {
        let more = (2..=self.disks).map(|n| format!(" --disk {view}-{n}.img"));
        (format!("{view}-1.img"), more.collect())
    }

    fn diff(&self, disks: impl IntoIterator<Item = u32>) -> Report {
        let line = Self::line(disks);
        self.hexz.report(&format!("diff --files --json {line}"))
    }
}

fn sets() -> Vec<String> {
    let all = fs::read_dir(fixtures_dir().join("members")).expect("a folder");
    let all = all.map(|entry| entry.expect("an entry"));
    let folders = all.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

fn told(report: &Report) -> BTreeSet<(&str, &str)> {
    let changes = report.changes.iter();
    changes
        .map(|change| (change.change.as_str(), change.path.as_str()))
        .collect()
}

fn codes(report: &Report) -> BTreeSet<&str> {
    report.diagnostics.iter().map(|d| d.code.as_str()).collect()
}

#[test]
fn each_set_tells_what_was_changed_on_it() {
    let sets = sets();
    assert_eq!(sets.len(), 16);
    for name in sets {
        let set = Set::unpacked(&name);
        let report = set.diff(1..=set.disks);
        assert_eq!(told(&report), BTreeSet::from(CHANGES), "{name}");
        assert!(
            report.diagnostics.is_empty(),
            "{name}: {:?}",
            report.diagnostics
        );
        assert!(
            report.summary.complete && report.unresolved.is_empty(),
            "{name}"
        );
        let disks = report.header.disks.iter().map(|disk| disk.disk);
        assert!(disks.eq(1..=set.disks), "{name}");
        // What is said to have changed has changed, on the disk and at the place that is named.
        let read = |view: &str, disk| fs::read(set.path(&format!("{view}-{disk}.img")));
        let read = |view| (1..=set.disks).map(move |disk| read(view, disk).expect("a disk"));
        let (before, after): (Vec<_>, Vec<_>) = (read("before").collect(), read("after").collect());
        let long = report.changes.iter().find(|c| c.path == "/long");
        for range in &long.expect("it changed").ranges {
            let disk = range.disk.expect("a disk") as usize - 1;
            let start = usize::try_from(range.disk_offset).expect("a small disk");
            let end = start + usize::try_from(range.length).expect("a small disk");
            assert_ne!(before[disk][start..end], after[disk][start..end], "{name}");
        }
    }
}

#[test]
fn a_disk_that_is_missing_is_made_up_for_or_no_file_is_told() {
    for name in sets() {
        let set = Set::unpacked(&name);
        let report = set.diff(1..set.disks);
        let spare = ["raid1-", "raid4", "raid5", "raid6", "lvm-raid1", "mirror"];
        // The last disk of the mirror has nothing of it.
        if spare.iter().any(|word| name.contains(word)) {
            assert_eq!(told(&report), BTreeSet::from(CHANGES), "{name}");
        } else if !name.contains("raid10") {
            assert!(report.changes.is_empty(), "{name}: {:?}", told(&report));
            assert!(!report.summary.complete, "{name}");
        }
    }
}

#[test]
fn copies_that_differ_where_blocks_changed_are_told() {
    let set = Set::unpacked("md-raid1-1.0");
    assert!(!codes(&set.diff([1, 2])).contains("copies-differ"));
    let report = set.diff([1, 2]);
    let long = report.changes.iter().find(|c| c.path == "/long");
    let mut ranges = long.expect("it changed").ranges.iter();
    let second = ranges.find(|r| r.disk == Some(2) && r.view == "merged");
    let at = second.expect("a copy on each disk").disk_offset;
    let flip = |at: u64| {
        let disk = set.path("after-2.img");
        let disk = fs::File::options().read(true).write(true).open(disk);
        let disk = disk.expect("a disk");
        let mut byte = [0];
        disk.read_exact_at(&mut byte, at).expect("read");
        disk.write_all_at(&[!byte[0]], at).expect("written");
    };
    flip(at);
    let report = set.diff([1, 2]);
    let found = report
        .diagnostics
        .iter()
        .find(|d| d.code == "copies-differ");
    assert_eq!(found.expect("a finding").severity, "warning");
    assert!(!report.summary.complete);
    assert_eq!(told(&report), BTreeSet::from(CHANGES));
    // The copy that is right now is the only one that is given.
    flip(at);
    assert!(!codes(&set.diff([1, 2])).contains("copies-differ"));
}

#[test]
fn one_mirror_alone_resolves_and_says_that_it_is_one_of_several() {
    for name in ["md-raid1-1.0", "md-raid1-0.90", "lvm-raid1"] {
        let set = Set::unpacked(name);
        for disk in [1, 2] {
            let report = set.diff([disk]);
            assert_eq!(told(&report), BTreeSet::from(CHANGES), "{name} {disk}");
            let code = match name.starts_with("md") {
                true => "md-one-of-several",
                false => "lvm2-one-of-several",
            };
            let said = codes(&report).contains(code);
            assert!(said, "{name} {disk}: {:?}", report.diagnostics);
        }
    }
}

#[test]
fn other_commands_read_several_disks_too() {
    for name in [
        "md-raid5-left-symmetric-0.90",
        "lvm-striped",
        "md-raid10-far-1.2",
    ] {
        let set = Set::unpacked(name);
        let (first, more) = set.view("after");
        let text = |n: u32, to: u32| (n..=to).fold(String::new(), |text, n| format!("{text}{n}\n"));
        let cat = |path: &str| set.hexz.text(&format!("cat {first} {path}{more}"));
        assert_eq!(cat("/directory/file-2"), text(5, 3000), "{name}");
        assert_eq!(cat("/new/file"), text(1, 30_000), "{name}");
        let listed = set.hexz.text(&format!("ls {first} /{more}"));
        assert!(
            listed.contains("moved") && !listed.contains("gone"),
            "{name}: {listed}"
        );
        let extracted = set
            .hexz
            .run(&format!("extract {first} /new --to out{more}"));
        assert!(extracted.status.success(), "{name}: {extracted:?}");
        let out = set.path("out");
        assert!(
            found_below(&out, "file").is_some_and(|bytes| bytes == text(1, 30_000).into_bytes())
        );
        let layout = set.hexz.text(&format!("layout --json {first}{more}"));
        assert!(
            layout.contains(r#""filesystem":"ext4""#),
            "{name}: {layout}"
        );
        // The block with the first bytes of a file, on the disk that has them.
        let report = set.diff(1..=set.disks);
        let new = report
            .changes
            .iter()
            .find(|c| c.path == "/new/file")
            .expect("it is new");
        let range = new
            .ranges
            .iter()
            .find(|r| r.view == "merged")
            .expect("data");
        let (disk, at) = (range.disk.expect("a disk"), range.disk_offset);
        let owner = set
            .hexz
            .text(&format!("owner {first}{more} --json --offset {disk}:{at}"));
        assert!(owner.contains("/new/file"), "{name}: {owner}");
        let other = set.hexz.run(&format!("owner {first}{more} --offset 9:0"));
        assert_eq!(other.status.code(), Some(2), "{name}");
    }
}

#[test]
fn other_parsers_read_the_same_of_several_disks() {
    for name in [
        "md-raid5-left-symmetric-0.90",
        "lvm-striped",
        "md-raid10-far-1.2",
    ] {
        let set = Set::unpacked(name);
        let line = Set::line(1..=set.disks);
        let output = set.hexz.run(&format!("diff --files --verify {line}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name}: {text}");
        let said = text.lines().find(|line| line.contains("hexz: verified"));
        let said = said.unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(
            said.contains(" 0 differ, 0 were not compared"),
            "{name}: {said}"
        );
        assert!(!said.contains(": 0 ranges"), "{name}: {said}");
    }
}

/// The bytes of the file `name` somewhere below `folder`.
fn found_below(folder: &Path, name: &str) -> Option<Vec<u8>> {
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        let found = match path.is_dir() {
            true => found_below(&path, name),
            false if path.file_name()? == name => fs::read(&path).ok(),
            false => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A btrfs that grew out of a seed is one filesystem on both devices, in whatever order they come.
#[test]
fn a_seed_and_what_grew_out_of_it_are_one_filesystem() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = fixtures_dir().join("btrfs-seed");
    for number in [1, 2] {
        let name = format!("device-{number}.img");
        let packed = folder.join(format!("{name}.zst"));
        fs::write(dir.path().join(name), decompress(&packed)).expect("written");
    }
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    for (first, second) in [(1, 2), (2, 1)] {
        let line = format!("map --json device-{first}.img --disk device-{second}.img");
        let map = hexz.text(&line);
        assert!(!map.contains("\"unresolved\""), "{line}");
        assert!(!map.contains("device-missing"), "{line}");
        let volumes = map
            .lines()
            .filter(|l| l.contains("\"filesystem\":\"btrfs\""));
        assert_eq!(volumes.count(), 1, "{line}");
        // What the seed holds is the file's still.
        let paths = map.matches("/directory/file-7\"").count();
        assert!(paths > 0, "{line}");
    }
    // Alone it is a filesystem, too.
    let map = hexz.text("map --json device-1.img");
    assert!(map.contains("\"filesystem\":\"btrfs\""));
    assert!(!map.contains("\"unresolved\""));
}
