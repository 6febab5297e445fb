//! What is a VHD, how large it is, and what happens when a footer is damaged.

use hexz_resolve::{Diagnostics, ErrorKind};
use hexz_source::{Format, detect};
use hexz_testkit::{Fixture, VhdImage};

use super::{Folder, codes, contents, open, open_telling};

/// A fixed disk of 16 KiB.
fn fixed() -> (VhdImage, Vec<u8>) {
    let image = VhdImage::new(16 << 10, 1);
    let bytes = [vec![7; 16 << 10], image.footer(2).to_vec()].concat();
    (image, bytes)
}

#[test]
fn a_geometry_is_the_size_where_its_writer_means_that() {
    let folder = Folder::new();
    // As qemu-img 10.0 has it for images with these in their footer.
    for (creator, size) in [
        (b"qemu", 121 * 4 * 17 * 512),
        (b"vpc ", 121 * 4 * 17 * 512),
        (b"qem2", 4_190_208),
        (b"vs  ", 4_190_208),
        (b"win ", 4_190_208),
        (b"d2v ", 4_190_208),
        (b"tap\0", 4_190_208),
        (b"CXS\0", 4_190_208),
        (b"wa\0\0", 4_190_208),
        (b"vbox", 4_190_208),
    ] {
        let mut image = VhdImage::new(4_190_208, 1);
        image.creator = *creator;
        image.geometry = (121, 4, 17);
        // The table has room for either.
        let mut bytes = VhdImage::new(5 << 20, 1).bytes();
        let end = bytes.len() - 512;
        for at in [0, end] {
            bytes[at..at + 512].copy_from_slice(&image.footer(3));
        }
        let opened = open(&folder.put("disk.vhd", bytes)).unwrap();
        assert_eq!(opened.len(), size, "{creator:?}");
        image.geometry = (65535, 16, 255);
        assert_eq!(
            open(&folder.put("disk.vhd", image.bytes())).unwrap().len(),
            4_190_208
        );
    }
}

#[test]
fn a_fixed_disk_is_told_by_a_footer_that_fits() {
    let folder = Folder::new();
    let (image, bytes) = fixed();
    let short = bytes[..bytes.len() - 1].to_vec();
    for bytes in [bytes.clone(), short] {
        let path = folder.put("disk", bytes);
        assert_eq!(detect(&path).unwrap(), Format::Vhd);
        let found = Diagnostics::new();
        let opened = open_telling(&path, &found).unwrap();
        assert!(contents(&*opened) == vec![7; 16 << 10]);
        assert_eq!(codes(&found), [""; 0]);
    }
    // Disks that end like one and are none.
    let raw = |tail: &[u8], before: usize| [&vec![7; before], tail].concat();
    let mut wrong = image.footer(2);
    wrong[100] ^= 1;
    for (bytes, says) in [
        (
            raw(&image.footer(2), 20 << 10),
            "expected a disk of 20480 bytes, found a disk of 16384",
        ),
        (
            raw(&image.footer(2), 12 << 10),
            "expected a disk of 12288 bytes",
        ),
        (raw(&wrong, 16 << 10), "checksum"),
        (raw(&image.footer(3), 16 << 10), "cxsparse"),
    ] {
        let path = folder.put("disk", &bytes);
        assert_eq!(detect(&path).unwrap(), Format::Raw);
        let found = Diagnostics::new();
        let opened = open_telling(&path, &found).unwrap();
        assert!(contents(&*opened) == bytes);
        let found = found.take();
        assert_eq!(found[0].code, "image-container");
        assert!(found[0].message.contains(says), "{found:?}");
    }
    // Without a cookie there is nothing to say.
    let found = Diagnostics::new();
    let opened = open_telling(&folder.put("disk", vec![1; 513]), &found).unwrap();
    assert_eq!((opened.len(), codes(&found)), (513, vec![]));
}

#[test]
fn other_formats_are_what_they_were() {
    let folder = Folder::new();
    let footer = fixed().0.footer(2);
    for (start, format) in [
        (&b"QFI\xfb"[..], Format::Qcow2),
        (b"vhdxfile", Format::Vhdx),
        (b"KDMV", Format::Vmdk),
        (b"# Disk DescriptorFile", Format::Vmdk),
    ] {
        let mut bytes = start.to_vec();
        bytes.resize(16 << 10, 0);
        bytes.extend_from_slice(&footer);
        assert_eq!(detect(&folder.put("disk", bytes)).unwrap(), format);
    }
    for (bytes, format) in [(vec![], Format::Raw), (b"conectix".to_vec(), Format::Vhd)] {
        assert_eq!(detect(&folder.put("disk", bytes)).unwrap(), format);
    }
    assert!(open(&folder.path("disk")).is_err());
}

#[test]
fn one_footer_is_enough() {
    let folder = Folder::new();
    let sound = Fixture::load("vhd-images").bytes("dynamic-exact.vhd");
    let disk = contents(&*open(&folder.put("disk", &sound)).unwrap());
    let end = sound.len() - 512;
    let damaged = |places: &[usize]| {
        let mut bytes = sound.clone();
        for at in places {
            bytes[*at] ^= 0x10;
        }
        bytes
    };
    let mut wiped = sound.clone();
    wiped[..512].fill(0);
    for bytes in [
        damaged(&[49]),
        damaged(&[0]),
        damaged(&[end + 49]),
        damaged(&[end]),
        wiped,
        sound[..end].to_vec(),
        // The same in both copies is no damage, but the fault of who wrote them.
        damaged(&[64, end + 64]),
    ] {
        let found = Diagnostics::new();
        let opened = open_telling(&folder.put("disk", bytes), &found).unwrap();
        assert_eq!(codes(&found), ["vhd-footer"]);
        assert!(contents(&*opened) == disk);
    }
    let error = open(&folder.put("disk", damaged(&[49, end + 50])))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.chain();
    assert!(text.contains("vhd footer at byte 64"), "{text}");
    assert!(text.contains("expected checksum 0xffff"), "{text}");
}
