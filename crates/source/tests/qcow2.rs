//! qcow2 images written by qemu-img, against what qemu-img reads from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, ErrorKind, Limits, RangeSet, ReadAt, Result, read_vec,
};
use hexz_source::{DefaultGate, ExtentList, Qcow2Overlay, TwoImages, open_image};
use hexz_testkit::Fixture;
use sha2::{Digest, Sha256};

/// All images of the fixture, in a folder of their own.
struct Images(tempfile::TempDir);

impl Images {
    fn unpacked() -> Self {
        let fixture = Fixture::load("qcow2-images");
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixture.path("")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(image) = name.strip_suffix(".zst") {
                std::fs::write(dir.path().join(image), fixture.bytes(image)).unwrap();
            } else if name.ends_with(".json") {
                std::fs::copy(fixture.path(&name), dir.path().join(name)).unwrap();
            }
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn overlay(&self, name: &str) -> Qcow2Overlay {
        Qcow2Overlay::new(self.path(name))
    }

    /// Makes `name` a copy of the overlay over `disk.raw` that names `backing`, as long, instead.
    fn over(&self, name: &str, backing: &str, format: &str) -> PathBuf {
        let mut image = std::fs::read(self.path("subclusters.qcow2")).unwrap();
        let at = image.windows(8).position(|w| w == b"disk.raw").unwrap();
        image[at..at + 8].copy_from_slice(backing.as_bytes());
        // The extension for the format of the backing file: type, length, padded text.
        let kind = [0xE2, 0x79, 0x2A, 0xCA];
        let at = image.windows(4).position(|w| w == kind).unwrap();
        image[at + 7] = format.len() as u8;
        image[at + 8..at + 8 + format.len()].copy_from_slice(format.as_bytes());
        let path = self.path(name);
        std::fs::write(&path, image).unwrap();
        path
    }

    /// Writes `bytes` at `at` of a copy of the image `name`, and opens it.
    fn patched(&self, name: &str, at: usize, bytes: &[u8], found: &Diagnostics) -> Result<()> {
        let mut image = std::fs::read(self.path(name)).unwrap();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let path = self.path("patched.qcow2");
        std::fs::write(&path, image).unwrap();
        open_image(&path, &Limits::default(), &DefaultGate::new(), found).map(|_| ())
    }
}

fn truth() -> BTreeMap<String, String> {
    let text = String::from_utf8(Fixture::load("qcow2-images").bytes("SHA256")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once("  "));
    pairs.map(|(sum, name)| (name.into(), sum.into())).collect()
}

fn sha256(image: &dyn ReadAt) -> String {
    let mut hasher = Sha256::new();
    // Pieces that end inside clusters of any size.
    let (mut at, step) = (0, 100_000);
    while at < image.len() {
        let length = step.min(image.len() - at);
        hasher.update(read_vec(image, at, length as usize).unwrap());
        at += length;
    }
    hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

const LIMITS: fn() -> Limits = Limits::default;

#[test]
fn every_image_reads_as_qemu_reads_it() {
    let images = Images::unpacked();
    let truth = truth();
    let names: Vec<&String> = truth.keys().filter(|name| !name.contains('@')).collect();
    assert!(names.len() >= 10);
    for name in names {
        let found = Diagnostics::new();
        let gate = DefaultGate::new();
        let image = open_image(&images.path(name), &LIMITS(), &gate, &found).unwrap();
        assert_eq!(sha256(&*image), truth[name], "{name}");
        assert_eq!(found.take(), [], "{name}");
        let all = ByteRange::new(0, image.len());
        let data = image.data_in(all);
        for hole in &RangeSet::from(all).difference(&data) {
            let bytes = read_vec(&*image, hole.start(), hole.len() as usize).unwrap();
            assert!(bytes.iter().all(|b| *b == 0), "{name} {hole:?}");
        }
        assert!(data.len() < image.len(), "{name} has holes");
    }
}

#[test]
fn changes_are_what_qemu_img_map_says_of_the_top_image() {
    let images = Images::unpacked();
    for name in truth().keys().filter(|name| !name.contains('@')) {
        let loaded = images.overlay(name).load(&LIMITS(), &DefaultGate::new());
        let loaded = loaded.unwrap();
        // What a disk that shrank lost is no part of the map.
        let disk = ByteRange::new(0, loaded.merged.unwrap().len());
        let ranges = loaded.changes.ranges.clipped(disk);
        let map = ExtentList {
            file: images.path(&name.replace(".qcow2", ".map.json")),
            format: None,
            unit: 4096,
            base: None,
            merged: None,
        };
        let map = map.load(&LIMITS(), &DefaultGate::new()).unwrap().changes;
        assert_eq!(ranges, map.ranges, "{name}");
        assert!(!ranges.is_empty(), "{name}");
    }
}

#[test]
fn the_base_is_the_backing_chain_or_what_the_user_gives() {
    let images = Images::unpacked();
    let load = |o: Qcow2Overlay| o.load(&LIMITS(), &DefaultGate::new()).unwrap();
    let top = load(images.overlay("top.qcow2"));
    assert_eq!(top.changes.block_size, 65536);
    assert_eq!(sha256(&*top.base.unwrap()), truth()["middle.qcow2"]);
    assert_eq!(sha256(&*top.merged.unwrap()), truth()["top.qcow2"]);
    assert!(load(images.overlay("v2.qcow2")).base.is_none());
    assert_eq!(
        load(images.overlay("subclusters.qcow2")).changes.block_size,
        2048
    );

    let given = Qcow2Overlay {
        base: Some(images.path("deflate.qcow2").into()),
        ..images.overlay("top.qcow2")
    };
    let given = load(given);
    assert_eq!(sha256(&*given.base.unwrap()), truth()["deflate.qcow2"]);
    let merged = given.merged.unwrap();
    // At 0 the middle image was written, which is no longer in the chain.
    let text = read_vec(&*merged, 0, 4).unwrap();
    assert_eq!(text, b"1\n2\n");
    assert_eq!(read_vec(&*merged, 300 << 10, 1).unwrap(), [5]);
}

#[test]
fn an_internal_snapshot_is_the_disk_before() {
    let images = Images::unpacked();
    let against = |name: &str| {
        let overlay = Qcow2Overlay {
            snapshot: Some(name.into()),
            ..images.overlay("snapshots.qcow2")
        };
        overlay.load(&LIMITS(), &DefaultGate::new())
    };
    let clusters = |numbers: &[u64]| -> RangeSet {
        let each = numbers
            .iter()
            .map(|n| ByteRange::new(n << 16, (n + 1) << 16));
        each.collect()
    };
    // The clusters that make.sh wrote or discarded since: 64 KiB each.
    for (name, changed) in [("first", &[1, 3, 16, 17, 32][..]), ("second", &[3])] {
        let loaded = against(name).unwrap();
        assert_eq!(loaded.changes.ranges, clusters(changed), "{name}");
        let sum = &truth()[&format!("snapshots.qcow2@{name}")];
        assert_eq!(sha256(&*loaded.base.unwrap()), *sum, "{name}");
        assert_eq!(sha256(&*loaded.merged.unwrap()), truth()["snapshots.qcow2"]);
    }
    let by_id = against("2").unwrap();
    assert_eq!(by_id.changes.ranges, clusters(&[3]));
    let error = against("third").err().unwrap();
    assert!(error.chain().contains("it has first, second"), "{error:?}");
}

/// The blocks in which two disks differ, the shorter one with zeros behind its end.
fn differing(mut x: Vec<u8>, mut y: Vec<u8>, block: usize) -> RangeSet {
    let length = x.len().max(y.len());
    x.resize(length, 0);
    y.resize(length, 0);
    let blocks = x.chunks(block).zip(y.chunks(block)).enumerate();
    let differ = blocks.filter(|(_, (x, y))| x != y);
    let range = |n| ByteRange::new((n * block) as u64, length.min((n + 1) * block) as u64);
    differ.map(|(n, _)| range(n)).collect()
}

#[test]
fn a_disk_that_shrank_lost_its_tail_in_every_form() {
    let images = Images::unpacked();
    let disk = std::fs::read(images.path("disk.raw")).unwrap();
    // Of the overlays the disk has 3 MiB.
    let tail = ByteRange::new(3 << 20, 4 << 20);
    let lost = differing(disk.clone(), disk[..3 << 20].to_vec(), 65536);
    assert!(!lost.is_empty());
    for name in ["middle.qcow2", "shrunk.qcow2"] {
        let loaded = images.overlay(name).load(&LIMITS(), &DefaultGate::new());
        let ranges = loaded.unwrap().changes.ranges;
        assert_eq!(ranges.clipped(tail), lost, "{name}");
        let two = TwoImages::new(images.path("disk.raw"), images.path(name));
        let ranges = two
            .load(&LIMITS(), &DefaultGate::new())
            .unwrap()
            .changes
            .ranges;
        assert_eq!(ranges.clipped(tail).aligned_out(65536), lost, "{name}");
    }
}

#[test]
fn a_snapshot_of_another_length_is_told_to_its_end() {
    let images = Images::unpacked();
    for (name, snapshot, clusters) in [
        // Where the disk grew, 54 and 55 show the base; what `cmp` says of the disks qemu-img gave.
        ("grown.qcow2", "small", &[4, 48, 54, 55, 56][..]),
        ("shrunk.qcow2", "large", &[48, 54, 55, 56]),
    ] {
        let overlay = Qcow2Overlay {
            snapshot: Some(snapshot.into()),
            ..images.overlay(name)
        };
        let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
        let each = clusters
            .iter()
            .map(|n| ByteRange::new(n << 16, (n + 1) << 16));
        assert_eq!(loaded.changes.ranges, each.collect(), "{name}");
        let sum = &truth()[&format!("{name}@{snapshot}")];
        assert_eq!(sha256(&*loaded.base.unwrap()), *sum, "{name}");
    }
}

#[test]
fn two_images_of_one_chain_are_compared_by_allocation() {
    let images = Images::unpacked();
    let ranges = |a: &str, b: &str| {
        let two = TwoImages::new(images.path(a), images.path(b));
        two.load(&LIMITS(), &DefaultGate::new())
            .unwrap()
            .changes
            .ranges
    };
    let raw = |name: &str| {
        let gate = DefaultGate::new();
        let image = open_image(&images.path(name), &LIMITS(), &gate, &Diagnostics::new()).unwrap();
        let path = images.path(&format!("{name}.raw"));
        std::fs::write(path, read_vec(&*image, 0, image.len() as usize).unwrap()).unwrap();
        format!("{name}.raw")
    };
    for (a, b) in [
        ("middle.qcow2", "top.qcow2"),
        ("deflate.qcow2", "top.qcow2"),
        ("top.qcow2", "deflate.qcow2"),
        ("disk.raw", "subclusters.qcow2"),
        ("deflate.qcow2", "zstd.qcow2"),
        ("v2.qcow2", "apart.qcow2"),
        ("disk.raw", "shrunk.qcow2"),
        ("shrunk.qcow2", "disk.raw"),
    ] {
        let by_format = ranges(a, b);
        let (x, y) = (raw(a), raw(b));
        let blocks = |name: &str| std::fs::read(images.path(name)).unwrap();
        let (x, y) = (blocks(&x), blocks(&y));
        assert_eq!(by_format, differing(x, y, 4096), "{a} {b}");
    }
    assert!(ranges("deflate.qcow2", "zstd.qcow2").is_empty());
}

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
    let limits = Limits {
        parents: 1,
        ..LIMITS()
    };
    let path = images.path("top.qcow2");
    let error = open_image(&path, &limits, &gate, &Diagnostics::new()).err();
    assert_eq!(error.unwrap().kind(), ErrorKind::Limit);
}

#[test]
fn header_fields_that_are_odd_are_said_or_refused() {
    let images = Images::unpacked();
    let found = Diagnostics::new();
    let refused = |at, bytes: &[u8], kind, says: &str| {
        let error = images.patched("clusters-512.qcow2", at, bytes, &Diagnostics::new());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.chain().contains(says), "{error:?}");
    };
    // Offsets from the specification.
    refused(4, &[0, 0, 0, 4], ErrorKind::Unsupported, "version 4");
    refused(32, &[0, 0, 0, 1], ErrorKind::Unsupported, "encrypted (AES)");
    refused(
        32,
        &[0, 0, 0, 2],
        ErrorKind::Unsupported,
        "encrypted (LUKS)",
    );
    refused(72, &[0x80], ErrorKind::Unsupported, "feature bit 63");
    refused(20, &[0, 0, 0, 8], ErrorKind::Corrupt, "9 to 21");
    refused(20, &[0, 0, 0, 22], ErrorKind::Corrupt, "9 to 21");
    refused(24, &[0x7F], ErrorKind::Corrupt, "entries");
    refused(36, &[0xFF], ErrorKind::Limit, "at most");
    refused(40, &[0x7F], ErrorKind::Corrupt, "within the file");
    refused(100, &[0, 0, 0, 5], ErrorKind::Corrupt, "104 or more");
    refused(104, &[7], ErrorKind::Unsupported, "compression type 7");

