//! Single fields of sound images that lie: what is still right, and what is said. What is right
//! is what the sound image gives, which other tests hold against e2fsprogs.

use std::collections::BTreeSet;
use std::sync::Arc;

use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{
    Attributes, ByteRange, Claim, Diagnostic, Diagnostics, FileKey, FileSet, Filesystem,
    FilesystemPlugin, JournalMode, Limits, Link, Member, OpenContext, Owner, RangeSet, RawName,
    ReadAt, Role, Scan, Severity, Silent, View,
};
use hexz_testkit::{Faulty, Fixture, Patched};

/// What all passes tell of an image.
struct Told {
    claims: Vec<Claim>,
    links: BTreeSet<(u64, Vec<u8>, u64)>,
    attributes: Vec<Attributes>,
    findings: Vec<Diagnostic>,
    partial: bool,
}

impl Told {
    fn of(image: &Arc<dyn ReadAt>) -> Self {
        let (limits, diagnostics) = (Limits::default(), Diagnostics::new());
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Merged,
            diagnostics: &diagnostics,
        };
        let fs: Box<dyn Filesystem> = Ext4Plugin
            .open(&[Member::alone(Arc::clone(image))], &cx)
            .expect("it opens");
        let scan = Scan::new(&limits, View::Merged, &diagnostics, &Silent);
        let all: RangeSet = ByteRange::new(0, image.len()).into();
        let mut claims: Vec<Claim> = Vec::new();
        fs.claims(&all, &scan, &mut claims).expect("claims");
        let files: FileSet = (1..10_000).map(FileKey::new).collect();
        let mut links: Vec<Link> = Vec::new();
        fs.links(&files, &scan, &mut links).expect("links");
        let mut attributes: Vec<Attributes> = Vec::new();
        fs.attributes(&files, &scan, &mut attributes)
            .expect("attributes");
        let partial = scan.is_partial();
        let links = links.into_iter();
        let links = links.map(|l| (l.parent.number, l.name.as_bytes().to_vec(), l.child.number));
        let links = links.collect();
        Self {
            claims,
            links,
            attributes,
            findings: diagnostics.take(),
            partial,
        }
    }

    /// Claims of files, without those of their records.
    fn of_files(&self) -> BTreeSet<(u64, u64, u64)> {
        let claims = self.claims.iter();
        claims
            .filter(|c| c.role != Role::InodeRecord)
            .filter_map(|c| match c.owner {
                Owner::File(id) => Some((c.range.start(), c.range.end(), id.number)),
                _ => None,
            })
            .collect()
    }

    /// Where the records of files lie, with their numbers.
    fn records(&self) -> Vec<(ByteRange, u64)> {
        let claims = self.claims.iter().filter(|c| c.role == Role::InodeRecord);
        claims
            .filter_map(|c| match c.owner {
                Owner::File(id) => Some((c.range, id.number)),
                _ => None,
            })
            .collect()
    }

    /// Where inode tables lie.
    fn tables(&self) -> Vec<ByteRange> {
        let claims = self.claims.iter().filter(|c| c.role == Role::InodeTable);
        claims.map(|c| c.range).collect()
    }

    /// Free space.
    fn free(&self) -> RangeSet {
        let claims = self.claims.iter().filter(|c| c.owner == Owner::Free);
        claims.map(|c| c.range).collect()
    }

    fn has(&self, severity: Severity, code: &str) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|f| f.severity == severity && f.code == code)
    }
}

fn patched(case: &str, patches: &[(u64, &[u8])]) -> Arc<dyn ReadAt> {
    let image = Patched::new(Fixture::load(case).base());
    let patch = |image: Patched, (at, bytes): &(u64, &[u8])| image.patch(*at, bytes.to_vec());
    Arc::new(patches.iter().fold(image, patch))
}

/// `s_blocks_count` of a million and a half groups on a volume of six.
#[test]
fn groups_past_the_end_of_the_volume_cost_nothing() {
    let sound = Told::of(&Fixture::load("gdt-csum").base());
    let count = (1_500_000u64 * 512).to_le_bytes();
    let (low, high) = count.split_at(4);
    let image = patched("gdt-csum", &[(1024 + 4, low), (1024 + 0x150, high)]);
    let told = Told::of(&image);
    assert!(told.has(Severity::Error, "volume-truncated"));
    assert!(told.claims.len() <= sound.claims.len() + 16);
    let outside = |c: &&Claim| c.range.end() > image.len();
    assert_eq!(told.claims.iter().find(outside), None);
    assert_eq!(told.of_files(), sound.of_files());
    assert_eq!(told.links, sound.links);
}

/// With `flex_bg`, the inode tables of groups that are cut off stand in one that is there.
#[test]
fn groups_that_are_cut_off_are_known_where_their_table_is_there() {
    let image = Fixture::load("meta-bg").base();
    let sound = Told::of(&image);
    // Only the first of ten groups.
    let cut = Patched::new(image).truncate(1 << 20);
    let told = Told::of(&(Arc::new(cut) as Arc<dyn ReadAt>));
    assert!(told.has(Severity::Error, "volume-truncated"));
    assert_eq!(told.tables().len(), 10);
    assert_eq!(told.tables(), sound.tables());
}

