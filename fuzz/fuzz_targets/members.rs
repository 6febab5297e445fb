//! Sets of disks, md and LVM2: superblocks, labels and texts damaged, with their checksums set right
//! or not, and disks missing, given twice, or in another order.
#![no_main]

use std::sync::{Arc, LazyLock};

use hexz_fuzz::{Damaged, Input, apply, lvm2_sum};
use hexz_resolve::engine::{self, Detection, Options};
use hexz_resolve::{ByteRange, Disk, Disks, JournalMode, Limits, ReadAt, Registry, Silent, View};
use hexz_testkit::{decompress, fixtures_dir};
use libfuzzer_sys::fuzz_target;

const SETS: [&str; 8] = [
    "md-raid5-left-symmetric-0.90",
    "md-raid6-left-asymmetric-1.2",
    "md-raid10-far-1.2",
    "md-raid10-near-1.1",
    "md-raid0-1.2",
    "md-raid1-1.0",
    "lvm-striped",
    "lvm-raid1",
];
const MD: [u8; 4] = [0xFC, 0x4E, 0x2B, 0xA9];
/// Where LVM2 has its label, and the header of its metadata area.
const LABEL: usize = 512;
const AREA: usize = 4096;

static DISKS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| SETS.map(disks).into());

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut builder = Registry::builder();
    hexz_volume::register(&mut builder).expect("ids differ");
    hexz_fs_ext4::register(&mut builder).expect("ids differ");
    builder.build()
});

fn disks(set: &str) -> Vec<Vec<u8>> {
    let file = |n: u32| fixtures_dir().join(format!("members/{set}/after-{n}.img.zst"));
    let files = (1..).map(file).take_while(|file| file.exists());
    files.map(|file| decompress(&file)).collect()
}

/// Where the superblock of an array lies on a disk.
fn superblock(disk: &[u8]) -> Option<usize> {
    (0..disk.len())
        .step_by(4096)
        .find(|at| disk[*at..].starts_with(&MD))
}

fn places(disk: &[u8]) -> Vec<ByteRange> {
    let places = match superblock(disk) {
        Some(at) => vec![(at, 256), (at + 256, 768)],
        None => vec![(LABEL, 256), (AREA, 128), (AREA + 512, 8192)],
    };
    let range = |(at, length)| ByteRange::at(at as u64, length).expect("it lies on the disk");
    places.into_iter().map(range).collect()
}

fn word(disk: &[u8], at: usize) -> u32 {
    let bytes = disk.get(at..at + 4).unwrap_or(&[0; 4]);
    u32::from_le_bytes(bytes.try_into().expect("4 bytes"))
}

fn mend(disk: &mut [u8]) {
    let Some(at) = superblock(disk) else {
        let sum = lvm2_sum(&disk[LABEL + 20..LABEL + 512]);
        disk[LABEL + 16..LABEL + 20].copy_from_slice(&sum);
        let (start, length) = (
            word(disk, AREA + 40) as usize,
            word(disk, AREA + 48) as usize,
        );
        let text = AREA.saturating_add(start);
        if let Some(text) = disk.get(text..text.saturating_add(length)) {
            let sum = lvm2_sum(text);
            disk[AREA + 56..AREA + 60].copy_from_slice(&sum);
        }
        let sum = lvm2_sum(&disk[AREA + 4..AREA + 512]);
        disk[AREA..AREA + 4].copy_from_slice(&sum);
        return;
    };
    let (sum_at, length) = match word(disk, at + 4) {
        0 => (at + 152, 4096),
        _ => (at + 216, 256 + 2 * (word(disk, at + 220) as usize).min(384)),
    };
    disk[sum_at..sum_at + 4].fill(0);
    let words = disk[at..at + length].chunks(4);
    let sum: u64 = words
        .map(|word| {
            word.iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte))
        })
        .sum();
    let sum = (sum as u32).wrapping_add((sum >> 32) as u32);
    disk[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut disks = input.pick(&DISKS).clone();
    let mended = input.number(1) % 4 != 0;
    let few = input.number(1);
    let which = input.number(1) as usize % disks.len();
    let places = places(&disks[which]);
    let damages: Vec<Damaged> = apply(&mut input, &places);
    // The same on all disks: what they say of the whole agrees, and is wrong.
    let all = few & 1 != 0;
    for (n, disk) in disks
        .iter_mut()
        .enumerate()
        .filter(|(n, _)| all || *n == which)
    {
        for damage in &damages {
            let at = damage.at as usize;
            // What is a disk's own stays its own where all are damaged.
            if all && n > 0 && damage.bytes.len() > 8 {
                continue;
            }
            let end = (at + damage.bytes.len()).min(disk.len());
            disk[at..end].copy_from_slice(&damage.bytes[..end - at]);
        }
        if mended {
            mend(disk);
        }
    }
    match few >> 1 & 3 {
        1 if disks.len() > 1 => _ = disks.remove(which),
        2 => disks.push(disks[which].clone()),
        3 => disks.reverse(),
        _ => {}
    }
    let lengths = disks.iter().map(|disk| Disk {
        lengths: [disk.len() as u64; 2],
        ..Disk::default()
    });
    let space = Disks::new(lengths.collect()).expect("they are short");
    let readers = disks
        .into_iter()
        .map(|disk| Arc::new(disk) as Arc<dyn ReadAt>);
    let readers: Vec<_> = readers.collect();
    let disk = space.join(&readers);
    let options = Options {
        registry: &REGISTRY,
        limits: Limits::default(),
        journal: JournalMode::Replay,
        threads: 1,
        volume: None,
        detection: Detection::default(),
        disks: space.clone(),
        memo: None,
        progress: &Silent,
        cancel: None,
    };
    let Ok(opened) = engine::open(&disk, View::Merged, &options) else {
        return;
    };
    let whole = space.whole(0);
    for volume in opened.volumes() {
        let past = volume.map().device_ranges().difference(&whole);
        assert!(past.is_empty(), "{}: {past:?}", volume.name());
        hexz_fuzz::read_some(&*volume.device());
    }
    let panicked = |f: &hexz_resolve::Diagnostic| f.message.contains("panicked");
    assert!(!opened.take_findings().iter().any(panicked));
});
