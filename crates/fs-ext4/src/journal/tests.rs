//! Replay of synthetic journals. What to expect follows from the specification and from what a
//! mount does with such a log.

use std::sync::Arc;

use hexz_resolve::{
    Diagnostic, Diagnostics, FsState, JournalMode, Limits, OpenContext, ReadAt, View as DiskView,
    read_vec,
};

use super::build::{BLOCK, BLOCKS, Image, MAXLEN, Sums};
use super::place::Place;
use super::{Journal, Replayed, replay};

const ALL: [Sums; 4] = [Sums::None, Sums::V1, Sums::V2, Sums::V3];

fn run(image: &Image, recover: bool) -> (Replayed, Vec<Diagnostic>) {
    let findings = Diagnostics::new();
    let limits = Limits::default();
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: DiskView::Merged,
        diagnostics: &findings,
    };
    let journal = Journal {
        block_size: BLOCK as u32,
        blocks: BLOCKS as u64,
        recover,
        place: Ok(Place::Internal(Image::runs())),
    };
    let out = replay(Arc::new(image.bytes.clone()), journal, &cx);
    (out, findings.take())
}

/// Replays and compares the whole volume with itself as it lies, but for `rewritten`.
fn check(image: &Image, transactions: u64, state: FsState, rewritten: &[(u64, [u8; BLOCK])]) {
    let (out, findings) = run(image, true);
    let name = format!("{:?} {findings:?}", image.sums);
    assert_eq!(
        (out.transactions, out.state),
        (transactions, state),
        "{name}"
    );
    let mut expected = image.bytes.clone();
    for (block, content) in rewritten {
        let at = *block as usize * BLOCK;
        expected[at..at + BLOCK].copy_from_slice(content);
    }
    let found = read_vec(&out.reader, 0, expected.len()).unwrap();
    for (n, (a, b)) in found.chunks(BLOCK).zip(expected.chunks(BLOCK)).enumerate() {
        assert!(a == b, "block {n}: {} for {}, {name}", a[9], b[9]);
    }
    let mut blocks: Vec<u64> = rewritten.iter().map(|(block, _)| *block).collect();
    blocks.sort_unstable();
    let ranges: Vec<u64> = out
        .ranges
        .iter()
        .flat_map(|r| (r.start()..r.end()).step_by(BLOCK))
        .map(|at| at / BLOCK as u64)
        .collect();
    assert_eq!(ranges, blocks, "{name}");
    assert_eq!(findings.is_empty(), state == FsState::Clean, "{name}");
}

fn each(test: impl Fn(Sums, bool)) {
    for sums in ALL {
        for wide in [false, true] {
            test(sums, wide);
        }
    }
}

fn escaped(fill: u8) -> [u8; BLOCK] {
    let mut block = [fill; BLOCK];
    block[..4].copy_from_slice(&[0xC0, 0x3B, 0x39, 0x98]);
    block
}

#[test]
fn complete_transactions_are_replayed_and_the_last_write_holds() {
    each(|sums, wide| {
        let mut image = Image::new(sums, wide, 1, 40);
        image.write(&[(5, [200; BLOCK]), (6, [201; BLOCK]), (7, escaped(202))]);
        image.write(&[(8, [203; BLOCK])]);
        image.commit();
        image.write(&[(6, [204; BLOCK])]);
        image.commit();
        let rewritten = [
            (5, [200; BLOCK]),
            (6, [204; BLOCK]),
            (7, escaped(202)),
            (8, [203; BLOCK]),
        ];
        check(&image, 2, FsState::Clean, &rewritten);
    });
}

#[test]
fn an_incomplete_last_transaction_is_not_replayed() {
    each(|sums, wide| {
        let mut image = Image::new(sums, wide, 1, 40);
        image.write(&[(5, [200; BLOCK])]);
        image.commit();
        image.revoke(&[5]);
        image.write(&[(5, [201; BLOCK]), (6, [202; BLOCK])]);
        check(&image, 1, FsState::Clean, &[(5, [200; BLOCK])]);
    });
}

#[test]
fn the_log_and_its_sequence_numbers_wrap() {
    each(|sums, wide| {
        let mut image = Image::new(sums, wide, MAXLEN - 3, u32::MAX - 1);
        for n in 0..5u8 {
            image.revoke(&[u64::from(n)]);
            image.write(&[(u64::from(n), [210 + n; BLOCK]), (20, [220 + n; BLOCK])]);
            image.commit();
        }
        let mut rewritten = vec![(20, [224; BLOCK])];
        // Each revoke stands in the transaction that rewrites its block: it is revoked in it, too.
        check(&image, 5, FsState::Clean, &rewritten);
        image.write(&[(1, [230; BLOCK])]);
        image.commit();
        rewritten.insert(0, (1, [230; BLOCK]));
        check(&image, 6, FsState::Clean, &rewritten);
    });
}

#[test]
fn a_revoke_holds_for_its_transaction_and_those_before() {
    each(|sums, wide| {
        let mut image = Image::new(sums, wide, 1, u32::MAX);
        image.write(&[(5, [200; BLOCK]), (6, [201; BLOCK]), (7, [202; BLOCK])]);
        image.commit();
        image.revoke(&[5, 7]);
        image.write(&[(30, [203; BLOCK])]);
        image.commit();
        image.write(&[(7, [204; BLOCK])]);
        image.commit();
        let rewritten = [(6, [201; BLOCK]), (7, [204; BLOCK]), (30, [203; BLOCK])];
        check(&image, 3, FsState::Clean, &rewritten);
    });
}

