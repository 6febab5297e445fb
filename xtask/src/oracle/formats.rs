//! The formats and tables that Debian's tools make: each alone, and each over each other.
//!
//! A format is made over another one without wiping, and the layout must name the second, as
//! `blkid -p` names it where it is alone. Label and UUID of each alone are held against `blkid`
//! too. What is otherwise by intent stands in a list, with the reason.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::run::output;

const SIZE: u64 = 320 << 20;

/// A format: its name here, and the commands that make it on `$D`, in a folder with a tree `t`.
struct Maker {
    name: &'static str,
    script: &'static str,
}

const fn maker(name: &'static str, script: &'static str) -> Maker {
    Maker { name, script }
}

/// Writes an image to the start of the device.
macro_rules! image {
    ($name:literal, $script:literal) => {
        maker(
            $name,
            concat!(
                "rm -f x; ",
                $script,
                " >&2; dd if=x of=$D conv=notrunc status=none"
            ),
        )
    };
}

const MAKERS: &[Maker] = &[
    maker("ext2", "mke2fs -q -F -E nodiscard -L lab -t ext2 $D"),
    maker(
        "ext4",
        "mke2fs -q -F -E nodiscard -L lab -t ext4 -b 4096 $D",
    ),
    maker("ext4-1k", "mke2fs -q -F -E nodiscard -t ext4 -b 1024 $D"),
    maker("jbd", "mke2fs -q -F -E nodiscard -O journal_dev $D"),
    maker("xfs", "mkfs.xfs -K -q -f -L lab $D"),
    maker("ntfs", "mkntfs -q -F -f -L lab $D"),
    maker("swap", "mkswap -f -L lab $D"),
    maker("btrfs", "mkfs.btrfs -K -q -f -L lab $D"),
    maker("f2fs", "mkfs.f2fs -q -t 0 -f -l lab $D"),
    maker("fat12", "mkfs.vfat -n LAB -F 12 -s 128 $D 100000"),
    maker("fat16", "mkfs.vfat -n LAB -F 16 $D"),
    maker("fat32", "mkfs.vfat -n LAB -F 32 $D"),
    maker("exfat", "mkfs.exfat $D"),
    maker("jfs", "mkfs.jfs -q -L lab $D"),
    maker("reiserfs", "mkreiserfs -f -f -q -l lab $D"),
    maker("reiser4", "mkfs.reiser4 -f -y -L lab $D"),
    maker("nilfs2", "mkfs.nilfs2 -K -f -q -L lab $D"),
    maker("minix", "mkfs.minix $D"),
    maker("minix3", "mkfs.minix -3 $D"),
    maker("udf", "mkudffs -b 512 -l lab $D"),
    maker("gfs2", "mkfs.gfs2 -K -O -p lock_nolock $D"),
    maker(
        "ocfs2",
        "mkfs.ocfs2 -q -F --fs-feature-level=max-compat -M local -L lab $D",
    ),
    maker("bcache", "make-bcache --wipe-bcache -B $D"),
    maker(
        "luks1",
        "echo pw | cryptsetup -q luksFormat --pbkdf-force-iterations 1000 --type luks1 $D",
    ),
    maker(
        "luks2",
        "echo pw | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label lab --type luks2 $D",
    ),
    maker("bfs", "mkfs.bfs $D"),
    maker("apfs", "mkapfs $D"),
    maker("drbd", "yes | drbdmeta --force 0 v08 $D internal create-md"),
    maker(
        "mbr",
        "printf 'label: dos\\nstart=65536,size=20480\\n' | sfdisk -q -w never -W never $D; mke2fs -q -F -E nodiscard,offset=33554432 $D 10M",
    ),
    maker(
        "gpt",
        "printf 'label: gpt\\nstart=65536,size=20480\\n' | sfdisk -q -w never -W never $D; mke2fs -q -F -E nodiscard,offset=33554432 $D 10M",
    ),
    image!("cramfs", "mkfs.cramfs -n lab t x"),
    image!("squashfs", "mksquashfs t x -quiet -no-progress"),
    image!("erofs", "mkfs.erofs x t"),
    image!("romfs", "genromfs -f x -d t -V lab"),
    image!("iso9660", "xorriso -as mkisofs -quiet -V LAB -o x t"),
    image!("ufs1", "makefs -t ffs -s 16m -o version=1 x t"),
    image!("ufs2", "makefs -t ffs -s 16m -o version=2 x t"),
];

