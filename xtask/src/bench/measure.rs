//! Running commands for their time and their peak memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// One run of a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Wall clock.
    pub(crate) time: Duration,
    /// Peak resident memory in bytes.
    pub(crate) memory: u64,
}

/// What a case found: our cost and the peer's, round by round.
pub(crate) struct Figures {
    /// What is compared.
    pub(crate) title: String,
    /// Our rounds.
    pub(crate) ours: Vec<Cost>,
    /// The peer's rounds, in turn with ours.
    pub(crate) peer: Vec<Cost>,
    /// What the ratio should be at least, and how to say so.
    pub(crate) goal: String,
    /// Further lines.
    pub(crate) notes: Vec<String>,
}

impl Figures {
    /// Prints medians and their ratio.
    pub(crate) fn print(&self, case: &str) {
        let (ours, peer) = (median(&self.ours), median(&self.peer));
        let memory = self.ours.iter().map(|c| c.memory).max().unwrap_or(0);
        println!("\n{case}: {}", self.title);
        println!(
            "  hexz   {:>9.3} s, peak {} MiB",
            ours.as_secs_f64(),
            memory >> 20
        );
        println!("  peer   {:>9.3} s", peer.as_secs_f64());
        println!(
            "  ratio  {:>9.2}   (goal: {})",
            peer.as_secs_f64() / ours.as_secs_f64(),
            self.goal
        );
        for note in &self.notes {
            println!("  {note}");
        }
    }
}

/// The middle time.
pub(crate) fn median(costs: &[Cost]) -> Duration {
    let mut times: Vec<Duration> = costs.iter().map(|c| c.time).collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Measures two sides in turn, `rounds` times. Each is run once more before it is measured, so that
/// what it reads is in the page cache: what the other side leaves there would decide else.
pub(crate) fn in_turn(
    rounds: usize,
    mut ours: impl FnMut() -> Result<Cost>,
    mut peer: impl FnMut() -> Result<Cost>,
) -> Result<(Vec<Cost>, Vec<Cost>)> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours()?;
        left.push(ours()?);
        peer()?;
        right.push(peer()?);
    }
    Ok((left, right))
}

/// Runs `command` to its end with its output in `out` (or nowhere).
pub(crate) fn run(command: &mut Command, out: Option<&Path>) -> Result<Cost> {
    let output = match out {
        Some(path) => Stdio::from(File::create(path)?),
        None => Stdio::null(),
    };
    command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null());
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("{command:?}"))?;
    let (status, end, memory) = watch(child)?;
    let cost = Cost {
        time: end - start,
        memory,
    };
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(cost)
}

/// Waits for `child`, reading its high-water mark on the way: the mark only rises, so what is
/// missed is what it rose in the last moments. It is read by another thread, and seldom: reading it
/// holds the child up where it asks for memory.
fn watch(mut child: Child) -> Result<(ExitStatus, Instant, u64)> {
    let status_file = PathBuf::from(format!("/proc/{}/status", child.id()));
    let (memory, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let (status, end) = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
                if let Ok(text) = fs::read_to_string(&status_file) {
                    memory.fetch_max(high_water(&text), Ordering::Relaxed);
                }
            }
        });
        let status = child.wait();
        let end = Instant::now();
        ended.store(true, Ordering::Relaxed);
        (status, end)
    });
    Ok((status?, end, memory.into_inner()))
}

fn high_water(status: &str) -> u64 {
    let line = status
        .lines()
        .find(|l| l.starts_with("VmHWM:"))
        .unwrap_or_default();
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    kib << 10
}

/// Runs a shell script that must succeed.
pub(crate) fn shell(script: &str, dir: &Path) -> Result<()> {
    let status = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(dir)
        .stdin(Stdio::null())
        .status()?;
    if !status.success() {
        bail!(
            "a preparation failed ({status}) in {}:\n{script}",
            dir.display()
        );
    }
    Ok(())
}
