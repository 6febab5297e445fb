//! 100,000 files taken out of an ext4, against `cp -a` from a mount of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::image::{Change, Changed, Recipe, prepare};
use super::measure::{Cost, Figures, in_turn, run as measure, shell};

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let dir = bench.folder("extract")?;
    let images = prepare(
        &dir,
        &Recipe {
            format: "truncate -s 2G $1 && mke2fs -q -t ext4 -N 200000 -E lazy_itable_init=0 $1",
            mount: "mount -o loop $1 $2",
            files: 100_000,
            size: 20,
            least: 0,
        },
        Change::Small,
    )?;
    let (ours, theirs) = (dir.join("ours"), dir.join("theirs"));
    let (ours, peer) = in_turn(
        bench.rounds,
        || into(&ours, || extract(bench, &images, &ours)),
        || into(&theirs, || copy(&images, &theirs)),
    )?;
    Ok(Figures {
        title: "100,000 files taken out of an ext4, against cp -a from a mount".to_owned(),
        ours,
        peer,
        earlier: Vec::new(),
        goal: "at least 0.5".to_owned(),
        notes: Vec::new(),
    })
}

/// Runs `work`, which fills a folder that is not there; what it wrote is on the disk before it is
/// taken away again.
fn into(folder: &Path, work: impl Fn() -> Result<Cost>) -> Result<Cost> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let cost = work()?;
    let _ = Command::new("sync").status()?;
    fs::remove_dir_all(folder)?;
    Ok(cost)
}

fn extract(bench: &Bench, images: &Changed, to: &Path) -> Result<Cost> {
    let mut command = Command::new(&bench.hexz);
    command
        .args(["extract", "--preserve"])
        .arg(&images.base)
        .args(["/", "--to"])
        .arg(to);
    measure(&mut command, None)
}

fn copy(images: &Changed, to: &Path) -> Result<Cost> {
    let mount = images.base.with_file_name("look");
    fs::create_dir_all(&mount)?;
    let folder = images.base.parent().unwrap_or(Path::new("."));
    shell("mount -o loop,ro base.img look", folder)?;
    let mut command = Command::new("cp");
    command.arg("-a").arg(&mount).arg(to);
    let cost = measure(&mut command, None);
    shell("umount look", folder)?;
    cost
}
