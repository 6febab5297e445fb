//! VMDK images: which files are opened, children, holes, and damage.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{ByteRange, Diagnostics, Error, ErrorKind, Limits, ReadAt, Result, read_vec};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::Fixture;

const SECTOR: u64 = 512;

fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
    let gate = DefaultGate::new();
    open_image(path, &Limits::default(), &gate, &Diagnostics::new())
}

fn refused(path: &Path) -> Error {
    open(path).err().expect("it is refused")
}

/// Opens a descriptor with these lines, in `dir`.
fn described(dir: &Path, lines: &str) -> Result<Arc<dyn ReadAt>> {
    let path = dir.join("disk.vmdk");
    fs::write(
        &path,
        format!("# Disk DescriptorFile\nversion=1\n{lines}\n"),
    )
    .unwrap();
    open(&path)
}

fn fixture(name: &str) -> Vec<u8> {
    Fixture::load("foreign-images").bytes(name)
}

fn data(image: &dyn ReadAt) -> Vec<(u64, u64)> {
    let all = image.data_in(ByteRange::new(0, u64::MAX));
    all.iter().map(|r| (r.start(), r.end())).collect()
}

/// A hosted sparse file or COWD file of 64 grains of 4 KiB, of which 2 and 5 hold data.
fn sparse(magic: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    let mut put = |at: usize, number: u64, width: usize| {
        bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
    };
    put(4, 1, 4);
    if magic == b"COWD" {
        for (at, number) in [(12, 512), (16, 8), (20, 4)] {
            put(at, number, 4);
        }
    } else {
        for (at, number) in [(12, 512), (20, 8), (28, 0), (36, 0), (56, 4)] {
            put(at, number, 8);
        }
        put(44, 512, 4);
    }
    // The directory in sector 4, a table in sector 8, grains in sectors 64 and 72.
    put(4 * 512, 8, 4);
    put(8 * 512 + 2 * 4, 64, 4);
    put(8 * 512 + 5 * 4, 72, 4);
    // A grain of zeros.
    put(8 * 512 + 6 * 4, 1, 4);
    bytes[..4].copy_from_slice(magic);
    bytes[64 * 512..72 * 512].fill(2);
    bytes[72 * 512..80 * 512].fill(5);
    bytes
}

/// The same as seSparse.
fn se_sparse() -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    let mut put = |at: usize, number: u64| {
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    };
    for (at, number) in [
        (0, 0xCAFE_BABE),
        (8, 0x2_0000_0001),
        (16, 512),
        (24, 8),
        (32, 64),
        (80, 1),
        (88, 1),
        (128, 2),
        (136, 1),
        (144, 3),
        (192, 96),
        (512, 0xCAFE_CAFE),
        // The directory, with table 0; the table, with grains 1 and 0, a zero and an unmapped one.
        (2 * 512, 0x1000_0000_0000_0000),
        (3 * 512 + 2 * 8, 0x3001_0000_0000_0000),
        (3 * 512 + 5 * 8, 0x3000_0000_0000_0000),
        (3 * 512 + 6 * 8, 0x2000_0000_0000_0000),
        (3 * 512 + 7 * 8, 0x1000_0000_0000_0000),
    ] {
        put(at, number);
    }
    bytes[96 * 512..104 * 512].fill(5);
    bytes[104 * 512..112 * 512].fill(2);
    bytes
}

