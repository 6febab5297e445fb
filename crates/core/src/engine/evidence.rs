//! Which of several formats that show themselves on one device is there now.
//!
//! A format that was there before leaves its signs where the new one does not write. What decides,
//! in this order: where a sign lies that making the other format would have written over; how far
//! each format says it reaches; whether the partitions of a table hold formats; how sure each sign is
//! in itself; and, of those that are equally sure, what the partition is said to be for.

use crate::{ByteRange, Sign, Standing};

/// A container that is this sure of itself outranks every filesystem.
const CONTAINER_CONFIDENCE: u8 = 50;
/// A sign that is less sure tells nothing of others.
const SOUND: u8 = 60;

/// What lies behind the first bytes may be content of a format that lies in front.
const HEADERS: u64 = 4096;

/// What the partitions of a table tell of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Divided {
    /// Partitions that hold a known format, beside one that only repeats what the table lies in.
    pub(super) holds: usize,
    /// Records of logical partitions that were found where the table says.
    pub(super) records: usize,
    /// One past the last byte that a partition has.
    pub(super) end: u64,
}

/// A format that shows itself, as far as that matters here.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// For people.
    pub(super) name: &'static str,
    pub(super) confidence: u8,
    /// Whether it holds other volumes.
    pub(super) container: bool,
    /// For partition tables.
    pub(super) table: Option<Divided>,
    /// Whether there is a plugin that reads it.
    pub(super) read: bool,
    /// What the table of known formats says of it; `None` where it is not in there.
    pub(super) sign: Option<Sign>,
}

impl Evidence {
    fn place(&self) -> Option<ByteRange> {
        self.sign.as_ref().map(|sign| sign.place)
    }

    fn standing(&self) -> Standing {
        self.sign
            .as_ref()
            .map_or(Standing::Front, |sign| sign.standing)
    }

    /// One past the last byte that it says it takes up.
    fn end(&self) -> Option<u64> {
        match &self.table {
            Some(table) => Some(table.end),
            None => self.sign.as_ref().and_then(|sign| sign.size),
        }
    }

    fn writes(&self, other: &Self) -> bool {
        let place = other.place();
        let sign = self.sign.as_ref();
        sign.zip(place)
            .is_some_and(|(sign, place)| sign.writes(&place))
    }

    /// Whether the first sector is what it is known by.
    fn is_in_first_sector(&self) -> bool {
        self.place().is_some_and(|place| place.start() < 512)
    }

    fn is_front(&self) -> bool {
        self.standing() == Standing::Front && self.confidence >= CONTAINER_CONFIDENCE
    }

