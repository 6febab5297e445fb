//! Sets of disks, held against the kernel that made them: md arrays and LVM volumes of random
//! levels, layouts, chunks and numbers of disks, each with an ext4 in two states.
//!
//! The kernel is that of the appliance of libguestfs (`fixtures/members/appliance.sh`). It says which
//! bytes each file has; hexz must give the same ones, of all disks, and without those that the level
//! can spare; and a diff must name just the files that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use hexz_testkit::Rng;
use serde_json::Value;

use crate::run::{check, output};

/// A set of disks to be made.
struct Set {
    name: String,
    disks: usize,
    /// Its line for `appliance.sh`.
    line: String,
    /// Disks that may be missing, whichever they are.
    spare: usize,
}

/// The digests of files by their paths.
type Files = BTreeMap<String, String>;

/// Runs `cargo xtask oracle members`: a run of the appliance for each seed.
pub(super) fn run(root: &Path, hexz: &Path, dir: &Path, seeds: std::ops::Range<u64>) -> Result<()> {
    let mut page = "# Sets of disks, against the kernel\n\n\
         Made by `cargo xtask oracle members`. Each row is a volume on several disks that the kernel of \
         libguestfs's appliance made, with an ext4 that it changed in a second run. `hexz extract` \
         gives the files with the digests that the kernel gives, before and after, of all disks and \
         without those that can be spared; `hexz diff` names just the files that differ, and leaves \
         nothing unresolved.\n\n\
         | set | seed | disks | files | changed | without |\n|---|--:|--:|--:|--:|---|\n"
        .to_owned();
    let mut count = 0;
    for seed in seeds {
        let mut random = Rng::new(seed);
        let sets = sets(&mut random);
        let out = dir.join(format!("members-{seed}"));
        make(root, &out, &sets, &mut random)?;
        for set in &sets {
            let held = Held {
                hexz,
                out: &out,
                set,
            };
            let row = held.hold(&mut random);
            let row = row.with_context(|| format!("{} seed {seed}: {}", set.name, set.line))?;
            println!("{} seed {seed}: {row}", set.name);
            // Writing to a string does not fail.
            let what = set.line.split_once('|').map_or("", |(_, what)| what);
            let _ = writeln!(page, "| `{what}` | {seed} | {row} |");
            count += 1;
        }
        fs::remove_dir_all(&out)?;
    }
    fs::write(root.join("docs/oracle-members.md"), page)?;
    println!("{count} sets agree with the kernel");
    Ok(())
}

