//! What an argument is taken for.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hexz_resolve::{Diagnostics, Limits, read_vec};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::Fixture;

fn hexz(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hexz"))
        .args(args)
        .current_dir(dir)
        .env_remove("HEXZ_BASE")
        .output()
        .expect("hexz runs")
}

/// What `hexz` says, where it has an answer: most of these disks hold no filesystem, so it is not
/// whole.
fn text(dir: &Path, args: &[&str]) -> String {
    let output = hexz(dir, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 3)), "{args:?}: {code:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo")
}

/// The images of qemu-img, unpacked.
fn qcow2_images() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::load("qcow2-images");
    for entry in fs::read_dir(fixture.path("")).expect("a fixture") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a name");
        if let Some(image) = name.strip_suffix(".zst") {
            fs::write(dir.path().join(image), fixture.bytes(image)).expect("written");
        }
    }
    dir
}

#[test]
fn an_overlay_whose_guest_wrote_a_qcow2_header_is_an_overlay() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["base.hxz", "vm-state.overlay", "vm-state.meta"] {
        fs::write(
            dir.path().join(name),
            fs::read(demo().join(name)).expect("there"),
        )
        .expect("written");
    }
    let files = ["diff", "--name-status", "--base", "base.hxz"];
    let args = [&files[..], &["vm-state.overlay"]].concat();
    let before = text(dir.path(), &args);
    assert!(before.contains("/etc/fstab.bak"), "{before}");

    // Into the boot code, before the partition table, which stays.
    let (limits, found) = (Limits::default(), Diagnostics::new());
    let base = dir.path().join("base.hxz");
    let base = open_image(&base, &limits, &DefaultGate::new(), &found).expect("an archive");
    let mut block = read_vec(&*base, 0, 4096).expect("a block");
    let header = Fixture::load("qcow2-images").bytes("clusters-512.qcow2");
    block[..104].copy_from_slice(&header[..104]);
    let overlay = fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("vm-state.overlay"))
        .expect("there");
    overlay.write_all_at(&block, 0).expect("written");
    let mut meta = fs::read(dir.path().join("vm-state.meta")).expect("there");
    meta.extend(0u64.to_le_bytes());
    fs::write(dir.path().join("vm-state.meta"), meta).expect("written");
    assert_eq!(text(dir.path(), &args), before);
}

#[test]
fn a_raw_disk_that_begins_like_a_container_can_be_said_to_be_raw() {
    let dir = qcow2_images();
    // A guest's disk, to whose first sectors it wrote an image that leads nowhere.
    let mut disk = fs::read(dir.path().join("top.qcow2")).expect("there");
    fs::remove_file(dir.path().join("middle.qcow2")).expect("removed");
    disk.resize(1 << 20, 0);
    fs::write(dir.path().join("a.raw"), &disk).expect("written");
    disk[600 << 10] ^= 1;
    fs::write(dir.path().join("b.raw"), &disk).expect("written");
    fs::write(dir.path().join("list"), "150\n").expect("written");
    // Over the first disk, by an index with block 150.
    fs::write(dir.path().join("vm.overlay"), &disk).expect("written");
    fs::write(dir.path().join("vm.meta"), 150u64.to_le_bytes()).expect("written");

    for args in [
        &["diff", "--json", "a.raw", "b.raw"][..],
        &["diff", "--json", "vm.overlay", "--base", "a.raw"],
        &["diff", "--json", "--changes", "list", "--base", "a.raw"],
        &["owner", "--json", "a.raw", "--block", "150"],
        &["map", "--json", "a.raw"],
        &["layout", "--json", "a.raw"],
    ] {
        assert_eq!(hexz(dir.path(), args).status.code(), Some(2), "{args:?}");
        let told = text(dir.path(), &[args, &["--raw"]].concat());
        assert!(told.contains(r#""disk_size":1048576,"#), "{told}");
        assert!(
            args[0] != "diff" || told.contains(r#""blocks":1,"#),
            "{told}"
        );
    }
}

#[test]
fn the_environment_names_no_base_where_the_image_does() {
    let dir = qcow2_images();
    let diff = |image: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_hexz"))
            .args(["diff", "--json", image])
            .current_dir(dir.path())
            .env("HEXZ_BASE", "zstd.qcow2")
            .output()
            .expect("hexz runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(
        diff("top.qcow2"),
        text(dir.path(), &["diff", "--json", "top.qcow2"])
    );
    let given = ["diff", "--json", "zstd.qcow2", "v2.qcow2"];
    assert_eq!(diff("v2.qcow2"), text(dir.path(), &given));
}
