//! A memory in which nothing long has room: all that the engine keeps of the format goes to files,
//! and comes back as it was.

use std::sync::Arc;

use hexz_resolve::engine::{Detection, Options, diff};
use hexz_resolve::report::Report;
use hexz_resolve::{
    ByteRange, ChangeSet, Descriptor, Disks, Filesystem, FilesystemPlugin, Loaded, Member,
    OpenContext, Precision, Probe, ReadAt, Registry, Result, Silent, Window,
};

use super::options::Failures;
use super::passes::Passes;
use super::setup::Setup;
use crate::{CountedScratch, Patched, Rng, SparseDisk};

/// The plugin under test, alone in a registry.
struct Alone(Arc<dyn FilesystemPlugin>);

impl FilesystemPlugin for Alone {
    fn descriptor(&self) -> &'static Descriptor {
        self.0.descriptor()
    }

    fn probe(&self, window: &Window) -> Probe {
        self.0.probe(window)
    }

    fn further(&self, members: &[Member]) -> Vec<(Vec<u8>, u64)> {
        self.0.further(members)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        self.0.open(members, cx)
    }
}

pub(super) fn check(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let mut builder = Registry::builder();
    if let Err(error) = builder.filesystem(Alone(Arc::clone(&setup.plugin))) {
        return out.push(error.to_string());
    }
    let registry = builder.build();
    // All files came, or some of them differ.
    let nothing: Arc<dyn ReadAt> = Arc::new(SparseDisk::new(image.len()));
    let mut rng = Rng::new(setup.options.seed ^ 0x3e3);
    let mut other = Patched::new(Arc::clone(image));
    for _ in 0..16 {
        let range = rng.pick(&sound.claims).range;
        other = other.patch(range.start() + rng.below(range.len()), vec![0x5a]);
    }
    let other: Arc<dyn ReadAt> = Arc::new(other);
    let mut files = 0;
    for (what, base, merged) in [
        ("added", &nothing, image),
        ("changed", image, &other),
        ("changed back", &other, image),
    ] {
        let scratch = Arc::new(CountedScratch::default());
        let report = |memory, threads| {
            let options = Options {
                registry: &registry,
                limits: setup.limits.clone().with(|limits| limits.memory = memory),
                journal: setup.journal(),
                threads,
                volume: None,
                detection: Detection::default(),
                disks: Disks::default(),
                memo: None,
                progress: &Silent,
                scratch: Some(scratch.clone()),
                cancel: None,
            };
            diff(&loaded(base, merged), &options).map(without_cost)
        };
        let plain = format!("{:?}", report(usize::MAX, 1));
        for threads in [1, setup.options.threads] {
            if format!("{:?}", report(0, threads)) != plain {
                out.push(format!("{what}: differs with {threads} threads"));
            }
        }
        files += scratch.files();
    }
    // Lists of a few items stay in memory, however little there is.
    const FEW: usize = 16;
    if files == 0 && sound.files.len() > FEW {
        out.push("nothing went to a file, so nothing was tried".to_owned());
    }
}

fn loaded(base: &Arc<dyn ReadAt>, merged: &Arc<dyn ReadAt>) -> Loaded {
    Loaded {
        changes: ChangeSet {
            ranges: ByteRange::new(0, merged.len()).into(),
            block_size: 4096,
            candidates: true,
            precision: Precision::Exact,
            diagnostics: Vec::new(),
        },
        base: Some(Arc::clone(base)),
        merged: Some(Arc::clone(merged)),
        overlay_name: None,
        base_name: None,
    }
}

/// What was read of the disks is no part of the answer.
fn without_cost(mut report: Report) -> Report {
    report.summary.bytes_read = 0;
    report.summary.requests = 0;
    report
}