/// One of each level, with the rest at random.
fn sets(random: &mut Rng) -> Vec<Set> {
    let mut sets = Vec::new();
    let mut add = |what: String, disks: usize, sizes: Vec<u64>, spare: usize| {
        let name = format!("set-{}", sets.len());
        let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
        let line = format!("{name} {}|{what}", sizes.join(" "));
        sets.push(Set {
            name,
            disks,
            line,
            spare,
        });
    };
    let some = |random: &mut Rng, least: u64, most: u64| least + random.below(most - least + 1);
    let pick = |random: &mut Rng, from: &[&'static str]| {
        from[usize::try_from(random.below(from.len() as u64)).unwrap_or(0)]
    };
    let version = |random: &mut Rng| pick(random, &["0.90", "1.0", "1.1", "1.2"]);
    let chunk = |random: &mut Rng| pick(random, &["4", "8", "16", "32", "64", "128"]);
    for level in ["linear", "0", "1", "10", "4", "5", "6"] {
        let (least, most) = match level {
            "4" | "5" => (3, 5),
            "6" => (4, 6),
            "1" => (2, 3),
            _ => (2, 5),
        };
        let count = some(random, least, most);
        let mut what = format!("md {} {level}", version(random));
        if !matches!(level, "linear" | "1") {
            let _ = write!(what, " -c {}", chunk(random));
        }
        let mut spare = usize::from(!matches!(level, "linear" | "0"));
        match level {
            "1" => spare = usize::try_from(count).unwrap_or(1) - 1,
            "10" => {
                let copies = some(random, 2, count.min(3));
                let _ = write!(what, " -p {}{copies}", pick(random, &["n", "f", "o"]));
                spare = usize::try_from(copies).unwrap_or(1) - 1;
            }
            "5" => {
                let layouts = ["ls", "la", "rs", "ra", "parity-first", "parity-last"];
                let _ = write!(what, " -p {}", pick(random, &layouts));
            }
            "6" => {
                spare = 2;
                let layouts = [
                    "ls",
                    "la",
                    "rs",
                    "ra",
                    "parity-first",
                    "parity-last",
                    "left-symmetric-6",
                    "left-asymmetric-6",
                    "right-symmetric-6",
                    "right-asymmetric-6",
                    "parity-first-6",
                ];
                let _ = write!(what, " -p {}", pick(random, &layouts));
            }
            _ => {}
        }
        // Linear arrays and stripes use all of disks of several sizes.
        let size = |random: &mut Rng| 6144 + 128 * random.below(24);
        let sizes = (0..count).map(|_| size(random)).collect();
        add(what, usize::try_from(count).unwrap_or(2), sizes, spare);
    }
    for kind in ["linear", "striped", "raid1", "mirror"] {
        let count = some(random, 2, 3);
        let each = 8192 + 256 * random.below(8);
        let (size, options, spare) = match kind {
            "linear" => (each * (count - 1) + 2048, "--type linear".to_owned(), 0),
            "striped" => {
                let chunk = pick(random, &["4", "16", "64"]);
                (each * count / 2, format!("-i {count} -I {chunk}"), 0)
            }
            "raid1" => (
                each - 1536,
                format!("--type raid1 -m {} --nosync", count - 1),
                count - 1,
            ),
            _ => {
                let options = format!("--type mirror -m {} --nosync --mirrorlog core", count - 1);
                (each - 1536, options, count - 1)
            }
        };
        let what = format!("lvm {size} {options}");
        let sizes = (0..count).map(|_| each).collect();
        let spare = usize::try_from(spare).unwrap_or(0);
        add(what, usize::try_from(count).unwrap_or(2), sizes, spare);
    }
    sets
}

/// Makes the sets in the appliance, below `out`.
fn make(root: &Path, out: &Path, sets: &[Set], random: &mut Rng) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    fs::create_dir_all(out)?;
    let [list, before, after] = ["list", "before", "after"].map(|name| out.join(name));
    let lines: Vec<&str> = sets.iter().map(|set| set.line.as_str()).collect();
    fs::write(&list, lines.join("\n") + "\n")?;
    // Numbers that count up differ in each place, so that no two chunks are alike.
    let mut first = "mkdir d\n".to_owned();
    for n in 0..24 {
        let (from, size) = (random.below(1 << 30), random.below(90_000));
        let _ = writeln!(
            first,
            "seq {from} {} | head -c {size} > d/f{n}",
            from + 99_999
        );
    }
    let _ = writeln!(
        first,
        "seq {} 9999999 | head -c 2500000 > long",
        random.below(1 << 20)
    );
    let mut then = String::new();
    for n in 0..12 {
        let (from, size) = (random.below(1 << 30), random.below(60_000));
        let at = random.below(2_400_000);
        let _ = match random.below(5) {
            0 => writeln!(then, "rm d/f{n}"),
            1 => writeln!(then, "seq {from} {} | head -c {size} > n{n}", from + 99_999),
            2 => writeln!(
                then,
                "seq {from} {} | head -c {size} > d/f{n}",
                from + 99_999
            ),
            3 => writeln!(then, "seq {from} {} >> d/f{n}", from + 500),
            _ => writeln!(
                then,
                "seq {from} {} | dd of=long bs=1 seek={at} conv=notrunc status=none",
                from + 300
            ),
        };
    }
    fs::write(&before, first)?;
    fs::write(&after, then)?;
    let script = root.join("fixtures/members/appliance.sh");
    let mut command = Command::new("bash");
    check(command.arg(script).args([&list, &before, &after]).arg(out))
        .context("the appliance of libguestfs is needed (libguestfs-tools)")
}

struct Held<'a> {
    hexz: &'a Path,
    out: &'a Path,
    set: &'a Set,
}

