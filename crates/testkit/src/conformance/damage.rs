//! Metadata that lie.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use hexz_resolve::{ByteRange, RangeSet, ReadAt, Role, read_vec};

use super::options::Failures;
use super::passes::Passes;
use super::setup::Setup;
use super::sound;
use crate::{Patched, Rng};

/// One damage: where, and what is written there.
#[derive(Clone, Debug)]
struct Damage {
    at: u64,
    bytes: Vec<u8>,
}

pub(super) fn check(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let metadata = metadata(sound, image.len());
    let before = peak_memory();
    let (send, receive) = mpsc::channel();
    let worker = {
        let (setup, image) = (setup.clone(), Arc::clone(image));
        thread::spawn(move || {
            let targets = targets(&image, &metadata);
            let mut rng = Rng::new(setup.options.seed ^ 0xda3a);
            for round in 0..setup.options.damages {
                let damages = damages(&mut rng, &image, &targets);
                if send.send(Message::Trying(damages.clone())).is_err() {
                    return;
                }
                let found = attempt(&setup, &image, &damages, round);
                if found.is_some_and(|f| send.send(Message::Failed(f)).is_err()) {
                    return;
                }
            }
        })
    };
    let mut trying = Vec::new();
    loop {
        match receive.recv_timeout(setup.options.patience) {
            Ok(Message::Trying(damages)) => trying = damages,
            Ok(Message::Failed(what)) => out.push(format!("{trying:?}: {what}")),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                // The worker can't be stopped; the test fails and takes it along.
                let patience = setup.options.patience;
                return out.push(format!("{trying:?}: not done after {patience:?}"));
            }
        }
    }
    if worker.join().is_err() {
        out.push("the worker panicked".to_owned());
    }
    let grown = peak_memory().saturating_sub(before);
    if grown > setup.options.memory {
        out.push(format!("peak memory grew by {} MiB", grown >> 20));
    }
}

enum Message {
    Trying(Vec<Damage>),
    Failed(String),
}

fn attempt(
    setup: &Setup,
    image: &Arc<dyn ReadAt>,
    damages: &[Damage],
    round: usize,
) -> Option<String> {
    trace(damages);
    let start = Instant::now();
    let damaged = damages
        .iter()
        .fold(Patched::new(Arc::clone(image)), |disk, d| {
            disk.patch(d.at, d.bytes.clone())
        });
    let damaged: Arc<dyn ReadAt> = Arc::new(damaged);
    let run = || -> Option<String> {
        let window = hexz_resolve::Window::read(&damaged);
        let _any = setup.plugin.probe(&window);
        let found = Passes::whole(setup, &damaged, None).ok()?;
        if round.is_multiple_of(16) {
            let pool = sound::threads_of(setup.options.threads);
            let other = Passes::whole(setup, &damaged, Some(&pool)).ok();
            let unlike = other.map_or(Some("no result".to_owned()), |o| found.unlike(&o));
            if let Some(unlike) = unlike {
                return Some(format!("with several threads: {unlike}"));
            }
        }
        found.malformed(image.len()).into_iter().next()
    };
    let failed = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(found) => found,
        Err(panic) => Some(format!("panicked: {}", payload(&*panic))),
    };
    let slow = start.elapsed() > setup.options.patience;
    failed.or_else(|| slow.then(|| format!("took {:?}", start.elapsed())))
}

#[allow(clippy::print_stderr)] // Asked for, to find what aborts the process.
fn trace(damages: &[Damage]) {
    if std::env::var_os("HEXZ_CONFORMANCE_TRACE").is_some() {
        eprintln!("{damages:?}");
    }
}

/// All but file content and free space.
fn metadata(sound: &Passes, length: u64) -> RangeSet {
    let plain = |role| matches!(role, Role::Data | Role::Unwritten | Role::Free);
    let content: RangeSet = sound
        .claims
        .iter()
        .filter(|c| plain(c.role))
        .map(|c| c.range)
        .collect();
    let records = sound.claims.iter().filter(|c| !plain(c.role));
    // Content within a record stays a target.
    RangeSet::from(ByteRange::new(0, length))
        .difference(&content)
        .union(&records.map(|c| c.range).collect())
        .clipped(ByteRange::new(0, length))
}

/// Places worth hitting: the 32-byte pieces of metadata that are not zero, and as a last choice
/// any other.
struct Targets {
    busy: Vec<u64>,
    all: Vec<ByteRange>,
}

fn targets(image: &Arc<dyn ReadAt>, metadata: &RangeSet) -> Targets {
    let mut busy = Vec::new();
    for range in metadata {
        let length = usize::try_from(range.len()).unwrap_or_default();
        let bytes = read_vec(image, range.start(), length).unwrap_or_default();
        for (index, piece) in bytes.chunks(32).enumerate() {
            if piece.iter().any(|b| *b != 0) {
                busy.push(range.start() + index as u64 * 32);
            }
        }
    }
    Targets {
        busy,
        all: metadata.iter().collect(),
    }
}

/// One damage; now and then several at once.
fn damages(rng: &mut Rng, image: &Arc<dyn ReadAt>, targets: &Targets) -> Vec<Damage> {
    let count = if rng.chance(1, 8) { 4 } else { 1 };
    (0..count).map(|_| damage(rng, image, targets)).collect()
}

fn place(rng: &mut Rng, targets: &Targets) -> u64 {
    if !targets.busy.is_empty() && !rng.chance(1, 8) {
        return rng.pick(&targets.busy) + rng.below(32);
    }
    let range = rng.pick(&targets.all);
    range.start() + rng.below(range.len())
}

fn damage(rng: &mut Rng, image: &Arc<dyn ReadAt>, targets: &Targets) -> Damage {
    let at = place(rng, targets);
    let old = |at: u64, length: usize| read_vec(image, at, length).unwrap_or(vec![0; length]);
    if rng.chance(1, 3) {
        let flipped = old(at, 1)[0] ^ (1 << rng.below(8));
        return Damage {
            at,
            bytes: vec![flipped],
        };
    }
    let width = *rng.pick(&[1usize, 2, 4, 8]);
    let at = at / width as u64 * width as u64;
    let before = old(at, width);
    let bytes = match rng.below(9) {
        0 => vec![0; width],
        1 => vec![0xff; width],
        2 => [vec![0xff; width - 1], vec![0x7f]].concat(),
        3 => [vec![0; width - 1], vec![0x80]].concat(),
        4 => stepped(&before, 1),
        5 => stepped(&before, u64::MAX),
        6 => rng.next_u64().to_le_bytes()[..width].to_vec(),
        7 => before.into_iter().rev().collect(),
        // A field of another structure: pointers that lead back, counts that are not theirs.
        _ => old(place(rng, targets) / width as u64 * width as u64, width),
    };
    Damage { at, bytes }
}

/// The little-endian number in `bytes`, plus `by`.
fn stepped(bytes: &[u8], by: u64) -> Vec<u8> {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide).wrapping_add(by).to_le_bytes()[..bytes.len()].to_vec()
}

/// What a panic said.
pub(super) fn payload(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// Peak resident memory of the process in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
