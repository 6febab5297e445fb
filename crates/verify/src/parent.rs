//! The parent: hands the child bytes of the volume, and compares what it read of the files.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hexz_resolve::{ReadAt, read_vec};

use crate::wire::{MOST, Said, Task, put_bytes};

/// A child is given this long for one volume.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Parsers that share no code with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// `ext4-view`.
    Ext4,
    /// `ntfs`.
    Ntfs,
}

impl Parser {
    /// The one for a filesystem of the report.
    #[must_use]
    pub fn of(filesystem: &str) -> Option<Self> {
        match filesystem {
            "ext2" | "ext3" | "ext4" => Some(Self::Ext4),
            "ntfs" => Some(Self::Ntfs),
            _ => None,
        }
    }

    /// What the child is told.
    const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Ntfs => "ntfs",
        }
    }
}

/// A range of a file that the report names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// A path of the file.
    pub path: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// The named stream; empty for the content.
    pub stream: Vec<u8>,
    /// Offset in the file.
    pub file_offset: u64,
    /// Bytes.
    pub length: u64,
    /// Offset on the disk.
    pub disk_offset: u64,
}

/// What is verified.
pub struct Asked<'a> {
    /// The program and its arguments that run the child; the parser and the length of the volume
    /// are added.
    pub child: Command,
    /// Which parser.
    pub parser: Parser,
    /// The volume.
    pub volume: &'a dyn ReadAt,
    /// The disk.
    pub disk: &'a dyn ReadAt,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("parser", &self.parser)
            .finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Ranges in which both say the same.
    pub verified: u64,
    /// Ranges in which they don't.
    pub differ: Vec<Range>,
    /// Ranges that were not compared, by reason.
    pub unverified: BTreeMap<String, u64>,
}

impl Outcome {
    /// Notes ranges that are not compared.
    pub fn skip(&mut self, reason: impl Into<String>, ranges: u64) {
        if ranges > 0 {
            *self.unverified.entry(reason.into()).or_default() += ranges;
        }
    }
}

/// Reads `ranges` again and compares them.
///
/// # Errors
/// When the child can't be started. One that dies leaves the rest of the ranges unverified.
pub fn verify(mut asked: Asked<'_>, ranges: &[Range]) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut child = asked
        .child
        .arg(asked.parser.name())
        .arg(asked.volume.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let mut talk = Talk {
        to: BufWriter::new(to),
        from: BufReader::new(from),
        asked: &asked,
        until: Instant::now() + PATIENCE,
    };
    let mut left = ranges.iter();
    let mut done = 0;
    let ended = loop {
        match talk.ready() {
            Ok(None) => {}
            Ok(Some(reason)) => break Some(reason),
            Err(error) => break Some(format!("the other parser ended: {error}")),
        }
        let Some(range) = left.next() else {
            break None;
        };
        match talk.compare(range) {
            Ok(Verdict::Equal) => outcome.verified += 1,
            Ok(Verdict::Differs) => outcome.differ.push(range.clone()),
            Ok(Verdict::Unable(reason)) => outcome.skip(reason, 1),
            Err(error) => break Some(format!("the other parser ended: {error}")),
        }
        done += 1;
    };
    if let Some(reason) = ended {
        outcome.skip(reason, ranges.len() as u64 - done);
    }
    drop(talk);
    // It ends with its input; where it does not, it is of no use any more.
    if child.try_wait()?.is_none() {
        child.kill()?;
    }
    child.wait()?;
    Ok(outcome)
}

enum Verdict {
    Equal,
    Differs,
    Unable(String),
}

struct Talk<'a> {
    to: BufWriter<std::process::ChildStdin>,
    from: BufReader<std::process::ChildStdout>,
    asked: &'a Asked<'a>,
    until: Instant,
}

impl Talk<'_> {
    /// The next thing the child says that is no question for bytes of the volume.
    fn hear(&mut self) -> io::Result<Said> {
        loop {
            if Instant::now() > self.until {
                return Err(io::Error::other("it takes too long"));
            }
            match Said::read(&mut self.from)? {
                Said::Read { offset, length } => {
                    let bytes = read_vec(self.asked.volume, offset, length as usize);
                    put_bytes(&mut self.to, &bytes.unwrap_or_default())?;
                    self.to.flush()?;
                }
                said => return Ok(said),
            }
        }
    }

    /// Waits until the child asks for the next range; a reason when it never will.
    fn ready(&mut self) -> io::Result<Option<String>> {
        match self.hear()? {
            Said::Next => Ok(None),
            Said::Unable(reason) => Ok(Some(reason)),
            _ => Err(io::Error::other("it says what no one asked")),
        }
    }

    /// Has the child read a range, part by part, and compares it with the disk.
    fn compare(&mut self, range: &Range) -> io::Result<Verdict> {
        let mut done = 0;
        while done < range.length {
            let length = (range.length - done).min(u64::from(MOST));
            if done > 0
                && let Some(reason) = self.ready()?
            {
                return Ok(Verdict::Unable(reason));
            }
            let task = Task {
                path: range.path.clone(),
                number: range.number,
                stream: range.stream.clone(),
                offset: range.file_offset.saturating_add(done),
                length,
            };
            task.write(&mut self.to)?;
            let theirs = match self.hear()? {
                Said::Bytes(bytes) => bytes,
                Said::Failed(reason) => return Ok(Verdict::Unable(reason)),
                _ => return Err(io::Error::other("it says what no one asked")),
            };
            if theirs.is_empty() {
                // The rest of the block is behind the end of the file.
                return Ok(match done {
                    0 => Verdict::Unable("it lies behind the end of the file".to_owned()),
                    _ => Verdict::Equal,
                });
            }
            let place = range.disk_offset.saturating_add(done);
            match read_vec(self.asked.disk, place, theirs.len()) {
                Ok(ours) if ours == theirs => {}
                Ok(_) => return Ok(Verdict::Differs),
                Err(error) => return Ok(Verdict::Unable(error.to_string())),
            }
            if (theirs.len() as u64) < length {
                break;
            }
            done += length;
        }
        Ok(Verdict::Equal)
    }
}
