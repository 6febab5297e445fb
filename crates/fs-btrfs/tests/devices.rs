//! A filesystem on two devices, whole and with one of them missing, against what the kernel read.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_fs_btrfs::BtrfsPlugin;
use hexz_resolve::{
    Diagnostics, FileKey, Filesystem, FilesystemPlugin as _, JournalMode, Limits, Link, Member,
    OpenContext, Probe, ReadAt, Scan, Silent, View, Window, read_vec,
};
use hexz_testkit::{decompress, fixtures_dir};
use sha2::{Digest as _, Sha256};

/// The set with metadata on both devices, and data in stripes.
const STRIPED: &str = "btrfs-devices";

fn device(set: &str, number: u32) -> Arc<dyn ReadAt> {
    let file = format!("{set}/device-{number}.img.zst");
    Arc::new(decompress(&fixtures_dir().join(file)))
}

/// The members as detection hands them on: end to end.
fn members(set: &str, numbers: &[u32]) -> Vec<Member> {
    let mut start = 0;
    let mut members = Vec::new();
    for number in numbers {
        let device = device(set, *number);
        let mut member = Member::alone(Arc::clone(&device));
        member.start = start;
        start += device.len();
        members.push(member);
    }
    members
}

/// What the kernel read: digests by path.
fn sums(set: &str) -> BTreeMap<String, String> {
    sums_in(set, "sums")
}

fn sums_in(set: &str, file: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(fixtures_dir().join(set).join(file));
    let text = text.expect("the sums");
    let pairs = text.lines().filter_map(|line| line.split_once("  ."));
    pairs
        .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
        .collect()
}

struct Opened {
    limits: Limits,
    findings: Diagnostics,
    fs: Box<dyn Filesystem>,
}

