//! The report, held against what the kernel says of the same two disks.
//!
//! For each mix of features and each seed: a filesystem is made and filled, its image is copied
//! (the base), the tree is changed at random, and its image is copied again (the merged disk).
//! Both copies are made either after a clean unmount or while the filesystem is mounted, so that
//! its newest metadata is in the journal only. `hexz diff --files --json` then reads the base and
//! an overlay, while the kernel mounts scratch copies of both disks, recovers them, and is asked
//! for the trees and for the place of each extent.

mod btrfs;
mod case;
mod disk;
mod ext4;
mod extents;
mod fat;
mod formats;
mod fsmap;
mod layers;
mod members;
mod ntfs;
mod report;
mod sources;
mod table;
mod tree;
mod tsk;
mod vhdx_children;
mod workload;
mod xfs;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::run::release_binary;

const HELP: &str = "\
cargo xtask oracle FILESYSTEM [--seeds N] [--first N] [--mix NAME]… [--steps N] [--dir DIR] [--keep]

Makes random changes and compares the report with the kernel's trees and extents. FILESYSTEM is
btrfs, ext4 (which has mixes of ext2 and ext3 too), exfat, fat, ntfs or xfs. Needs root (but for exfat
and fat, which are mounted in the appliance of libguestfs), python3 and the filesystem's
tools. The table goes to docs/oracle-FILESYSTEM.md, unless --mix chose a part. With `sources` for
FILESYSTEM images of every format are compared with qemu-img, which needs no root. With `members`
md arrays and LVM volumes on several disks are made in that appliance, and read. With `formats`
each format that the tools of Debian make is made over each other one, and must be named as `blkid`
names it; --mix NAME takes the pairs that NAME is in. With `layers` each filesystem's layers are
unpacked by umoci, and patches applied by git (--seeds 10; --mix NAME takes one filesystem).
--hexz PROGRAM takes one that is built.";

/// A filesystem with its features, as it is made and mounted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// Short name, unique.
    pub(crate) name: &'static str,
    /// What `mount -t` calls it.
    pub(crate) filesystem: &'static str,
    /// The program that makes it, with its options; the device follows.
    pub(crate) format: &'static [&'static str],
    /// Options of the mount in which it is changed.
    pub(crate) mount: &'static str,
    /// Sector at which its partition starts, in an MBR; 0 for the whole disk.
    pub(crate) start: u64,
    /// Size of the disk in MiB.
    pub(crate) mebibytes: u64,
}

/// What the oracle must know of a kind of filesystem.
pub(crate) trait Subject {
    /// Its name here, and of its table.
    fn name(&self) -> &'static str;
    /// Which features are tried.
    fn mixes(&self) -> &'static [Mix];
    /// Options of a mount that shows the tree and changes nothing but what recovery changes.
    fn look(&self) -> &'static str;
    /// What no one changed and no one looks for: paths that differ for another reason.
    fn ignores(&self, path: &[u8]) -> bool;
    /// Whether a copy of a disk in use is one that can be recovered.
    fn can_be_live(&self) -> bool {
        true
    }
    /// What is different for it, for the page of the documentation.
    fn note(&self) -> &'static str {
        ""
    }
}

struct Options {
    seeds: u64,
    first: u64,
    steps: u64,
    mixes: Vec<String>,
    dir: PathBuf,
    keep: bool,
    hexz: Option<PathBuf>,
}

impl Options {
    /// The program that is tried: the one that is given, or an optimised one that is built now.
    fn binary(&self, root: &Path) -> Result<PathBuf> {
        match &self.hexz {
            Some(hexz) => Ok(hexz.clone()),
            None => release_binary(root, &[]),
        }
    }
}

