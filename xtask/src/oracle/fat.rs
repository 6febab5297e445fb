//! FAT and exFAT, mounted by the kernel in the appliance of libguestfs, which any user may start.
//! The Sleuth Kit says where files have their data, and when they were made.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::disk::output;
use super::tree::{Extent, Tree};
use super::tsk::{self, Described};
use super::{Mix, Subject};

/// FAT12, FAT16, FAT32.
pub(crate) struct Fat;

/// exFAT.
pub(crate) struct Exfat;

const NOTE: &str = "Both disks are copied from one mount, the first after its kernel has written all. The kernel is that of the appliance of libguestfs (`guestmount`), and The Sleuth \
                    Kit (`fls`, `istat`) stands for FIEMAP and tells when files were made, which \
                    with the first cluster is their identity.";

impl Subject for Fat {
    fn name(&self) -> &'static str {
        "fat"
    }

    fn mixes(&self) -> &'static [Mix] {
        &FATS
    }

    fn look(&self) -> &'static str {
        "utf8"
    }

    fn ignores(&self, _path: &[u8]) -> bool {
        false
    }

    /// Nothing recovers a copy of a disk in use.
    fn can_be_live(&self) -> bool {
        false
    }

    fn note(&self) -> &'static str {
        NOTE
    }
}

impl Subject for Exfat {
    fn name(&self) -> &'static str {
        "exfat"
    }

    fn mixes(&self) -> &'static [Mix] {
        &EXFATS
    }

    fn look(&self) -> &'static str {
        ""
    }

    fn ignores(&self, _path: &[u8]) -> bool {
        false
    }

    fn can_be_live(&self) -> bool {
        false
    }

    fn note(&self) -> &'static str {
        NOTE
    }
}

