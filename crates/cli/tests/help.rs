//! What the program says of itself.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::process::{Command, Output};

fn hexz(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hexz"))
        .args(args)
        .env_remove("HEXZ_BASE")
        .output()
        .expect("hexz runs")
}

fn text(args: &[&str]) -> String {
    let output = hexz(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_version_says_what_is_built_in() {
    let text = text(&["--version"]);
    for word in ["hexz-cli", "ext4", "xfs", "ntfs", "gpt", "lvm2", "qcow2"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.starts_with("hexz "), "{text}");
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = text(&["completions", shell]);
        assert!(text.contains("partial-ok"), "{shell}");
    }
}

#[test]
fn a_finding_is_explained() {
    let one = text(&["explain", "meta-torn-tail"]);
    assert!(
        one.contains("cut short") && one.contains("what to do"),
        "{one}"
    );
    assert!(text(&["explain", "corrupt-inode"]).contains("corrupt-inode"));
    assert!(text(&["explain"]).lines().count() > 70);
    assert_eq!(hexz(&["explain", "nonsense"]).status.code(), Some(2));
}

#[test]
fn an_error_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let overlay = dir.path().join("vm.overlay");
    std::fs::write(&overlay, [1; 4096]).expect("written");
    std::fs::write(dir.path().join("vm.meta"), 0u64.to_le_bytes()).expect("written");
    let overlay = overlay.to_str().expect("a name");
    let output = hexz(&["diff", overlay, "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("hexz: hint: the disk before"), "{errors}");
}
