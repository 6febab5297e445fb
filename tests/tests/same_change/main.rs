//! One change, given in every way that there is, is one report.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod images;

use std::fs;
use std::path::Path;

use hexz_acceptance::{Hexz, without_cost};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::{VhdImage, VhdxImage, decompress, fixtures_dir};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The demo's disk before and after, as raw images, as qcow2 overlay and as archives, side by side.
fn unpacked() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let demo = fixtures_dir().join("demo");
    let copy = |from: &Path| {
        let name = from.file_name().expect("a name");
        fs::copy(from, dir.path().join(name)).expect("a fixture");
    };
    for file in [
        "base.hxz",
        "vm-state.overlay",
        "vm-state.meta",
        "vm-state.map.json",
    ] {
        copy(&demo.join(file));
    }
    for archive in ["layout-d-0.8.2-lz4.hxz", "layout-d-0.8.2-thin.hxz"] {
        copy(&fixtures_dir().join("archives").join(archive));
    }
    let qcow2 = decompress(&demo.join("vm-state.qcow2.zst"));
    fs::write(dir.path().join("vm-state.qcow2"), qcow2).expect("a temporary folder");
    let sums = fs::read_to_string(demo.join("SHA256")).expect("a fixture");
    for (archive, raw) in [
        ("base.hxz", "base.img"),
        ("layout-d-0.8.2-thin.hxz", "merged.img"),
    ] {
        let bytes = contents(&dir.path().join(archive));
        let sum = Sha256::digest(&bytes);
        let sum: String = sum.iter().map(|b| format!("{b:02x}")).collect();
        assert!(sums.contains(&format!("{sum}  {raw}")), "{archive}");
        fs::write(dir.path().join(raw), bytes).expect("a temporary folder");
    }
    dir
}

fn contents(image: &Path) -> Vec<u8> {
    let (limits, gate) = (Default::default(), DefaultGate::new());
    let disk = open_image(image, &limits, &gate, &Default::default()).expect("an image");
    let mut bytes = vec![0; usize::try_from(disk.len()).expect("a small disk")];
    disk.read_exact_at(0, &mut bytes).expect("all of it");
    bytes
}

