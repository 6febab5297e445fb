//! Disks on which very much changed, or one thing has very many parts: time and peak memory, beside
//! an earlier build where one is given.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::measure::{Cost, run as measure, shell};

/// A change, as two images.
struct Case {
    title: &'static str,
    before: &'static str,
    after: &'static str,
}

const CASES: [Case; 12] = [
    case("a million files added", "empty", "files"),
    case("a million files deleted", "files", "empty"),
    case("a million files chmoded", "files", "chmod"),
    case("their directory renamed", "files", "renamed"),
    case("six files appended to, of a million", "files", "small"),
    case(
        "a file of 10,000 names appended to",
        "names-10000",
        "names-10000-appended",
    ),
    case(
        "5,000 names added to it",
        "names-10000",
        "names-10000-added",
    ),
    case(
        "a file of 100,000 names appended to",
        "names-100000",
        "names-100000-appended",
    ),
    case(
        "50,000 names added to it",
        "names-100000",
        "names-100000-added",
    ),
    case(
        "two changes in a directory of a million",
        "directory",
        "directory-after",
    ),
    case(
        "a file of a million extents rewritten",
        "extents",
        "extents-after",
    ),
    case("the same the other way round", "extents-after", "extents"),
];

const fn case(title: &'static str, before: &'static str, after: &'static str) -> Case {
    Case {
        title,
        before,
        after,
    }
}

/// Bytes of address space that a run gets, in KiB for `ulimit`.
const ADDRESS_SPACE: u64 = 1 << 20;

pub(super) fn run(bench: &Bench) -> Result<()> {
    let dir = bench.folder("scale")?;
    if !dir.join("made").exists() {
        eprintln!("making the images of twelve changes in {} …", dir.display());
        shell(SCRIPT, &dir)?;
    }
    println!(
        "\nscale: time, peak memory, size of the JSON; and the same within 1 GiB of addresses"
    );
    for case in &CASES {
        let ours = best(bench.rounds, || one(&bench.hexz, &dir, case))?;
        let output = std::fs::metadata(dir.join("out.json"))?.len();
        let confined = confined(&bench.hexz, &dir, case)?;
        print!(
            "  {:<42} {:>8.2} s {:>6} MiB {:>7.1} MB  {confined}",
            case.title,
            ours.time.as_secs_f64(),
            ours.memory >> 20,
            output as f64 / 1e6
        );
        match &bench.earlier {
            None => println!(),
            Some(earlier) => match best(bench.rounds, || one(earlier, &dir, case)) {
                Ok(peer) => println!(
                    "   earlier {:>8.2} s {:>6} MiB   ratio {:.2}",
                    peer.time.as_secs_f64(),
                    peer.memory >> 20,
                    peer.time.as_secs_f64() / ours.time.as_secs_f64()
                ),
                Err(error) => println!("   earlier fails: {error}"),
            },
        }
    }
    Ok(())
}

fn one(hexz: &Path, dir: &Path, case: &Case) -> Result<Cost> {
    let mut command = Command::new(hexz);
    command.args(["diff", "--files", "--json"]);
    for image in [case.before, case.after] {
        command.arg(format!("{image}.img"));
    }
    measure(command.current_dir(dir), Some(&dir.join("out.json")))
}

/// The fastest of some rounds, with the most memory of any.
fn best(rounds: usize, mut one: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let mut best = Cost {
        time: Duration::MAX,
        ..Cost::default()
    };
    for _ in 0..rounds.max(1) {
        let cost = one()?;
        best.time = best.time.min(cost.time);
        best.memory = best.memory.max(cost.memory);
    }
    Ok(best)
}

/// How a run ends that has little address space.
fn confined(hexz: &Path, dir: &Path, case: &Case) -> Result<String> {
    let script = format!(
        "ulimit -v {ADDRESS_SPACE}; exec \"$0\" diff --files --json {}.img {}.img",
        case.before, case.after
    );
    let status = Command::new("bash")
        .args(["-c", &script])
        .arg(hexz)
        .current_dir(dir)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()?;
    Ok(match status.code() {
        Some(code) => format!("exit {code}"),
        None => format!("{status}"),
    })
}

const SCRIPT: &str = r#"
rm -rf mnt *.img; mkdir mnt
trap 'umount mnt 2>/dev/null || true' EXIT
on() { mount -o loop "$1" mnt; }
off() { sync; for i in 1 2 3 4 5; do umount mnt && return; sleep 1; done; }
# A million files: ext4.
truncate -s 6G empty.img
mkfs.ext4 -q -F -N 1200000 -E lazy_itable_init=0,lazy_journal_init=0 empty.img
cp --sparse=always empty.img files.img
on files.img
python3 - <<'PY'
import os
for d in range(1000):
    p = f"mnt/all/t{d // 100}/d{d}"
    os.makedirs(p)
    for n in range(1000):
        with open(f"{p}/file-{n}", "wb") as f:
            if n % 10 == 0:
                f.write(b"%d/%d\n" % (d, n))
PY
off
cp --sparse=always files.img chmod.img; on chmod.img; chmod -R o-r mnt/all; off
cp --sparse=always files.img renamed.img; on renamed.img; mv mnt/all mnt/other; off
cp --sparse=always files.img small.img; on small.img
for d in 1 200 400 600 800 999; do echo more >> mnt/all/t$((d / 100))/d$d/file-7; done; off
# One file with many names: XFS, since ext4 has at most 65,000.
for n in 10000 100000; do
truncate -s 1G names-$n.img
mkfs.xfs -q -f names-$n.img
on names-$n.img
N=$n python3 - <<'PY'
import os
n = int(os.environ["N"])
os.mkdir("mnt/pool")
with open("mnt/pool/first", "w") as f: f.write("content\n")
for k in range(n - 1):
    if k % 1000 == 0: os.mkdir(f"mnt/pool/{k // 1000}")
    os.link("mnt/pool/first", f"mnt/pool/{k // 1000}/name-{k}")
PY
off
cp --sparse=always names-$n.img names-$n-appended.img
on names-$n-appended.img; printf more >> mnt/pool/first; off
cp --sparse=always names-$n.img names-$n-added.img
on names-$n-added.img
N=$n python3 - <<'PY'
import os
for k in range(int(os.environ["N"]) // 2):
    if k % 1000 == 0: os.mkdir(f"mnt/pool/new{k // 1000}")
    os.link("mnt/pool/first", f"mnt/pool/new{k // 1000}/name-{k}")
PY
off
done
# A directory of a million entries.
truncate -s 6G directory.img
mkfs.ext4 -q -F -N 1200000 -O large_dir directory.img
on directory.img
python3 - <<'PY'
import os
os.mkdir("mnt/big")
for n in range(1000000): os.mknod(f"mnt/big/file-{n}")
PY
off
cp --sparse=always directory.img directory-after.img; on directory-after.img; echo new > mnt/big/new; mv mnt/big/file-500000 mnt/big/moved; off
# A file of a million extents.
truncate -s 6G extents.img
mkfs.ext4 -q -F -b 1024 extents.img
on extents.img
python3 - <<'PY'
import os
with open("mnt/holes", "wb", buffering=0) as f:
    for n in range(1000000): os.pwrite(f.fileno(), b"x", n * 2048)
PY
off
cp --sparse=always extents.img extents-after.img; on extents-after.img
python3 - <<'PY'
import os
fd = os.open("mnt/holes", os.O_WRONLY)
for n in range(1000000): os.pwrite(fd, b"y", n * 2048 + 5)
PY
off
touch made
"#;