#[test]
fn a_name_is_opened_as_the_gate_saw_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("in");
    fs::create_dir(&root).unwrap();
    fs::write(dir.path().join("secret"), [7; 4096]).unwrap();
    fs::write(root.join("é.vmdk"), [1; 4096]).unwrap();
    // What the bytes of the name are in windows-1252.
    symlink(dir.path().join("secret"), root.join("Ã©.vmdk")).unwrap();
    let extent = "RW 8 FLAT \"é.vmdk\" 0";
    for key in ["ddb.encoding", "encoding"] {
        let lines = format!("{key} = \"windows-1252\"\ncreateType=\"monolithicFlat\"\n{extent}");
        let error = described(&root, &lines).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    }
    let image = described(&root, extent).unwrap();
    assert_eq!(read_vec(&*image, 0, 4096).unwrap(), [1; 4096]);

    let link = "RW 8 FLAT \"Ã©.vmdk\" 0";
    let error = described(&root, link).err().unwrap();
    assert!(error.chain().contains("was not allowed"), "{error:?}");
    // A name that is not UTF-8 is a name too.
    fs::write(root.join(OsStr::from_bytes(b"\xE9.vmdk")), [3; 4096]).unwrap();
    let path = root.join("disk.vmdk");
    fs::write(&path, b"# Disk DescriptorFile\nRW 8 FLAT \"\xE9.vmdk\" 0").unwrap();
    assert_eq!(read_vec(&*open(&path).unwrap(), 0, 1).unwrap(), [3]);
}

#[test]
fn extents_stay_behind_the_gate() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    symlink("/dev/zero", dir.path().join("zero")).unwrap();
    for (named, says) in [
        ("/etc/passwd", "was not allowed"),
        ("zero", "was not allowed"),
        ("missing.vmdk", "neither there nor beside it"),
        ("pipe", "not a regular file"),
    ] {
        for kind in ["FLAT", "VMFS", "SPARSE", "SESPARSE"] {
            let error = described(dir.path(), &format!("RW 8 {kind} \"{named}\""));
            let error = error.err().unwrap();
            assert!(error.chain().contains(says), "{named}: {error:?}");
        }
    }
    // As for all that images name: a path of another machine is tried by its last part.
    fs::write(dir.path().join("flat"), [1; 4096]).unwrap();
    assert!(described(dir.path(), "RW 8 FLAT \"/else/flat\" 0").is_ok());
}

