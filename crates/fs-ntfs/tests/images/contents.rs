//! Compressed content, against what the recipe of the fixture wrote through ntfs-3g.

use std::sync::Arc;

use hexz_resolve::{FileKey, ReadAt, Scan, Silent, View, read_vec};
use hexz_testkit::{Fixture, Patched, Rng};
use sha2::{Digest, Sha512};

use super::common::{Opened, open};

/// As `words` of `fixtures/lib.sh`.
fn words(seed: &str, length: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for line in 0.. {
        if text.len() >= length {
            break;
        }
        text.extend(format!("{seed} line {line}\n").bytes());
    }
    text.truncate(length);
    text
}

fn written(name: &str) -> Vec<u8> {
    match name {
        "text" => words("text", 300_000),
        "noise" => (1..=2400)
            .flat_map(|n| Sha512::digest(n.to_string()).to_vec())
            .collect(),
        "mixed" => [
            words("head", 70_000),
            vec![0; 131_072],
            words("tail", 70_000),
        ]
        .concat(),
        "small" => words("small", 100),
        "again" => words("again", 150_000),
        _ => panic!("no file {name}"),
    }
}

fn named(opened: &Opened, name: &str) -> FileKey {
    let links = opened.links(&opened.files());
    let link = links.iter().find(|l| l.name.as_bytes() == name.as_bytes());
    link.expect("it is there").child
}

fn content(opened: &Opened, file: FileKey) -> Arc<dyn ReadAt> {
    let scan = Scan::new(&opened.limits, View::Merged, &opened.findings, &Silent);
    opened
        .filesystem
        .content(file, None, &scan)
        .expect("it opens")
}

#[test]
fn compressed_content_is_what_was_written() {
    let fixture = Fixture::load("ntfs-compressed");
    let opened = open(&fixture.base()).unwrap();
    let mut rng = Rng::new(3);
    for name in ["text", "noise", "mixed", "small", "again"] {
        let expected = written(name);
        let content = content(&opened, named(&opened, name));
        assert_eq!(content.len(), expected.len() as u64, "{name}");
        assert!(
            read_vec(&*content, 0, expected.len()).unwrap() == expected,
            "{name}"
        );
        for _ in 0..200 {
            let from = rng.below(content.len()) as usize;
            let to = from + rng.below((expected.len() - from) as u64 + 1) as usize;
            let part = read_vec(&*content, from as u64, to - from).unwrap();
            assert!(part == expected[from..to], "{name} {from}..{to}");
        }
        assert!(read_vec(&*content, content.len(), 1).is_err());
        // What is said to be no data is zeros.
        let whole = hexz_resolve::ByteRange::new(0, content.len());
        let holes = hexz_resolve::RangeSet::from(whole).difference(&content.data_in(whole));
        for hole in &holes {
            let bytes = &expected[hole.start() as usize..hole.end() as usize];
            assert!(bytes.iter().all(|b| *b == 0), "{name} {hole:?}");
        }
        assert_eq!(!holes.is_empty(), name == "mixed", "{name}");
    }
    let merged = open(&fixture.merged()).unwrap();
    let again = content(&merged, named(&merged, "again"));
    assert!(read_vec(&*again, 0, 150_000).unwrap() == written("again"));
}

#[test]
fn damaged_compressed_data_is_an_error_of_its_unit() {
    let image = Fixture::load("ntfs-compressed").base();
    let sound = open(&image).unwrap();
    let file = named(&sound, "text");
    let files = [file].into_iter().collect();
    let extents = sound.extents(&files);
    let second = extents.iter().find(|c| c.file_offset == Some(65_536));
    let place = second.expect("a unit at 64 KiB").range.start();
    // The header of its first chunk loses its signature.
    let damaged: Arc<dyn ReadAt> = Arc::new(Patched::new(image).patch(place + 1, vec![0x80]));
    let content = content(&open(&damaged).unwrap(), file);
    let error = read_vec(&*content, 65_536, 10).unwrap_err();
    assert!(error.to_string().contains("no signature"), "{error}");
    let expected = written("text");
    assert!(read_vec(&*content, 0, 65_536).unwrap() == expected[..65_536]);
    assert!(read_vec(&*content, 131_072, 1000).unwrap() == expected[131_072..132_072]);
}
