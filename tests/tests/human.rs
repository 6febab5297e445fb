//! The report for people, word for word.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::{Path, PathBuf};
use std::process::Command;

use hexz_acceptance::{Case, golden};
use hexz_report::{Places, Selection, View, write_human};
use hexz_resolve::report::{
    Change, ChangeKind, ClassBytes, Report, Summary, VolumeRecord, VolumeStatus,
};
use hexz_resolve::{Attributes, Class, FileKey, FileKind, Precision, RawName, Xattr};
use hexz_testkit::fixtures_dir;

fn golden(name: &str, text: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    golden::check(&dir.join(name), text);
}

fn hexz(dir: &Path, line: &str, columns: &str, colour: bool) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hexz-under-test"));
    command
        .current_dir(dir)
        .args(line.split_whitespace())
        .env_remove("HEXZ_BASE")
        .env_remove("NO_COLOR")
        .env("COLUMNS", columns);
    if colour {
        command.env("CLICOLOR_FORCE", "1");
    }
    let output = command.output().expect("the binary runs");
    String::from_utf8(output.stdout).expect("text")
}

fn demo() -> PathBuf {
    fixtures_dir().join("demo")
}

#[test]
fn the_demo() {
    let line = "diff --files vm-state.overlay --base base.hxz";
    golden("demo.txt", &hexz(&demo(), line, "100", false));
    golden("demo-narrow.txt", &hexz(&demo(), line, "50", false));
    let all = format!("{line} --all");
    // What it cost is another line each time.
    let text = hexz(&demo(), &all, "100", false);
    let (cost, rest): (Vec<&str>, Vec<&str>) = text
        .split_inclusive('\n')
        .partition(|l| l.starts_with("read "));
    let [cost] = cost.as_slice() else {
        panic!("{text}");
    };
    assert!(
        cost.contains(" requests, ") && cost.ends_with(" s\n"),
        "{cost}"
    );
    golden("demo-all.txt", &rest.concat());
    let stat = format!("{line} --stat=2");
    golden("demo-stat.txt", &hexz(&demo(), &stat, "100", false));
    // Who says how files are shown wants them shown.
    let without = stat.replace("--files ", "");
    golden("demo-stat.txt", &hexz(&demo(), &without, "100", false));
    let top = format!("{line} --top 3");
    golden("demo-top.txt", &hexz(&demo(), &top, "100", false));
    let notable = format!("{line} --notable");
    golden("demo-notable.txt", &hexz(&demo(), &notable, "100", false));
    let names = format!("{line} --name-status --only *.txt --exclude /home/ada/new");
    golden("demo-only.txt", &hexz(&demo(), &names, "100", false));
}

