//! Twenty thousand files on ext4, against `virt-diff`, which has a kernel in a guest mount both
//! disks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::ext4::diff;
use super::image::{Changed, Recipe, prepare};
use super::measure::{Figures, in_turn, run as measure};

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
    )?;
    let after = after(&images, dir.join("after.img"))?;
    let mut peer = Command::new("virt-diff");
    peer.arg("-a").arg(&images.base).arg("-A").arg(&after);
    peer.env("LIBGUESTFS_BACKEND", "direct");
    let (ours, peer) = in_turn(
        bench.rounds,
        || measure(&mut diff(bench, &images), None),
        || measure(&mut peer, None),
    )?;
    Ok(Figures {
        title: format!(
            "20,000 files, {} changed blocks, against virt-diff",
            images.blocks.len()
        ),
        ours,
        peer,
        goal: "at least 20".to_owned(),
        notes: vec!["without KVM its guest is emulated, which is most of its time".to_owned()],
    })
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
