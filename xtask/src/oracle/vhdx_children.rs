//! Differencing VHDX images: no program at hand writes them and qemu-img reads none, so they are built
//! as their specification has them, and held against what dissect.hypervisor reads (PyPI
//! dissect.hypervisor 3.x). `PYTHON` names an interpreter that has it.

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

/// One chain of three images.
pub(super) fn hold(hexz: &Path, dir: &Path, seed: u64) -> Result<Row> {
    let mut random = Rng::new(seed);
    let mut bottom = VhdxImage::new(SIZE, 1);
    scribble(&mut bottom, &mut random);
    let mut middle = bottom.child(r".\bottom.vhdx", 2);
    scribble(&mut middle, &mut random);
    let mut top = middle.child(r".\middle.vhdx", 3);
    scribble(&mut top, &mut random);
    for (name, image) in [("bottom", &bottom), ("middle", &middle), ("top", &top)] {
        fs::write(dir.join(format!("{name}.vhdx")), image.bytes())?;
    }
    let case = Case {
        kind: &CHILD,
        hexz,
        dir,
        random,
    };
    for image in ["bottom.vhdx", "middle.vhdx", "top.vhdx"] {
        case.same_disk(&read(dir, image)?, image)?;
    }
    let changed = differing(&read(dir, "middle.vhdx")?, &read(dir, "top.vhdx")?);
    let records = case.diff(&["top.vhdx"])?;
    let summary = records.last().context("a summary")?;
    ensure!(
        summary["changed"] == changed,
        "not {changed} bytes: {summary}"
    );
    Ok(Row {
        kind: CHILD.name,
        seed,
        blocks: 0,
        changed,
    })
}

/// Random writes of whole sectors, zeros among them.
fn scribble(image: &mut VhdxImage, random: &mut Rng) {
    for _ in 0..24 {
        let length = 512 * (1 + random.below(300));
        let at = 512 * random.below((SIZE - length) / 512);
        let byte = u8::try_from(random.below(5)).unwrap_or(0);
        image.write(at, &vec![byte; usize::try_from(length).unwrap_or(512)]);
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
