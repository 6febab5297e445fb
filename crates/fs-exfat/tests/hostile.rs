//! Single fields of a sound volume that lie, or say what few programs write. Sets of entries are
//! found and signed by code of these tests, written from the specification.

use std::sync::Arc;

use hexz_fs_exfat::ExfatPlugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostic, Diagnostics, FileKey, FileSet, Filesystem, FilesystemPlugin,
    JournalMode, Limits, Link, Member, OpenContext, Owner, Probe, RangeSet, ReadAt, Role, Scan,
    Silent, View, Window, read_vec,
};
use hexz_testkit::Fixture;

fn image() -> Vec<u8> {
    let image = Fixture::load("exfat").base();
    read_vec(&image, 0, usize::try_from(image.len()).unwrap()).unwrap()
}

/// Where the set of entries lies that has this name, and how long it is.
fn set(image: &[u8], name: &str) -> (usize, usize) {
    let mut found = image
        .chunks_exact(32)
        .enumerate()
        .filter_map(|(at, entry)| {
            let at = at * 32;
            let count = usize::from(entry[1]);
            let set = image.get(at..at + (count + 1) * 32)?;
            if entry[0] != 0x85 || set.get(32) != Some(&0xC0) {
                return None;
            }
            let units: Vec<u16> = set[64..]
                .chunks_exact(32)
                .flat_map(|entry| entry[2..].chunks_exact(2))
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .take(usize::from(set[35]))
                .collect();
            (String::from_utf16_lossy(&units) == name).then_some((at, set.len()))
        });
    found.next().expect("the fixture has it")
}

/// Changes a set, and its checksum with it.
fn change(image: &mut [u8], name: &str, change: impl Fn(&mut [u8])) -> u64 {
    let (at, length) = set(image, name);
    let set = &mut image[at..at + length];
    change(set);
    let mut sum = 0u16;
    for (index, byte) in set.iter().enumerate() {
        if index != 2 && index != 3 {
            let carry = if sum & 1 == 1 { 0x8000 } else { 0u16 };
            sum = carry.wrapping_add(sum >> 1).wrapping_add(u16::from(*byte));
        }
    }
    set[2..4].copy_from_slice(&sum.to_le_bytes());
    at as u64
}

struct Answers {
    fs: Box<dyn Filesystem>,
    claims: Vec<Claim>,
    names: Vec<(String, u64)>,
    findings: Vec<Diagnostic>,
}

impl Answers {
    fn of(image: Vec<u8>) -> Self {
        let image: Arc<dyn ReadAt> = Arc::new(image);
        let (limits, diagnostics) = (Limits::default(), Diagnostics::new());
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Merged,
            diagnostics: &diagnostics,
        };
        let fs = ExfatPlugin.open(&[Member::alone(Arc::clone(&image))], &cx);
        let fs = fs.expect("it opens");
        let scan = Scan::new(&limits, View::Merged, &diagnostics, &Silent);
        let mut claims = Vec::new();
        let all: RangeSet = ByteRange::new(0, image.len()).into();
        fs.claims(&all, &scan, &mut claims).expect("claims");
        let mut links: Vec<Link> = Vec::new();
        let root: FileSet = [fs.root()].into_iter().collect();
        fs.entries(&root, &scan, &mut links).expect("entries");
        let names = links.into_iter().map(|link| {
            let name = String::from_utf8_lossy(link.name.as_bytes()).into_owned();
            (name, link.child.number)
        });
        Self {
            fs,
            claims,
            names: names.collect(),
            findings: diagnostics.take(),
        }
    }

    /// The content of a file: role, offset in it, length.
    fn content(&self, file: u64) -> Vec<(Role, u64, u64)> {
        let mine = |claim: &&Claim| {
            claim.owner == Owner::File(FileKey::new(file)) && claim.role != Role::InodeRecord
        };
        let all = self.claims.iter().filter(mine);
        all.map(|c| (c.role, c.file_offset.unwrap(), c.range.len()))
            .collect()
    }

    fn found(&self, code: &str) -> bool {
        self.findings.iter().any(|f| f.code == code)
    }
}