    images
        .patched("clusters-512.qcow2", 79, &[3], &found)
        .unwrap();
    let codes: Vec<_> = found.take().into_iter().map(|d| d.code).collect();
    assert_eq!(codes, ["qcow2-dirty", "qcow2-corrupt"]);
}

#[test]
fn one_table_for_the_whole_of_a_huge_disk_is_refused() {
    let images = Images::unpacked();
    let mut image = std::fs::read(images.path("v2.qcow2")).unwrap();
    let be64 = |image: &[u8], at: usize| u64::from_be_bytes(image[at..at + 8].try_into().unwrap());
    let table = be64(&image, be64(&image, 40) as usize);
    // A million entries at the end of the file, all of one table: 512 TiB of disk.
    let end = image.len();
    image.extend(table.to_be_bytes().repeat(1 << 20));
    image[24..32].copy_from_slice(&(512u64 << 40).to_be_bytes());
    image[36..40].copy_from_slice(&(1u32 << 20).to_be_bytes());
    image[40..48].copy_from_slice(&(end as u64).to_be_bytes());
    let path = images.path("huge.qcow2");
    std::fs::write(&path, image).unwrap();
    let error = open_image(&path, &LIMITS(), &DefaultGate::new(), &Diagnostics::new());
    let error = error.err().unwrap();
    assert!(error.chain().contains("each L2 table once"), "{error:?}");
}