#[test]
fn a_child_stands_on_the_parent_that_it_means() {
    let dir = tempfile::tempdir().unwrap();
    let flat: Vec<u8> = (0..512u32).flat_map(|n| [n as u8 | 1; 512]).collect();
    fs::write(dir.path().join("flat"), &flat).unwrap();
    fs::write(dir.path().join("s"), sparse(b"KDMV")).unwrap();
    fs::write(dir.path().join("cow"), sparse(b"COWD")).unwrap();
    fs::write(dir.path().join("se"), se_sparse()).unwrap();
    let parent =
        "# Disk DescriptorFile\nCID=0000abcd\nparentCID=ffffffff\nRW 512 FLAT \"flat\" 0\n";
    fs::write(dir.path().join("base.vmdk"), parent).unwrap();
    for extent in [
        "RW 512 SPARSE \"s\"",
        "RW 512 VMFSSPARSE \"cow\"",
        "RW 512 SESPARSE \"se\"",
    ] {
        let alone = described(dir.path(), extent).unwrap();
        let alone_bytes = read_vec(&*alone, 0, flat.len()).unwrap();
        let hint = "parentFileNameHint=\"C:\\vms\\base.vmdk\"";
        let lines = format!("CID=1\nparentCID=0000abcd\n{hint}\n{extent}");
        let image = described(dir.path(), &lines).unwrap();
        let bytes = read_vec(&*image, 0, flat.len()).unwrap();
        // Where the child alone has data it goes before the parent's; some of both is there.
        let own = alone.data_in(ByteRange::new(0, alone.len()));
        assert!(!own.is_empty() && own.len() < alone.len(), "{extent}");
        for (at, byte) in bytes.iter().enumerate() {
            let expected = if own.contains(at as u64) {
                alone_bytes[at]
            } else {
                flat[at]
            };
            let zero_grain = *byte == 0 && alone_bytes[at] == 0;
            assert!(*byte == expected || zero_grain, "{extent} {at}");
        }
        assert!(
            own.iter()
                .all(|r| bytes[r.start() as usize] == alone_bytes[r.start() as usize])
        );

        // The parent was written to since, is not there, is not named.
        let refused = |lines: &str, says: &str| {
            let error = described(dir.path(), lines).err().unwrap();
            assert!(error.chain().contains(says), "{lines}: {error:?}");
        };
        refused(&lines.replace("0000abcd", "0000abce"), "found CID 0000abcd");
        refused(&lines.replace("base.vmdk", "gone.vmdk"), "gone.vmdk");
        refused(&lines.replace(hint, ""), "names no parent");
        refused(
            &lines.replace("C:\\vms\\base.vmdk", "/etc/passwd"),
            "/etc/passwd",
        );
    }
    // Where nothing says whether there is a parent.
    let path = dir.path().join("one.vmdk");
    for alone in [sparse(b"KDMV"), sparse(b"COWD")] {
        fs::write(&path, alone).unwrap();
        assert_eq!(refused(&path).kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn extents_of_all_kinds_make_up_one_disk() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("s"), sparse(b"KDMV")).unwrap();
    fs::write(dir.path().join("cow"), sparse(b"COWD")).unwrap();
    fs::write(dir.path().join("se"), se_sparse()).unwrap();
    let flat: Vec<u8> = (0..32).flat_map(|n| [n; 512]).collect();
    fs::write(dir.path().join("flat"), flat).unwrap();
    let lines = "RW 8 FLAT \"flat\" 3\nRW 0 ZERO\nRW 512 SPARSE \"s\"\nRW 16 ZERO\n\
                 RW 512 VMFSSPARSE \"cow\"\nRW 512 SESPARSE \"se\"";
    let image = described(dir.path(), lines).unwrap();
    let starts = [8, 8 + 512 + 16, 8 + 512 + 16 + 512].map(|sectors| sectors * SECTOR);
    assert_eq!(image.len(), starts[2] + 512 * SECTOR);
    let mut expected = vec![0; image.len() as usize];
    for (n, sector) in expected.chunks_mut(512).take(8).enumerate() {
        sector.fill(n as u8 + 3);
    }
    let mut holding = vec![(0, 4096)];
    for start in starts {
        for grain in [2, 5] {
            let at = start + grain * 4096;
            holding.push((at, at + 4096));
            expected[at as usize..][..4096].fill(grain as u8);
        }
    }
    assert_eq!(read_vec(&*image, 0, expected.len()).unwrap(), expected);
    assert_eq!(data(&*image), holding);
    // Pieces of any place and length.
    for (at, length) in [(4095, 2), (12_287, 4098), (4096, 1), (280_000, 9000)] {
        let piece = read_vec(&*image, at as u64, length).unwrap();
        assert_eq!(piece, expected[at..at + length], "{at}+{length}");
    }
    assert!(read_vec(&*image, image.len(), 1).is_err());
}

#[test]
fn holes_of_a_thin_image_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["sparse.vmdk", "stream.vmdk"] {
        let path = dir.path().join(name);
        fs::write(&path, fixture(name)).unwrap();
        let image = open(&path).unwrap();
        let held = data(&*image);
        let bytes: u64 = held.iter().map(|(start, end)| end - start).sum();
        assert!(bytes > 0 && bytes < image.len() / 4, "{name}: {held:?}");
        let mut last = 0;
        for (start, end) in held {
            let hole = read_vec(&*image, last, (start - last) as usize).unwrap();
            assert!(hole.iter().all(|byte| *byte == 0), "{name}");
            last = end;
        }
    }
}

