//! What the engine makes of tables together with what their partitions hold.

use std::sync::Arc;

use hexz_resolve::engine::{self, Detection, Options};
use hexz_resolve::report::LayoutReport;
use hexz_resolve::{JournalMode, Limits, ReadAt, Registry, Silent};
use hexz_testkit::{SparseDisk, decompress, workspace_dir};

use crate::build::{Gpt, MIB, mbr};

const SIZE: u64 = 64 * MIB;

fn layout_with(disk: &SparseDisk, detection: Detection) -> LayoutReport {
    layout_of(Arc::new(disk.clone()), detection)
}

/// The layout of an image that real tools made; `images/recipe.sh` says how.
fn archived(name: &str) -> LayoutReport {
    let folder = workspace_dir().join("crates/volume/tests/images");
    let bytes = decompress(&folder.join(format!("{name}.img.zst")));
    layout_of(Arc::new(bytes), Detection::default())
}

fn layout_of(disk: Arc<dyn ReadAt>, detection: Detection) -> LayoutReport {
    let mut builder = Registry::builder();
    hexz_volume::register(&mut builder).unwrap();
    hexz_known::register(&mut builder).unwrap();
    let registry = builder.build();
    let options = Options {
        registry: &registry,
        limits: Limits::default(),
        journal: JournalMode::Replay,
        threads: 1,
        volume: None,
        detection,
        disks: hexz_resolve::Disks::default(),
        memo: None,
        progress: &Silent,
        scratch: None,
        cancel: None,
    };
    engine::layout(&disk, &options).unwrap()
}

/// Name, start and format of the volumes.
fn volumes(report: &LayoutReport) -> Vec<(&str, u64, Option<&str>)> {
    let volumes = report.volumes.iter();
    volumes
        .map(|v| (v.volume.as_str(), v.start, v.filesystem))
        .collect()
}

/// A squashfs that takes up `size` bytes, and holds nothing that could be read.
fn squashfs(size: u64) -> [u8; 96] {
    let mut head = [0; 96];
    head[..4].copy_from_slice(b"hsqs");
    head[12..16].copy_from_slice(&131_072u32.to_le_bytes());
    head[22..24].copy_from_slice(&17u16.to_le_bytes());
    head[28..30].copy_from_slice(&4u16.to_le_bytes());
    head[40..48].copy_from_slice(&size.to_le_bytes());
    head
}

#[test]
fn a_table_counts_in_sectors_that_fit_what_its_partitions_hold() {
    for sector in [512u64, 1024, 2048, 4096] {
        let mut disk = SparseDisk::new(SIZE);
        disk.write(0, &mbr(&[(0x83, 1024, 1000), (0x83, 4096, 1000)]));
        disk.write(4096 * sector, &squashfs(4096));
        let report = layout_with(&disk, Detection::default());
        let expected = [
            ("p1", 1024 * sector, None),
            ("p2", 4096 * sector, Some("squashfs")),
        ];
        assert_eq!(volumes(&report), expected);
        assert_eq!(report.volumes[0].sector_size, Some(sector));
    }
}

#[test]
fn records_of_logical_partitions_tell_the_size_of_a_sector_too() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0x83, 256, 1000), (0x05, 2000, 1000)]));
    disk.write(2000 * 4096, &mbr(&[(0x83, 2, 100)]));
    let report = layout_with(&disk, Detection::default());
    let expected = [("p1", 256 * 4096, None), ("p5", 2002 * 4096, None)];
    assert_eq!(volumes(&report), expected);
}

#[test]
fn the_size_of_a_sector_can_be_forced() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0x83, 1024, 1000)]));
    disk.write(1024 * 512, &squashfs(4096));
    let forced = Detection {
        sector_size: Some(2048),
        ..Detection::default()
    };
    let report = layout_with(&disk, forced);
    assert_eq!(volumes(&report), [("p1", 1024 * 2048, None)]);
}

#[test]
fn a_gpt_may_count_in_any_of_the_sizes() {
    for sector in [512u64, 1024, 2048, 4096] {
        let table = Gpt {
            sector,
            ..Gpt::default()
        };
        let report = layout_with(&table.disk(SIZE), Detection::default());
        assert_eq!(report.volumes[0].start, 2048 * sector);
        assert_eq!(report.volumes[0].sector_size, Some(sector));
    }
}

