//! Owners found by looking where they are likely are those that a sweep over the MFT finds.

use std::collections::BTreeSet;

use hexz_resolve::{ByteRange, Claim, Diagnostics, Limits, RangeSet, Scan, Silent, View};
use hexz_testkit::Fixture;

use super::common::{Opened, open};

/// The claims of `wanted`, cut to it; with few bytes a unit, the MFT is cut into many slices.
fn claims(opened: &Opened, wanted: ByteRange, unit_bytes: usize) -> BTreeSet<Claim> {
    let limits = Limits::default().with(|limits| limits.unit_bytes = unit_bytes);
    let findings = Diagnostics::new();
    let scan = Scan::new(&limits, View::Merged, &findings, &Silent);
    let mut found: Vec<Claim> = Vec::new();
    let set = RangeSet::from(wanted);
    opened.filesystem.claims(&set, &scan, &mut found).unwrap();
    found
        .into_iter()
        .filter_map(|c| c.clipped(wanted))
        .collect()
}

#[test]
fn owners_of_one_block_are_those_of_a_sweep() {
    for name in [
        "ntfs-plain",
        "ntfs-fragmented",
        "ntfs-compressed",
        "ntfs-hibernated",
    ] {
        for image in [Fixture::load(name).base(), Fixture::load(name).merged()] {
            let opened = open(&image).unwrap();
            let all = claims(&opened, ByteRange::new(0, image.len()), 1 << 20);
            let starts = all.iter().map(|c| c.range.start() / 4096);
            let blocks: BTreeSet<u64> = starts.chain((0..image.len() / 4096).step_by(37)).collect();
            for block in blocks {
                let wanted = ByteRange::new(block * 4096, (block + 1) * 4096);
                let expected: BTreeSet<Claim> =
                    all.iter().filter_map(|c| c.clipped(wanted)).collect();
                let found = claims(&opened, wanted, 1024);
                assert_eq!(found, expected, "{name}: block {block}");
            }
        }
    }
}
