//! The questions, asked as a program that uses this library asks them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hexz_files::report::{Change, DiffVisitor, Header, OwnerRecord, OwnerVisitor, VolumeRecord};
use hexz_files::{
    ByteRange, Cancel, Changes, Class, Diff, ErrorKind, Image, Layout, Limits, Map, Owners,
    Progress, ReadAt, Result, Settings,
};
use hexz_testkit::Fixture;

/// Letters and paths, as the fixture's truth from the kernel has them.
fn told(changes: &[Change]) -> Vec<String> {
    let line = |c: &Change| format!("{} {}", c.change.letter(), String::from_utf8_lossy(&c.path));
    changes.iter().map(line).collect()
}

fn disks(name: &str) -> (Arc<dyn ReadAt>, Arc<dyn ReadAt>) {
    let fixture = Fixture::load(name);
    (fixture.base(), fixture.merged())
}

/// A disk as a file.
fn file(dir: &tempfile::TempDir, name: &str, disk: &dyn ReadAt) -> PathBuf {
    let mut bytes = vec![0; usize::try_from(disk.len()).unwrap()];
    disk.read_exact_at(0, &mut bytes).unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn readers_and_paths_give_one_answer() {
    let (base, merged) = disks("renames");
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (file(&dir, "a", &*base), file(&dir, "b", &*merged));
    let blocks = Fixture::load("renames").blocks();

    let known = Diff::new()
        .base(Image::from(Arc::clone(&base)).named("before"))
        .merged(merged)
        .changes(Changes::blocks(blocks, 4096))
        .run()
        .unwrap();
    assert_eq!(known.header.base.as_deref(), Some("before"));
    assert!(known.summary.complete, "{:?}", known.diagnostics);
    let lines = told(&known.changes);
    assert!(lines.iter().any(|l| l.starts_with('R')), "{lines:?}");

    let paths = Diff::new().base(&before).merged(&after).run().unwrap();
    assert_eq!(told(&paths.changes), lines);
    assert_eq!(paths.header.base, Some(before.display().to_string()));
    let mixed = Diff::new().base(base).merged(Image::raw(&after)).run();
    assert_eq!(told(&mixed.unwrap().changes), lines);

    let list = dir.path().join("list");
    let text: String = Fixture::load("renames")
        .blocks()
        .iter()
        .map(|block| format!("{block}\n"))
        .collect();
    std::fs::write(&list, text).unwrap();
    let listed = Diff::new()
        .base(before)
        .merged(after)
        .changes(Changes::list(list))
        .run();
    assert_eq!(told(&listed.unwrap().changes), lines);
}

#[test]
fn a_diff_is_told_piece_by_piece() {
    #[derive(Default)]
    struct Count {
        volumes: usize,
        changes: std::sync::Mutex<Vec<Change>>,
    }
    impl DiffVisitor for Count {
        type Made = Vec<Change>;
        fn begin(&mut self, _: &Header, volumes: &[VolumeRecord]) -> Result<()> {
            self.volumes = volumes.len();
            Ok(())
        }
        fn make(&self, changes: Vec<Change>) -> Vec<Change> {
            changes
        }
        fn take(&self, changes: Vec<Change>) -> Result<()> {
            self.changes.lock().unwrap().extend(changes);
            Ok(())
        }
    }
    let (base, merged) = disks("hard-links");
    let question = Diff::new().base(base).merged(merged);
    let mut count = Count::default();
    let end = question.visit(&mut count).unwrap();
    let report = question.run().unwrap();
    assert_eq!(count.volumes, report.volumes.len());
    assert_eq!(count.changes.into_inner().unwrap(), report.changes);
    assert_eq!(end.summary, report.summary);
    assert_eq!(question.changed().unwrap().len(), report.summary.bytes);
}

#[test]
fn owners_and_the_map_agree() {
    let (base, _) = disks("mbr63");
    let map = Map::of(Image::from(Arc::clone(&base))).run().unwrap();
    let whole: u64 = map.owners.iter().map(|piece| piece.length).sum();
    assert_eq!(whole, base.len());
    let data = map.owners.iter().find(|p| p.class == Class::FileData);
    let data = data.expect("a file");
    let asked = Owners::of(Arc::clone(&base))
        .sectors([data.start / 512])
        .run()
        .unwrap();
    assert_eq!(asked.owners[0].owners[0].paths, data.owners[0].paths);
    let asked = Owners::of(Arc::clone(&base)).ranges([ByteRange::new(0, 512)]);
    assert_eq!(asked.run().unwrap().summary.bytes, 512);

    struct Sum(AtomicU64);
    impl OwnerVisitor for Sum {
        type Made = u64;
        fn begin(&mut self, header: &Header, _: &[VolumeRecord]) -> Result<()> {
            assert_eq!(header.base.as_deref(), Some("disk"));
            Ok(())
        }
        fn make(&self, records: &[OwnerRecord]) -> u64 {
            records.iter().map(|record| record.length).sum()
        }
        fn take(&self, bytes: u64) -> Result<()> {
            self.0.fetch_add(bytes, Relaxed);
            Ok(())
        }
    }
    let mut sum = Sum(Default::default());
    let image = Image::from(base).named("disk");
    Map::of(image.clone()).visit(&mut sum).unwrap();
    assert_eq!(sum.0.into_inner(), whole);
    let layout = Layout::of(image).run().unwrap();
    assert_eq!(layout.volumes.len(), map.volumes.len());
}

/// Ends the run it is told of.
struct Impatient(Cancel);

impl Progress for Impatient {
    fn stage(&self, _: &str, _: Option<u64>) {
        self.0.cancel();
    }
}

#[test]
fn a_run_can_be_cancelled_and_bounded() {
    let (base, merged) = disks("renames");
    let question = Diff::new().base(base).merged(merged);
    let cancel = Cancel::new();
    let settings = Settings::new()
        .progress(Impatient(cancel.clone()))
        .cancel(&cancel);
    let error = question.clone().settings(settings).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(cancel.is_cancelled());

    let settings = Settings::new()
        .threads(1)
        .limits(Limits::default().with(|limits| limits.files = 1));
    let report = question.settings(settings).run().unwrap();
    assert!(!report.summary.complete);
}

/// Ends the run when it is told of it for the n-th time.
struct Later(AtomicU64, Cancel);

impl Later {
    fn told(&self) {
        if self
            .0
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            == Ok(1)
        {
            self.1.cancel();
        }
    }
}

impl Progress for Later {
    fn stage(&self, _: &str, _: Option<u64>) {
        self.told();
    }

    fn advance(&self, _: u64) {
        self.told();
    }
}

/// Asks with a run that is cancelled later and later, until that comes too late. Gives how often
/// it came in time.
fn cancelled_everywhere(ask: impl Fn(Settings) -> Result<()>) -> u64 {
    for turn in 1.. {
        let cancel = Cancel::new();
        let later = Later(AtomicU64::new(turn), cancel.clone());
        let settings = Settings::new().progress(later).cancel(&cancel);
        let start = Instant::now();
        let answer = ask(settings);
        assert!(start.elapsed() < Duration::from_secs(5), "turn {turn}");
        match answer {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "turn {turn}"),
            Ok(()) if cancel.is_cancelled() => {}
            Ok(()) => return turn - 1,
        }
    }
    0
}

