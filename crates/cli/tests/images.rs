//! What an argument is taken for.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

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
    // But for the time it took.
    let same = |report: String| report.split(r#","elapsed_ms":"#).next().map(str::to_owned);
    let given = text(dir.path(), &["diff", "--json", "top.qcow2"]);
    assert_eq!(same(diff("top.qcow2")), same(given));
    let given = text(dir.path(), &["diff", "--json", "zstd.qcow2", "v2.qcow2"]);
    assert_eq!(same(diff("v2.qcow2")), same(given));
}

/// What `hexz` says on standard error, where it gives up.
fn refused(dir: &Path, args: &[&str]) -> String {
    let output = hexz(dir, args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
    assert!(output.stdout.is_empty(), "{args:?}");
    errors
}

#[test]
fn what_was_given_in_another_order_is_answered_with_what_was_meant() {
    let dir = qcow2_images();
    for name in ["base.hxz", "vm-state.overlay", "vm-state.meta"] {
        fs::copy(demo().join(name), dir.path().join(name)).expect("written");
    }
    for (args, says) in [
        (
            &["diff", "--files", "base.hxz", "--base", "vm-state.overlay"][..],
            "did you mean `hexz diff --files vm-state.overlay --base base.hxz`?",
        ),
        (
            &["diff", "--files", "vm-state.meta", "--base", "base.hxz"],
            "give vm-state.overlay",
        ),
        (
            &["diff", "--files", "top.qcow2", "--base", "v2.qcow2"],
            "v2.qcow2 is none of the images that top.qcow2 stands on",
        ),
        (
            &["diff", "--files", "base.hxz", "vm-state.overlay"],
            "did you mean `hexz diff --files vm-state.overlay --base base.hxz`?",
        ),
        (
            &["diff", "--files", "vm-state.overlay", "base.hxz"],
            "did you mean `hexz diff --files vm-state.overlay --base base.hxz`?",
        ),
        (
            &["diff", "--name-only", "base.hxz", "vm-state.meta"],
            "give vm-state.overlay",
        ),
        (
            &["diff", "vm-state.overlay", "vm-state.overlay"],
            "each is compared with its base",
        ),
    ] {
        let errors = refused(dir.path(), args);
        assert!(errors.contains(says), "{errors}");
    }
    // An index beside a whole disk, whatever it is of.
    let raw = ["diff", "--json", "--raw", "disk.raw", "vm-state.overlay"];
    assert!(text(dir.path(), &raw).contains(r#""complete":"#));
}

#[test]
fn a_base_in_the_chain_is_compared_with_as_that_layer() {
    let dir = qcow2_images();
    let given = |base: &str| {
        let args = ["diff", "--json", "top.qcow2", "--base", base];
        let report = text(dir.path(), &args);
        let blocks = report.split(r#""blocks":"#).nth(1).expect("a header");
        let blocks: u64 = blocks[..blocks.find(',').expect("more")]
            .parse()
            .expect("a number");
        blocks
    };
    let plain = text(dir.path(), &["diff", "--json", "top.qcow2"]);
    let (middle, bottom) = (given("middle.qcow2"), given("deflate.qcow2"));
    assert!(plain.contains(&format!(r#""blocks":{middle},"#)), "{plain}");
    assert!(middle < bottom, "{middle} {bottom}");
}

#[test]
fn what_is_no_image_is_an_error_that_says_what_it_is() {
    let dir = qcow2_images();
    let gzip = b"\x1F\x8B\x08\0\0\0\0\0";
    for (name, bytes) in [
        ("nothing.img", &b""[..]),
        ("notes.txt", b"one\ntwo\n"),
        ("disk.gz", gzip),
        ("disk.zst", b"\x28\xB5\x2F\xFD\0\0\0\0"),
        ("disk.xz", b"\xFD7zXZ\0\0\x04"),
    ] {
        fs::write(dir.path().join(name), bytes).expect("written");
    }
    fs::create_dir(dir.path().join("folder")).expect("made");
    let mut encrypted = fs::read(dir.path().join("v2.qcow2")).expect("there");
    encrypted[35] = 2;
    fs::write(dir.path().join("secret.qcow2"), encrypted).expect("written");
    let mut luks = vec![0; 1 << 20];
    luks[..6].copy_from_slice(b"LUKS\xBA\xBE");
    fs::write(dir.path().join("luks.img"), luks).expect("written");
    for (name, says) in [
        ("nothing.img", "is empty (0 bytes)"),
        ("notes.txt", "is a text"),
        ("disk.gz", "gzip -d"),
        ("disk.zst", "zstd -d"),
        ("disk.xz", "xz -d"),
        ("folder", "a directory: give the image"),
        ("secret.qcow2", "encrypted (LUKS)"),
        ("luks.img", "cryptsetup"),
    ] {
        let said = usize::from(name != "folder");
        for args in [
            ["diff", "--files", "v2.qcow2", name],
            ["diff", "--files", name, "v2.qcow2"],
        ] {
            let errors = refused(dir.path(), &args);
            assert!(errors.contains(says), "{name}: {errors}");
            assert_eq!(errors.matches(name).count(), 1, "said twice: {errors}");
            assert_eq!(errors.matches("unsupported").count(), said, "{errors}");
        }
        if name != "luks.img" {
            let errors = refused(dir.path(), &["layout", name]);
            assert!(errors.contains(says), "{name}: {errors}");
        }
    }
}

#[test]
fn a_container_that_cannot_be_read_is_an_error_and_no_disk_of_deleted_files() {
    let dir = qcow2_images();
    for (name, at, magic, says) in [
        (
            "broken.vdi",
            64,
            &b"\x7F\x10\xDA\xBE"[..],
            "vdi header at byte 68",
        ),
        ("broken.qed", 0, b"QED\0", "qed header at byte 4"),
        (
            "broken.hds",
            0,
            b"WithouFreSpacExt",
            "parallels header at byte 16",
        ),
        (
            "older.hds",
            0,
            b"WithoutFreeSpace",
            "parallels header at byte 16",
        ),
    ] {
        let mut image = vec![0; 1 << 20];
        image[at..at + magic.len()].copy_from_slice(magic);
        fs::write(dir.path().join(name), image).expect("written");
        for args in [
            ["diff", "--files", "v2.qcow2", name],
            ["diff", "--files", name, "v2.qcow2"],
        ] {
            let errors = refused(dir.path(), &args);
            assert!(errors.contains(says), "{name}: {errors}");
        }
    }
}

#[test]
fn the_layout_lists_what_an_image_keeps_beside_its_disk() {
    let dir = qcow2_images();
    let told = text(dir.path(), &["layout", "snapshots.qcow2"]);
    assert!(
        told.contains("The image keeps snapshot first (id 1)"),
        "{told}"
    );
    let told = text(dir.path(), &["layout", "bitmaps.qcow2"]);
    assert!(told.contains("The image keeps bitmap since"), "{told}");
}

#[test]
fn holes_are_skipped_without_being_visited() {
    let dir = tempfile::tempdir().expect("a folder");
    // Of 8 TiB each: visiting them would take hours.
    for name in ["base.img", "vm.overlay"] {
        let file = fs::File::create(dir.path().join(name)).expect("made");
        file.set_len(8 << 40).expect("sparse");
    }
    // Every second block of the first 256 MiB, and the last one.
    let blocks = (0..1u64 << 16).step_by(2).chain([(8 << 40) / 4096 - 1]);
    let index: Vec<u8> = blocks.flat_map(u64::to_le_bytes).collect();
    fs::write(dir.path().join("vm.meta"), index).expect("written");
    let told = text(
        dir.path(),
        &["diff", "--json", "vm.overlay", "--base", "base.img"],
    );
    assert!(told.contains(r#""disk_size":8796093022208"#), "{told}");
    let two = ["diff", "--json", "--raw", "base.img", "vm.overlay"];
    assert!(text(dir.path(), &two).contains(r#""blocks":0,"#));
}

#[test]
fn an_image_of_60_tib_that_holds_nothing_is_read_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    // The header of a sparse VMDK, and tables without an entry behind it.
    let mut empty = vec![0; 64 << 10];
    let (grain, entries) = (128, 512);
    let header = [
        (0, u64::from_le_bytes(*b"KDMV\x01\0\0\0")),
        (12, 60 << (40 - 9)),
        (20, grain),
        (28, 1),
        (36, 1),
        (44, entries),
        (56, 8),
        (64, 128),
    ];
    for (at, field) in header {
        empty[at..at + 8].copy_from_slice(&u64::to_le_bytes(field));
    }
    let descriptor = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
                      createType=\"monolithicSparse\"\nRW 128849018880 SPARSE \"empty.vmdk\"\n";
    empty[512..512 + descriptor.len()].copy_from_slice(descriptor.as_bytes());
    let path = dir.path().join("empty.vmdk");
    fs::write(&path, empty).expect("written");
    let file = fs::OpenOptions::new().write(true).open(&path);
    file.expect("there").set_len(16 << 20).expect("sparse");
    let two = ["diff", "--json", "empty.vmdk", "empty.vmdk"];
    let told = text(dir.path(), &two);
    assert!(told.contains(r#""disk_size":65970697666560"#), "{told}");
    assert!(told.contains(r#""blocks":0,"#), "{told}");
    let told = text(dir.path(), &["map", "--json", "empty.vmdk"]);
    assert!(told.contains(r#""length":65970697666560"#), "{told}");
}

#[test]
fn the_write_layer_of_a_mounted_disk_is_its_file_main() {
    let dir = qcow2_images();
    fs::copy(demo().join("base.hxz"), dir.path().join("base.hxz")).expect("written");
    let layer = dir.path().join("layer");
    fs::create_dir(&layer).expect("made");
    let empty = ["diff", "--json", "layer", "--base", "base.hxz"];
    assert!(text(dir.path(), &empty).contains(r#""blocks":0,"#));
    fs::write(layer.join("other"), "not of a disk").expect("written");
    let errors = refused(
        dir.path(),
        &["diff", "--files", "layer", "--base", "base.hxz"],
    );
    assert!(errors.contains("no file `main` in it"), "{errors}");
    fs::remove_file(layer.join("other")).expect("removed");
    let (limits, found) = (Limits::default(), Diagnostics::new());
    let base = open_image(
        &dir.path().join("base.hxz"),
        &limits,
        &DefaultGate::new(),
        &found,
    );
    let base = base.expect("an archive");
    let disk = read_vec(&*base, 0, usize::try_from(base.len()).expect("small")).expect("a disk");
    fs::write(layer.join("main"), &disk).expect("written");
    let same = ["diff", "--json", "layer", "--base", "base.hxz"];
    assert!(text(dir.path(), &same).contains(r#""blocks":0,"#));
    let mut changed = disk;
    changed[100] ^= 1;
    fs::write(layer.join("main"), &changed).expect("written");
    assert!(text(dir.path(), &same).contains(r#""blocks":1,"#));
    let errors = refused(dir.path(), &["diff", "--files", "layer"]);
    assert!(errors.contains("--base ARCHIVE"), "{errors}");
}