/// First, second, and why the answer is another one. `*` is any.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "jbd",
        "drbd",
        "what lies in front of its metadata is a DRBD's data, and is read as it lies",
    ),
    (
        "*",
        "drbd",
        "what lies in front of its metadata is a DRBD's data, and is read as it lies",
    ),
    (
        "drbd",
        "ext4",
        "the whole of its data is in front, and is read as it lies",
    ),
];

pub(super) fn run(binary: &Path, dir: &Path, chosen: &[String]) -> Result<()> {
    std::fs::create_dir_all(dir.join("t"))?;
    std::fs::write(dir.join("t/hello"), "hello\n")?;
    let device = dir.join("formats.img");
    let mut alone = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut made = Vec::new();
    for maker in MAKERS {
        fresh(&device)?;
        if let Err(error) = make(maker, dir, &device) {
            println!("{}: left out: {error:#}", maker.name);
            continue;
        }
        made.push(maker);
        let (theirs, ours) = (Named::by_blkid(&device)?, Named::by_hexz(binary, &device)?);
        if theirs != ours {
            wrong.push(format!("{}: blkid {theirs:?}, hexz {ours:?}", maker.name));
        }
        alone.insert(maker.name, ours.kind);
    }
    let mut pairs = 0;
    for first in &made {
        for second in &made {
            let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|c| c == name);
            if !is_chosen(first.name) && !is_chosen(second.name) {
                continue;
            }
            fresh(&device)?;
            make(first, dir, &device)?;
            if make(second, dir, &device).is_err() {
                println!("{} over {}: its maker refuses", second.name, first.name);
                continue;
            }
            pairs += 1;
            let found = Named::by_hexz(binary, &device)?.kind;
            let expected = alone.get(second.name).context("a format")?;
            let mut exceptions = EXCEPTIONS.iter();
            let excepted = exceptions
                .any(|(one, two, _)| (*one == "*" || *one == first.name) && *two == second.name);
            if found != *expected && !excepted {
                wrong.push(format!("{} over {}: {found}", second.name, first.name));
            }
        }
    }
    std::fs::remove_file(&device)?;
    wrong.iter().for_each(|line| println!("{line}"));
    println!(
        "{} formats alone, {pairs} pairs, {} wrong",
        made.len(),
        wrong.len()
    );
    match wrong.is_empty() && pairs > 0 {
        true => Ok(()),
        false => bail!("not every format is named as its maker's reader does"),
    }
}

fn fresh(device: &Path) -> Result<()> {
    let _ = std::fs::remove_file(device);
    File::create(device)?.set_len(SIZE)?;
    Ok(())
}

fn make(maker: &Maker, dir: &Path, device: &PathBuf) -> Result<()> {
    let mut command = Command::new("sh");
    command
        .args(["-ec", maker.script])
        .current_dir(dir)
        .env("D", device);
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    );
    let output = command.stdin(std::process::Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// What a whole device is called.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    /// A filesystem, or `gpt` or `dos` for a table.
    kind: String,
    label: String,
    uuid: String,
}

impl Named {
    fn by_blkid(device: &Path) -> Result<Self> {
        let text = output(
            Command::new("blkid")
                .args(["-p", "-o", "export"])
                .arg(device),
        )?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().replace('\\', "")
        };
        let kind = match value("TYPE=") {
            kind if kind.is_empty() => value("PTTYPE="),
            kind => kind,
        };
        Ok(Self {
            kind,
            label: value("LABEL="),
            uuid: value("UUID="),
        })
    }

    fn by_hexz(binary: &Path, device: &Path) -> Result<Self> {
        let text = output(Command::new(binary).args(["layout", "--json"]).arg(device))?;
        let records: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        let records = records?;
        let mut volumes = records.iter().filter(|r| r["type"] == "volume");
        let first = volumes.next().context("a volume")?;
        let text = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
        if first["volume"] == "disk" {
            return Ok(Self {
                kind: text("filesystem"),
                label: text("label"),
                uuid: text("uuid"),
            });
        }
        let kind = match first["scheme"].as_str() {
            Some("mbr") => "dos",
            Some(scheme) => scheme,
            None => "",
        };
        Ok(Self {
            kind: kind.to_owned(),
            ..Self::default()
        })
    }
}