    fn rank(&self) -> (bool, u8) {
        let container = self.container && self.confidence >= CONTAINER_CONFIDENCE;
        (container, self.confidence)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Decision {
    /// Indexes of those that are left: one that won, or several that could as well be there.
    pub(super) left: Vec<usize>,
    /// Why each of the others lost; empty for those that are left.
    pub(super) lost: Vec<String>,
}

/// Decides. `within` says that the device is a part of another one, `size` is its length, and
/// `partition_type` is what a table says of it.
pub(super) fn decide(
    all: &[Evidence],
    within: bool,
    size: u64,
    partition_type: Option<&str>,
) -> Decision {
    let mut lost = vec![String::new(); all.len()];
    let rules: [&Rule<'_>; 5] = [
        &|one, other| copy(one, other),
        &|one, other| around(one, other, size),
        &|one, other| in_entries(one, other),
        &|one, other| divided(one, other, within),
        &|one, other| overwritten(one, other, within),
    ];
    for rule in rules {
        let before = lost.clone();
        let alive = |n: usize| before.get(n).is_some_and(String::is_empty);
        for (n, one) in all.iter().enumerate().filter(|(n, _)| alive(*n)) {
            let mut others = all.iter().enumerate().filter(|(m, _)| *m != n && alive(*m));
            let reason = others.find_map(|(_, other)| rule(one, other));
            if let (Some(reason), Some(slot)) = (reason, lost.get_mut(n)) {
                *slot = reason;
            }
        }
        // Signs that rule each other out decide nothing.
        if lost.iter().all(|reason| !reason.is_empty()) {
            lost = before;
        }
    }
    let alive = |n: &usize| lost.get(*n).is_some_and(String::is_empty);
    let best = (0..all.len())
        .filter(alive)
        .filter_map(|n| all.get(n))
        .map(Evidence::rank)
        .max();
    let mut left = Vec::new();
    for (n, one) in all.iter().enumerate() {
        let Some(reason) = lost.get_mut(n).filter(|reason| reason.is_empty()) else {
            continue;
        };
        match Some(one.rank()) == best {
            true => left.push(n),
            false => *reason = "another format is surer".to_owned(),
        }
    }
    // Of several that are equally sure, the one that the partition is said to be for.
    let meant = formats_of(partition_type.unwrap_or_default());
    let is_meant = |n: &usize| all.get(*n).is_some_and(|one| meant.contains(&one.name));
    let mut fitting = left.iter().copied().filter(is_meant);
    if let (Some(only), None) = (fitting.next(), fitting.next()) {
        for other in left.iter().filter(|n| **n != only) {
            if let Some(reason) = lost.get_mut(*other) {
                "the type of the partition speaks for another format, as sure as this one"
                    .clone_into(reason);
            }
        }
        left = vec![only];
    }
    Decision { left, lost }
}

/// The names of the formats that partitions of a type are for, where the type says.
fn formats_of(partition_type: &str) -> &'static [&'static str] {
    match partition_type {
        "0x07" => &["NTFS", "exFAT", "HPFS"],
        "0x01" | "0x04" | "0x06" | "0x0b" | "0x0c" | "0x0e" | "0xef" => &["FAT12, FAT16, FAT32"],
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => &["FAT12, FAT16, FAT32"],
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => &["NTFS", "exFAT", "FAT12, FAT16, FAT32"],
        "516e7cb6-6ecf-11d6-8ff8-00022d09712b" => &["UFS"],
        _ => &[],
    }
}

/// Why the first of two is not there, when the second one is.
type Rule<'a> = dyn Fn(&Evidence, &Evidence) -> Option<String> + 'a;

/// A copy at the end counts only where the place in front holds no format.
fn copy(one: &Evidence, other: &Evidence) -> Option<String> {
    (one.standing() == Standing::Copy && other.is_front())
        .then(|| format!("only a copy of it is left, and {} is in front", other.name))
}

/// What is around other data holds it when that ends before the sign, or goes on on other disks.
fn around(one: &Evidence, other: &Evidence, size: u64) -> Option<String> {
    match (one.standing(), other.standing()) {
        (Standing::Around, Standing::Front) if other.is_front() => {
            let place = one.place()?.start();
            let data = one.sign.as_ref()?.size.unwrap_or(place);
            match other.end() {
                Some(end) if end > data && end <= size => {
                    Some(format!("{} takes up the place where it lies", other.name))
                }
                // Also where the format in front does not say how far it goes.
                end if !one.read && end.is_none_or(|end| end <= data) => {
                    Some(format!("what it keeps is read as it lies: {}", other.name))
                }
                _ => None,
            }
        }
        (Standing::Front, Standing::Around) if one.is_front() => {
            // What `around` tells of the two the other way round.
            let ruled_out = around(other, one, size).is_some();
            (!ruled_out).then(|| format!("it lies within the {}", other.name))
        }
        _ => None,
    }
}

/// A table is gone when a format lies whole where its entries were. The first sector tells nothing:
/// what makes a table leaves the code in front of its entries.
fn in_entries(one: &Evidence, other: &Evidence) -> Option<String> {
    let tables = one.table.is_some() && other.table.is_none();
    let behind = other.place().is_some_and(|place| place.start() >= 512);
    let overwrote = one.writes(other) && !other.writes(one);
    (tables && behind && overwrote && other.confidence >= SOUND).then(|| {
        format!(
            "the {} lies where its entries were, and therefore came later",
            other.name
        )
    })
}

/// A table on a whole disk holds when its partitions hold formats; within a partition a filesystem
/// does; and a boot sector that could be either is that of a filesystem.
fn divided(one: &Evidence, other: &Evidence, within: bool) -> Option<String> {
    let around = [one, other].iter().any(|e| e.standing() != Standing::Front);
    if around {
        return None;
    }
    match (&one.table, &other.table) {
        (None, Some(table)) if !within && table.holds > 0 && other.confidence >= 30 => {
            Some(format!(
                "{} partitions of the {} hold formats",
                table.holds, other.name
            ))
        }
        (Some(table), None) if within && other.confidence >= CONTAINER_CONFIDENCE => {
            let other = other.name;
            Some(match table.holds {
                0 => format!("{other} is in the partition that the table would divide"),
                n => format!(
                    "{other} is in the partition, though {n} parts of the table hold formats"
                ),
            })
        }
        (Some(table), None) if table.holds == 0 && one.is_in_first_sector() => {
            let shared = other.is_in_first_sector() && other.confidence >= SOUND;
            (shared && !other.container)
                .then(|| format!("its sector is the boot sector of a {}", other.name))
        }
        _ => None,
    }
}

/// A sign that is whole where making the other would have written came later.
fn overwritten(one: &Evidence, other: &Evidence, within: bool) -> Option<String> {
    if other.confidence < SOUND || within && other.table.is_some() {
        return None;
    }
    match (one.writes(other), other.writes(one)) {
        (true, false) => Some(format!(
            "making it would have written over the {}, which therefore came later",
            other.name
        )),
        // Both are where the other writes: one of them is content of the other.
        (true, true) => {
            let (here, there) = (one.place()?.start(), other.place()?.start());
            let tables = one.table.is_some() || other.table.is_some();
            (there < here && here >= HEADERS && !tables)
                .then(|| format!("it lies in what the {} has written", other.name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: u64 = 64 << 20;

    fn format(name: &'static str, confidence: u8, at: u64, written: u64) -> Evidence {
        let place = ByteRange::new(at, at + 64);
        Evidence {
            name,
            confidence,
            container: false,
            table: None,
            read: true,
            sign: Some(
                Sign::new(name, confidence, place)
                    .size(Some(DISK))
                    .written(0, written),
            ),
        }
    }

    fn table(confidence: u8, holds: usize) -> Evidence {
        Evidence {
            container: true,
            table: Some(Divided {
                holds,
                records: 0,
                end: DISK,
            }),
            ..format("MBR", confidence, 446, 512)
        }
    }

    fn standing(standing: Standing, size: u64, mut evidence: Evidence) -> Evidence {
        let sign = evidence.sign.take().unwrap();
        evidence.sign = Some(sign.standing(standing).size(Some(size)));
        evidence
    }

    fn winner(all: &[Evidence], within: bool) -> &'static str {
        let decision = decide(all, within, DISK, None);
        match decision.left[..] {
            [one] => all[one].name,
            _ => "several",
        }
    }

    #[test]
    fn a_sign_where_the_other_would_have_written_came_later() {
        let old = format("btrfs", 95, 65_536, 1 << 20);
        let new = format("F2FS", 80, 1024, 8192);
        assert_eq!(winner(&[old.clone(), new.clone()], false), "F2FS");
        assert_eq!(winner(&[new, old], true), "F2FS");
    }

    #[test]
    fn a_copy_counts_only_where_nothing_is_in_front() {
        let copy = standing(Standing::Copy, DISK, format("NTFS", 90, DISK - 512, 8192));
        let small = format("EROFS", 80, 1024, 4096);
        assert_eq!(winner(&[copy.clone(), small], false), "EROFS");
        assert_eq!(winner(&[copy], false), "NTFS");
    }

    #[test]
    fn a_raid_holds_what_ends_before_its_sign_or_goes_on_elsewhere() {
        let data = DISK - 8192;
        let raid = Evidence {
            container: true,
            ..standing(Standing::Around, data, format("RAID", 90, data, 0))
        };
        let of_size = |size| {
            let mut fat = format("FAT", 85, 0, 16_384);
            fat.sign = fat.sign.map(|sign| sign.size(Some(size)));
            fat
        };
        assert_eq!(winner(&[raid.clone(), of_size(data)], false), "RAID");
        assert_eq!(winner(&[raid.clone(), of_size(3 * DISK)], false), "RAID");
        assert_eq!(winner(&[raid.clone(), of_size(DISK)], false), "FAT");
        // Of a format that is not read, what lies in front is.
        let unread = Evidence {
            container: false,
            read: false,
            ..raid
        };
        assert_eq!(winner(&[unread.clone(), of_size(data)], false), "FAT");
        assert_eq!(winner(&[unread, of_size(3 * DISK)], false), "RAID");
    }

    #[test]
    fn a_table_is_told_by_what_its_partitions_hold() {
        let ext4 = format("ext4", 95, 1024, 8192);
        // Neat, and newer than what it lies in front of.
        assert_eq!(winner(&[table(75, 0), ext4.clone()], false), "MBR");
        // Odd: cut short, or with entries that overlap.
        assert_eq!(winner(&[table(40, 0), ext4.clone()], false), "ext4");
        assert_eq!(winner(&[table(40, 1), ext4.clone()], false), "MBR");
        // Within a partition.
        assert_eq!(winner(&[table(75, 0), ext4], true), "ext4");
    }

    #[test]
    fn a_boot_sector_that_could_be_a_table_is_that_of_a_filesystem() {
        let fat = format("FAT", 85, 0, 16_384);
        assert_eq!(winner(&[table(75, 0), fat.clone()], false), "FAT");
        assert_eq!(winner(&[table(45, 2), fat.clone()], false), "MBR");
        assert_eq!(winner(&[table(75, 2), fat], true), "FAT");
    }

    #[test]
    fn an_image_may_hold_what_looks_like_another_format() {
        let image = format("squashfs", 85, 0, 8 << 20);
        let inside = format("btrfs", 95, 65_536, 1 << 20);
        assert_eq!(winner(&[image, inside], false), "squashfs");
    }

    #[test]
    fn equal_signs_are_both_left() {
        let one = format("one", 80, 0, 512);
        let two = format("two", 80, 4096, 0);
        let decision = decide(&[one, two], false, DISK, None);
        // The second is whole where the first is not made.
        assert_eq!(decision.left, [0, 1]);
    }

    #[test]
    fn the_type_of_a_partition_tells_equal_signs_apart_and_no_others() {
        let ufs = format("UFS", 80, 65_536, 0);
        let ntfs = |confidence| format("NTFS", confidence, 0, 512);
        let left = |all: &[Evidence], kind| decide(all, true, DISK, Some(kind)).left;
        assert_eq!(left(&[ufs.clone(), ntfs(80)], "0x07"), [1]);
        assert_eq!(left(&[ufs.clone(), ntfs(80)], "0x83"), [0, 1]);
        assert_eq!(left(&[ufs, ntfs(79)], "0x07"), [0]);
    }
}
