//! Volumes on several disks, against what a kernel read of them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_resolve::engine::{self, Detection, Options};
use hexz_resolve::report::{OwnerReport, VolumeStatus};
use hexz_resolve::{
    Class, Disk, Disks, JournalMode, Limits, RangeSet, ReadAt, Registry, Silent, View, read_vec,
};
use hexz_testkit::{decompress, fixtures_dir};
use sha2::{Digest as _, Sha256};

/// `set state`: the digest of the volume.
fn sums() -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(fixtures_dir().join("members/sums")).expect("the sums");
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (
            (words[0].to_owned(), words[1].to_owned()),
            words[2].to_owned(),
        )
    });
    lines.collect()
}

/// The disks of a set, as many as there are.
fn disks(set: &str, state: &str) -> Vec<Arc<dyn ReadAt>> {
    let file = |n: u32| fixtures_dir().join(format!("members/{set}/{state}-{n}.img.zst"));
    let files = (1..).map(file).take_while(|file| file.exists());
    let disks = files.map(|file| Arc::new(decompress(&file)) as Arc<dyn ReadAt>);
    disks.collect()
}

struct Machine {
    registry: Registry,
    disk: Arc<dyn ReadAt>,
    disks: Disks,
}

impl Machine {
    fn of(readers: &[Arc<dyn ReadAt>]) -> Self {
        let mut builder = Registry::builder();
        hexz_volume::register(&mut builder).unwrap();
        hexz_fs_ext4::register(&mut builder).unwrap();
        hexz_known::register(&mut builder).unwrap();
        let disk = |reader: &Arc<dyn ReadAt>| Disk {
            lengths: [reader.len(); 2],
            ..Disk::default()
        };
        let disks = Disks::new(readers.iter().map(disk).collect()).unwrap();
        Self {
            registry: builder.build(),
            disk: disks.join(readers),
            disks,
        }
    }

    fn options(&self) -> Options<'_> {
        Options {
            registry: &self.registry,
            limits: Limits::default(),
            journal: JournalMode::Replay,
            threads: 1,
            volume: None,
            detection: Detection::default(),
            disks: self.disks.clone(),
            memo: None,
            progress: &Silent,
            scratch: None,
            cancel: None,
        }
    }

    /// The digest of the volume that has an ext4, and the codes of all findings.
    fn digest(&self) -> (Option<String>, Vec<String>) {
        let options = self.options();
        let opened = engine::open(&self.disk, View::Merged, &options).unwrap();
        let digest = opened
            .volumes()
            .find(|v| v.filesystem().is_some())
            .map(|volume| {
                let device = volume.device();
                let bytes = read_vec(&*device, 0, device.len() as usize).unwrap();
                let digest = Sha256::digest(&bytes);
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            });
        let findings = opened.take_findings();
        (
            digest,
            findings.iter().map(|f| f.code.to_string()).collect(),
        )
    }

    fn map(&self) -> OwnerReport {
        let whole = self.disks.whole(0);
        engine::owners(&self.disk, &whole, &self.options()).unwrap()
    }
}

fn sets() -> Vec<String> {
    let mut sets: Vec<String> = sums().into_keys().map(|(set, _)| set).collect();
    sets.dedup();
    assert_eq!(sets.len(), 16);
    sets
}

#[test]
fn each_volume_has_the_bytes_that_the_kernel_read() {
    for ((set, state), sum) in sums() {
        let (digest, findings) = Machine::of(&disks(&set, &state)).digest();
        assert_eq!(digest, Some(sum), "{set} {state} {findings:?}");
        assert!(findings.is_empty(), "{set} {state} {findings:?}");
    }
}

#[test]
fn the_order_in_which_disks_are_given_changes_nothing() {
    for set in sets() {
        let mut disks = disks(&set, "after");
        disks.reverse();
        let sum = &sums()[&(set.clone(), "after".to_owned())];
        assert_eq!(Machine::of(&disks).digest().0.as_ref(), Some(sum), "{set}");
    }
}

#[test]
fn what_is_missing_comes_from_copies_or_parity_or_not_at_all() {
    for set in sets() {
        let all = disks(&set, "after");
        for gone in 0..all.len() {
            let mut some = all.clone();
            some.remove(gone);
            let sum = &sums()[&(set.clone(), "after".to_owned())];
            let (digest, findings) = Machine::of(&some).digest();
            let spare = ["raid1", "raid4", "raid5", "raid6", "mirror"];
            let can = spare.iter().any(|word| set.contains(word));
            // The third disk of the mirror has nothing.
            assert_eq!(digest.is_some(), can, "{set} without {gone}: {findings:?}");
            if let Some(digest) = digest {
                assert_eq!(&digest, sum, "{set} without {gone}");
            }
        }
    }
}

