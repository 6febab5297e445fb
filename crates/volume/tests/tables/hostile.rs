//! Damage of every kind: nothing panics, and what comes out is bounded and within the disk.

use std::sync::Arc;

use hexz_resolve::{ByteRange, ReadAt, VolumeSet};
use hexz_testkit::{Faulty, Patched, Rng, SparseDisk};
use proptest::prelude::*;

use crate::build::{Gpt, MIB, confidence, mbr, try_open};

const SIZE: u64 = 8 * MIB;

pub(crate) fn check(set: &VolumeSet, size: u64) {
    let disk = ByteRange::new(0, size);
    assert!(set.volumes.len() <= 4096 + 4);
    for volume in set.volumes.iter().filter(|v| v.unusable.is_none()) {
        let ranges = volume.map.device_ranges();
        assert!(!ranges.is_empty(), "{volume:?}");
        assert!(ranges.iter().all(|r| r.intersection(&disk) == Some(r)));
    }
    for (n, one) in set.structures.iter().enumerate() {
        assert_eq!(one.range.intersection(&disk), Some(one.range), "{one:?}");
        let apart = |two: &&hexz_resolve::Structure| {
            two.role != one.role || !two.range.overlaps(&one.range)
        };
        assert!(set.structures[n + 1..].iter().all(|two| apart(&two)));
    }
}

fn try_all(disk: &Arc<dyn ReadAt>) {
    for id in ["gpt", "mbr", "lvm2"] {
        let reader = Faulty::new(Arc::clone(disk));
        confidence(id, &reader);
        let reader = Arc::new(reader);
        let (set, _) = try_open(id, Arc::clone(&reader) as Arc<dyn ReadAt>);
        if let Ok(set) = set {
            check(&set, disk.len());
        }
        assert!(reader.bytes() < 64 * MIB, "{id} read {}", reader.bytes());
    }
}

fn logical() -> SparseDisk {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0x83, 63, 900), (0x05, 1000, 14_000)]));
    disk.write(1000 * 512, &mbr(&[(0x83, 63, 100), (0x05, 3000, 500)]));
    disk.write(4000 * 512, &mbr(&[(0x82, 1, 200), (0x05, 1500, 500)]));
    disk.write(2500 * 512, &mbr(&[(0x07, 63, 300)]));
    disk
}

#[test]
fn flipped_bytes_never_panic() {
    let gpt: Arc<dyn ReadAt> = Arc::new(Gpt::default().disk(SIZE));
    let gpt_places = [
        (0, 1024),
        (1024, 512),
        (SIZE - 512, 512),
        (SIZE - 17_000, 512),
    ];
    let chain: Arc<dyn ReadAt> = Arc::new(logical());
    let records = [0, 1000, 4000, 2500].map(|lba| (lba * 512 + 440, 72));
    for (disk, places) in [(&gpt, gpt_places), (&chain, records)] {
        for seed in 0..1500 {
            let mut rng = Rng::new(seed);
            let mut damaged = Patched::new(Arc::clone(disk));
            for _ in 0..=rng.below(6) {
                let (at, length) = *rng.pick(&places);
                let value = *rng.pick(&[0, 0xFF, 0x7F, 0x80, 5, rng.clone().next_u64() as u8]);
                damaged = damaged.patch(at + rng.below(length), [value]);
            }
            if rng.chance(1, 4) {
                damaged = damaged.truncate(rng.below(SIZE));
            }
            if damaged.len() > 0 {
                try_all(&(Arc::new(damaged) as Arc<dyn ReadAt>));
            }
        }
    }
}

#[test]
fn headers_with_good_checksums_may_still_lie() {
    let sound = Gpt::default();
    let disk: Arc<dyn ReadAt> = Arc::new(sound.disk(SIZE));
    for seed in 0..1500 {
        let mut rng = Rng::new(seed);
        let mut damaged = Patched::new(Arc::clone(&disk));
        for (lba, other) in [(1, SIZE / 512 - 1), (SIZE / 512 - 1, 1)] {
            let mut header = sound.header(lba, other, 2, SIZE / 512 - 1);
            for _ in 0..=rng.below(2) {
                let (at, length) =
                    *rng.pick(&[(32, 8), (40, 8), (72, 8), (80, 4), (84, 4), (88, 4)]);
                let odd = [
                    0,
                    1,
                    8,
                    127,
                    4096,
                    4097,
                    1 << 31,
                    u64::MAX,
                    rng.clone().next_u64(),
                ];
                let value = rng.pick(&odd).to_le_bytes();
                header[at..at + length].copy_from_slice(&value[..length]);
            }
            header[16..20].fill(0);
            let sum = crate::build::crc32(&header[..92]);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
            damaged = damaged.patch(lba * 512, header);
        }
        try_all(&(Arc::new(damaged) as Arc<dyn ReadAt>));
    }
}

#[test]
fn tiny_disks_are_no_trouble() {
    let disk: Arc<dyn ReadAt> = Arc::new(Gpt::default().disk(SIZE));
    for size in (1..40).chain([511, 512, 513, 1023, 1024, 1025, 4095, 4096, 8192]) {
        try_all(&(Arc::new(Patched::new(Arc::clone(&disk)).truncate(size)) as Arc<dyn ReadAt>));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any four entries: what is usable is what starts on the disk, at its very place.
    #[test]
    fn any_table_of_primaries(entries in prop::collection::vec((0u8..=255, 0u32..20_000, 0u32..20_000), 0..=4)) {
        let mut disk = SparseDisk::new(SIZE);
        disk.write(0, &mbr(&entries));
        let (set, _) = try_open("mbr", Arc::new(disk));
        let set = set.unwrap();
        check(&set, SIZE);
        let chains = [5, 0xF, 0x85, 0xEE];
        let expected = (1..).zip(&entries).filter(|(_, (kind, start, count))| {
            *count != 0 && !chains.contains(kind) && u64::from(*start) * 512 < SIZE
        });
        let mut expected: Vec<(String, u64, u64)> = expected
            .map(|(n, (_, start, count))| {
                let at = u64::from(*start) * 512;
                (format!("p{n}"), at, (at + u64::from(*count) * 512).min(SIZE) - at)
            })
            .collect();
        let usable = set.volumes.iter().filter(|v| v.unusable.is_none());
        let mut found: Vec<_> = usable
            .map(|v| (v.name.clone(), v.map.device_offset(0).unwrap(), v.map.len()))
            .collect();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}