#[test]
fn what_lies_behind_the_valid_data_was_never_written() {
    let mut image = image();
    let file = change(&mut image, "notes.txt", |set| {
        set[40..48].copy_from_slice(&100u64.to_le_bytes());
    });
    let answers = Answers::of(image);
    assert_eq!(
        answers.content(file),
        [(Role::Data, 0, 100), (Role::Unwritten, 100, 8192 - 100)]
    );
}

#[test]
fn without_a_chain_the_table_means_nothing() {
    let mut image = image();
    let table = 512 * u32::from_le_bytes(image[80..84].try_into().unwrap()) as usize;
    let (at, _) = set(&image, "notes.txt");
    let first = u32::from_le_bytes(image[at + 52..at + 56].try_into().unwrap()) as usize;
    assert_eq!(image[at + 33] & 2, 2, "NoFatChain");
    for cluster in [first, first + 1] {
        image[table + cluster * 4..][..4].copy_from_slice(&[2, 0, 0, 0]);
    }
    let answers = Answers::of(image);
    assert_eq!(answers.content(at as u64), [(Role::Data, 0, 8192)]);
}

#[test]
fn a_run_that_leaves_the_volume_ends_with_it() {
    let mut image = image();
    let file = change(&mut image, "notes.txt", |set| {
        set[40..48].copy_from_slice(&(1u64 << 40).to_le_bytes());
        set[56..64].copy_from_slice(&(1u64 << 40).to_le_bytes());
    });
    let size = image.len() as u64;
    let answers = Answers::of(image);
    let end = answers.claims.iter().map(|c| c.range.end()).max();
    assert_eq!(end, Some(size));
    assert_eq!(answers.content(file).len(), 1);
    assert!(answers.found("exfat-chain-outside"));
    assert!(answers.found("exfat-cross-linked"));
}

#[test]
fn a_set_with_a_wrong_checksum_is_told_and_one_that_lacks_entries_is_none() {
    let mut wrong = image();
    let (at, _) = set(&wrong, "notes.txt");
    wrong[at + 2] ^= 1;
    let answers = Answers::of(wrong);
    assert!(answers.found("corrupt-directory-entry"));
    assert!(answers.names.iter().any(|(name, _)| name == "notes.txt"));
    let mut lacking = image();
    let (at, length) = set(&lacking, "notes.txt");
    lacking[at + length - 32] &= 0x7F;
    let answers = Answers::of(lacking);
    assert!(answers.found("corrupt-directory-entry"));
    assert!(!answers.names.iter().any(|(name, _)| name == "notes.txt"));
    assert!(answers.names.iter().any(|(name, _)| name == "second"));
}

#[test]
fn the_backup_stands_in_for_the_boot_sector() {
    let probe = |image: &[u8]| {
        let image: Arc<dyn ReadAt> = Arc::new(image.to_vec());
        ExfatPlugin.probe(&Window::read(&image))
    };
    let mut image = image();
    assert_eq!(probe(&image), Probe::matches(95));
    image[112] ^= 0x55;
    assert_eq!(
        probe(&image),
        Probe::matches(95),
        "PercentInUse does not count"
    );
    image[200] ^= 1;
    assert_eq!(probe(&image), Probe::matches(80));
    image[108] = 77;
    assert_eq!(probe(&image), Probe::matches(75));
    let names = Answers::of(image.clone()).names;
    image[..512].fill(0);
    assert_eq!(probe(&image), Probe::matches(60));
    let answers = Answers::of(image.clone());
    assert!(answers.found("exfat-boot-sector"));
    assert_eq!(answers.names, names);
    assert_eq!(answers.fs.info().label, b"Ex FAT");
    image[512 * 12..][..512].fill(0);
    assert_eq!(probe(&image), Probe::No);
}

#[test]
fn what_is_used_and_in_no_file_is_lost() {
    let mut image = image();
    let (at, _) = set(&image, "notes.txt");
    // Deleted without giving its clusters back.
    image[at] &= 0x7F;
    let answers = Answers::of(image);
    assert!(answers.found("exfat-lost-clusters"));
}