#[test]
fn two_of_a_raid6_may_be_missing_and_three_may_not() {
    for set in [
        "md-raid6-left-symmetric-1.2",
        "md-raid6-left-asymmetric-1.2",
    ] {
        let all = disks(set, "before");
        let sum = &sums()[&(set.to_owned(), "before".to_owned())];
        for one in 0..all.len() {
            for two in one + 1..all.len() {
                let kept = |n: &usize| *n != one && *n != two;
                let some: Vec<_> = (0..all.len()).filter(kept).collect();
                let some: Vec<_> = some.into_iter().map(|n| Arc::clone(&all[n])).collect();
                let (digest, _) = Machine::of(&some).digest();
                assert_eq!(digest.as_ref(), Some(sum), "{set} without {one} and {two}");
                assert_eq!(Machine::of(&some[1..]).digest().0, None);
            }
        }
    }
}

#[test]
fn each_byte_of_each_disk_is_told_once() {
    for set in sets() {
        let machine = Machine::of(&disks(&set, "after"));
        let report = machine.map();
        let mut told: BTreeMap<u32, RangeSet> = BTreeMap::new();
        for piece in &report.owners {
            let range = hexz_resolve::ByteRange::at(piece.start, piece.length).unwrap();
            let of_disk = told.entry(piece.disk.unwrap()).or_default();
            assert!(!of_disk.overlaps(range), "{set} {piece:?}");
            of_disk.insert(range);
        }
        for (number, disk) in (1..).zip(machine.disks.iter()) {
            assert_eq!(told[&number].len(), disk.length(View::Merged), "{set}");
        }
        let bytes = |class| report.summary.classes.get(&class).map_or(0, |c| c.bytes);
        assert_eq!(bytes(Class::Unresolved), 0, "{set}");
        assert!(bytes(Class::FileData) > 1 << 20, "{set}");
        let parity = ["raid4", "raid5", "raid6"]
            .iter()
            .any(|word| set.contains(word));
        assert_eq!(bytes(Class::Parity) > 0, parity, "{set}");
    }
}

#[test]
fn a_disk_that_is_given_twice_is_told_and_read_once() {
    for set in ["lvm-linear", "md-raid5-left-symmetric-0.90", "md-raid1-1.0"] {
        let mut twice = disks(set, "after");
        twice.push(Arc::clone(&twice[0]));
        let machine = Machine::of(&twice);
        let (digest, findings) = machine.digest();
        let sum = &sums()[&(set.to_owned(), "after".to_owned())];
        assert_eq!(digest.as_ref(), Some(sum), "{set}");
        assert!(
            findings.contains(&"member-twice".to_owned()),
            "{findings:?}"
        );
        let report = machine.map();
        assert!(!report.summary.complete);
        let ambiguous =
            |v: &&hexz_resolve::report::VolumeRecord| v.status == VolumeStatus::Ambiguous;
        assert_eq!(report.volumes.iter().filter(ambiguous).count(), 1, "{set}");
    }
}

/// A disk of the state before among those after was taken out in between: its count of changes is
/// lower, and what it holds is old.
#[test]
fn an_old_disk_of_an_array_is_left_out() {
    for set in [
        "md-raid1-1.0",
        "md-raid5-left-symmetric-0.90",
        "md-raid6-left-symmetric-1.2",
    ] {
        let mut mixed = disks(set, "after");
        mixed[0] = Arc::clone(&disks(set, "before")[0]);
        let (digest, findings) = Machine::of(&mixed).digest();
        let sum = &sums()[&(set.to_owned(), "after".to_owned())];
        assert_eq!(digest.as_ref(), Some(sum), "{set} {findings:?}");
        assert!(
            findings.contains(&"md-left-out".to_owned()),
            "{set} {findings:?}"
        );
    }
}

/// Bytes of superblocks and metadata that are other ones: never a panic, and what is read as a
/// volume has a map that lies on the disks.
#[test]
fn flipped_bytes_of_the_metadata_end_in_findings() {
    for set in [
        "md-raid6-left-asymmetric-1.2",
        "md-raid10-offset-1.2",
        "lvm-striped",
    ] {
        let all = disks(set, "after");
        let first = read_vec(&*all[0], 0, all[0].len() as usize).unwrap();
        let place = if set.starts_with("md") { 4096 } else { 0 };
        let length = if set.starts_with("md") { 300 } else { 6000 };
        for at in (place..place + length).step_by(7) {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bytes = first.clone();
                bytes[at] = value;
                let mut some = all.clone();
                some[0] = Arc::new(bytes);
                let machine = Machine::of(&some);
                let options = machine.options();
                let opened = engine::open(&machine.disk, View::Merged, &options).unwrap();
                for volume in opened.volumes() {
                    let mut end = [0; 1];
                    let device: Arc<dyn ReadAt> = volume.device();
                    if let Some(last) = device.len().checked_sub(1) {
                        _ = device.read_exact_at(last, &mut end);
                    }
                }
                let findings = opened.take_findings();
                let panicked = findings.iter().any(|f| f.message.contains("panicked"));
                assert!(!panicked, "{set} {at} {value}: {findings:?}");
            }
        }
    }
}
