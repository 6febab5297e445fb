//! What an image may name, and what is opened for it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hexz_resolve::{ChangeSource, Diagnostics, ErrorKind, ReadAt, read_vec};
use hexz_source::{DefaultGate, ImageOverlay, open_image};

use super::{Images, LIMITS, sha256, truth};

#[test]
fn what_an_image_names_stays_behind_the_gate() {
    let images = Images::unpacked();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("top.qcow2");
    std::fs::copy(images.path("top.qcow2"), &moved).unwrap();
    let open = |gate: &DefaultGate| open_image(&moved, &LIMITS(), gate, &Diagnostics::new());
    let error = open(&DefaultGate::new()).err().unwrap();
    assert!(error.chain().contains("middle.qcow2"), "{error:?}");
    let image = open(&DefaultGate::new().allow_folder(images.0.path())).unwrap();
    assert_eq!(sha256(&*image), truth()["top.qcow2"]);

    // A link beside the image that leads away.
    std::os::unix::fs::symlink("/etc/passwd", elsewhere.path().join("middle.qcow2")).unwrap();
    let error = open(&DefaultGate::new()).err().unwrap();
    assert!(error.chain().contains("not allowed"), "{error:?}");
}

#[test]
fn a_chain_that_stands_on_itself_is_refused() {
    let images = Images::unpacked();
    std::fs::copy(images.path("top.qcow2"), images.path("middle.qcow2")).unwrap();
    let gate = DefaultGate::new();
    let open = |limits| {
        open_image(
            &images.path("top.qcow2"),
            limits,
            &gate,
            &Diagnostics::new(),
        )
    };
    let error = open(&LIMITS()).err().unwrap();
    assert!(error.chain().contains("stands on itself"), "{error:?}");

    let images = Images::unpacked();
    let limits = LIMITS().with(|limits| limits.parents = 1);
    let path = images.path("top.qcow2");
    let error = open_image(&path, &limits, &gate, &Diagnostics::new()).err();
    assert_eq!(error.unwrap().kind(), ErrorKind::Limit);
}

#[test]
fn a_backing_file_that_is_said_to_be_raw_is_raw() {
    let images = Images::unpacked();
    let mut disk = std::fs::read(images.path("disk.raw")).unwrap();
    let header = std::fs::read(images.path("v2.qcow2")).unwrap();
    disk[..4096].copy_from_slice(&header[..4096]);
    std::fs::write(images.path("disk.raw"), &disk).unwrap();
    let overlay = images.overlay("subclusters.qcow2");
    let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
    let base = loaded.base.unwrap();
    assert_eq!(base.len(), disk.len() as u64);
    assert_eq!(read_vec(&*base, 0, disk.len()).unwrap(), disk);
}

#[test]
fn no_other_file_of_that_name_is_taken_unless_the_named_one_is_nowhere() {
    let images = Images::unpacked();
    let found = Diagnostics::new();
    let open = |path: &Path| open_image(path, &LIMITS(), &DefaultGate::new(), &found);
    let beside = images.path("d.raw");
    std::fs::copy(images.path("disk.raw"), &beside).unwrap();

    // From another machine: what lies beside it is taken, and said.
    let image = open(&images.over("moved.qcow2", "/x/d.raw", "raw")).unwrap();
    assert_eq!(sha256(&*image), truth()["subclusters.qcow2"]);
    let told = found.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].code, "other-file-taken");
    for name in ["/x/d.raw", beside.to_str().unwrap()] {
        assert!(told[0].message.contains(name), "{told:?}");
    }

    // It is there, and not allowed.
    std::fs::create_dir(images.path("sub")).unwrap();
    std::fs::copy(&beside, images.path("sub/d.raw")).unwrap();
    let error = open(&images.over("sub/top.qcow2", "../d.raw", "raw"))
        .err()
        .unwrap();
    let text = error.chain();
    assert!(
        text.contains("../d.raw") && text.contains("--allow-backing"),
        "{text}"
    );

    // Beside it is only the image itself.
    let error = open(&images.over("s.raw", "/x/s.raw", "raw"))
        .err()
        .unwrap();
    assert!(
        error.chain().contains("neither there nor beside"),
        "{error:?}"
    );
}

#[test]
fn an_image_is_no_raw_base_of_its_own() {
    let images = Images::unpacked();
    let image = images.path("subclusters.qcow2");
    let base = images.path("disk.raw");
    let links: [fn(&Path, &Path) -> std::io::Result<()>; 2] = [
        |from, to| std::fs::hard_link(from, to),
        |from, to| std::os::unix::fs::symlink(from, to),
    ];
    for link in links {
        std::fs::remove_file(&base).unwrap();
        link(&image, &base).unwrap();
        let error = open_image(&image, &LIMITS(), &DefaultGate::new(), &Diagnostics::new());
        let error = error.err().unwrap();
        assert!(error.chain().contains("stands on itself"), "{error:?}");
    }
}

#[test]
fn a_backing_file_may_have_a_name_that_is_no_text() {
    let images = Images::unpacked();
    let mut image = std::fs::read(images.path("subclusters.qcow2")).unwrap();
    let at = image.windows(8).position(|w| w == b"disk.raw").unwrap();
    image[at] = 0xFF;
    let path = images.path("bytes.qcow2");
    std::fs::write(&path, image).unwrap();
    let base = images.path("disk.raw");
    let given = ImageOverlay {
        base: Some(base.clone().into()),
        ..ImageOverlay::new(&path)
    };
    let loaded = given.load(&LIMITS(), &DefaultGate::new()).unwrap();
    let sum = &truth()["subclusters.qcow2"];
    assert_eq!(sha256(&*loaded.merged.unwrap()), *sum);

    let name = std::ffi::OsStr::from_bytes(b"\xFFisk.raw");
    std::fs::rename(&base, images.0.path().join(name)).unwrap();
    let image = open_image(&path, &LIMITS(), &DefaultGate::new(), &Diagnostics::new());
    assert_eq!(sha256(&*image.unwrap()), *sum);
}