#[test]
fn every_phase_of_a_run_can_be_cancelled() {
    for name in ["renames", "xfs-rmap", "ntfs-plain", "btrfs-log", "fat32"] {
        let (base, merged) = disks(name);
        let question = Diff::new().base(base.clone()).merged(merged);
        let ask = |settings| question.clone().settings(settings).run().map(|_| ());
        assert!(cancelled_everywhere(ask) > 3, "{name}");
        let ask = |settings| {
            let map = Map::of(base.clone()).settings(settings);
            map.run().map(|_| ())
        };
        assert!(cancelled_everywhere(ask) > 0, "{name}");
    }
}

#[test]
fn a_long_list_of_changes_is_read_to_its_end_only_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("base"), [0; 8192]).unwrap();
    std::fs::write(path("vm.overlay"), [0; 8192]).unwrap();
    std::fs::write(path("vm.meta"), [0; 8192]).unwrap();
    std::fs::write(path("list"), "1\n").unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let settings = Settings::new().cancel(&cancel);
    let overlay = Diff::new().base(path("base")).overlay(path("vm.overlay"));
    let list = Changes::list(path("list"));
    let list = Diff::new()
        .base(path("base"))
        .merged(path("base"))
        .changes(list);
    for question in [overlay, list] {
        let error = question.settings(settings.clone()).run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(!error.to_string().contains("run"), "too late: {error}");
    }
}

#[test]
fn a_question_that_lacks_something_says_what() {
    let error = Diff::new().base("nowhere").run().unwrap_err();
    assert!(error.to_string().contains("disk after"), "{error}");
    let error = Diff::new().overlay("x").merged("y").run().unwrap_err();
    assert!(error.to_string().contains("overlay"), "{error}");
    let error = Owners::of("/no/such/image").run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

/// Runs a program of `examples/`, which cargo builds with this test.
fn example(name: &str, arguments: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = folder.join("examples").join(name);
    let output = Command::new(&program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_examples_do_what_they_say() {
    let (base, merged) = disks("mbr63");
    let dir = tempfile::tempdir().unwrap();
    let paths = [file(&dir, "a", &*base), file(&dir, "b", &*merged)];
    let [before, after] = paths.each_ref().map(|p| p.to_str().unwrap());
    let report = Diff::new().base(before).merged(after).run().unwrap();
    let told = example("changed_files", &[before, after]);
    assert!(!report.changes.is_empty());
    for change in &report.changes {
        let path = String::from_utf8_lossy(&change.path);
        assert!(told.contains(&format!("{path:?}")), "{path} in {told}");
    }

    let map = Map::of(before).run().unwrap();
    let data = map.owners.iter().find(|p| p.class == Class::FileData);
    let data = data.expect("a file");
    let list = dir.path().join("sectors");
    std::fs::write(&list, format!("{}\n", data.start / 512)).unwrap();
    let told = example("sector_owners", &[before, list.to_str().unwrap()]);
    let path = String::from_utf8_lossy(&data.owners[0].paths[0]);
    assert!(told.contains(&format!("file-data [{path:?}")), "{told}");

    let told = example("plugin", &[]);
    // The root is a directory whose names differ.
    assert_eq!(told, "M \"/\"\nM \"/bread\"\nA \"/tea\"\ncomplete: true\n");
}
