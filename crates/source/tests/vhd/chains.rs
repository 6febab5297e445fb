//! Differencing disks: their parents, and what they changed.

use std::path::Path;

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, ErrorKind, Limits, Loaded, RangeSet, ReadAt, Result,
};
use hexz_source::{DefaultGate, ImageOverlay, TwoImages, open_image};
use hexz_testkit::{Rng, VhdImage};

use super::{Folder, contents, holes_are_zeros, open};

const SIZE: u64 = 3 << 20;

fn load(source: &dyn ChangeSource) -> Result<Loaded> {
    source.load(&Limits::default(), &DefaultGate::new())
}

/// Writes at random to `image` and to the disk it is of; gives where.
fn scribble(image: &mut VhdImage, disk: &mut [u8], random: &mut Rng) -> RangeSet {
    let writes = (0..40).map(|_| {
        let length = 512 * (1 + random.index(20));
        let sector = random.below((SIZE - length as u64) / 512);
        // Zeros as well: they hide what the parent has.
        let bytes = vec![random.below(4) as u8; length];
        image.write(sector, &bytes);
        let at = sector as usize * 512;
        disk[at..at + length].copy_from_slice(&bytes);
        ByteRange::new(at as u64, (at + length) as u64)
    });
    writes.collect()
}

/// Three images, each over the one before, the disks they hold, and what each holds itself.
fn family(folder: &Folder) -> Vec<(Vec<u8>, RangeSet)> {
    let mut random = Rng::new(5);
    let mut disk = vec![0; SIZE as usize];
    let mut image = VhdImage::new(SIZE, 1);
    let mut all = Vec::new();
    for (id, name) in (2..).zip(["old.vhd", "middle.vhd", "new.vhd"]) {
        let written = scribble(&mut image, &mut disk, &mut random);
        folder.put(name, image.bytes());
        all.push((disk.clone(), written));
        image = image.child(name, id);
        image.block_size = [512, 1 << 16, 1 << 21][usize::from(id) % 3];
    }
    all
}

#[test]
fn a_child_has_what_it_holds_and_else_what_its_parent_has() {
    let folder = Folder::new();
    let family = family(&folder);
    for (name, (disk, _)) in ["old.vhd", "middle.vhd", "new.vhd"].iter().zip(&family) {
        let image = open(&folder.path(name)).unwrap();
        assert!(contents(&*image) == *disk, "{name}");
        holes_are_zeros(&*image, disk);
        assert!(
            image.data_in(ByteRange::new(0, SIZE)).len() < SIZE,
            "{name}"
        );
    }
}

#[test]
fn changes_are_the_sectors_of_the_child() {
    let folder = Folder::new();
    let family = family(&folder);
    for (name, before, after) in [("middle.vhd", 0, 1), ("new.vhd", 1, 2)] {
        let loaded = load(&ImageOverlay::new(folder.path(name))).unwrap();
        assert_eq!(loaded.changes.ranges, family[after].1, "{name}");
        assert_eq!(loaded.changes.block_size, 512);
        assert!(contents(&*loaded.base.unwrap()) == family[before].0);
        assert!(contents(&*loaded.merged.unwrap()) == family[after].0);
    }
    let loaded = load(&ImageOverlay::new(folder.path("old.vhd"))).unwrap();
    assert_eq!(loaded.changes.ranges, family[0].1);
    assert!(loaded.base.is_none());
}

#[test]
fn a_base_takes_the_place_of_the_parent() {
    let folder = Folder::new();
    let family = family(&folder);
    let raw = folder.put("other.raw", vec![9; SIZE as usize]);
    let over = |base: &Path, name: &str| ImageOverlay {
        base: Some(base.into()),
        ..ImageOverlay::new(folder.path(name))
    };
    // Its own parent is there, and holds another disk.
    let error = load(&over(&raw, "new.vhd")).err().unwrap();
    assert!(error.chain().contains("is none of the images"), "{error:?}");
    // An ancestor: what both above it hold is change.
    let loaded = load(&over(&folder.path("old.vhd"), "new.vhd")).unwrap();
    assert_eq!(loaded.changes.ranges, family[1].1.union(&family[2].1));
    assert!(contents(&*loaded.base.unwrap()) == family[0].0);
    assert!(contents(&*loaded.merged.unwrap()) == family[2].0);
    std::fs::rename(folder.path("middle.vhd"), folder.path("away.vhd")).unwrap();
    let loaded = load(&over(&raw, "new.vhd")).unwrap();
    let mut merged = vec![9; SIZE as usize];
    for range in &family[2].1 {
        let range = range.start() as usize..range.end() as usize;
        merged[range.clone()].copy_from_slice(&family[2].0[range]);
    }
    assert!(contents(&*loaded.merged.unwrap()) == merged);
    assert_eq!(loaded.changes.diagnostics, []);
    // A parent, but of another child.
    let loaded = load(&over(&folder.path("old.vhd"), "new.vhd")).unwrap();
    assert_eq!(loaded.changes.diagnostics[0].code, "other-parent");
    std::fs::rename(folder.path("away.vhd"), folder.path("middle.vhd")).unwrap();
    // A dynamic disk is all of its own: it is compared.
    let loaded = load(&over(&folder.path("middle.vhd"), "old.vhd")).unwrap();
    let changes = super::common::compared(&loaded);
    assert!(contents(&*loaded.merged.unwrap()) == family[0].0);
    assert!(contents(&*loaded.base.unwrap()) == family[1].0);
    assert!(changes.ranges.len() < family[1].1.len() + (1 << 19));
}

