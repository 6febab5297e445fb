//! The child process: parsers of others over bytes that the parent hands it.

use std::error::Error;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Stdin, Stdout};
use std::sync::{Arc, Mutex, PoisonError};

use ext4_view::{Ext4, Ext4Read};
use ntfs::{Ntfs, NtfsReadSeek as _};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::wire::{self, MOST, Said, Task};

/// Address space of the child, in bytes.
const MEMORY: u64 = 4 << 30;
/// Processor time, in seconds.
const SECONDS: u64 = 600;

/// Both ends of the wire.
struct Wire {
    from: BufReader<Stdin>,
    to: BufWriter<Stdout>,
}

impl Wire {
    fn say(&mut self, said: &Said) -> io::Result<()> {
        said.write(&mut self.to)
    }

    /// Bytes of the volume; fewer where they can't be had.
    fn fetch(&mut self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        self.say(&Said::Read { offset, length })?;
        wire::bytes(&mut self.from)
    }
}

type Shared = Arc<Mutex<Wire>>;

fn lock(wire: &Shared) -> std::sync::MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The volume, as the parent hands it over.
struct Volume {
    wire: Shared,
    length: u64,
    at: u64,
}

impl Volume {
    fn fill(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut offset = offset;
        for part in buf.chunks_mut(MOST as usize) {
            let bytes = lock(&self.wire).fetch(offset, part.len() as u32)?;
            if bytes.len() != part.len() {
                return Err(io::Error::other("it can't be read"));
            }
            part.copy_from_slice(&bytes);
            offset += part.len() as u64;
        }
        Ok(())
    }
}

impl Ext4Read for Volume {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        self.fill(start_byte, dst).map_err(Into::into)
    }
}

impl Read for Volume {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let length = left.min(buf.len() as u64).min(u64::from(MOST)) as usize;
        let at = self.at;
        self.fill(at, &mut buf[..length])?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Volume {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Reads parts of files, one after the other.
trait Parser {
    fn read(&mut self, task: &Task) -> Result<Vec<u8>, String>;
}

struct OfExt4(Ext4);

impl Parser for OfExt4 {
    fn read(&mut self, task: &Task) -> Result<Vec<u8>, String> {
        let path = ext4_view::Path::try_from(task.path.as_slice()).map_err(|e| e.to_string())?;
        let mut file = self.0.open(path).map_err(|e| e.to_string())?;
        if task.offset >= file.metadata().len() {
            return Ok(Vec::new());
        }
        file.seek_to(task.offset).map_err(|e| e.to_string())?;
        filled(task.length, |buf| {
            file.read_bytes(buf).map_err(|e| e.to_string())
        })
    }
}

struct OfNtfs {
    volume: Volume,
    ntfs: Ntfs,
}

impl Parser for OfNtfs {
    fn read(&mut self, task: &Task) -> Result<Vec<u8>, String> {
        let volume = &mut self.volume;
        let file = self.ntfs.file(volume, task.number);
        let file = file.map_err(|e| e.to_string())?;
        let stream = String::from_utf8(task.stream.clone()).map_err(|e| e.to_string())?;
        let item = file.data(volume, &stream).ok_or("it has no such stream")?;
        let item = item.map_err(|e| e.to_string())?;
        let attribute = item.to_attribute().map_err(|e| e.to_string())?;
        let mut value = attribute.value(volume).map_err(|e| e.to_string())?;
        if task.offset >= value.len() {
            return Ok(Vec::new());
        }
        let start = SeekFrom::Start(task.offset);
        value.seek(volume, start).map_err(|e| e.to_string())?;
        filled(task.length, |buf| {
            value.read(volume, buf).map_err(|e| e.to_string())
        })
    }
}

/// Up to `length` bytes, as many as there are.
fn filled(
    length: u64,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, String>,
) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length.min(u64::from(MOST)) as usize];
    let mut done = 0;
    while done < bytes.len() {
        match read(&mut bytes[done..])? {
            0 => break,
            more => done += more,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Runs the child: `filesystem` is `ext4` or `ntfs`, `length` that of the volume in bytes.
///
/// # Errors
/// When the parent went away, or the limits can't be set.
pub fn run(filesystem: &str, length: u64) -> io::Result<()> {
    let limit = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).map_err(io::Error::from)
    };
    limit(Resource::As, MEMORY)?;
    limit(Resource::Cpu, SECONDS)?;
    limit(Resource::Core, 0)?;
    let wire: Shared = Arc::new(Mutex::new(Wire {
        from: BufReader::new(io::stdin()),
        to: BufWriter::new(io::stdout()),
    }));
    let volume = Volume {
        wire: Arc::clone(&wire),
        length,
        at: 0,
    };
    let mut parser = match open(filesystem, volume) {
        Ok(parser) => parser,
        Err(reason) => return lock(&wire).say(&Said::Unable(reason)),
    };
    loop {
        let task = {
            let mut wire = lock(&wire);
            wire.say(&Said::Next)?;
            match Task::read(&mut wire.from) {
                Ok(task) => task,
                // The parent is done.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        };
        let said = match parser.read(&task) {
            Ok(bytes) => Said::Bytes(bytes),
            Err(reason) => Said::Failed(reason),
        };
        lock(&wire).say(&said)?;
    }
}

fn open(filesystem: &str, mut volume: Volume) -> Result<Box<dyn Parser>, String> {
    match filesystem {
        "ext4" => match Ext4::load(Box::new(volume)) {
            Ok(fs) => Ok(Box::new(OfExt4(fs))),
            Err(error) => Err(error.to_string()),
        },
        _ => match Ntfs::new(&mut volume) {
            Ok(ntfs) => Ok(Box::new(OfNtfs { volume, ntfs })),
            Err(error) => Err(error.to_string()),
        },
    }
}