/// The length of a descriptor in the fixtures with several groups, and where theirs begin.
const DESCRIPTOR: u64 = 64;
const DESCRIPTORS: u64 = 2048;

/// What e2fsprogs wrote gives no finding.
#[test]
fn descriptors_of_sound_images_match_their_checksums() {
    for case in ["gdt-csum", "meta-bg", "blocks-64k", "ext2-old", "bigalloc"] {
        let told = Told::of(&Fixture::load(case).base());
        assert_eq!(told.findings, [], "{case}");
    }
}

/// A descriptor that fails its checksum or leads out of its group is taken from a backup.
#[test]
fn a_damaged_descriptor_is_made_good_by_a_backup() {
    let lost = 0x7FFF_FFFFu32.to_le_bytes();
    // With checksums, with the older ones, and without any: `s_feature_ro_compat` says which.
    for (case, ro_compat) in [
        ("gdt-csum", None),
        ("gdt-csum", Some(0u8)),
        ("meta-bg", None),
    ] {
        let feature: Vec<(u64, &[u8])> = ro_compat
            .iter()
            .map(|bits| (1024 + 0x64, std::slice::from_ref(bits)))
            .collect();
        let sound = Told::of(&patched(case, &feature));
        assert_eq!(sound.findings, []);
        // `bg_block_bitmap`, `bg_inode_bitmap`, `bg_inode_table` of each group.
        for at in [0, 4, 8] {
            for group in 0..6 {
                let at = DESCRIPTORS + DESCRIPTOR * group + at;
                for bytes in [lost, 2u32.to_le_bytes()] {
                    let patches = [feature.clone(), vec![(at, &bytes[..])]].concat();
                    let told = Told::of(&patched(case, &patches));
                    let what = format!("{case} {ro_compat:?} group {group} at {at}: {bytes:?}");
                    assert!(
                        told.has(Severity::Warning, "ext4-backup-descriptor"),
                        "{what}"
                    );
                    assert!(told.findings.iter().all(|f| f.severity < Severity::Error));
                    assert_eq!(told.links, sound.links, "{what}");
                    assert!(told.of_files() == sound.of_files(), "{what}");
                    assert_eq!(told.tables(), sound.tables(), "{what}");
                    assert_eq!(told.free(), sound.free(), "{what}");
                }
            }
        }
    }
}

/// A flag or a count that lies is noticed by the checksum, and costs no file.
#[test]
fn files_are_not_lost_by_a_wrong_count_of_unused_inodes() {
    for case in ["gdt-csum", "meta-bg", "ext2-old", "blocks-4k"] {
        let image = Fixture::load(case).base();
        let sound = Told::of(&image);
        let at = if case == "blocks-4k" {
            4096
        } else {
            DESCRIPTORS
        };
        // `bg_flags`: no inode, no block in use. `bg_itable_unused`.
        for (at, bytes) in [(at + 0x12, [7u8, 0]), (at + 0x1C, [0xFF, 0xFF])] {
            let told = Told::of(&patched(case, &[(at, &bytes)]));
            assert_eq!(told.links, sound.links, "{case}");
            assert!(told.of_files() == sound.of_files(), "{case}");
            assert_eq!(told.free(), sound.free(), "{case}");
            assert_eq!(told.findings.is_empty(), case == "ext2-old", "{case}");
        }
    }
}

/// Where no backup is sound, what is lost is said to be.
#[test]
fn a_descriptor_without_a_sound_backup_is_an_error() {
    let lost = 0x7FFF_FFFFu32.to_le_bytes();
    // One group, and so no backup; and one whose backups are damaged likewise.
    let at = DESCRIPTORS + DESCRIPTOR;
    let all = [2u64, 514, 1538, 2562].map(|block| block * 1024 + DESCRIPTOR);
    assert_eq!(all[0], at);
    for field in [0, 4, 8] {
        let several: Vec<(u64, &[u8])> = all.iter().map(|at| (at + field, &lost[..])).collect();
        let several = patched("gdt-csum", &several);
        let single = patched("ext2-old", &[(DESCRIPTORS + field, &lost)]);
        for image in [several, single] {
            let told = Told::of(&image);
            assert!(told.has(Severity::Error, "corrupt-group-descriptor"));
        }
    }
}

/// `i_file_acl` of inode 17 (the first of group 1) leads out of the filesystem.
#[test]
fn attributes_that_are_nowhere_are_an_error() {
    let lost = 0x7FFF_FFFFu32.to_le_bytes();
    let told = Told::of(&patched("gdt-csum", &[(773 * 1024 + 0x68, &lost)]));
    assert!(told.has(Severity::Error, "corrupt-inode-i-file-acl"));
}

