//! Swap areas built from the layout of `union swap_header`.

use std::sync::Arc;

use hexz_fs_swap::SwapPlugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostics, Filesystem, FilesystemPlugin, JournalMode, Limits, Member,
    OpenContext, Probe, RangeSet, ReadAt, Role, Scan, Silent, View, Window,
};
use hexz_testkit::{Patched, Rng, SparseDisk};

const UUID: [u8; 16] = [
    0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8,
];

/// An area of `pages`, the last 100 bytes of the volume beyond it.
fn area(page: u64, pages: u32, signature: &[u8; 10], big: bool) -> SparseDisk {
    let mut disk = SparseDisk::new(page * u64::from(pages) + 100);
    let number = |n: u32| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    disk.write(1024, &number(1));
    disk.write(1028, &number(pages - 1));
    disk.write(1036, &UUID);
    disk.write(1052, b"scratch");
    disk.write(page - 10, signature);
    disk
}

fn probe(disk: &dyn ReadAt) -> Probe {
    let window = Window::read(disk);
    let magics = SwapPlugin.descriptor().magics;
    match magics.iter().any(|magic| window.has(magic)) {
        true => SwapPlugin.probe(&window),
        false => Probe::No,
    }
}

fn open(disk: Arc<dyn ReadAt>) -> (hexz_resolve::Result<Box<dyn Filesystem>>, Vec<String>) {
    let limits = Limits::default();
    let diagnostics = Diagnostics::new();
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: View::Base,
        diagnostics: &diagnostics,
    };
    let opened = SwapPlugin.open(&[Member::alone(disk)], &cx);
    let codes = diagnostics.take();
    (opened, codes.into_iter().map(|d| d.code.into()).collect())
}

fn claims(fs: &dyn Filesystem, wanted: ByteRange) -> Vec<Claim> {
    let limits = Limits::default();
    let diagnostics = Diagnostics::new();
    let scan = Scan::new(&limits, View::Base, &diagnostics, &Silent);
    let mut claims = Vec::new();
    fs.claims(&wanted.into(), &scan, &mut claims).unwrap();
    claims
}

fn all(fs: &dyn Filesystem) -> Vec<(u64, u64, Role, &'static str)> {
    claims(fs, ByteRange::new(0, u64::MAX))
        .into_iter()
        .map(|c| (c.range.start(), c.range.end(), c.role, c.detail))
        .collect()
}

#[test]
fn every_page_size_and_byte_order_is_read() {
    for page in [4096, 8192, 16384, 32768, 65536] {
        for big in [false, true] {
            let disk = area(page, 20, b"SWAPSPACE2", big);
            assert_eq!(probe(&disk), Probe::matches(80));
            let (fs, codes) = open(Arc::new(disk));
            let fs = fs.unwrap();
            assert_eq!(codes, [""; 0]);
            let info = fs.info();
            assert_eq!(info.filesystem, "swap");
            assert_eq!(info.label, b"scratch");
            let uuid = "12345678-9abc-def0-0102-030405060708";
            assert_eq!(info.uuid.as_deref(), Some(uuid));
            assert_eq!(u64::from(info.block_size), page);
            let expected = [
                (0, page, Role::Superblock, "swap-header"),
                (page, 20 * page, Role::Swap, ""),
                (20 * page, 20 * page + 100, Role::Gap, ""),
            ];
            assert_eq!(all(&*fs), expected);
        }
    }
}

#[test]
fn only_what_shares_a_byte_with_the_wanted_is_claimed() {
    let (fs, _) = open(Arc::new(area(4096, 20, b"SWAPSPACE2", false)));
    let fs = fs.unwrap();
    let some = claims(&*fs, ByteRange::new(5000, 5001));
    assert_eq!(some.len(), 1);
    assert_eq!(some[0].role, Role::Swap);
    assert!(claims(&*fs, ByteRange::new(1 << 40, 1 << 41)).is_empty());
}

#[test]
fn bad_pages_are_told_apart() {
    let mut disk = area(4096, 20, b"SWAPSPACE2", false);
    disk.write(1032, &[3]);
    for (n, bad) in [7u32, 6, 19].into_iter().enumerate() {
        disk.write(1536 + 4 * n as u64, &bad.to_le_bytes());
    }
    let (fs, _) = open(Arc::new(disk));
    let found = all(&*fs.unwrap());
    let bad: Vec<_> = found.iter().filter(|c| c.3 == "bad-page").collect();
    let starts: Vec<_> = bad.iter().map(|c| c.0 / 4096).collect();
    assert_eq!(starts, [6, 7, 19]);
    let sum: u64 = found.iter().map(|c| c.1 - c.0).sum();
    assert_eq!(sum, 20 * 4096 + 100);
}

#[test]
fn a_suspended_system_and_the_old_form_are_told() {
    for signature in [b"S1SUSPEND\0", b"ULSUSPEND\0"] {
        let (fs, codes) = open(Arc::new(area(4096, 20, signature, false)));
        assert_eq!(all(&*fs.unwrap())[0].3, "suspend-header");
        assert_eq!(codes, ["swap-suspended"]);
    }
    let old = area(4096, 20, b"SWAP-SPACE", false);
    assert!(matches!(probe(&old), Probe::Match { confidence: 60, .. }));
    let (fs, codes) = open(Arc::new(old));
    let fs = fs.unwrap();
    assert_eq!((fs.info().uuid.clone(), codes.len()), (None, 0));
    assert_eq!(all(&*fs).last().unwrap().1, 20 * 4096 + 100);
}

#[test]
fn what_is_no_swap_area_is_refused() {
    assert_eq!(probe(&SparseDisk::new(1 << 20)), Probe::No);
    let mut odd = area(4096, 20, b"SWAPSPACE2", false);
    odd.write(1024, &[9]);
    assert!(matches!(probe(&odd), Probe::Damaged { .. }));
    assert!(open(Arc::new(odd)).0.is_err());
    assert!(open(Arc::new(SparseDisk::new(10))).0.is_err());
}

#[test]
fn a_volume_that_is_too_short_is_told() {
    let disk = Arc::new(area(4096, 20, b"SWAPSPACE2", false));
    let (fs, codes) = open(Arc::new(Patched::new(disk).truncate(10 * 4096)));
    assert_eq!(all(&*fs.unwrap()).last().unwrap().1, 10 * 4096);
    assert_eq!(codes, ["volume-truncated"]);
}

#[test]
fn whatever_the_header_says_each_byte_is_claimed_once() {
    let disk = Arc::new(area(4096, 20, b"SWAPSPACE2", false));
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let mut damaged = Patched::new(Arc::clone(&disk) as _);
        for _ in 0..=rng.below(8) {
            let value = *rng.pick(&[0, 1, 5, 0x80, 0xFF]);
            damaged = damaged.patch(1024 + rng.below(540), [value]);
        }
        if rng.chance(1, 3) {
            damaged = damaged.truncate(rng.below(21 * 4096));
        }
        let size = damaged.len();
        probe(&damaged);
        if let (Ok(fs), _) = open(Arc::new(damaged)) {
            let found = all(&*fs);
            let covered: RangeSet = found.iter().map(|c| ByteRange::new(c.0, c.1)).collect();
            let sum: u64 = found.iter().map(|c| c.1 - c.0).sum();
            assert_eq!((covered.len(), sum), (size, size), "seed {seed}");
        }
    }
}
