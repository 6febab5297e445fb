//! Images that are damaged, or made to do harm.

use std::path::Path;

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, ErrorKind, Precision, ReadAt, Severity, read_vec,
};
use hexz_source::{DefaultGate, ImageOverlay, TwoImages, open_image};

use super::{Images, LIMITS, be64};

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
    let table = be64(&image, be64(&image, 40));
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
            let overlay = ImageOverlay {
                snapshot: (round % 5 == 0).then(|| "first".into()),
                ..ImageOverlay::new(&path)
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
fn more_ranges_than_are_held_are_joined() {
    let images = Images::unpacked();
    let load = |snapshot: Option<&str>, name: &str, ranges| {
        let limits = LIMITS().with(|limits| limits.ranges = ranges);
        let overlay = ImageOverlay {
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
fn a_damaged_entry_costs_its_clusters_and_not_the_report() {
    let images = Images::unpacked();
    let sound = std::fs::read(images.path("v2.qcow2")).unwrap();
    let load = |image: &[u8]| {
        let path = images.path("damaged.qcow2");
        std::fs::write(&path, image).unwrap();
        let overlay = ImageOverlay::new(path);
        overlay.load(&LIMITS(), &DefaultGate::new()).unwrap()
    };
    let cluster = |n: u64| ByteRange::new(n << 16, (n + 1) << 16);
    let l1 = be64(&sound, 40);
    let l2 = be64(&sound, l1) & 0x00FF_FFFF_FFFF_FE00;
    let offset_of = |n: u64| l2 + n * 8;
    // The map of qemu-img: clusters 0 and 17 to 20 hold data. The first one is damaged, and the
    // one after it, which was not written.
    let whole = load(&sound).changes.ranges;
    assert!(whole.contains(0) && !whole.contains(1 << 16));
    let mut image = sound.clone();
    for n in [0, 1] {
        let at = offset_of(n) as usize;
        image[at + 6] = 0x12;
    }
    let loaded = load(&image);
    let expected = whole.union(&cluster(1).into());
    assert_eq!(loaded.changes.ranges, expected);
    let told: Vec<_> = loaded
        .changes
        .diagnostics
        .iter()
        .map(|d| (d.severity, d.offset))
        .collect();
    assert_eq!(
        told,
        [(Severity::Error, Some(0)), (Severity::Error, Some(1 << 16))]
    );
    let merged = loaded.merged.unwrap();
    let error = read_vec(&*merged, 1 << 16, 1).unwrap_err().to_string();
    assert!(error.contains(&offset_of(1).to_string()), "{error}");
    assert_eq!(read_vec(&*merged, 17 << 16, 1).unwrap(), [9]);

    // Tables past the end of the file, as where it was cut off, and at no cluster's start.
    for (byte, value) in [(3, 1), (6, 2)] {
        let mut image = sound.clone();
        image[l1 as usize + byte] |= value;
        let loaded = load(&image);
        let disk = ByteRange::new(0, 4 << 20);
        assert_eq!(loaded.changes.ranges, disk.into());
        assert_eq!(loaded.changes.diagnostics.len(), 1);
        assert!(read_vec(&*loaded.merged.unwrap(), 0, 1).is_err());
    }
}

#[test]
fn two_images_of_which_one_is_damaged_differ_there() {
    let images = Images::unpacked();
    let mut image = std::fs::read(images.path("v2.qcow2")).unwrap();
    std::fs::copy(images.path("v2.qcow2"), images.path("sound.qcow2")).unwrap();
    let l2 = be64(&image, be64(&image, 40)) & 0x00FF_FFFF_FFFF_FE00;
    image[l2 as usize + 6] = 0x12;
    std::fs::write(images.path("damaged.qcow2"), image).unwrap();
    let two = TwoImages::new(images.path("sound.qcow2"), images.path("damaged.qcow2"));
    let loaded = two.load(&LIMITS(), &DefaultGate::new()).unwrap();
    let changes = super::common::compared(&loaded);
    assert_eq!(changes.ranges, ByteRange::new(0, 65536).into());
    assert_eq!(changes.precision, Precision::Over);
    assert!(
        changes
            .diagnostics
            .iter()
            .all(|d| d.severity == Severity::Error)
    );
}

#[test]
fn a_message_does_not_name_every_snapshot_there_is() {
    let images = Images::unpacked();
    let mut image = std::fs::read(images.path("snapshots.qcow2")).unwrap();
    let table = be64(&image, 64) as usize;
    let entry = image[table..table + 64].to_vec();
    // 40 bytes, extra data, id and name, to a multiple of 8.
    let extra = u32::from_be_bytes(entry[36..40].try_into().unwrap()) as usize;
    let length = (40 + extra + 1 + "first".len()).next_multiple_of(8);
    let entry = image[table..table + length].to_vec();
    let end = image.len() as u64;
    image[60..64].copy_from_slice(&3000u32.to_be_bytes());
    image[64..72].copy_from_slice(&end.to_be_bytes());
    image.extend(entry.repeat(3000));
    let path = images.path("many.qcow2");
    std::fs::write(&path, image).unwrap();
    let overlay = ImageOverlay {
        snapshot: Some("third".into()),
        ..ImageOverlay::new(path)
    };
    let error = overlay.load(&LIMITS(), &DefaultGate::new()).err().unwrap();
    let text = error.chain();
    assert!(
        text.contains("and 2980 more") && text.len() < 1000,
        "{text}"
    );
}
