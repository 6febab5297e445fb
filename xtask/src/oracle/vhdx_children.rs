//! Differencing VHDX images: no program at hand writes them and qemu-img reads none, so they are built
//! as their specification has them, and held against what dissect.hypervisor reads (PyPI
//! dissect.hypervisor 3.x) and against the writes. `PYTHON` names an interpreter that has it.
//!
//! dissect.hypervisor 3.21 reads a block that is there in part wrongly from a sector on whose number
//! is no multiple of eight (`_iter_partial_runs` goes on at the first bit it was given in each byte
//! of the bitmap, and the bitmap is read without its last byte). It is asked for whole blocks here,
//! but asks the parent for what is not there: so what it is shown of a child of a child was written
//! in units of eight sectors. The child with writes of any sectors is held against the writes alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use hexz_testkit::{Rng, VhdxImage};

use super::sources::{Case, Kind, Row, differing};
use crate::run::check;

const SIZE: u64 = 9 << 20;

const CHILD: Kind = Kind {
    name: "vhdx-children",
    format: "vhdx",
    options: "",
    backing: Some(("vhdx", "")),
    converted: None,
};

/// Chains of three images: two children of one parent, which is a child itself.
pub(super) fn hold(hexz: &Path, dir: &Path, seed: u64) -> Result<Row> {
    let mut random = Rng::new(seed);
    let mut bottom = Written::on(VhdxImage::new(SIZE, 1), vec![0; usize::try_from(SIZE)?]);
    bottom.scribble(&mut random, 512);
    let mut middle = bottom.child(r".\bottom.vhdx", 2);
    middle.scribble(&mut random, 512);
    let mut top = middle.child(r".\middle.vhdx", 3);
    top.scribble(&mut random, 8 * 512);
    let mut odd = middle.child(r".\middle.vhdx", 4);
    odd.scribble(&mut random, 512);
    let all = [
        ("bottom.vhdx", &bottom),
        ("middle.vhdx", &middle),
        ("top.vhdx", &top),
        ("odd.vhdx", &odd),
    ];
    for (name, written) in all {
        fs::write(dir.join(name), written.image.bytes())?;
    }
    let case = Case {
        kind: &CHILD,
        hexz,
        dir,
        random,
    };
    for (name, written) in all {
        case.same_disk(&written.disk, name)?;
        if name != "odd.vhdx" {
            let read = read(dir, name)?;
            ensure!(
                read == written.disk,
                "dissect.hypervisor reads {name} otherwise"
            );
        }
    }
    let mut row = Row {
        kind: CHILD.name,
        seed,
        blocks: 0,
        changed: 0,
    };
    for (name, written) in [("top.vhdx", &top), ("odd.vhdx", &odd)] {
        row.changed = differing(&middle.disk, &written.disk);
        let records = case.diff(&[name])?;
        let summary = records.last().context("a summary")?;
        ensure!(
            summary["changed"] == row.changed,
            "{name}: not {} bytes: {summary}",
            row.changed
        );
    }
    Ok(row)
}

/// An image, and the disk that it must be.
struct Written {
    image: VhdxImage,
    disk: Vec<u8>,
}

impl Written {
    fn on(image: VhdxImage, disk: Vec<u8>) -> Self {
        Self { image, disk }
    }

    fn child(&self, name: &str, id: u8) -> Self {
        Self::on(self.image.child(name, id), self.disk.clone())
    }

    /// Random writes of whole units, zeros among them.
    fn scribble(&mut self, random: &mut Rng, unit: u64) {
        for _ in 0..24 {
            let length = unit * (1 + random.below(150 * 1024 / unit));
            let at = unit * random.below((SIZE - length) / unit);
            let byte = u8::try_from(random.below(5)).unwrap_or(0);
            let bytes = vec![byte; usize::try_from(length).unwrap_or(512)];
            self.image.write(at, &bytes);
            let at = usize::try_from(at).unwrap_or(0);
            self.disk[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }
}

/// The disk as dissect.hypervisor reads it.
fn read(dir: &Path, image: &str) -> Result<Vec<u8>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/oracle/read_vhdx.py");
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    check(
        command
            .arg(script)
            .args([image, "read.raw"])
            .current_dir(dir),
    )
    .context("dissect.hypervisor is needed: PYTHON names an interpreter that has it")?;
    Ok(fs::read(dir.join("read.raw"))?)
}