#[test]
fn flipped_bytes_never_panic() {
    let images = Images::unpacked();
    let mut state = 0x5EEDu64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let path = images.path("damaged.qcow2");
    for name in [
        "clusters-512.qcow2",
        "zstd.qcow2",
        "subclusters.qcow2",
        "snapshots.qcow2",
    ] {
        let sound = std::fs::read(images.path(name)).unwrap();
        let mut errors = 0;
        for round in 0..250 {
            let mut bytes = sound.clone();
            for _ in 0..=random(4) {
                let at = match round % 3 {
                    0 => random(112),
                    1 => random(bytes.len().min(8192)),
                    _ => random(bytes.len()),
                };
                bytes[at] ^= 1 << random(8);
            }
            bytes.truncate(bytes.len() - random(2) * random(bytes.len()));
            std::fs::write(&path, bytes).unwrap();
            let overlay = Qcow2Overlay {
                snapshot: (round % 5 == 0).then(|| "first".into()),
                ..Qcow2Overlay::new(&path)
            };
            let Ok(loaded) = overlay.load(&LIMITS(), &DefaultGate::new()) else {
                errors += 1;
                continue;
            };
            let merged = loaded.merged.unwrap();
            for at in (0..merged.len().min(8 << 20)).step_by(200_000) {
                let length = 5000.min(merged.len() - at);
                errors += usize::from(read_vec(&*merged, at, length as usize).is_err());
            }
            let _ = merged.data_in(ByteRange::new(0, 8 << 20));
        }
        assert!(errors > 30, "{name}: only {errors}: the damage missed");
    }
}