const fn fat(name: &'static str, mebibytes: u64, format: &'static [&'static str]) -> Mix {
    Mix {
        name,
        filesystem: "vfat",
        format,
        mount: "utf8",
        start: 0,
        mebibytes,
    }
}

const fn exfat(name: &'static str, mebibytes: u64, format: &'static [&'static str]) -> Mix {
    Mix {
        name,
        filesystem: "exfat",
        format,
        mount: "",
        start: 0,
        mebibytes,
    }
}

const FATS: [Mix; 6] = [
    fat(
        "fat12-floppy",
        2,
        &["sh", "-c", "mkfs.vfat -F 12 \"$0\" 1440"],
    ),
    fat("fat16-2k", 64, &["mkfs.vfat", "-F", "16", "-s", "4"]),
    fat("fat32-512", 64, &["mkfs.vfat", "-F", "32", "-s", "1"]),
    fat("fat32-32k", 160, &["mkfs.vfat", "-F", "32", "-s", "64"]),
    fat(
        "fat32-sector-4k",
        96,
        &["mkfs.vfat", "-F", "32", "-S", "4096", "-s", "1"],
    ),
    Mix {
        name: "fat16-sector-63",
        filesystem: "vfat",
        format: &["mkfs.vfat", "-F", "16", "-s", "8", "-h", "63"],
        mount: "utf8",
        start: 63,
        mebibytes: 64,
    },
];

const EXFATS: [Mix; 5] = [
    exfat("exfat-512", 48, &["mkfs.exfat", "-c", "512"]),
    exfat("exfat-4k", 64, &["mkfs.exfat", "-c", "4K"]),
    exfat("exfat-32k", 96, &["mkfs.exfat", "-c", "32K"]),
    exfat("exfat-128k", 160, &["mkfs.exfat", "-c", "128K"]),
    Mix {
        name: "exfat-sector-63",
        filesystem: "exfat",
        format: &["mkfs.exfat", "-c", "4K"],
        mount: "",
        start: 63,
        mebibytes: 64,
    },
];

/// Whether this is one of them.
pub(crate) fn applies(mix: &Mix) -> bool {
    matches!(mix.filesystem, "vfat" | "exfat")
}

/// Bytes of the largest file that its disk has room for.
pub(crate) fn largest_file(mix: &Mix) -> u64 {
    match mix.name {
        "fat12-floppy" => 1200,
        _ => 400_000,
    }
}

/// Mounts the volume of `mix` in `image` at `at`.
pub(crate) fn mount(image: &Path, mix: &Mix, options: &str, at: &str) -> Result<()> {
    let mut command = guestmount();
    command.args(["--format=raw", "-a"]).arg(image);
    command.args(["-m", &filesystem(mix, "a", "/", options), at]);
    start(&mut command)
}

/// Mounts many disks in one appliance at `at`, and gives the folders of their volumes.
pub(crate) fn mount_all(disks: &[(PathBuf, &Mix)], at: &Path) -> Result<Vec<PathBuf>> {
    let top = at.with_extension("img");
    let mut command = guestmount();
    command.args(["--format=raw", "-a"]).arg(&top);
    let folders = at.with_extension("folders");
    let (mut mounts, mut roots) = (vec!["/dev/sda".to_owned()], Vec::new());
    for (n, (image, mix)) in disks.iter().enumerate() {
        let letter = char::from_u32(u32::from(b'b') + u32::try_from(n)?);
        let letter = letter
            .filter(char::is_ascii_lowercase)
            .context("too many disks")?;
        let name = format!("m{n}");
        std::fs::create_dir_all(folders.join(&name))?;
        command.arg("-a").arg(image);
        let folder = format!("/{name}");
        mounts.push(filesystem(mix, &letter.to_string(), &folder, mix.mount));
        roots.push(at.join(name));
    }
    // The folders are those of a small disk of their own.
    let (image, tree) = (top.to_str(), folders.to_str());
    let (image, tree) = image.zip(tree).context("path of the folders")?;
    output(
        "mke2fs",
        &["-q", "-F", "-t", "ext2", "-d", tree, image, "4M"],
    )?;
    for mount in &mounts {
        command.args(["-m", mount]);
    }
    start(command.arg(at))?;
    Ok(roots)
}

/// What guestmount is told of the volume of a disk.
fn filesystem(mix: &Mix, letter: &str, folder: &str, options: &str) -> String {
    let part = if mix.start == 0 { "" } else { "1" };
    format!(
        "/dev/sd{letter}{part}:{folder}:{options}:{}",
        mix.filesystem
    )
}

/// How long a change may be unseen: what `guestmount` reads from a folder it gives for the seconds
/// that it is told, and the kernel's FUSE for one more, with times that are no longer true.
pub(crate) const SEEN: Duration = Duration::from_secs(3);

fn guestmount() -> Command {
    let mut command = Command::new("guestmount");
    command.args(["--dir-cache-timeout", "1"]);
    command
}

fn start(command: &mut Command) -> Result<()> {
    // Machines within machines often can't start a third one in hardware.
    command.env("LIBGUESTFS_BACKEND", "direct");
    command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    let out = command.output().context("guestmount")?;
    if !out.status.success() {
        bail!("guestmount: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

/// Unmounts it, and waits until the appliance has ended: only then all is written.
pub(crate) fn unmount(at: &str) -> Result<()> {
    output("guestunmount", &[at])?;
    for _ in 0..600 {
        let running = Command::new("pgrep")
            .args(["-f", &format!("guestmount .* {at}$")])
            .output()
            .context("pgrep")?;
        if !running.status.success() {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("the appliance of {at} does not end")
}

/// Fills in where the files of `tree` have their data, and their identity: the sector of the first
/// cluster, and when they were made. What has no cluster gets no identity here.
pub(crate) fn locate(image: &Path, mix: &Mix, tree: &mut Tree) -> Result<()> {
    let mut boot = [0; 512];
    File::open(image)?.read_exact_at(&mut boot, mix.start * 512)?;
    let (kind, sector) = match mix.filesystem {
        "exfat" => ("exfat", 1 << boot[108]),
        // The Sleuth Kit would take a FAT32 with few clusters for another FAT.
        _ => (
            if boot[22..24] == [0, 0] {
                "fat32"
            } else {
                "fat"
            },
            u64::from(u16::from_le_bytes([boot[11], boot[12]])),
        ),
    };
    let described = tsk::describe(image, mix, kind)?;
    for (path, node) in tree.iter_mut() {
        node.without(&["mode", "uid", "gid", "nlink"]);
        if path == b"/" {
            // No entry describes it: its time is that of the mount.
            node.without(&["mtime"]);
            node.id = (0, "root".to_owned());
            continue;
        }
        let known = described.get(path);
        let known = known.with_context(|| format!("fls has no {}", path.escape_ascii()))?;
        node.id = match known.sectors.first() {
            Some(first) => (*first, known.made.to_string()),
            None => NONE,
        };
        node.extents = (node.kind == "file").then(|| extents(known, sector));
    }
    Ok(())
}

const NONE: (u64, String) = (0, String::new());

fn extents(file: &Described, sector: u64) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for (index, number) in (0u64..).zip(&file.sectors) {
        let physical = number * sector;
        match extents.last_mut() {
            Some(last) if last.physical + last.length == physical => last.length += sector,
            _ => extents.push(Extent {
                logical: index * sector,
                physical,
                length: sector,
                flags: 0,
            }),
        }
    }
    extents
}

/// What has no identity is what has its path in the other tree, or its name in the directory that
/// its directory has become, or nothing else.
pub(crate) fn pair(trees: &mut [Tree; 2]) {
    let [before, after] = trees;
    let directories: BTreeMap<(u64, String), Vec<u8>> = after
        .iter()
        .filter(|(_, node)| node.kind == "directory" && node.id != NONE)
        .map(|(path, node)| (node.id.clone(), path.clone()))
        .collect();
    let moved: BTreeMap<Vec<u8>, Vec<u8>> = before
        .iter()
        .filter(|(path, node)| node.id == NONE && !after.contains_key(*path))
        .filter_map(|(path, _)| {
            let slash = path.iter().rposition(|b| *b == b'/')?;
            let (above, name) = path.split_at(slash);
            let above: &[u8] = if above.is_empty() { b"/" } else { above };
            let above = before.get(above)?;
            let now = directories.get(&above.id)?;
            let now = if now == b"/" { &[][..] } else { now };
            Some((path.clone(), [now, name].concat()))
        })
        .collect();
    let mut alone = 0;
    let mut next = || {
        alone += 1;
        (alone, "alone".to_owned())
    };
    for (path, node) in before.iter_mut().filter(|(_, node)| node.id == NONE) {
        let there = moved.get(path).unwrap_or(path);
        let other = after.get_mut(there);
        node.id = match other.filter(|other| other.kind == node.kind) {
            Some(other) if other.id == NONE => {
                other.id = next();
                other.id.clone()
            }
            Some(other) if there == path => other.id.clone(),
            _ => next(),
        };
    }
    for (path, node) in after.iter_mut().filter(|(_, node)| node.id == NONE) {
        let other = before.get(path).filter(|other| other.kind == node.kind);
        node.id = other.map_or_else(&mut next, |other| other.id.clone());
    }
}