/// Runs `cargo xtask oracle`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let mut options = Options {
        seeds: 2,
        first: 1,
        steps: 220,
        mixes: Vec::new(),
        dir: root.join("target/oracle"),
        keep: false,
        hexz: None,
    };
    let mut subject: Option<&dyn Subject> = None;
    let (mut with_qemu, mut with_makers, mut with_layers) = (false, false, false);
    let mut with_members = false;
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let mut value = |what| args.next().with_context(|| format!("{arg} wants {what}"));
        match arg {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            "--seeds" => options.seeds = value("a number")?.parse()?,
            "--first" => options.first = value("a number")?.parse()?,
            "--steps" => options.steps = value("a number")?.parse()?,
            "--mix" => options.mixes.push(value("a name")?.to_owned()),
            "--dir" => options.dir = value("a folder")?.into(),
            "--keep" => options.keep = true,
            "btrfs" => subject = Some(&btrfs::Btrfs),
            "--hexz" => options.hexz = Some(value("a program")?.into()),
            "ext4" => subject = Some(&ext4::Ext4),
            "exfat" => subject = Some(&fat::Exfat),
            "fat" => subject = Some(&fat::Fat),
            "ntfs" => subject = Some(&ntfs::Ntfs),
            "xfs" => subject = Some(&xfs::Xfs),
            "members" => with_members = true,
            "sources" => with_qemu = true,
            "formats" => with_makers = true,
            "layers" => with_layers = true,
            other => bail!("{other} is unknown\n\n{HELP}"),
        }
    }
    if with_makers {
        let binary = options.binary(root)?;
        let page = root.join("docs/oracle-formats.md");
        let dir = options.dir.join("formats");
        return formats::run(&binary, &dir, &options.mixes, Some(&page));
    }
    if with_qemu {
        let seeds = options.first..options.first + options.seeds;
        return sources::run(root, &options.binary(root)?, &options.dir, seeds);
    }
    if with_members {
        let seeds = options.first..options.first + options.seeds;
        return members::run(root, &options.binary(root)?, &options.dir, seeds);
    }
    if with_layers {
        let hexz = options.binary(root)?;
        let seeds = options.first..options.first + options.seeds;
        let layers = layers::Layers {
            hexz: &hexz,
            dir: &options.dir,
            seeds,
            steps: options.steps,
            only: &options.mixes,
        };
        return layers.run(&root.join("docs/oracle-layers.md"));
    }
    let subject = subject.with_context(|| HELP.to_owned())?;
    compare(root, subject, &options)
}

fn compare(root: &Path, subject: &dyn Subject, options: &Options) -> Result<()> {
    let hexz = options.binary(root)?;
    std::fs::create_dir_all(&options.dir)?;
    let mut rows = Vec::new();
    for mix in subject.mixes() {
        if !options.mixes.is_empty() && !options.mixes.iter().any(|m| m == mix.name) {
            continue;
        }
        for seed in options.first..options.first + options.seeds {
            for live in [false, true] {
                if live && !subject.can_be_live() {
                    continue;
                }
                let case = case::Case {
                    subject,
                    mix,
                    seed,
                    live,
                    steps: options.steps,
                    dir: options.dir.join(format!(
                        "{}-{seed}-{}",
                        mix.name,
                        if live { "live" } else { "clean" }
                    )),
                };
                let row = case
                    .run(&hexz)
                    .with_context(|| format!("{} seed {seed} live {live}", mix.name))?;
                println!("{row}");
                for complaint in row.complaints.iter().take(20) {
                    println!("    {complaint}");
                }
                if !options.keep && row.is_good() {
                    std::fs::remove_dir_all(&case.dir)?;
                }
                rows.push(row);
            }
        }
    }
    if rows.is_empty() {
        bail!("no such mix");
    }
    let table = table::markdown(subject, &rows);
    if options.mixes.is_empty() {
        let path = root.join(format!("docs/oracle-{}.md", subject.name()));
        std::fs::write(&path, table).with_context(|| format!("{}", path.display()))?;
    }
    let bad = rows.iter().filter(|row| !row.is_good()).count();
    if bad != 0 {
        bail!("{bad} of {} cases differ from the kernel", rows.len());
    }
    println!("{} cases agree with the kernel", rows.len());
    Ok(())
}
