//! The files that differ between two images of one disk:
//! `cargo run -p hexz-files --example changed_files -- BEFORE AFTER`.
#![allow(clippy::print_stdout)] // A program for a terminal.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use hexz_files::{Diff, Limits, Progress, Settings};

/// Counts the bytes that were looked at.
#[derive(Default)]
struct Counter(AtomicU64);

impl Progress for Counter {
    fn advance(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(before), Some(after)) = (arguments.next(), arguments.next()) else {
        println!("usage: changed_files BEFORE AFTER");
        return Ok(ExitCode::from(2));
    };
    let settings = Settings::new()
        .limits(Limits::default().with(|limits| limits.files = 1_000_000))
        .progress(Counter::default());
    let report = Diff::new()
        .base(std::path::PathBuf::from(before))
        .merged(std::path::PathBuf::from(after))
        .settings(settings)
        .run()?;
    for change in &report.changes {
        let volume = &report.volumes[change.volume].volume;
        // Names come from the disk: they are shown as Rust writes strings, so that none of them
        // can speak to the terminal.
        let path = String::from_utf8_lossy(&change.path);
        println!("{} {volume}:{path:?}", change.change.letter());
    }
    for finding in &report.diagnostics {
        println!("# {}: {:?}", finding.severity.as_str(), finding.message);
    }
    Ok(match report.summary.complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(3),
    })
}