#[test]
fn two_images_of_one_chain_are_compared_by_what_they_hold() {
    let folder = Folder::new();
    let family = family(&folder);
    let names = ["old.vhd", "middle.vhd", "new.vhd"];
    for (a, b) in [(0, 1), (0, 2), (2, 1), (2, 0)] {
        let two = TwoImages::new(folder.path(names[a]), folder.path(names[b]));
        let found = super::common::compared(&load(&two).unwrap()).ranges;
        let (x, y) = (&family[a].0, &family[b].0);
        let blocks = (0..SIZE as usize).step_by(4096);
        let differ: RangeSet = blocks
            .filter(|at| x[*at..at + 4096] != y[*at..at + 4096])
            .map(|at| ByteRange::new(at as u64, at as u64 + 4096))
            .collect();
        assert_eq!(found, differ, "{a} {b}");
    }
}

#[test]
fn a_parent_is_found_by_any_of_its_names() {
    let folder = Folder::new();
    let parent = VhdImage::new(SIZE, 1);
    folder.put("grand parent.vhd", parent.bytes());
    let none = parent.child("", 2);
    let utf16 = |code: &[u8; 4], name: &str| (*code, VhdImage::utf16(name));
    let gone = utf16(b"W2ru", r".\gone.vhd");
    for (name, locators) in [
        ("grand parent.vhd", vec![]),
        (r"C:\vms\grand parent.vhd", vec![]),
        ("", vec![utf16(b"W2ru", r".\grand parent.vhd")]),
        ("gone.vhd", vec![utf16(b"W2ku", r"D:\x\grand parent.vhd")]),
        (
            "",
            vec![(*b"MacX", b"file://./grand%20parent.vhd".to_vec())],
        ),
        ("grand parent.vhd", vec![gone.clone()]),
    ] {
        let mut child = none.clone();
        child.parent_name = name.into();
        child.locators = locators;
        let path = folder.put("child.vhd", child.bytes());
        let opened = open(&path);
        assert!(
            opened.is_ok(),
            "{name:?} {:?}: {opened:?}",
            child.locators,
            opened = opened.err()
        );
    }
    let path = folder.put("child.vhd", none.bytes());
    let error = open(&path).err().unwrap();
    assert!(error.chain().contains("names no parent"), "{error:?}");
    let mut child = none;
    child.locators = vec![gone];
    let error = open(&folder.put("child.vhd", child.bytes())).err().unwrap();
    assert!(error.chain().contains("gone.vhd"), "{error:?}");
}

#[test]
fn what_an_image_names_stays_behind_the_gate() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let parent = VhdImage::new(SIZE, 1);
    let away = elsewhere.put("parent.vhd", parent.bytes());
    let mut child = parent.child("", 2);
    let named = away.to_str().unwrap().replace('/', r"\");
    child.locators = vec![(*b"W2ku", VhdImage::utf16(&format!("C:{named}")))];
    let path = folder.put("child.vhd", child.bytes());
    let error = open(&path).err().unwrap();
    assert!(error.chain().contains("not allowed"), "{error:?}");
    let gate = DefaultGate::new().allow_folder(elsewhere.0.path());
    open_image(&path, &Limits::default(), &gate, &Diagnostics::new()).unwrap();

    std::os::unix::fs::symlink("/etc/passwd", folder.path("parent.vhd")).unwrap();
    let error = open(&path).err().unwrap();
    assert!(error.chain().contains("not allowed"), "{error:?}");
}

#[test]
fn the_parent_is_the_one_that_is_meant() {
    let folder = Folder::new();
    let child = VhdImage::new(SIZE, 1).child("parent.vhd", 2);
    let path = folder.put("child.vhd", child.bytes());
    folder.put("parent.vhd", VhdImage::new(SIZE, 3).bytes());
    let error = open(&path).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.chain();
    assert!(
        text.contains("01010101-0101") && text.contains("03030303-0303"),
        "{text}"
    );
    folder.put("parent.vhd", vec![0; 4096]);
    let error = open(&path).err().unwrap();
    assert!(error.chain().contains("conectix"), "{error:?}");

    // A parent that is fixed, and shorter.
    let mut parent = VhdImage::new(4096, 1);
    parent.size = 4096;
    let fixed = [vec![7; 4096], parent.footer(2).to_vec()].concat();
    folder.put("parent.vhd", fixed);
    let image = open(&path).unwrap();
    let mut disk = vec![0; SIZE as usize];
    disk[..4096].fill(7);
    assert!(contents(&*image) == disk);
    assert_eq!(image.data_in(ByteRange::new(0, SIZE)).len(), 4096);
}

#[test]
fn a_chain_is_bounded_and_never_stands_on_itself() {
    let folder = Folder::new();
    family(&folder);
    let limits = |parents| Limits::default().with(|limits| limits.parents = parents);
    let gate = DefaultGate::new();
    let opened = |parents| {
        let path = folder.path("new.vhd");
        open_image(&path, &limits(parents), &gate, &Diagnostics::new())
    };
    opened(2).unwrap();
    assert_eq!(opened(1).err().unwrap().kind(), ErrorKind::Limit);

    let own_parent = VhdImage::new(SIZE, 1).child("one.vhd", 1);
    let error = open(&folder.put("one.vhd", own_parent.bytes()))
        .err()
        .unwrap();
    assert!(error.chain().contains("stands on itself"), "{error:?}");
}
