//! A toyfs disk through the whole of `hexz`, by a binary that has one more plugin.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{BLOCK, Maker, text};

/// The sample, changed: content, attributes, a new file, a deleted one, a renamed one.
fn changed() -> Maker {
    let mut maker = Maker::sample();
    let hello = maker.content(2);
    maker.put(hello, b"HELLO");
    maker.put(Maker::record(200), &0o040_700u16.to_le_bytes());
    maker.inode(6, 0o100_644, &text(900));
    maker.entry(Maker::ROOT, 5, 6, "new");
    maker.entry(Maker::ROOT, 3, 0, "");
    maker.put(Maker::record(5), &[0; 64]);
    let docs = maker.content(3);
    maker.entry(docs, 9, 0, "");
    maker.entry(docs, 12, 4, "handbook");
    maker
}

/// Writes disk and overlay as a user would have them.
fn unpack(dir: &Path) {
    let (base, merged) = (Maker::sample().image, changed().image);
    fs::write(dir.join("base.img"), &base).expect("written");
    let (mut data, mut list) = (Vec::new(), Vec::new());
    for (number, block) in (0u64..).zip(merged.chunks(4096)) {
        let start = number as usize * 4096;
        if base[start..start + block.len()] != *block {
            data.resize(start, 0);
            data.extend_from_slice(block);
            list.extend(number.to_le_bytes());
        }
    }
    fs::write(dir.join("toy.overlay"), data).expect("written");
    fs::write(dir.join("toy.meta"), list).expect("written");
}

fn hexz(dir: &Path, line: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hexz-toy"))
        .current_dir(dir)
        .args(line.split_whitespace())
        .env_remove("HEXZ_BASE")
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_toy_disk_is_resolved() {
    let dir = tempfile::tempdir().expect("a folder");
    unpack(dir.path());
    let names = hexz(
        dir.path(),
        "diff --files --name-status --dirs --base base.img toy.overlay",
    );
    let mut lines: Vec<String> = names.lines().map(|l| l.replace('\t', " ")).collect();
    lines.sort();
    let expected = [
        "A /new",
        "D /empty",
        "M /",
        "M /docs",
        "M /hello.txt",
        "R /docs/manual /docs/handbook",
        "m /docs/deep",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_toy_disk_is_known_as_such() {
    let dir = tempfile::tempdir().expect("a folder");
    unpack(dir.path());
    let layout = hexz(dir.path(), "layout base.img");
    assert!(
        layout.contains("toyfs") && layout.contains("toy box"),
        "{layout}"
    );
    let owner = format!(
        "owner --json base.img --offset {}",
        Maker::sample().content(4) + BLOCK
    );
    let owner = hexz(dir.path(), &owner);
    assert!(
        owner.contains(r#""paths":["/docs/guide","/docs/manual"]"#),
        "{owner}"
    );
    assert!(owner.contains(r#""file_offset":512"#), "{owner}");
}