#[test]
fn an_extent_of_zeros_is_a_hole_however_long() {
    let dir = tempfile::tempdir().unwrap();
    let image = described(dir.path(), "RW 9223372036854775 ZERO").unwrap();
    assert_eq!(image.len(), 9_223_372_036_854_775 * SECTOR);
    assert_eq!(data(&*image), []);
    for sectors in ["36028797018963968", "18446744073709551615", "x"] {
        let error = described(dir.path(), &format!("RW {sectors} ZERO"));
        assert_eq!(error.err().unwrap().kind(), ErrorKind::Corrupt, "{sectors}");
    }
    let two = "RW 36028797018963967 ZERO\nRW 36028797018963967 ZERO";
    let error = described(dir.path(), two).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn headers_that_promise_too_much_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = sparse(b"KDMV");
        bytes[at..at + with.len()].copy_from_slice(with);
        fs::write(&path, bytes).unwrap();
        let error = described(dir.path(), "RW 512 SPARSE \"s\"").err();
        error.map(|e| e.kind())
    };
    assert_eq!(patched(0, b"KDMV"), None);
    for (at, with, kind) in [
        (0, &[0; 4][..], ErrorKind::Corrupt),
        (4, &[9, 0, 0, 0], ErrorKind::Unsupported),
        // A capacity that needs a directory of gigabytes, and one past 64 bits.
        (12, &[0, 0, 0, 0, 0, 0, 16, 0], ErrorKind::Limit),
        (12, &[0xFF; 8], ErrorKind::Corrupt),
        (12, &[0; 8], ErrorKind::Unsupported),
        // Less than the descriptor says.
        (12, &[255, 1, 0, 0, 0, 0, 0, 0], ErrorKind::Corrupt),
        (20, &[0; 8], ErrorKind::Corrupt),
        (20, &[0, 0, 2, 0, 0, 0, 0, 0], ErrorKind::Corrupt),
        (44, &[0; 4], ErrorKind::Corrupt),
        (44, &[1, 2, 0, 0], ErrorKind::Corrupt),
        (56, &[0, 0, 0, 0, 1, 0, 0, 0], ErrorKind::Io),
        (77, &[1, 0], ErrorKind::Unsupported),
    ] {
        assert_eq!(patched(at, with), Some(kind), "{with:?} at {at}");
    }
    let mut dirty = se_sparse();
    dirty[512 + 24] = 1;
    fs::write(dir.path().join("se"), dirty).unwrap();
    let error = described(dir.path(), "RW 512 SESPARSE \"se\"");
    assert_eq!(error.err().unwrap().kind(), ErrorKind::Unsupported);
}

#[test]
fn many_names_for_one_table_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = sparse(b"KDMV");
    // 512 grains a table: 60 tables of 2 KiB do not fit into 64 KiB.
    bytes[12..20].copy_from_slice(&(60 * 4096_u64).to_le_bytes());
    let directory: Vec<u8> = [8_u32; 60].iter().flat_map(|n| n.to_le_bytes()).collect();
    bytes[4 * 512..4 * 512 + 240].copy_from_slice(&directory);
    fs::write(dir.path().join("s"), bytes).unwrap();
    let error = described(dir.path(), "RW 512 SPARSE \"s\"").err().unwrap();
    assert!(error.chain().contains("more grain tables"), "{error:?}");
}

#[test]
fn entries_that_lead_nowhere_are_read_errors_and_may_be_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = sparse(b"KDMV");
    plain[8 * 512 + 8..][..4].fill(0xFF);
    let mut se = se_sparse();
    se[3 * 512 + 16..][..8].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x3F]);
    let mut odd = se_sparse();
    odd[3 * 512 + 16..][..8].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x70]);
    for bytes in [plain, se, odd] {
        fs::write(dir.path().join("s"), bytes).unwrap();
        let image = described(dir.path(), "RW 512 SPARSE \"s\"").unwrap();
        let error = read_vec(&*image, 9000, 10).unwrap_err();
        assert_eq!(error.offset(), 9000);
        assert_eq!(read_vec(&*image, 5 * 4096, 1).unwrap(), [5]);
        assert_eq!(data(&*image), [(8192, 12_288), (20_480, 24_576)]);
    }
}
