//! What depends on where the command runs: on a terminal, on a device that is in use.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs::{File, OpenOptions, read_to_string};
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;

use hexz_acceptance::Case;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// What the command writes to a terminal that is its standard output.
fn on_a_terminal(command: &mut Command) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("its name");
    let name = name.to_str().expect("text").to_owned();
    let other = OpenOptions::new().write(true).open(name);
    let other = other.expect("the other end");
    let reader = thread::spawn(move || {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        // When no one has the other end any more, reading is an error.
        let mut terminal = File::from(terminal);
        while let Ok(count @ 1..) = terminal.read(&mut part) {
            text.extend_from_slice(&part[..count]);
        }
        text
    });
    let mut child = command
        .stdin(Stdio::null())
        .stdout(other)
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    // This side's copy of the other end goes with the command's.
    command.stdout(Stdio::null());
    assert!(child.wait().expect("it ends").success());
    String::from_utf8(reader.join().expect("read")).expect("text")
}

#[test]
fn json_on_a_terminal_carries_no_character_that_acts_on_it() {
    // CSI as one character, DEL, and an override of the direction, in a label.
    const LABEL: &str = "a\u{9b}31m\u{7f}\u{202e}b";
    let case = Case::new(HEXZ, "ext2-old");
    let path = case.dir().join("base.img");
    let mut image = std::fs::read(&path).expect("an image");
    // s_volume_name
    let place = 1024 + 0x78;
    image[place..place + 16].fill(0);
    image[place..place + LABEL.len()].copy_from_slice(LABEL.as_bytes());
    std::fs::write(&path, image).expect("written");

    for line in ["layout --json base.img", "diff base.img base.img --json"] {
        let mut command = Command::new(HEXZ);
        command
            .current_dir(case.dir())
            .args(line.split_whitespace());
        let shown = on_a_terminal(&mut command);
        let shown = shown.replace("\r\n", "\n");
        let raw = command.stdout(Stdio::piped()).output().expect("it runs");
        let raw = String::from_utf8(raw.stdout).expect("text");
        let acts = |text: &str| {
            let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            text.chars().any(acts)
        };
        assert!(acts(&raw), "{line}: {raw}");
        assert!(!acts(&shown), "{line}: {shown:?}");
        let volumes = |text: &str| -> Vec<Value> {
            let records = text
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"));
            let is_volume = |record: &Value| record["type"] == "volume";
            records.filter(is_volume).collect()
        };
        assert_eq!(volumes(&shown), volumes(&raw), "{line}");
        assert_eq!(volumes(&shown)[0]["label"], LABEL, "{line}");
    }
}

/// A block device that is mounted for writing and may be read, where there is one.
fn device_in_use() -> Option<String> {
    let mounts = read_to_string("/proc/self/mountinfo").ok()?;
    let devices = mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(2);
        let (number, options) = (fields.next()?, fields.nth(2)?);
        let device = right.split(' ').nth(1)?;
        let is_device = device.starts_with("/dev/") && !number.starts_with("0:");
        let writable = options.split(',').any(|option| option == "rw");
        (is_device && writable).then_some(device)
    });
    let mut readable = devices.filter(|device| File::open(device).is_ok());
    readable.next().map(ToOwned::to_owned)
}

#[test]
#[allow(clippy::print_stderr)] // Says what was not tried.
fn of_a_mounted_device_it_is_said_that_it_changes() {
    let Some(device) = device_in_use() else {
        eprintln!("not tried: no mounted device may be read here");
        return;
    };
    let output = Command::new(HEXZ)
        .args(["layout", &device])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("changes while it is read"), "{told}");
    assert!(told.contains(&device), "{told}");
}
