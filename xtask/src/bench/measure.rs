//! Running commands for their time, their peak memory, and what they read.

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
    /// Time of the processor, in user and in system mode, to a hundredth of a second.
    pub(crate) cpu: Duration,
    /// Peak resident memory in bytes.
    pub(crate) memory: u64,
    /// What the summary of its report says was read of the disks.
    pub(crate) read: Option<Read>,
}

/// What was read of the disks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    /// Requests.
    pub(crate) requests: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl Read {
    /// What a request costs on a disk at the other end of a network,
    const REQUEST: Duration = Duration::from_millis(5);
    /// and how many bytes come a second.
    const BYTES: f64 = 200e6;

    /// What the reads alone would take there, one after the other.
    fn cold(self) -> Duration {
        let requests = Self::REQUEST.as_secs_f64() * self.requests as f64;
        Duration::from_secs_f64(requests + self.bytes as f64 / Self::BYTES)
    }
}

/// What a case found: our cost and the peer's, round by round.
pub(crate) struct Figures {
    /// What is compared.
    pub(crate) title: String,
    /// Our rounds.
    pub(crate) ours: Vec<Cost>,
    /// The peer's rounds, in turn with ours.
    pub(crate) peer: Vec<Cost>,
    /// The rounds of an earlier build, where one was given.
    pub(crate) earlier: Vec<Cost>,
    /// What the ratio should be at least, and how to say so.
    pub(crate) goal: String,
    /// Further lines.
    pub(crate) notes: Vec<String>,
}

impl Figures {
    /// Prints medians and their ratio.
    pub(crate) fn print(&self, case: &str) {
        let (ours, peer) = (median(&self.ours), median(&self.peer));
        println!("\n{case}: {}", self.title);
        println!("  hexz    {}", told(&self.ours));
        if let Some(read) = self.ours.last().and_then(|c| c.read) {
            println!(
                "  read    {:>9} requests, {:.1} MiB; on a network disk (5 ms a request, 200 MB/s) \
                 {:.1} s beside {:.3} s warm",
                read.requests,
                read.bytes as f64 / f64::from(1 << 20),
                (read.cold() + ours).as_secs_f64(),
                ours.as_secs_f64()
            );
        }
        println!("  peer    {}", told(&self.peer));
        println!(
            "  ratio   {:>9.2}   (goal: {})",
            peer.as_secs_f64() / ours.as_secs_f64(),
            self.goal
        );
        if !self.earlier.is_empty() {
            let then = median(&self.earlier);
            let cpu = |costs: &[Cost]| median_of(costs, |c| c.cpu).as_secs_f64();
            println!("  earlier {}", told(&self.earlier));
            println!(
                "  ratio   {:>9.2}   of time, {:.2} of processor time",
                then.as_secs_f64() / ours.as_secs_f64(),
                cpu(&self.earlier) / cpu(&self.ours)
            );
        }
        for note in &self.notes {
            println!("  {note}");
        }
    }
}

/// The middle times, and the most memory.
fn told(costs: &[Cost]) -> String {
    format!(
        "{:>9.3} s, {:.2} s of processor time, peak {} MiB",
        median(costs).as_secs_f64(),
        median_of(costs, |c| c.cpu).as_secs_f64(),
        costs.iter().map(|c| c.memory).max().unwrap_or(0) >> 20
    )
}

/// The middle time.
pub(crate) fn median(costs: &[Cost]) -> Duration {
    median_of(costs, |c| c.time)
}

fn median_of(costs: &[Cost], time: impl Fn(&Cost) -> Duration) -> Duration {
    let mut times: Vec<Duration> = costs.iter().map(time).collect();
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
    let (start, before) = (Instant::now(), children()?);
    let child = command.spawn().with_context(|| format!("{command:?}"))?;
    let (status, end, memory) = watch(child)?;
    let cost = Cost {
        time: end - start,
        cpu: children()?.saturating_sub(before),
        memory,
        read: None,
    };
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(cost)
}

/// Processor time of all children that ended: fields 16 and 17 of `/proc/self/stat`, in hundredths
/// of a second.
fn children() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name of the program is the second field, and may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
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

/// [`run`] of a command that writes a report as JSON, with what its summary says was read.
pub(crate) fn run_report(command: &mut Command, out: &Path) -> Result<Cost> {
    let cost = run(command, Some(out))?;
    let text = fs::read_to_string(out)?;
    let summary: serde_json::Value = match text.lines().last() {
        Some(line) => serde_json::from_str(line)?,
        None => bail!("{command:?} wrote no report"),
    };
    let number = |key: &str| summary.get(key).and_then(serde_json::Value::as_u64);
    let read = number("requests").zip(number("bytes_read"));
    let read = read.map(|(requests, bytes)| Read { requests, bytes });
    Ok(Cost { read, ..cost })
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
