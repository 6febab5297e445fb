//! The formats and tables that Debian's tools make: each alone, and each over each other.
//!
//! A format is made over another one without wiping, and the layout must name the second, as
//! `blkid -p` names it where it is alone. Label and UUID of each alone are held against `blkid`
//! too. What is otherwise by intent stands in a list, with the reason.

mod makers;
mod named;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

use self::makers::{EXCEPTIONS, MAKERS, Maker};
use self::named::Named;
use crate::run::check;

/// Length of the device; what makes a format writes little of it.
const SIZE: u64 = 320 << 20;

/// A format that could be made, and what it is called where it is alone.
struct Made {
    maker: &'static Maker,
    image: PathBuf,
    named: Named,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    pairs: usize,
    excepted: usize,
    /// Pairs of which the second maker refuses to write over the first.
    refused: Vec<String>,
    left_out: Vec<String>,
    wrong: Vec<String>,
}

pub(super) fn run(binary: &Path, dir: &Path, chosen: &[String], page: Option<&Path>) -> Result<()> {
    std::fs::create_dir_all(dir.join("t"))?;
    std::fs::write(dir.join("t/hello"), "hello\n")?;
    let mut outcome = Outcome::default();
    let mut all = Vec::new();
    for maker in MAKERS {
        match alone(maker, binary, dir, &mut outcome) {
            Ok(made) => all.push(made),
            Err(error) => {
                let line = format!("{}: {error:#}", maker.name);
                println!("left out: {line}");
                outcome.left_out.push(line);
            }
        }
    }
    let is_chosen = |one: &Made| chosen.is_empty() || chosen.iter().any(|c| c == one.maker.name);
    let pairs: Vec<(&Made, &Made)> = all
        .iter()
        .flat_map(|first| all.iter().map(move |second| (first, second)))
        .filter(|(first, second)| is_chosen(first) || is_chosen(second))
        .collect();
    let shared = Mutex::new(&mut outcome);
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = |own: PathBuf| -> Result<()> {
            std::fs::create_dir_all(own.join("t"))?;
            std::fs::write(own.join("t/hello"), "hello\n")?;
            while let Some((first, second)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let told = pair(first, second, binary, &own)
                    .with_context(|| format!("{} over {}", second.maker.name, first.maker.name))?;
                if let Ok(mut outcome) = shared.lock() {
                    outcome.note(first, second, told);
                }
            }
            Ok(())
        };
        let threads: Vec<_> = (0..workers)
            .map(|n| scope.spawn(move || work(dir.join(format!("worker{n}")))))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    std::fs::remove_dir_all(dir)?;
    println!(
        "{} formats alone, {} pairs, {} as the list of exceptions says, {} refused by the maker, {} wrong",
        all.len(),
        outcome.pairs,
        outcome.excepted,
        outcome.refused.len(),
        outcome.wrong.len()
    );
    if let Some(page) = page.filter(|_| chosen.is_empty()) {
        std::fs::write(page, outcome.page(&all)).with_context(|| format!("{}", page.display()))?;
    }
    match outcome.wrong.is_empty() && outcome.pairs > 0 {
        true => Ok(()),
        false => bail!("not every format is named as its maker's reader does"),
    }
}

/// Makes a format on an empty device, and holds what it is called against `blkid`.
fn alone(maker: &'static Maker, binary: &Path, dir: &Path, outcome: &mut Outcome) -> Result<Made> {
    let image = dir.join(format!("{}.img", maker.name));
    let _ = std::fs::remove_file(&image);
    File::create(&image)?.set_len(SIZE)?;
    make(maker, dir, &image)?;
    let (theirs, ours) = (Named::by_blkid(&image)?, Named::by_hexz(binary, &image)?);
    if theirs != ours {
        let line = format!("{}: blkid {theirs:?}, hexz {ours:?}", maker.name);
        println!("wrong: {line}");
        outcome.wrong.push(line);
    }
    Ok(Made {
        maker,
        image,
        named: ours,
    })
}

/// What a device is called on which the second was made over the first; `None` where its maker
/// refuses.
fn pair(first: &Made, second: &Made, binary: &Path, dir: &Path) -> Result<Option<String>> {
    let device = dir.join("pair.img");
    let copy = ["--sparse=always"];
    check(Command::new("cp").args(copy).arg(&first.image).arg(&device))?;
    if make(second.maker, dir, &device).is_err() {
        return Ok(None);
    }
    Ok(Some(Named::by_hexz(binary, &device)?.kind))
}

impl Outcome {
    fn note(&mut self, first: &Made, second: &Made, told: Option<String>) {
        let (one, two) = (first.maker.name, second.maker.name);
        let Some(found) = told else {
            return self.refused.push(format!("{two} over {one}"));
        };
        self.pairs += 1;
        if found == second.named.kind {
            return;
        }
        let mut exceptions = EXCEPTIONS.iter();
        if exceptions.any(|e| e.covers(one, two)) {
            self.excepted += 1;
            return;
        }
        let line = format!("{two} over {one}: {found}");
        println!("wrong: {line}");
        self.wrong.push(line);
    }

    fn page(&mut self, all: &[Made]) -> String {
        self.refused.sort();
        self.wrong.sort();
        let mut text = String::from(
            "# Formats over formats\n\n\
            `cargo xtask oracle formats` makes each format and table that Debian's tools make on an \
            empty device, and holds name, label and UUID against `blkid -p`. Then it makes each \
            over each other one, without wiping: the second is what is there, and must be named.\n\n",
        );
        let mut line = |name: &str, value: usize| {
            let _ = writeln!(text, "- {name}: {value}");
        };
        line("formats alone", all.len());
        line("ordered pairs made", self.pairs);
        line("of them otherwise by intent", self.excepted);
        line("pairs whose second maker refuses", self.refused.len());
        line("wrong", self.wrong.len());
        text.push_str(
            "\n## Formats\n\n| here | named | label | how it is made |\n|---|---|---|---|\n",
        );
        for made in all {
            let (maker, named) = (made.maker, &made.named);
            let script = maker.script.replace('|', "\\|").replace('\n', "; ");
            let (kind, label) = (&named.kind, &named.label);
            let _ = writeln!(text, "| {} | {kind} | {label} | `{script}` |", maker.name);
        }
        text.push_str("\n## Otherwise by intent\n\n| first | second | why |\n|---|---|---|\n");
        for e in EXCEPTIONS {
            let _ = writeln!(text, "| {} | {} | {} |", e.first, e.second, e.why);
        }
        let lists = [
            ("The second maker refuses", &self.refused),
            ("Could not be made", &self.left_out),
            ("Wrong", &self.wrong),
        ];
        for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            let _ = writeln!(text, "\n## {title}\n");
            for line in lines {
                let _ = writeln!(text, "- {line}");
            }
        }
        text
    }
}

fn make(maker: &Maker, dir: &Path, device: &Path) -> Result<()> {
    let mut command = Command::new("sh");
    command
        .args(["-ec", maker.script])
        .current_dir(dir)
        .env("D", device);
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    );
    let output = command.stdin(std::process::Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
