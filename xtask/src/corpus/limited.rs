//! A program under a limit of time and memory.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a run went.
pub(super) struct Ran {
    /// What it wrote.
    pub(super) output: String,
    errors: String,
    status: ExitStatus,
    /// How long it took.
    pub(super) time: Duration,
    /// Peak resident memory in bytes, as far as it was seen.
    pub(super) memory: u64,
    stopped: Option<&'static str>,
}

impl Ran {
    /// Whether it ended by itself, and either succeeded or said what is wrong.
    pub(super) fn ended_well(&self) -> bool {
        let panicked = self.errors.contains("panicked") || self.output.contains("panicked");
        self.stopped.is_none() && !panicked && matches!(self.status.code(), Some(0..=3))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = self
            .stopped
            .map_or_else(|| self.status.to_string(), str::to_owned);
        write!(f, "{how}, {:.1?}, {} MiB", self.time, self.memory >> 20)?;
        let odd = self.output.lines().find(|l| l.contains("panicked"));
        match self.errors.lines().next().or(odd) {
            Some(line) => write!(f, ": {line}"),
            None => Ok(()),
        }
    }
}

/// Runs `program TASK… IMAGE` and ends it when it goes past `time` or `memory`.
pub(super) fn run_limited(
    program: &Path,
    task: &[&str],
    image: &Path,
    time: Duration,
    memory: u64,
) -> Result<Ran> {
    let (output, errors) = (
        tempfile::NamedTempFile::new()?,
        tempfile::NamedTempFile::new()?,
    );
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(task)
        .arg(image)
        .stdout(File::create(output.path())?)
        .stderr(File::create(errors.path())?)
        .spawn()?;
    let mut peak = 0;
    let mut stopped = None;
    let status = loop {
        peak = peak_memory(child.id()).max(peak);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > time {
            stopped = Some("too slow");
        } else if peak > memory {
            stopped = Some("too large");
        }
        if stopped.is_some() {
            child.kill()?;
            break child.wait()?;
        }
        sleep(Duration::from_millis(2));
    };
    Ok(Ran {
        output: String::from_utf8_lossy(&fs::read(output.path())?).into_owned(),
        errors: String::from_utf8_lossy(&fs::read(errors.path())?).into_owned(),
        status,
        time: start.elapsed(),
        memory: peak,
        stopped,
    })
}

fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
