//! Two sparse raw images of 16 GiB with 4 GiB of data, against `cmp` over their data.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::measure::{Figures, in_turn, run as measure, shell};

pub(super) fn run(bench: &Bench) -> Result<Figures> {
    let dir = bench.folder("raw")?;
    if !dir.join("b.img").exists() {
        // 256 pieces of 16 MiB, each followed by a hole of 48 MiB; one block differs.
        let script = r#"
python3 - <<'PY'
import os, random
r = random.Random(3)
with open("a.img", "wb") as disk, open("a.data", "wb") as data:
    disk.truncate(16 << 30)
    for n in range(256):
        piece = r.randbytes(16 << 20)
        disk.seek(n << 26)
        disk.write(piece)
        data.write(piece)
PY
cp --sparse=always a.img b.tmp
cp a.data b.data
printf changed | dd of=b.tmp bs=1 seek=$((200 << 26)) conv=notrunc status=none
mv b.tmp b.img
"#;
        shell(script, &dir)?;
    }
    let mut hexz = Command::new(&bench.hexz);
    // They hold no filesystem, so the answer is not whole.
    hexz.args([
        "diff",
        "--files",
        "--json",
        "--partial-ok",
        "a.img",
        "b.img",
    ]);
    hexz.current_dir(&dir);
    let mut cmp = Command::new("cmp");
    cmp.args(["a.data", "b.data"]).current_dir(&dir);
    let (ours, peer) = in_turn(
        bench.rounds,
        || measure(&mut hexz, None),
        || measure(&mut cmp, None),
    )?;
    Ok(Figures {
        title: "two sparse 16 GiB images with 4 GiB of data, against cmp over the data".to_owned(),
        ours,
        peer,
        earlier: Vec::new(),
        goal: "at least 0.8".to_owned(),
        notes: Vec::new(),
    })
}
