//! A fleet: one base, many overlays, many lists; and what engines make of the tables.

mod lists;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::bench::measure::{Cost, run as measure, shell};
use crate::run::{check, release_binary};

const HELP: &str = "\
cargo xtask fleet [--dir DIR] [--files N] [--overlays N] [--lists N] [--runs N]

Makes a base and overlays of it (as root), compares all in one run and one by one, answers lists
made up from the map, and asks DuckDB, Polars and Spark about the tables.";

/// Engines, each at a version that was tried; in a virtual environment of their own.
const ENGINES: &str = "duckdb==2.0.1 polars==2.1.0 pyarrow==26.0.1 pyspark==4.3.0";

struct Fleet {
    dir: PathBuf,
    hexz: PathBuf,
    files: u64,
    overlays: u64,
    lists: u64,
    runs: u64,
}

/// Runs `cargo xtask fleet`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let mut fleet = Fleet {
        dir: root.join("target/fleet"),
        hexz: PathBuf::new(),
        files: 1_000_000,
        overlays: 200,
        lists: 10_000,
        runs: 30_000,
    };
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
        match arg {
            "--dir" => fleet.dir = value()?.into(),
            "--files" => fleet.files = value()?.parse()?,
            "--overlays" => fleet.overlays = value()?.parse()?,
            "--lists" => fleet.lists = value()?.parse()?,
            "--runs" => fleet.runs = value()?.parse()?,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            other => bail!("unknown argument {other:?}\n\n{HELP}"),
        }
    }
    fs::create_dir_all(&fleet.dir)?;
    fleet.hexz = release_binary(root, &["--features", "parquet"])?;
    fleet.prepare()?;
    fleet.overlays()?;
    fleet.tables()?;
    fleet.lists()?;
    fleet.questions()
}

impl Fleet {
    fn prepare(&self) -> Result<()> {
        let known = format!("{} {}", self.files, self.overlays);
        let mark = self.dir.join("made");
        if fs::read_to_string(&mark).is_ok_and(|made| made == known) {
            return Ok(());
        }
        println!(
            "making {} files and {} overlays …",
            self.files, self.overlays
        );
        let script = self.dir.join("disks.py");
        fs::write(&script, include_str!("disks.py"))?;
        let mut python = Command::new("python3");
        python.arg(&script).arg(&self.dir);
        check(python.args([self.files.to_string(), self.overlays.to_string()]))?;
        Ok(fs::write(mark, known)?)
    }

    /// `hexz` with the words of `line`, run in the folder of the fleet.
    fn hexz(&self, line: &str) -> Command {
        let mut command = Command::new(&self.hexz);
        command.current_dir(&self.dir).args(line.split_whitespace());
        command
    }

    /// All overlays in one run, against one process an overlay: twice in turn, and the better.
    fn overlays(&self) -> Result<()> {
        let all = || self.hexz("diff --base base.img --overlays overlays --to reports");
        measure(&mut all(), None)?;
        let mut best = [None::<Cost>; 2];
        for _ in 0..2 {
            let costs = [measure(&mut all(), None)?, self.one_by_one()?];
            for (best, cost) in best.iter_mut().zip(costs) {
                *best = Some(best.filter(|best| best.time <= cost.time).unwrap_or(cost));
            }
        }
        let [together, alone] = best.map(Option::unwrap_or_default);
        println!(
            "\n{} overlays of a base of {} files",
            self.overlays, self.files
        );
        print("in one run", together);
        print("one by one", alone);
        let ratio = alone.time.as_secs_f64() / together.time.as_secs_f64();
        println!("  ratio {ratio:.1}   (goal: at least 5)");
        Ok(())
    }

    /// What a process for each overlay takes together, and the most memory of one.
    fn one_by_one(&self) -> Result<Cost> {
        let mut alone = Cost::default();
        for entry in fs::read_dir(self.dir.join("overlays"))? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".overlay") {
                let line = format!("diff --files --json --base base.img overlays/{name}");
                let cost = measure(&mut self.hexz(&line), None)?;
                alone.time += cost.time;
                alone.memory = alone.memory.max(cost.memory);
            }
        }
        Ok(alone)
    }

    /// The tables of all overlays and of the map, beside the map in JSON.
    fn tables(&self) -> Result<()> {
        for old in ["tables", "reports"] {
            let old = self.dir.join(old);
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        let line = "diff --base base.img --overlays overlays --to reports --parquet tables";
        print(
            "overlays, with tables",
            measure(&mut self.hexz(line), None)?,
        );
        print(
            "map as tables",
            measure(&mut self.hexz("map base.img --parquet tables"), None)?,
        );
        let json = self.dir.join("tables/map.jsonl");
        print(
            "map as JSON",
            measure(&mut self.hexz("map --json base.img"), Some(&json))?,
        );
        let tables = ["pieces", "owners", "names", "map_diagnostics"].map(|table| {
            let part = format!("tables/{table}/image=base.img/part.parquet");
            fs::metadata(self.dir.join(part)).map(|file| file.len())
        });
        let tables = tables.into_iter().sum::<std::io::Result<u64>>()?;
        let json = fs::metadata(json)?.len();
        println!(
            "  the map: tables {} MiB, JSON {} MiB",
            tables >> 20,
            json >> 20
        );
        Ok(())
    }

    /// Lists of runs that are made up from the map.
    fn lists(&self) -> Result<()> {
        let files = lists::make(&self.dir, self.lists, self.runs)?;
        let owner = || self.hexz("owner base.img --lists names");
        println!(
            "\n{} lists of {} runs, {files} different   (goal: under 60 s, at most 1 GiB of memory)",
            self.lists, self.runs
        );
        print("owner --lists", measure(&mut owner(), None)?);
        // What the disk takes is in it, too.
        let file = self.dir.join("sums");
        print("the same, to a file", measure(&mut owner(), Some(&file))?);
        let sums = fs::metadata(self.dir.join("sums"))?.len();
        println!("  {} MiB of sums", sums >> 20);
        fs::remove_file(self.dir.join("sums"))?;
        Ok(())
    }

    /// The same questions by each engine.
    fn questions(&self) -> Result<()> {
        let install = format!(
            "[ -x engines/bin/python ] || python3 -m venv engines\n\
             engines/bin/pip install --quiet {ENGINES}"
        );
        shell(&install, &self.dir)?;
        let script = self.dir.join("questions.py");
        fs::write(&script, include_str!("questions.py"))?;
        println!("\nquestions about the tables");
        let start = Instant::now();
        let mut python = Command::new(self.dir.join("engines/bin/python"));
        python.arg(&script).current_dir(&self.dir);
        // A region in the middle of the data.
        let bad = format!("{}+{}", 2u64 << 30, 64 << 20);
        check(python.args(["tables", "reports", &bad]))?;
        print("all engines", cost_of(start.elapsed()));
        Ok(())
    }
}

fn cost_of(time: Duration) -> Cost {
    Cost {
        time,
        ..Cost::default()
    }
}

fn print(what: &str, cost: Cost) {
    let (time, memory) = (cost.time.as_secs_f64(), cost.memory >> 20);
    println!("  {what:24} {time:9.2} s, peak {memory} MiB");
}