#[test]
fn a_compressed_cluster_that_is_damaged_is_an_error_with_its_place() {
    let images = Images::unpacked();
    let path = images.path("deflate.qcow2");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first cluster of text: from the end of the metadata on, as `qemu-img check` lays it out.
    let at = bytes.len() - 2000;
    bytes[at..].fill(0xFF);
    std::fs::write(&path, bytes).unwrap();
    let gate = DefaultGate::new();
    let image = open_image(Path::new(&path), &LIMITS(), &gate, &Diagnostics::new()).unwrap();
    let errors: Vec<String> = (0..image.len() / 65536)
        .filter_map(|n| read_vec(&*image, n * 65536, 65536).err())
        .map(|e| e.to_string())
        .collect();
    assert!(!errors.is_empty());
    assert!(
        errors.iter().all(|e| e.contains("compressed cluster")),
        "{errors:?}"
    );
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
fn more_ranges_than_are_held_are_joined() {
    let images = Images::unpacked();
    let load = |snapshot: Option<&str>, name: &str, ranges| {
        let limits = Limits { ranges, ..LIMITS() };
        let overlay = Qcow2Overlay {
            snapshot: snapshot.map(str::to_owned),
            ..images.overlay(name)
        };
        overlay.load(&limits, &DefaultGate::new()).unwrap()
    };
    for (name, snapshot) in [
        ("subclusters.qcow2", None),
        ("snapshots.qcow2", Some("first")),
    ] {
        let exact = load(snapshot, name, 1000).changes.ranges;
        assert!(exact.runs() > 2, "{name}");
        let loaded = load(snapshot, name, 2);
        let joined = loaded.changes.ranges;
        assert!(joined.runs() <= 2, "{name}");
        assert!(exact.difference(&joined).is_empty(), "{name}");
        assert!(joined.bounds().unwrap().end() <= loaded.merged.as_ref().unwrap().len());
        let merged = loaded.merged.unwrap();
        assert!(merged.data_in(ByteRange::new(0, u64::MAX)).runs() <= 2);
    }
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
fn one_file_read_in_two_formats_is_not_one_disk() {
    let images = Images::unpacked();
    let file = std::fs::read(images.path("v2.qcow2")).unwrap();
    std::fs::write(images.path("disk.raw"), &file).unwrap();
    images.over("raw.qcow2", "disk.raw", "raw");
    images.over("deep.qcow2", "disk.raw", "qcow2");
    let two = TwoImages::new(images.path("raw.qcow2"), images.path("deep.qcow2"));
    let loaded = two.load(&LIMITS(), &DefaultGate::new()).unwrap();
    // There make.sh wrote nines to the disk of the one.
    let at = 1200 << 10;
    assert_ne!(file.get(at), Some(&9));
    assert!(loaded.changes.ranges.contains(at as u64));
}

#[test]
fn an_image_without_a_backing_file_is_compared_with_the_base_that_is_given() {
    let images = Images::unpacked();
    let disk = |name: &str| {
        let gate = DefaultGate::new();
        let image = open_image(&images.path(name), &LIMITS(), &gate, &Diagnostics::new()).unwrap();
        read_vec(&*image, 0, image.len() as usize).unwrap()
    };
    // Both as qemu reads them, by their sums.
    let truth_of = differing(disk("disk.raw"), disk("v2.qcow2"), 4096);
    let base = || Some(images.path("disk.raw").into());
    for (base, or_base) in [(base(), None), (None, base())] {
        let overlay = Qcow2Overlay {
            base,
            or_base,
            ..images.overlay("v2.qcow2")
        };
        let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
        assert_eq!(loaded.changes.ranges, truth_of);
        assert_eq!(sha256(&*loaded.merged.unwrap()), truth()["v2.qcow2"]);
    }
    // What the image names itself goes before a base that is there by default.
    let overlay = Qcow2Overlay {
        or_base: Some(images.path("zstd.qcow2").into()),
        ..images.overlay("top.qcow2")
    };
    let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
    assert_eq!(sha256(&*loaded.base.unwrap()), truth()["middle.qcow2"]);

    let overlay = Qcow2Overlay {
        base: base(),
        snapshot: Some("first".into()),
        ..images.overlay("snapshots.qcow2")
    };
    let error = overlay.load(&LIMITS(), &DefaultGate::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