/// With `ea_inode`, `i_blocks` of a symlink counts the blocks of its attributes' inodes, and what
/// is shorter than `i_block` is a target all the same (`ext4_inode_is_fast_symlink` of Linux).
#[test]
fn a_short_target_is_no_map() {
    // /etc/mtab, inode 15: i_size 1, i_blocks 2, no flag, i_block "a"; block 97 is no block of it.
    let inode = 264 * 1024 + 0x200;
    let mut target = [0u8; 60];
    target[0] = b'a';
    let patches: [(u64, &[u8]); 4] = [
        (1024 + 0x60, &[0xC2, 0x04]), // s_feature_incompat: and ea_inode.
        (inode + 4, &[1, 0, 0, 0]),
        (inode + 0x1C, &[2, 0, 0, 0]),
        (inode + 0x28, &target),
    ];
    let told = Told::of(&patched("gdt-csum", &patches));
    assert!(told.of_files().iter().all(|(_, _, number)| *number != 15));
    let mtab = told.attributes.iter().find(|a| a.key.number == 15);
    let target = mtab.and_then(|a| a.target.as_ref());
    assert_eq!(target.map(RawName::as_bytes), Some(&b"a"[..]));
}

fn failing(image: &Arc<dyn ReadAt>, start: u64) -> Arc<dyn ReadAt> {
    let bad = ByteRange::new(start, start + 512);
    Arc::new(Faulty::failing(Arc::clone(image), bad.into()))
}

/// A sector of an inode table that can't be read costs the files whose inodes lie in it.
#[test]
fn a_bad_sector_of_an_inode_table_costs_two_files() {
    let image = Fixture::load("htree").base();
    let sound = Told::of(&image);
    let records = sound.records();
    let (middle, _) = records[records.len() / 2];
    let start = middle.start() / 512 * 512;
    let told = Told::of(&failing(&image, start));
    let bad = ByteRange::new(start, start + 512);
    let left = records.iter().filter(|(range, _)| !bad.overlaps(range));
    let left: Vec<_> = left.copied().collect();
    assert_eq!((records.len() - left.len(), told.records()), (2, left));
    // The directory that names them was read.
    assert_eq!(told.links, sound.links);
    assert!(told.partial);
    assert_eq!(told.findings.first().and_then(|f| f.offset), Some(start));
    let mut places = told.findings.iter().filter_map(|f| f.offset);
    assert!(places.all(|at| bad.contains(at)), "{:?}", told.findings);
}

/// A sector of a directory that can't be read costs the names in its block.
#[test]
fn a_bad_sector_of_a_directory_costs_the_names_of_a_block() {
    let image = Fixture::load("htree").base();
    let sound = Told::of(&image);
    let directories = sound.claims.iter().filter(|c| c.role == Role::Directory);
    let long = directories.max_by_key(|c| c.range.len()).expect("one");
    let start = long.range.start() + long.range.len() / 2 / 1024 * 1024 + 512;
    let told = Told::of(&failing(&image, start));
    let lost = sound.links.len() - told.links.len();
    // A block of 1024 bytes holds up to 21 such names, and these are half full or more.
    assert!((8..=21).contains(&lost), "{lost} names are lost");
    assert!(told.links.is_subset(&sound.links));
    let errors = told
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error);
    let places: BTreeSet<_> = errors.map(|f| f.offset).collect();
    assert_eq!(places, [Some(start)].into());
}

/// A sector of a block bitmap that can't be read costs what is known of its blocks.
#[test]
fn a_bad_sector_of_a_bitmap_costs_what_is_known_of_its_blocks() {
    let image = Fixture::load("journal").base();
    let sound = Told::of(&image);
    let bitmap = sound.claims.iter().find(|c| c.detail == "block-bitmap");
    let bitmap = bitmap.expect("a bitmap").range;
    // 8191 blocks of 1 KiB from block 1 on, of which each sector tells of 4096.
    let second = 4097 * 1024;
    for (at, unknown) in [(0, 0..second), (512, second..image.len())] {
        let told = Told::of(&failing(&image, bitmap.start() + at));
        let unknown = RangeSet::from(ByteRange::new(unknown.start, unknown.end));
        let expected = sound.free().difference(&unknown);
        assert_ne!(expected, sound.free());
        assert_eq!(told.free(), expected);
        assert!(told.partial);
    }
}

#[test]
fn an_entry_that_names_no_inode_there_can_be_is_said() {
    // An entry without a kind: inode, length, length of the name in two bytes, name.
    let image = Fixture::load("ext2-old").base();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_exact_at(0, &mut bytes).unwrap();
    let name = bytes.windows(5).position(|w| w == b"\x03\x00etc").unwrap();
    assert!(Told::of(&image).findings.is_empty());
    let entry = u64::try_from(name - 6).unwrap();
    let patched = Patched::new(image).patch(entry, 0xFFFF_FFFFu32.to_le_bytes().to_vec());
    let told = Told::of(&(Arc::new(patched) as Arc<dyn ReadAt>));
    let said = |d: &&Diagnostic| d.code == "corrupt-entry" && d.severity == Severity::Error;
    assert_eq!(told.findings.iter().filter(said).count(), 1);
}
