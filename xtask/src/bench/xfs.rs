//! A million files on XFS, against `xfs_db` with `blockget` and `blockuse`.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::ext4::diff;
use super::image::{Recipe, prepare};
use super::measure::{Figures, in_turn, run as measure};

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let images = prepare(
        &bench.folder("xfs")?,
        &Recipe {
            format: "truncate -s 8G $1 && mkfs.xfs -q -f $1",
            mount: "mount -o loop $1 $2",
            files: 1_000_000,
            size: 1,
            least: 0,
        },
    )?;
    let mut xfs_db = Command::new("xfs_db");
    xfs_db.args(["-r", "-c", "blockget -n"]);
    for block in &images.blocks {
        xfs_db.args(["-c", &format!("daddr {}", block * 8), "-c", "blockuse -n"]);
    }
    xfs_db.arg(&images.base);
    let (ours, peer) = in_turn(
        bench.rounds,
        || measure(&mut diff(bench, &images), None),
        || measure(&mut xfs_db, None),
    )?;
    Ok(Figures {
        title: format!(
            "1,000,000 files, {} changed blocks, against xfs_db blockget -n and blockuse -n",
            images.blocks.len()
        ),
        ours,
        peer,
        goal: "at least 20, at most 400 MiB".to_owned(),
        notes: Vec::new(),
    })
}
