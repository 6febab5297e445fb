//! A hundred thousand blocks to `hexz owner`, against one block.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::Result;

use super::image::Change;
use super::measure::{Figures, in_turn, run as measure};
use super::{Bench, ext4};

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let images = ext4::images(bench, Change::Large)?;
    let dir = bench.folder("owner")?;
    let all = fs::metadata(&images.base)?.len() / 4096;
    let mut list = String::new();
    for n in 0..100_000u64 {
        // A stride that is prime to the number of blocks spreads them over the disk.
        writeln!(list, "{}", n * 7919 % all)?;
    }
    fs::write(dir.join("blocks"), list)?;
    // A data block, so that one block asks for the whole way too.
    let one = images.blocks.last().copied().unwrap_or(0).to_string();
    let owner = || {
        let mut command = Command::new(&bench.hexz);
        command.args(["owner", "--json"]).arg(&images.base);
        command
    };
    let (many, single) = in_turn(
        bench.rounds,
        || measure(owner().arg("--from").arg(dir.join("blocks")), None),
        || measure(owner().args(["--block", &one]), None),
    )?;
    Ok(Figures {
        title: "100,000 blocks of the ext4 image, against one block".to_owned(),
        ours: many,
        peer: single,
        earlier: Vec::new(),
        goal: "at least 0.5".to_owned(),
        notes: Vec::new(),
    })
}