impl Opened {
    fn new(set: &str, numbers: &[u32]) -> Self {
        let (limits, findings) = (Limits::default(), Diagnostics::new());
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Base,
            diagnostics: &findings,
        };
        let opened = BtrfsPlugin.open(&members(set, numbers), &cx);
        let fs = opened.expect("a filesystem");
        Self {
            limits,
            findings,
            fs,
        }
    }

    fn scan<T>(&self, work: impl FnOnce(&Scan<'_>) -> T) -> T {
        work(&Scan::new(
            &self.limits,
            View::Base,
            &self.findings,
            &Silent,
        ))
    }

    /// All paths below a directory.
    fn paths(&self) -> BTreeMap<String, FileKey> {
        let mut found = BTreeMap::new();
        let mut level = vec![(String::new(), self.fs.root())];
        while let Some((path, key)) = level.pop() {
            let mut links: Vec<Link> = Vec::new();
            self.scan(|cx| {
                self.fs
                    .entries(&[key].into_iter().collect(), cx, &mut links)
            })
            .expect("entries");
            for link in links {
                let name = String::from_utf8_lossy(link.name.as_bytes()).into_owned();
                level.push((format!("{path}/{name}"), link.child));
            }
            found.insert(path, key);
        }
        found
    }

    /// The digest of a file; `None` where it can't be read.
    fn digest(&self, key: FileKey) -> Option<String> {
        let content = self
            .scan(|cx| self.fs.content(key, None, cx))
            .expect("a file");
        let bytes = read_vec(&*content, 0, usize::try_from(content.len()).ok()?).ok()?;
        let digest = Sha256::digest(&bytes);
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[test]
fn each_device_says_which_it_is() {
    for number in [1, 2] {
        match BtrfsPlugin.probe(&Window::read(&*device(STRIPED, number))) {
            Probe::Match {
                group: Some(group), ..
            } => {
                assert_eq!(group.member, u64::from(number));
                assert_eq!(group.members, Some(2));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stripes_are_put_together() {
    let opened = Opened::new(STRIPED, &[1, 2]);
    let paths = opened.paths();
    let sums = sums(STRIPED);
    assert_eq!(sums.len(), 43);
    for (path, sum) in &sums {
        let key = paths
            .get(path)
            .unwrap_or_else(|| panic!("{path} is missing"));
        assert_eq!(opened.digest(*key).as_ref(), Some(sum), "{path}");
    }
    assert!(opened.findings.is_complete());
}

#[test]
fn what_a_missing_device_had_is_not_read_as_something_else() {
    for number in [1, 2] {
        let opened = Opened::new(STRIPED, &[number]);
        let paths = opened.paths();
        let (mut read, mut lost) = (0, 0);
        for (path, sum) in &sums(STRIPED) {
            let key = paths
                .get(path)
                .unwrap_or_else(|| panic!("{path} is missing"));
            match opened.digest(*key) {
                Some(digest) => {
                    assert_eq!(&digest, sum, "{path}");
                    read += 1;
                }
                None => lost += 1,
            }
        }
        // Metadata, with what lies within it, are on both devices.
        assert!(read >= 40, "{read}");
        assert!(lost >= 1, "{lost}");
        let findings = opened.findings.take();
        assert!(findings.iter().any(|f| f.code == "device-missing"));
    }
}

/// All files of the set are read from these devices as the kernel read them.
fn whole(set: &str, numbers: &[u32]) -> Opened {
    let opened = Opened::new(set, numbers);
    let (paths, sums) = (opened.paths(), sums(set));
    assert!(sums.len() > 29, "{set}");
    for (path, sum) in &sums {
        let key = paths.get(path);
        let key = key.unwrap_or_else(|| panic!("{set} {numbers:?}: {path} is missing"));
        let digest = opened.digest(*key);
        assert_eq!(digest.as_ref(), Some(sum), "{set} {numbers:?}: {path}");
    }
    opened
}

#[test]
fn copies_make_up_for_as_many_devices_as_the_profile_can_spare() {
    for (set, count, spare) in [("raid1c3", 3u32, 2), ("raid1c4", 4, 3), ("raid10", 4, 1)] {
        let set = format!("btrfs-sets/{set}");
        let all: Vec<u32> = (1..=count).collect();
        let opened = whole(&set, &all);
        assert!(opened.findings.take().is_empty(), "{set}");
        for bits in 1u32..1 << count {
            let some: Vec<u32> = all
                .iter()
                .copied()
                .filter(|n| bits >> (n - 1) & 1 == 1)
                .collect();
            if some.len() < all.len() && all.len() - some.len() <= spare {
                let findings = whole(&set, &some).findings.take();
                let missing = findings.iter().any(|f| f.code == "device-missing");
                assert!(missing, "{set} {some:?}: {findings:?}");
            }
        }
    }
}

/// The second device was not there when the last was written, and holds what was before.
#[test]
fn a_device_that_was_missing_is_old_and_the_other_one_counts() {
    let set = "btrfs-sets/degraded";
    for devices in [&[1u32][..], &[1, 2], &[2, 1]] {
        let opened = whole(set, devices);
        let paths = opened.paths();
        assert!(!paths.contains_key("/directory/file-9"), "{devices:?}");
        let findings = opened.findings.take();
        let code = if devices.len() == 1 {
            "device-missing"
        } else {
            "stale-device"
        };
        assert!(
            findings.iter().any(|f| f.code == code),
            "{devices:?}: {findings:?}"
        );
    }
    // Alone it is the filesystem as it was.
    let old = Opened::new(set, &[2]);
    assert!(old.paths().contains_key("/directory/file-9"));
}

#[test]
fn a_seed_serves_what_grew_out_of_it() {
    let set = "btrfs-seed";
    assert!(whole(set, &[1, 2]).findings.take().is_empty());
    // Alone, what grew out of it says which device it lacks.
    let sprout = members(set, &[2]);
    let seed = match BtrfsPlugin.probe(&Window::read(&*device(set, 1))) {
        Probe::Match {
            group: Some(group), ..
        } => group,
        other => panic!("{other:?}"),
    };
    assert_eq!((seed.member, seed.members), (1, Some(1)));
    assert_eq!(BtrfsPlugin.further(&sprout), [(seed.id, 1)]);
    let findings = Opened::new(set, &[2]).findings.take();
    assert!(findings.iter().any(|f| f.code == "device-missing"));
    // The seed is a filesystem of its own, and lacks nothing.
    assert!(BtrfsPlugin.further(&members(set, &[1])).is_empty());
    let opened = Opened::new(set, &[1]);
    let (paths, sums) = (opened.paths(), sums_in(set, "sums-seed"));
    assert_eq!(sums.len(), 41);
    for (path, sum) in &sums {
        let key = paths.get(path).expect("a file");
        assert_eq!(opened.digest(*key).as_ref(), Some(sum), "{path}");
    }
    assert!(!paths.contains_key("/new"));
}

/// A device of another filesystem that the chunk tree does not name is no seed of it.
#[test]
fn a_seed_of_another_filesystem_is_left_out() {
    let mut two = members("btrfs-seed", &[1]);
    let mut other = members("btrfs-devices", &[2]);
    other[0].start = two[0].device.len();
    two.append(&mut other);
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: View::Base,
        diagnostics: &findings,
    };
    let opened = BtrfsPlugin.open(&two, &cx);
    assert!(opened.is_ok(), "{:?}", opened.err());
    let codes: Vec<String> = findings.take().iter().map(|f| f.code.to_string()).collect();
    for code in ["foreign-device", "device-missing"] {
        assert!(codes.iter().any(|c| c == code), "{codes:?}");
    }
}