#[test]
fn colour_only_where_it_shows() {
    let line = "diff --files vm-state.overlay --base base.hxz";
    let (plain, coloured) = (
        hexz(&demo(), line, "100", false),
        hexz(&demo(), line, "100", true),
    );
    assert!(!plain.contains('\x1b'));
    assert!(coloured.contains('\x1b'));
    let mut stripped = String::new();
    let mut rest = &*coloured;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        stripped.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

fn file(number: u64, kind: FileKind, size: u64) -> Attributes {
    let key = FileKey {
        subvolume: 0,
        number,
    };
    let mut a = Attributes::new(key, kind);
    a.size = size;
    a.mode = Some(if kind == FileKind::Directory {
        0o755
    } else {
        0o644
    });
    (a.uid, a.gid) = (Some(0), Some(0));
    a
}

fn change(kind: ChangeKind, path: &str, attributes: Attributes) -> Change {
    let (base, merged) = match kind {
        ChangeKind::Added => (None, Some(attributes.clone())),
        ChangeKind::Deleted => (Some(attributes.clone()), None),
        _ => (Some(attributes.clone()), Some(attributes.clone())),
    };
    let regular = attributes.kind == FileKind::File;
    let mut told = Change::new(0, kind, path.into(), attributes.kind);
    told.content_changed = kind != ChangeKind::Metadata;
    told.base = base;
    told.merged = merged;
    told.content_bytes = regular.then_some(attributes.size);
    told
}

fn report(mut changes: Vec<Change>, classes: &[(Class, u64, u64)]) -> Report {
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let classes: std::collections::BTreeMap<Class, ClassBytes> = classes
        .iter()
        .map(|(class, bytes, changed)| {
            let mut sums = ClassBytes::default();
            (sums.bytes, sums.changed) = (*bytes, *changed);
            (*class, sums)
        })
        .collect();
    let bytes = classes.values().map(|c| c.bytes).sum();
    let mut summary = Summary::default();
    summary.blocks = bytes / 4096;
    summary.bytes = bytes;
    summary.changed = classes.values().map(|c| c.changed).sum();
    summary.classes = classes.clone();
    summary.complete = true;
    for change in &changes {
        *summary.changes.entry(change.change).or_default() += 1;
    }
    let mut volume = VolumeRecord::default();
    "p2".clone_into(&mut volume.volume);
    (volume.start, volume.length) = (1 << 20, 4 << 30);
    volume.scheme = Some("gpt");
    volume.filesystem = Some("ext4");
    volume.label = Some(b"root".to_vec());
    volume.fs_block_size = Some(4096);
    volume.status = VolumeStatus::Resolved;
    volume.changed_blocks = bytes / 4096;
    volume.classes = classes;
    let mut report = Report::default();
    report.header.overlay = Some("guest.overlay".to_owned());
    report.header.base = Some("guest.hxz".to_owned());
    report.header.disk_size = 8 << 30;
    report.header.block_size = 4096;
    report.header.blocks = bytes / 4096;
    report.header.precision = Some(Precision::Over);
    report.volumes = vec![volume];
    report.changes = changes;
    report.summary = summary;
    report
}

fn text(report: &Report, width: usize) -> String {
    let selection = Selection {
        places: Places::new(&report.volumes, Vec::new(), false),
        ..Selection::default()
    };
    let view = View {
        width: Some(width),
        ..View::default()
    };
    let mut out = anstream::StripStream::new(Vec::new());
    write_human(&mut out, report, &selection, &view).expect("memory");
    String::from_utf8(out.into_inner()).expect("text")
}

/// What an update of a distribution, a new program and a day of work leave.
fn large() -> Report {
    use ChangeKind::{Added, Deleted, Metadata, Modified, Renamed};
    let mut changes = Vec::new();
    let mut number = 0;
    let mut add = |kind, path: &str, file_kind, size| {
        number += 1;
        changes.push(change(kind, path, file(number, file_kind, size)));
    };
    add(Added, "/srv/app/venv", FileKind::Directory, 0);
    for package in 0..90 {
        let directory = format!("/srv/app/venv/lib/package{package:02}");
        add(Added, &directory, FileKind::Directory, 0);
        for n in 0..150 {
            let path = format!("{directory}/module{n:03}.py");
            add(Added, &path, FileKind::File, 700 + (n * 13) % 900);
        }
    }
    add(Added, "/srv/app/venv/lib", FileKind::Directory, 0);
    add(
        Added,
        "/srv/app/venv/lib/libtorch.so",
        FileKind::File,
        412 << 20,
    );
    add(Deleted, "/opt/old", FileKind::Directory, 0);
    for n in 0..1200 {
        add(
            Deleted,
            &format!("/opt/old/part{n:04}.dat"),
            FileKind::File,
            5000,
        );
    }
    for n in 0..4000 {
        let path = format!("/usr/share/doc/p{:03}/changelog{n}.gz", n % 200);
        add(Modified, &path, FileKind::File, 2000 + n);
    }
    for n in 0..900 {
        let path = format!("/var/cache/thing/{:02}/{n:04}.bin", n % 37);
        add(Added, &path, FileKind::File, 40_000);
    }
    for n in 0..60 {
        add(
            Modified,
            &format!("/usr/bin/tool{n:02}"),
            FileKind::File,
            90_000 + n,
        );
    }
    add(Modified, "/etc/shadow", FileKind::File, 900);
    add(Modified, "/etc/ssh/sshd_config", FileKind::File, 3300);
    add(
        Added,
        "/etc/systemd/system/app.service",
        FileKind::File,
        420,
    );
    add(Added, "/dev/shm/sh", FileKind::File, 120_000);
    add(Added, "/var/run.fifo", FileKind::Fifo, 0);
    add(Added, "/var/lib/odd-device", FileKind::CharDevice, 0);
    add(Added, "/usr/local/bin/rootme", FileKind::File, 16_000);
    add(Added, "/usr/bin/tool", FileKind::Symlink, 0);
    add(Renamed, "/home/ada/thesis-final.tex", FileKind::File, 0);
    add(Metadata, "/usr/bin/ping", FileKind::File, 0);
    for c in &mut changes {
        let merged = c.merged.as_mut();
        match &*String::from_utf8_lossy(&c.path) {
            "/dev/shm/sh" => merged.expect("there").mode = Some(0o755),
            "/usr/local/bin/rootme" => merged.expect("there").mode = Some(0o4755),
            "/var/lib/odd-device" => merged.expect("there").rdev = Some(5 << 32 | 1),
            "/usr/bin/tool" => merged.expect("there").target = Some(RawName::from(&b"tool07"[..])),
            "/home/ada/thesis-final.tex" => {
                c.from = Some(b"/home/ada/thesis.tex".to_vec());
                c.content_bytes = Some(0);
            }
            "/usr/bin/ping" => {
                c.attributes = vec!["ctime", "xattr"];
                c.content_bytes = Some(0);
                merged.expect("there").xattrs = vec![Xattr {
                    name: RawName::from(&b"security.capability"[..]),
                    value: b"\x01"[..].into(),
                }];
            }
            _ => {}
        }
    }
    report(
        changes,
        &[
            (Class::FileData, 520 << 20, 500 << 20),
            (Class::Free, 90 << 20, 80 << 20),
            (Class::InodeTable, 6 << 20, 5 << 20),
            (Class::Journal, 120 << 20, 110 << 20),
        ],
    )
}

#[test]
fn twenty_thousand_files_fit_on_a_screen_or_two() {
    let report = large();
    assert!(report.changes.len() > 19_000, "{}", report.changes.len());
    let shown = text(&report, 100);
    golden("large.txt", &shown);
    golden("large-narrow.txt", &text(&report, 60));
    let lines = shown.lines().count();
    assert!(lines <= 100, "{lines} lines");
    let at = |path: &str| {
        let line = shown.lines().position(|l| l.contains(path));
        line.unwrap_or_else(|| panic!("{path} is not shown"))
    };
    for first in [
        "/etc/shadow",
        "/etc/ssh/sshd_config",
        "/usr/local/bin/rootme",
    ] {
        assert!(at(first) < at("/srv/app/venv/"), "{first}");
    }
}

#[test]
fn of_metadata_only() {
    use ChangeKind::Metadata;
    let mut changes = Vec::new();
    for n in 0..300 {
        let path = format!("/srv/www/page{n:03}.html");
        let mut c = change(Metadata, &path, file(n + 10, FileKind::File, 100));
        c.attributes = vec!["mode", "ctime"];
        c.content_bytes = Some(0);
        c.merged.as_mut().expect("there").mode = Some(0o600);
        changes.push(c);
    }
    let mut c = change(Metadata, "/srv/www", file(9, FileKind::Directory, 4096));
    c.attributes = vec!["uid", "gid", "ctime"];
    let merged = c.merged.as_mut().expect("there");
    (merged.uid, merged.gid) = (Some(33), Some(33));
    changes.push(c);
    let report = report(changes, &[(Class::InodeTable, 80 << 10, 4 << 10)]);
    golden("metadata.txt", &text(&report, 100));
}

/// A disk was mounted, and the mode of its root changed: fields of the superblock, and of an inode.
#[test]
fn of_metadata_only_with_its_fields() {
    let case = Case::new(env!("CARGO_BIN_EXE_hexz-under-test"), "ext2-old");
    let mut disk = std::fs::read(case.dir().join("base.img")).expect("the disk before");
    // Blocks of 1 KiB: the descriptor in the third one says where the inodes begin.
    let table = &disk[2 * 1024 + 8..][..4];
    let table = u32::from_le_bytes(table.try_into().expect("four bytes"));
    let root = usize::try_from(table).expect("small") * 1024 + 128;
    let number = |disk: &[u8], at: usize| u16::from_le_bytes([disk[at], disk[at + 1]]);
    let (mounts, mode) = (number(&disk, 1024 + 52), number(&disk, root));
    assert_eq!(mode & 0o170_000, 0o040_000, "the root is a directory");
    let mut set = |at: usize, value: u16| disk[at..at + 2].copy_from_slice(&value.to_le_bytes());
    set(1024 + 52, mounts + 1);
    std::fs::write(case.dir().join("mounted.img"), &disk).expect("written");
    let mut set = |at: usize, value: u16| disk[at..at + 2].copy_from_slice(&value.to_le_bytes());
    set(root, mode & 0o170_000 | 0o700);
    std::fs::write(case.dir().join("after.img"), &disk).expect("written");
    let explain = |after: &str| {
        let line = format!("diff --explain base.img {after}");
        hexz(case.dir(), &line, "100", false)
    };
    golden("verdict-fields.txt", &explain("mounted.img"));
    golden("metadata-fields.txt", &explain("after.img"));
}

#[test]
fn where_no_file_differs_the_verdict_says_so() {
    let classes = [
        (Class::Superblock, 4096, 12),
        (Class::GroupDescriptors, 4096, 8),
        (Class::Journal, 8192, 40),
    ];
    golden("verdict.txt", &text(&report(Vec::new(), &classes), 100));
}
