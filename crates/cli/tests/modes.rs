//! The original modes of `hexz diff`, to the letter, and how the command ends.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn hexz(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hexz"))
        .args(args)
        .current_dir(dir)
        .env_remove("HEXZ_BASE")
        .output()
        .expect("hexz runs")
}

fn overlay(blocks: impl IntoIterator<Item = u64>, tail: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut meta: Vec<u8> = blocks.into_iter().flat_map(u64::to_le_bytes).collect();
    meta.extend(tail);
    fs::write(dir.path().join("vm-state.overlay"), b"").expect("written");
    fs::write(dir.path().join("vm-state.meta"), meta).expect("written");
    dir
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo")
}

#[test]
fn summary() {
    // Unsorted, and each block twice.
    let dir = overlay((0..5120).rev().chain(0..5120), &[]);
    let output = hexz(dir.path(), &["diff", "vm-state.overlay"]);
    let expected =
        "Overlay: \"vm-state.overlay\"\nModified Blocks: 5120\nEstimated Size: 20.0 MB\n";
    assert_eq!(stdout(&output), expected);
    assert!(output.status.success());
}

#[test]
fn blocks() {
    let dir = overlay(0..5120, &[]);
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--blocks"]);
    let expected =
        "--- Overlay Statistics ---\nModified Blocks: 5120\nTotal Changed Data: 20.0 MB\n";
    assert_eq!(stdout(&output), expected);
}

#[test]
fn files_without_a_base() {
    let dir = overlay([256, 128, 129], &[]);
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--files"]);
    let expected = "--- Modified Files (Heuristic) ---\n\
                    No base image: give --base IMAGE to resolve files.\n\
                    Modified Block Indices:\n  Block 128\n  Block 129\n  Block 256\n";
    assert_eq!(stdout(&output), expected);
}

#[test]
fn both_flags_give_both_sections() {
    let dir = overlay([7], &[]);
    let both = stdout(&hexz(
        dir.path(),
        &["diff", "vm-state.overlay", "--blocks", "--files"],
    ));
    let blocks = stdout(&hexz(dir.path(), &["diff", "vm-state.overlay", "--blocks"]));
    let files = stdout(&hexz(dir.path(), &["diff", "vm-state.overlay", "--files"]));
    assert_eq!(both, blocks + &files);
}

