//! Twenty thousand files on ext4, against `virt-diff`, which has a kernel in a guest mount both
//! disks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::image::{Change, Changed, Recipe, prepare};
use super::measure::{Figures, run as measure};

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let dir = bench.folder("virt")?;
    let images = prepare(
        &dir,
        &Recipe {
            format: "truncate -s 1G $1 && mke2fs -q -t ext4 $1",
            // It looks at nothing that has not the shape of a system.
            mount: "mount -o loop $1 $2 && mkdir -p $2/etc $2/bin && touch $2/etc/fstab && \
                    echo 12.0 > $2/etc/debian_version",
            files: 20_000,
            size: 1,
            least: 0,
        },
        Change::Large,
    )?;
    let after = after(&images, dir.join("after.img"))?;
    let mut peer = Command::new("virt-diff");
    peer.arg("-a").arg(&images.base).arg("-A").arg(&after);
    peer.env("LIBGUESTFS_BACKEND", "direct");
    let mut figures = bench.row(
        &images,
        format!(
            "20,000 files, {} changed blocks, against virt-diff",
            images.blocks.len()
        ),
        "at least 20",
        || measure(&mut peer, None),
    )?;
    let note = "without KVM its guest is emulated, which is most of its time";
    figures.notes.push(note.to_owned());
    Ok(figures)
}

/// The disk after, whole.
fn after(images: &Changed, path: PathBuf) -> Result<PathBuf> {
    fs::copy(&images.base, &path)?;
    let (disk, overlay) = (
        File::options().write(true).open(&path)?,
        File::open(&images.overlay)?,
    );
    let mut block = [0; 4096];
    for number in &images.blocks {
        overlay.read_exact_at(&mut block, number * 4096)?;
        disk.write_all_at(&block, number * 4096)?;
    }
    Ok(path)
}
