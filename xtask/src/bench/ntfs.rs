//! Three hundred thousand files on NTFS, against `ntfscluster` over the whole range.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::ext4::diff;
use super::image::{Recipe, prepare};
use super::measure::{Figures, run as measure};

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let images = prepare(
        &bench.folder("ntfs")?,
        &Recipe {
            format: "truncate -s 4G $1 && mkntfs -q -F -f $1",
            mount: "ntfs-3g $1 $2",
            files: 300_000,
            // Too much for their records, so that there are clusters to name.
            size: 30,
        },
    )?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        ours.push(measure(&mut diff(bench, &images), None)?);
        // It names the owners of all clusters in the range, and looks at one disk only.
        let last = std::fs::metadata(&images.base)?.len() / 4096 - 1;
        let mut command = Command::new("ntfscluster");
        command
            .args(["-f", "-c", &format!("0-{last}")])
            .arg(&images.base);
        peer.push(measure(&mut command, None)?);
    }
    Ok(Figures {
        title: format!(
            "300,000 files, {} changed blocks, against ntfscluster over all clusters",
            images.blocks.len()
        ),
        ours,
        peer,
        goal: "at least 3, at most 300 MiB".to_owned(),
        notes: Vec::new(),
    })
}