impl Held<'_> {
    /// Compares everything, and gives the rest of the row.
    fn hold(&self, random: &mut Rng) -> Result<String> {
        let all: Vec<usize> = (1..=self.set.disks).collect();
        let [before, after] = [self.files("before")?, self.files("after")?];
        self.diff(&all, &before, &after)?;
        // As many are left out as can be, and which is left to chance.
        let mut some = all.clone();
        let mut without = Vec::new();
        while without.len() < self.set.spare {
            let at = usize::try_from(random.below(some.len() as u64))?;
            without.push(some.remove(at));
        }
        for disks in [&all, &some] {
            for (state, files) in [("before", &before), ("after", &after)] {
                let found = self.extracted(state, disks)?;
                let differ = differing(files, &found);
                ensure!(
                    differ.is_empty(),
                    "{state}, of the disks {disks:?}: other bytes in {differ:?}"
                );
            }
        }
        if some != all {
            self.diff(&some, &before, &after)?;
        }
        let without: Vec<String> = without.iter().map(usize::to_string).collect();
        Ok(format!(
            "{} | {} | {} | {}",
            self.set.disks,
            after.len(),
            differing(&before, &after).len(),
            without.join(", ")
        ))
    }

    /// What the kernel read.
    fn files(&self, state: &str) -> Result<Files> {
        let text = fs::read_to_string(self.out.join("files"))?;
        let mut files = Files::new();
        for line in text.lines() {
            let [name, of, sum, path] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
                bail!("{line}");
            };
            if name == self.set.name && of == state {
                files.insert(path.trim_start_matches('.').to_owned(), sum.to_owned());
            }
        }
        ensure!(files.len() > 8, "the kernel read {} files", files.len());
        Ok(files)
    }

    /// What hexz reads of `disks`.
    fn extracted(&self, state: &str, disks: &[usize]) -> Result<Files> {
        let folder = self.out.join(&self.set.name);
        let to = folder.join("files");
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        let mut command = Command::new(self.hexz);
        command.current_dir(&folder).arg("extract");
        for (n, disk) in disks.iter().enumerate() {
            if n > 0 {
                command.arg("--disk");
            }
            command.arg(format!("{state}-{disk}.img"));
        }
        output(command.args(["/", "--to", "files"]))?;
        let mut sums = Command::new("bash");
        // Below the folder of the volume, whatever that is called.
        let list = "cd \"$(dirname \"$(find files -name long)\")\"; \
                    find . -type f -exec sha256sum {} +";
        let text = output(sums.current_dir(&folder).args(["-c", list]))?;
        let pairs = text.lines().filter_map(|line| line.split_once("  "));
        Ok(pairs
            .map(|(sum, path)| (path.trim_start_matches('.').to_owned(), sum.to_owned()))
            .collect())
    }

    /// The diff of `disks` names just the files that differ.
    fn diff(&self, disks: &[usize], before: &Files, after: &Files) -> Result<()> {
        let mut command = Command::new(self.hexz);
        command.current_dir(self.out.join(&self.set.name));
        command.args(["diff", "--files", "--json"]);
        for (n, disk) in disks.iter().enumerate() {
            let (before, after) = (format!("before-{disk}.img"), format!("after-{disk}.img"));
            match n {
                0 => command.args([before, after]),
                _ => command.args(["--disk".to_owned(), format!("{before}:{after}")]),
            };
        }
        let text = output(&mut command)?;
        let records = text.lines().map(serde_json::from_str);
        let records: Vec<Value> = records.collect::<std::result::Result<_, _>>()?;
        let changes = records
            .iter()
            .filter(|r| r["type"] == "change" && r["kind"] == "file" && r["change"] != "metadata");
        let told: BTreeSet<String> = changes
            .filter_map(|change| change["path"].as_str().map(str::to_owned))
            .collect();
        let expected = differing(before, after);
        ensure!(
            told == expected,
            "of the disks {disks:?}: {expected:?} differ, and told is {told:?}"
        );
        let rest = records.iter().filter(|r| r["type"] == "unresolved");
        ensure!(
            rest.count() == 0,
            "of the disks {disks:?}: something is unresolved"
        );
        Ok(())
    }
}

/// The paths that are not in both with the same digest.
fn differing(before: &Files, after: &Files) -> BTreeSet<String> {
    let paths = before.keys().chain(after.keys());
    let differ = paths.filter(|path| before.get(*path) != after.get(*path));
    differ.cloned().collect()
}
