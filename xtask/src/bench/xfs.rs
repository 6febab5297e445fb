//! A million files on XFS, against `xfs_db` with `blockget` and `blockuse`.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::image::{Change, Recipe, prepare};
use super::measure::{Figures, run as measure};

/// Parent pointers and exchange-range, which `mkfs.xfs` before 6.10 can't set: their bits are
/// written into the superblock of the empty filesystem, and the kernel keeps to them.
const WITH_PARENTS: &str = r#"
truncate -s 16G $1 && mkfs.xfs -q -f -i exchange=1 -n parent=1 $1 2> mkfs.log || {
    mkfs.xfs -q -f $1
    bits=$(xfs_db -r -c "sb 0" -c "print features_incompat" $1 | sed 's/.*= //')
    xfs_db -x -c "sb 0" -c "write -d features_incompat $(printf '0x%x' $((bits | 0xC0)))" $1 > edit.log
}"#;

pub(super) fn run(bench: &Bench, change: Change, parents: bool) -> Result<Figures> {
    let (folder, format) = match parents {
        false => ("xfs", "truncate -s 16G $1 && mkfs.xfs -q -f $1"),
        true => ("xfs-parent", WITH_PARENTS),
    };
    let images = prepare(
        &bench.folder(folder)?,
        &Recipe {
            format,
            mount: "mount -o loop $1 $2",
            files: 1_000_000,
            size: 1,
            least: 0,
        },
        change,
    )?;
    let mut xfs_db = Command::new("xfs_db");
    xfs_db.args(["-r", "-c", "blockget -n"]);
    for block in &images.blocks {
        xfs_db.args(["-c", &format!("daddr {}", block * 8), "-c", "blockuse -n"]);
    }
    xfs_db.arg(&images.base);
    let goal = match (change, parents) {
        (Change::Large, _) => "at least 40",
        (Change::Small, false) => "at most 16 MiB read",
        (Change::Small, true) => "at most 4 MiB read",
    };
    let with = if parents { ", parent pointers" } else { "" };
    bench.row(
        &images,
        format!(
            "1,000,000 files{with}, {} changed blocks, against xfs_db blockget -n and blockuse -n",
            images.blocks.len()
        ),
        goal,
        || measure(&mut xfs_db, None),
    )
}