#[test]
fn replay_stops_at_a_commit_block_with_a_wrong_checksum() {
    for sums in [Sums::V1, Sums::V2, Sums::V3] {
        let mut image = Image::new(sums, true, 1, 9);
        image.write(&[(5, [200; BLOCK])]);
        image.commit();
        image.write(&[(6, [201; BLOCK])]);
        let torn = image.commit();
        image.write(&[(7, [202; BLOCK])]);
        image.commit();
        image.log_block(torn)[17] ^= 1;
        check(&image, 1, FsState::NeedsRecovery, &[(5, [200; BLOCK])]);
        // A commit older than the one before is a left-over of an earlier round of the log.
        let mut image = Image::new(sums, true, 1, 9);
        image.write(&[(5, [200; BLOCK])]);
        image.commit();
        image.write(&[(6, [201; BLOCK])]);
        image.clock = 5;
        let torn = image.commit();
        image.log_block(torn)[17] ^= 1;
        let (out, _) = run(&image, true);
        assert_eq!((out.transactions, out.state), (1, FsState::Clean));
    }
}

#[test]
fn replay_stops_at_a_damaged_descriptor_or_revoke_block() {
    for sums in [Sums::V2, Sums::V3] {
        for revoke in [false, true] {
            let mut image = Image::new(sums, false, 1, 9);
            image.write(&[(5, [200; BLOCK])]);
            image.commit();
            let revoked = image.revoke(&[80]);
            let described = image.write(&[(6, [201; BLOCK])]);
            image.commit();
            let torn = if revoke { revoked } else { described };
            image.log_block(torn)[BLOCK - 1] ^= 0x40;
            check(&image, 1, FsState::NeedsRecovery, &[(5, [200; BLOCK])]);
        }
    }
}

#[test]
fn a_damaged_copy_is_left_out_and_the_others_are_not() {
    for sums in [Sums::V2, Sums::V3] {
        let mut image = Image::new(sums, true, 1, 9);
        let at = image.write(&[(5, [200; BLOCK]), (6, [201; BLOCK])]);
        image.commit();
        image.log_block(at + 1)[500] ^= 1;
        check(&image, 1, FsState::NeedsRecovery, &[(6, [201; BLOCK])]);
    }
    // Version 1 sums the transaction, so nothing of it is good.
    let mut image = Image::new(Sums::V1, true, 1, 9);
    let at = image.write(&[(5, [200; BLOCK]), (6, [201; BLOCK])]);
    image.commit();
    image.log_block(at + 1)[500] ^= 1;
    check(&image, 0, FsState::NeedsRecovery, &[]);
}

#[test]
fn blocks_past_the_end_and_in_the_journal_are_left_out() {
    each(|sums, wide| {
        let mut image = Image::new(sums, wide, 1, 9);
        let far = if wide { u64::MAX } else { BLOCKS as u64 };
        image.write(&[(far, [1; BLOCK]), (100, [2; BLOCK]), (6, [3; BLOCK])]);
        image.commit();
        check(&image, 1, FsState::NeedsRecovery, &[(6, [3; BLOCK])]);
    });
}

#[test]
fn a_log_that_never_ends_is_given_up() {
    let mut image = Image::new(Sums::None, false, 1, 9);
    for _ in 1..MAXLEN {
        image.revoke(&[1]);
    }
    check(&image, 0, FsState::NeedsRecovery, &[]);
}

#[test]
fn a_mount_asks_the_flag_and_so_do_we() {
    let mut image = Image::new(Sums::V3, true, 1, 9);
    image.write(&[(6, [3; BLOCK])]);
    image.commit();
    let (out, findings) = run(&image, false);
    assert_eq!((out.transactions, out.state), (0, FsState::Clean));
    assert_eq!(findings[0].code, "journal-not-asked-for");
    image.patch_superblock(28, 0);
    check(&image, 0, FsState::Clean, &[]);
}

#[test]
fn a_damaged_journal_superblock_leaves_the_volume_as_it_lies() {
    // Field, value: magic, block type, block size, first block, start, unknown feature, checksum.
    let cases = [
        (0, 0),
        (4, 1),
        (12, 4096),
        (20, 0),
        (20, MAXLEN),
        (28, MAXLEN),
        (40, 0x40),
        (40, 0x18),
    ];
    for (at, value) in cases {
        let mut image = Image::new(Sums::V3, true, 1, 9);
        image.write(&[(6, [3; BLOCK])]);
        image.commit();
        image.patch_superblock(at, value);
        check(&image, 0, FsState::NeedsRecovery, &[]);
    }
    let mut image = Image::new(Sums::V3, true, 1, 9);
    image.log_block(0)[300] ^= 1;
    check(&image, 0, FsState::NeedsRecovery, &[]);
}

#[test]
fn no_bit_flip_in_the_log_panics_or_finds_more_transactions() {
    for sums in ALL {
        let mut clean = Image::new(sums, true, MAXLEN - 2, 9);
        clean.revoke(&[70, 71]);
        clean.write(&[(5, [200; BLOCK]), (6, [201; BLOCK])]);
        clean.commit();
        clean.write(&[(7, [202; BLOCK])]);
        clean.commit();
        let mut random = 0x2545_F491_4F6C_DD1Du64;
        for _ in 0..1500 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut image = clean.clone();
            let block = (random >> 32) as u32 % 12;
            let block = if block < 2 {
                MAXLEN - 2 + block
            } else {
                block - 2
            };
            let at = (random >> 8) as usize % 80;
            image.log_block(block)[at] ^= 1 << (random % 8);
            let (out, _) = run(&image, true);
            let mut whole = vec![0; image.bytes.len()];
            out.reader.read_exact_at(0, &mut whole).unwrap();
            assert!(out.transactions <= 2);
        }
    }
}