#[test]
fn a_partition_that_has_its_own_table_is_read_once() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0x17, 0, 65_536), (0x83, 65_536, 1000)]));
    let report = layout_with(&disk, Detection::default());
    let expected = [("p1", 0, None), ("p2", 65_536 * 512, None)];
    assert_eq!(volumes(&report), expected);

    let gpt = Gpt {
        parts: vec![(1, 0, 131_071, "all of it"), (2, 4096, 8191, "a part")],
        ..Gpt::default()
    };
    let report = layout_with(&gpt.disk(SIZE), Detection::default());
    let expected = [("p1", 0, None), ("p2", 4096 * 512, None)];
    assert_eq!(volumes(&report), expected);
}

#[test]
fn an_extended_partition_that_starts_with_the_table_has_no_records() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0x05, 0, 65_536), (0x83, 65_536, 1000)]));
    let report = layout_with(&disk, Detection::default());
    assert_eq!(volumes(&report), [("p2", 65_536 * 512, None)]);
}

#[test]
fn a_leftover_at_the_end_loses_against_any_format_in_front() {
    let mut disk = Gpt::default().disk(SIZE);
    disk.write(0, &[0; 34 * 512]);
    assert_eq!(volumes(&layout_with(&disk, Detection::default())).len(), 2);
    disk.write(0, &squashfs(4096));
    let report = layout_with(&disk, Detection::default());
    assert_eq!(volumes(&report), [("disk", 0, Some("squashfs"))]);
}

#[test]
fn an_empty_table_hides_no_format() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[]));
    // The volume descriptor of an ISO 9660.
    let mut iso = [0; 2048];
    iso[..7].copy_from_slice(b"\x01CD001\x01");
    iso[80..84].copy_from_slice(&1000u32.to_le_bytes());
    iso[84..88].copy_from_slice(&1000u32.to_be_bytes());
    iso[128..130].copy_from_slice(&2048u16.to_le_bytes());
    iso[130..132].copy_from_slice(&2048u16.to_be_bytes());
    disk.write(32 << 10, &iso);
    let report = layout_with(&disk, Detection::default());
    assert_eq!(volumes(&report), [("disk", 0, Some("iso9660"))]);
}

#[test]
fn it_is_told_what_was_thought_of() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0x83, 2048, 1000)]));
    let wanted = Detection {
        explain: true,
        ..Detection::default()
    };
    let report = layout_with(&disk, wanted);
    let [table] = &report.candidates[..] else {
        panic!("{:?}", report.candidates);
    };
    assert!(table.chosen && table.format == "mbr" && table.volume == "disk");
}

#[test]
fn one_mirror_of_a_real_raid_holds_its_filesystem() {
    for (name, volume, start, label) in [
        ("md-1.2", "md/data", MIB, "raid12"),
        ("md-1.0", "md/11", 0, "raid10"),
        ("md-0.90", "md/12", 0, "raid090"),
    ] {
        let report = archived(name);
        assert_eq!(volumes(&report), [(volume, start, Some("ext2"))], "{name}");
        let found = report.volumes[0].label.as_deref();
        assert_eq!(found, Some(label.as_bytes()), "{name}");
        let codes: Vec<_> = report.diagnostics.iter().map(|d| &*d.code).collect();
        assert!(codes.contains(&"md-one-of-several"), "{name}: {codes:?}");
        assert!(
            !codes.contains(&"md-superblock-damaged"),
            "{name}: {codes:?}"
        );
    }
}

#[test]
fn one_disk_of_a_real_raid5_is_named() {
    let report = archived("md-raid5");
    let member = Some("linux_raid_member");
    assert_eq!(volumes(&report), [("disk", 0, member)]);
    let reason = report.volumes[0].reason.as_deref().unwrap_or_default();
    assert!(reason.contains("disk 1 of the 3 of a RAID5"), "{reason}");
}

#[test]
fn mirrored_volumes_are_read_from_the_disk_that_is_here() {
    let report = archived("lvm-mirrors");
    let held: Vec<_> = volumes(&report)
        .into_iter()
        .filter_map(|(name, _, filesystem)| Some((name.to_owned(), filesystem?.to_owned())))
        .collect();
    let ext2 = |name: &str| (name.to_owned(), "ext2".to_owned());
    assert_eq!(held, [ext2("vg/root"), ext2("vg/mir")]);
}