#[test]
fn an_overlay_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = hexz(dir.path(), &["diff", "nowhere.overlay"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("nowhere.overlay"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn no_index_means_no_changes_where_there_is_no_data_either() {
    let dir = overlay([], &[]);
    fs::remove_file(dir.path().join("vm-state.meta")).expect("removed");
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--exit-code"]);
    let expected = "No metadata file found for overlay: \"vm-state.overlay\"\n";
    assert_eq!(stdout(&output), expected);
    assert_eq!(output.status.code(), Some(0));

    fs::write(dir.path().join("vm-state.overlay"), [7; 8192]).expect("written");
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--exit-code"]);
    assert_eq!(stdout(&output), expected);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("not whole"), "{}", stderr(&output));
}

#[test]
fn a_torn_index_is_told_of() {
    let dir = overlay([1, 2], &[3, 0, 0]);
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--blocks"]);
    assert!(
        stdout(&output).contains("Modified Blocks: 2\n"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("warning"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_last_number_there_is_is_a_block_too() {
    let dir = overlay([u64::MAX, 1], &[]);
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--files"]);
    let expected = "  Block 1\n  Block 18446744073709551615\n";
    assert!(stdout(&output).ends_with(expected), "{}", stdout(&output));
}

#[test]
fn exit_code_says_whether_there_are_changes() {
    let dir = overlay([1], &[]);
    let code = |args: &[&str]| hexz(dir.path(), args).status.code();
    assert_eq!(code(&["diff", "vm-state.overlay", "--exit-code"]), Some(1));
    assert_eq!(code(&["diff", "vm-state.overlay"]), Some(0));
    assert_eq!(code(&["diff", "--nonsense"]), Some(2));
    assert_eq!(code(&["--help"]), Some(0));
}

#[test]
fn exit_code_is_about_what_was_asked_for() {
    let files = ["diff", "vm-state.overlay", "--base", "base.hxz", "--files"];
    let code = |more: &[&str]| {
        let args = [&files[..], &["--exit-code"], more].concat();
        hexz(&demo(), &args).status.code()
    };
    assert_eq!(code(&[]), Some(1));
    assert_eq!(code(&["--", "/etc"]), Some(1));
    assert_eq!(code(&["--", "/nowhere"]), Some(0));
    assert_eq!(code(&["--volume", "p1"]), Some(0));

    // Blocks that were rewritten with what they held are no changes.
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("base.img"), [7; 16384]).expect("written");
    fs::write(dir.path().join("same.overlay"), [7; 16384]).expect("written");
    let meta: Vec<u8> = [1u64, 2].into_iter().flat_map(u64::to_le_bytes).collect();
    fs::write(dir.path().join("same.meta"), meta).expect("written");
    let args = ["diff", "same.overlay", "--base", "base.img", "--files"];
    let output = hexz(dir.path(), &[&args[..], &["--exit-code"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn what_paths_leave_out_is_not_called_hidden() {
    let args = ["diff", "vm-state.overlay", "--base", "base.hxz", "--files"];
    let text = stdout(&hexz(&demo(), &[&args[..], &["--", "/nowhere"]].concat()));
    assert!(!text.contains("not shown"), "{text}");
}

#[test]
fn an_overlay_that_is_not_there_is_an_error_with_a_base_too() {
    let args = ["diff", "nowhere.overlay", "--base", "base.hxz", "--files"];
    let output = hexz(&demo(), &args);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
}

#[test]
fn an_answer_about_owners_names_the_disk() {
    let header = |args: &[&str]| {
        let text = stdout(&hexz(&demo(), args));
        text.lines().next().unwrap_or_default().to_owned()
    };
    let named = "\"overlay\":null,\"base\":\"base.hxz\",";
    let line = header(&["owner", "base.hxz", "--block", "0", "--json"]);
    assert!(line.contains(named), "{line}");
    let line = header(&["map", "base.hxz", "--json"]);
    assert!(line.contains(named), "{line}");
    let list = ["diff", "--changes", "vm-state.map.json", "--changes-format"];
    let line = header(&[&list[..], &["qemu-img-map", "--base", "base.hxz", "--json"]].concat());
    let named = "\"overlay\":\"vm-state.map.json\",\"base\":\"base.hxz\",";
    assert!(line.contains(named), "{line}");
    assert!(line.contains("\"precision\":\""), "{line}");
}

#[test]
fn the_short_names_of_lists_are_still_known() {
    let list = [
        "diff",
        "--changes",
        "vm-state.map.json",
        "--base",
        "base.hxz",
    ];
    let shown = |format: &str| {
        let args = [&list[..], &["--files", "--changes-format", format]].concat();
        let output = hexz(&demo(), &args);
        (output.status.code(), output.stdout)
    };
    let named = shown("qemu-img-map");
    assert_eq!(named.0, Some(0));
    assert_eq!(shown("qemu"), named);
    assert_eq!(shown("nbd").0, Some(2));
    assert_eq!(shown("nonsense").0, Some(2));
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let overlay = ["diff", "vm-state.overlay", "--base", "base.hxz"];
    let list = [
        "diff",
        "--changes",
        "vm-state.map.json",
        "--base",
        "base.hxz",
    ];
    let two = ["diff", "base.hxz", "base.hxz"];
    for (args, more, says) in [
        (&overlay[..], &["--snapshot", "x"][..], "for qcow2 images"),
        (&list, &["--snapshot", "x"], "--snapshot"),
        (&two, &["--snapshot", "x"], "--snapshot"),
        (&overlay, &["--merged", "base.hxz"], "--merged"),
        (&two, &["--merged", "base.hxz"], "--merged"),
        (&overlay, &["--unit", "512"], "--unit"),
        (&overlay, &["--changes-format", "text"], "--changes-format"),
        (&overlay, &["-z"], "--name-status"),
        (&overlay, &["-z", "--files"], "--name-status"),
        (&overlay, &["-z", "--json"], "--json"),
        (&list, &["-z"], "--name-status"),
    ] {
        let output = hexz(&demo(), &[args, more].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?} {more:?}");
        assert_eq!(stdout(&output), "", "{args:?} {more:?}");
        let told = stderr(&output);
        assert!(told.contains(says), "{args:?} {more:?}: {told}");
    }
    // Each of them alone, with what it is for.
    for more in [&["--unit", "512"][..], &["--merged", "base.hxz"]] {
        let output = hexz(&demo(), &[&list[..], more].concat());
        assert!(output.status.success(), "{more:?}: {}", stderr(&output));
    }
}

#[test]
fn no_more_threads_than_could_be_of_use() {
    let args = ["layout", "base.hxz", "--threads", "100000"];
    assert_eq!(hexz(&demo(), &args).status.code(), Some(2));
}

#[test]
fn machine_output_without_a_base_says_what_is_missing() {
    let dir = overlay([1], &[]);
    let output = hexz(dir.path(), &["diff", "vm-state.overlay", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--base"), "{}", stderr(&output));
}

#[test]
fn names_for_pipes() {
    let args = [
        "diff",
        "vm-state.overlay",
        "--base",
        "base.hxz",
        "--name-status",
    ];
    let lines = stdout(&hexz(&demo(), &args));
    assert!(lines.contains("R\t/etc/fstab\t/etc/fstab.bak\n"), "{lines}");
    let args = [
        "diff",
        "vm-state.overlay",
        "--base",
        "base.hxz",
        "--name-only",
        "-z",
        "--",
        "/etc",
    ];
    assert_eq!(
        stdout(&hexz(&demo(), &args)),
        "/etc/fstab.bak\0/etc/hosts\0"
    );
}

#[test]
fn the_base_may_come_from_the_environment() {
    let output = Command::new(env!("CARGO_BIN_EXE_hexz"))
        .args(["diff", "--files", "vm-state.overlay"])
        .current_dir(demo())
        .env("HEXZ_BASE", "base.hxz")
        .output()
        .expect("hexz runs");
    assert!(
        stdout(&output).contains("/etc/fstab -> /etc/fstab.bak"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = overlay(0..200_000, &[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_hexz"))
        .args(["diff", "vm-state.overlay", "--files"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hexz runs");
    let mut head = [0; 10];
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_exact(&mut head).expect("a line");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

#[test]
fn no_colours_but_on_a_terminal() {
    let output = hexz(
        &demo(),
        &["diff", "--files", "vm-state.overlay", "--base", "base.hxz"],
    );
    assert!(!output.stdout.contains(&0x1B));
}

#[test]
fn a_base_in_the_environment_forbids_nothing() {
    let code = |base: &str, args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hexz"))
            .args(args)
            .current_dir(demo())
            .env("HEXZ_BASE", base)
            .output();
        output.expect("hexz runs").status.code()
    };
    let two = ["diff", "--files", "base.hxz", "base.hxz"];
    assert_eq!(code("base.hxz", &two), Some(0));
    assert_eq!(code("", &["diff", "--files", "vm-state.overlay"]), Some(0));
}

#[test]
fn what_can_not_be_seen_any_more_is_not_called_deleted() {
    // The partition's superblock: still called ext4, with a block size that there is not.
    let mut superblock = vec![0; 4096];
    superblock[1024 + 24] = 9;
    superblock[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xEF]);
    // And a partition table of which nothing is left to be read, at neither end of the disk.
    let table: Vec<u64> = [0, 1].into_iter().chain(10_235..10_240).collect();
    for (blocks, data) in [(vec![1280_u64], superblock), (table, Vec::new())] {
        let dir = overlay(blocks.iter().copied(), &[]);
        let image = fs::File::create(dir.path().join("vm-state.overlay")).expect("made");
        let written = image.write_all_at(&data, blocks[0] * 4096);
        written.expect("written");
        let base = demo().join("base.hxz");
        let base = base.to_str().expect("a path");
        let args = ["diff", "vm-state.overlay", "--base", base, "--json"];
        let text = stdout(&hexz(dir.path(), &args));
        assert!(!text.contains("\"type\":\"change\""), "{text}");
        assert!(text.contains("one-view-unreadable"), "{text}");
        assert!(text.contains("\"complete\":false,"), "{text}");
    }
}

/// How `child` ends once it was told to.
fn interrupted(child: &mut std::process::Child) -> std::process::ExitStatus {
    let number = child.id().to_string();
    let told = Command::new("kill").args(["-INT", &number]).status();
    assert!(told.expect("kill runs").success());
    child.wait().expect("it ends")
}

#[test]
fn an_interrupt_ends_it_wherever_it_is_and_leaves_nothing_behind() {
    // 256 MiB of index, each number far from the last.
    let dir = tempfile::tempdir().expect("a folder");
    let scattered = (0..32u64 << 20).map(|n| n.wrapping_mul(0x9E37_79B1) % (1 << 40));
    let index: Vec<u8> = scattered.flat_map(u64::to_le_bytes).collect();
    fs::write(dir.path().join("vm-state.meta"), index).expect("written");
    fs::write(dir.path().join("vm-state.overlay"), b"").expect("written");
    let temporary = dir.path().join("temporary");
    fs::create_dir(&temporary).expect("made");
    let base = demo().join("base.hxz");
    let base = base.to_str().expect("a path");
    for args in [
        // While it reads the index.
        &["diff", "vm-state.overlay"][..],
        // While it writes what no one reads.
        &["cat", base, "p2:/usr/lib/app/libapp.so.1"],
        &["diff", "--changes", "-", "--base", base, "--json"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hexz"))
            .args(args)
            .current_dir(dir.path())
            .env("TMPDIR", &temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("hexz runs");
        std::thread::sleep(Duration::from_millis(100));
        let running = child.try_wait().expect("it can be asked").is_none();
        assert!(running, "{args:?} ended by itself");
        // By the signal, and not because it was done.
        let status = interrupted(&mut child);
        assert_eq!(status.signal(), Some(2), "{args:?}: {status}");
        let left = fs::read_dir(&temporary).expect("there").count();
        assert_eq!(left, 0, "{args:?}");
    }
}