/// A report without its header, without what it cost, and without the finding that the base which is
/// given is a copy of the one that the image stands on.
fn body(hexz: &Hexz, line: &str) -> String {
    let text = hexz.text(&format!("diff --files --json {line}"));
    let (header, body) = text.split_once('\n').expect("a header");
    assert!(header.contains(r#""type":"header""#), "{header}");
    let is_copy = |line: &&str| line.contains(r#""code":"base-is-copy""#);
    let lines = body.split_inclusive('\n').filter(|line| !is_copy(line));
    without_cost(&lines.collect::<String>())
}

#[test]
fn every_way_to_give_a_change_gives_the_same_report() {
    let dir = unpacked();
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let expected = body(&hexz, "--base base.img vm-state.overlay");
    assert!(expected.contains(r#""type":"change""#));

    let meta = fs::read(dir.path().join("vm-state.meta")).expect("a fixture");
    let (blocks, _) = meta.as_chunks::<8>();
    let blocks: Vec<u64> = blocks.iter().copied().map(u64::from_le_bytes).collect();
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("a file");
    write("blocks", blocks.iter().map(|b| format!("{b}\n")).collect());
    let map = |entry: &dyn Fn(u64) -> String| -> String {
        let entries: Vec<String> = blocks.iter().map(|b| entry(b * 4096)).collect();
        format!("[{}]", entries.join(","))
    };
    write(
        "rbd.json",
        map(&|at| format!(r#"{{"offset":{at},"length":4096,"exists":"true"}}"#)),
    );
    write(
        "rescue.map",
        std::iter::once("0 + 1\n".to_owned())
            .chain(blocks.iter().map(|b| format!("{:#x} 0x1000 -\n", b * 4096)))
            .collect(),
    );
    write(
        "csi.json",
        blocks
            .iter()
            .map(|b| {
                let entry = format!(r#"{{"byte_offset":{},"size_bytes":4096}}"#, b * 4096);
                format!(r#"{{"block_metadata":[{entry}]}}"#)
            })
            .collect(),
    );
    write(
        "vmware.json",
        map(&|at| format!(r#"{{"start":{at},"length":4096}}"#)),
    );
    write(
        "ebs.json",
        blocks
            .iter()
            .map(|b| format!(r#"{{"ChangedBlocks":[{{"BlockIndex":{b}}}],"BlockSize":4096}}"#))
            .collect(),
    );
    write(
        "intervals",
        blocks
            .iter()
            .map(|b| format!("[{},{})\n", b * 4096, (b + 1) * 4096))
            .collect(),
    );
    let listed = |line: &dyn Fn(u64) -> String| blocks.iter().map(|b| line(b * 4096)).collect();
    write(
        "rbd.txt",
        format!(
            "Offset Length Type\n{}",
            listed(&|at| format!("{at} 4096 data\n"))
        ),
    );
    write("nbd.txt", listed(&|at| format!("{at:>10} 4096 1 dirty\n")));
    let dirty =
        |at: u64| format!(r#"{{"offset":{at},"length":4096,"type":1,"description":"dirty"}}"#);
    write("nbd.json", map(&dirty));
    let different = |b: &u64| format!(r#"<different begin="{b}" length="1"/>"#);
    let inner: String = blocks.iter().map(different).collect();
    write(
        "thin.xml",
        format!(
            r#"<superblock data_block_size="8"><diff left="1" right="2">{inner}</diff></superblock>"#
        ),
    );
    let mut bits = vec![0u8; 1 << 16];
    for block in &blocks {
        bits[usize::try_from(block / 8).expect("a small disk")] |= 1 << (block % 8);
    }
    fs::write(dir.path().join("bits"), bits).expect("a file");
    write_store(dir.path(), &blocks);
    write_undo(dir.path(), &blocks);
    images::qed(dir.path(), &blocks);
    images::vmdk(dir.path(), &blocks);
    images::qcow2(dir.path(), &blocks);
    fs::create_dir(dir.path().join("layer")).expect("a folder");
    fs::copy(dir.path().join("merged.img"), dir.path().join("layer/main")).expect("copied");
    for line in [
        "--base base.img store.cow",
        "--base base.hxz store.cow",
        "--changes disk.e2undo --merged merged.img",
        "--changes disk.e2undo --base base.hxz --merged merged.img",
        "--base base.hxz layer",
        "--changes csi.json --base base.img --merged merged.img",
        "--changes vmware.json --base base.img --merged merged.img",
        "--changes ebs.json --base base.img --merged merged.img",
        "--changes intervals --base base.img --merged merged.img",
        "--changes thin.xml --base base.img --merged merged.img",
        "--changes bits --changes-format bitmap --base base.img --merged merged.img",
        "--changes rbd.txt --base base.img --merged merged.img",
        "--changes nbd.txt --base base.img --merged merged.img",
        "--changes nbd.json --base base.img --merged merged.img",
        "layout-d-0.8.2-thin.hxz",
        "--base base.hxz layout-d-0.8.2-thin.hxz",
        "child.qed",
        "child.vmdk",
        "--base base.hxz child.vmdk",
        "base.vmdk child.qed",
        "kept.qcow2 --snapshot before",
        "kept.qcow2 --bitmap changed --base base.img",
        "--base base.hxz vm-state.overlay",
        "vm-state.qcow2",
        "--base base.hxz vm-state.qcow2",
        "base.img merged.img",
        "base.hxz layout-d-0.8.2-thin.hxz",
        "base.img layout-d-0.8.2-thin.hxz",
        "base.img vm-state.qcow2",
        "--changes vm-state.map.json --base base.img --merged merged.img",
        "--changes blocks --base base.img --merged merged.img",
        "--changes rbd.json --base base.hxz --merged vm-state.qcow2",
        "--changes rescue.map --base base.hxz --merged vm-state.qcow2",
    ] {
        assert!(body(&hexz, line) == expected, "hexz diff --files {line}");
    }
}

/// The blocks of 4096 bytes of the disk `name`.
fn blocks_of(dir: &Path, name: &str, blocks: &[u64]) -> Vec<Vec<u8>> {
    let disk = fs::read(dir.join(name)).expect("a disk");
    let of = |block: &u64| {
        let start = usize::try_from(block * 4096).expect("a small disk");
        let mut bytes = disk[start..disk.len().min(start + 4096)].to_vec();
        bytes.resize(4096, 0);
        bytes
    };
    blocks.iter().map(of).collect()
}

/// The blocks of the disk after as the store of a snapshot of the disk before: chunks of 4096 bytes,
/// 256 exceptions an area.
fn write_store(dir: &Path, blocks: &[u64]) {
    let mut store = b"SnAp\x01\0\0\0\x01\0\0\0\x08\0\0\0".to_vec();
    store.resize(4096, 0);
    let mut next = 0u64;
    for (area, old) in blocks_of(dir, "merged.img", blocks)
        .chunks(256)
        .zip(blocks.chunks(256))
    {
        let mut exceptions = Vec::new();
        for (at, old) in (next + 2..).zip(old) {
            exceptions.extend(old.to_le_bytes());
            exceptions.extend(at.to_le_bytes());
        }
        exceptions.resize(4096, 0);
        store.extend(exceptions);
        area.iter().for_each(|block| store.extend(block));
        next += 257;
    }
    store.resize(store.len() + 4096, 0);
    fs::write(dir.join("store.cow"), store).expect("a temporary folder");
}

/// The blocks of the disk before as an undo file of e2fsprogs.
fn write_undo(dir: &Path, blocks: &[u64]) {
    let sum = |bytes: &[u8]| (!crc32c::crc32c(bytes)).to_le_bytes();
    let after = fs::read(dir.join("merged.img")).expect("a disk");
    let mut header = b"E2UNDO02".to_vec();
    for number in [blocks.len() as u64, 1, 2] {
        header.extend(number.to_le_bytes());
    }
    for number in [4096u32, 4096, 0, 1] {
        header.extend(number.to_le_bytes());
    }
    header.resize(508, 0);
    header.extend(sum(&header));
    header.resize(4096, 0);
    // What lies where a superblock would, its magic inverted.
    let mut superblock = after[1024..2048].to_vec();
    superblock[56..58]
        .iter_mut()
        .for_each(|byte| *byte = !*byte);
    header.extend(superblock);
    header.resize(8192, 0);
    for (data, numbers) in blocks_of(dir, "base.img", blocks)
        .chunks(255)
        .zip(blocks.chunks(255))
    {
        let mut keys = 0xCADE_CADE_u32.to_le_bytes().to_vec();
        keys.resize(16, 0);
        for (block, number) in data.iter().zip(numbers) {
            keys.extend(number.to_le_bytes());
            keys.extend(sum(block));
            keys.extend(4096u32.to_le_bytes());
        }
        keys.resize(4096, 0);
        let whole = sum(&keys);
        keys[4..8].copy_from_slice(&whole);
        header.extend(keys);
        data.iter().for_each(|block| header.extend(block));
    }
    fs::write(dir.join("disk.e2undo"), header).expect("a temporary folder");
}

/// The disk before as a dynamic VHD, and the given blocks of the disk after as its child.
fn as_vhd(dir: &Path, blocks: &[u64]) {
    let [before, after] = ["base.img", "merged.img"].map(|name| {
        let bytes = fs::read(dir.join(name)).expect("a disk");
        bytes.chunks(512).map(<[u8]>::to_vec).collect::<Vec<_>>()
    });
    let mut parent = VhdImage::new(before.len() as u64 * 512, 1);
    parent.block_size = 2 << 20;
    for (sector, bytes) in (0..).zip(&before) {
        if bytes.iter().any(|byte| *byte != 0) {
            parent.write(sector, bytes);
        }
    }
    let mut child = parent.child("", 2);
    child.size = after.len() as u64 * 512;
    child.block_size = 1 << 16;
    child.locators = vec![(*b"W2ru", VhdImage::utf16(r".\base.vhd"))];
    for sector in blocks.iter().flat_map(|block| block * 8..block * 8 + 8) {
        let at = usize::try_from(sector).expect("a small disk");
        child.write(sector, &after[at]);
    }
    let mut vhdx = VhdxImage::new(before.len() as u64 * 512, 1);
    for (sector, bytes) in (0..).zip(&before) {
        if bytes.iter().any(|byte| *byte != 0) {
            vhdx.write(sector * 512, bytes);
        }
    }
    let mut vhdx_child = vhdx.child(r".\base.vhdx", 2);
    for block in blocks {
        for sector in block * 8..block * 8 + 8 {
            let at = usize::try_from(sector).expect("a small disk");
            vhdx_child.write(sector * 512, &after[at]);
        }
    }
    fs::write(dir.join("base.vhdx"), vhdx.bytes()).expect("a temporary folder");
    fs::write(dir.join("child.vhdx"), vhdx_child.bytes()).expect("a temporary folder");
    fs::write(dir.join("base.vhd"), parent.bytes()).expect("a temporary folder");
    fs::write(dir.join("child.vhd"), child.bytes()).expect("a temporary folder");
}

#[test]
fn a_differencing_vhd_or_vhdx_is_a_change() {
    let dir = unpacked();
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let meta = fs::read(dir.path().join("vm-state.meta")).expect("a fixture");
    let (blocks, _) = meta.as_chunks::<8>();
    let blocks: Vec<u64> = blocks.iter().copied().map(u64::from_le_bytes).collect();
    as_vhd(dir.path(), &blocks);
    let list = blocks.iter().map(|b| format!("{b}\n"));
    fs::write(dir.path().join("blocks"), list.collect::<String>()).expect("a temporary folder");
    // Which blocks are identical, and how many there are, depends on their size.
    let told = |line: &str| {
        let text = body(&hexz, line);
        let all = text.lines().filter(|l| !l.contains(r#""type":"summary""#));
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = told("--base base.img vm-state.overlay");
    for line in [
        "child.vhd",
        "--base base.img child.vhd",
        "base.vhd child.vhd",
        "child.vhdx",
        "base.vhdx child.vhdx",
        "base.vhd child.vhdx",
        "--base base.vhdx vm-state.overlay",
        "base.img child.vhd",
        "--base base.vhd vm-state.overlay",
        "--changes blocks --base base.vhd --merged child.vhd",
    ] {
        assert!(told(line) == expected, "hexz diff --files {line}");
    }
    let whole =
        |image: &str, task: &str| without_cost(&hexz.text(&format!("{task} --json {image}")));
    for task in ["map", "layout", "owner --block 1 --block 300-999"] {
        let [raw, vhd] = ["merged.img", "child.vhd"].map(|image| {
            let text = whole(image, task);
            text.split_once('\n').expect("a header").1.to_owned()
        });
        assert!(raw == vhd, "hexz {task}");
    }
}

/// A differencing VDI holds whole MiBs: what is told of files is the same, and more is found to be
/// what it was.
#[test]
fn a_differencing_vdi_is_a_change() {
    let dir = unpacked();
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let meta = fs::read(dir.path().join("vm-state.meta")).expect("a fixture");
    let (blocks, _) = meta.as_chunks::<8>();
    let blocks: Vec<u64> = blocks.iter().copied().map(u64::from_le_bytes).collect();
    images::vdi(dir.path(), &blocks);
    let told = |line: &str| {
        let report = hexz.report(&format!("diff --files --json {line}"));
        let changes = report.changes.into_iter();
        let changes = changes.map(|c| (c.path, c.change, c.from, c.attributes, c.changed_bytes));
        (changes.collect::<Vec<_>>(), report.summary.changed)
    };
    let expected = told("--base base.img vm-state.overlay");
    assert_eq!(told("--base base.vdi child.vdi"), expected);
    assert_eq!(told("--base base.vdi vm-state.overlay"), expected);
    // It names no file: alone it can't be read.
    let output = hexz.run("diff --files base.img child.vdi");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("names no parent"), "{text}");
}

#[test]
fn with_one_view_an_extent_list_says_who_owns_the_ranges() {
    let dir = unpacked();
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let listed = "diff --files --json --changes vm-state.map.json --base base.img";
    let text = hexz.text(listed);
    assert!(
        !text.contains(r#""type":"change""#),
        "no letters without two views"
    );
    let meta = fs::read(dir.path().join("vm-state.meta")).expect("a fixture");
    let (blocks, _) = meta.as_chunks::<8>();
    let blocks = blocks.iter().copied().map(u64::from_le_bytes);
    fs::write(
        dir.path().join("blocks"),
        blocks.map(|b| format!("{b}\n")).collect::<String>(),
    )
    .expect("a file");
    let owners = hexz.text("owner base.img --json --from blocks");
    let told = |text: &str| -> Vec<String> {
        let records = text.lines().filter(|l| l.contains(r#""type":"owner""#));
        records.map(str::to_owned).collect()
    };
    assert!(!told(&text).is_empty());
    assert_eq!(told(&text), told(&owners));
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_the_rest_goes_on() {
    let dir = unpacked();
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let mut archive = fs::read(dir.path().join("layout-d-0.8.2-lz4.hxz")).expect("a fixture");
    let middle = archive.len() / 2;
    for byte in &mut archive[middle..middle + 16] {
        *byte ^= 0xFF;
    }
    fs::write(dir.path().join("torn.hxz"), archive).expect("a temporary folder");
    let report = hexz.report("diff --files --json torn.hxz vm-state.qcow2");
    let mut told = report.diagnostics.iter();
    let told = told
        .find(|d| d.code == "changed-block-unreadable")
        .expect("a finding");
    assert_eq!(told.severity, "error");
    let offset = told.offset.expect("a place");
    assert!(!report.summary.complete);
    assert_eq!(report.header.precision.as_deref(), Some("over"));
    // The block is among the changed ones, and files elsewhere are told as ever.
    let sums = report
        .summary
        .classes
        .values()
        .map(|c| c.bytes)
        .sum::<u64>();
    assert_eq!(sums, report.summary.bytes);
    let whole = hexz.report("diff --files --json base.hxz vm-state.qcow2");
    assert!(report.summary.bytes > whole.summary.bytes, "{offset}");
    let changed = |r: &hexz_acceptance::schema::Report| -> Vec<(String, String)> {
        let changes = r.changes.iter();
        changes
            .map(|c| (c.path.clone(), c.change.clone()))
            .collect()
    };
    let found = changed(&report);
    let told = changed(&whole);
    let kept = told.iter().filter(|c| found.contains(c)).count();
    assert!(kept * 10 >= told.len() * 9, "{kept} of {}", told.len());
}
