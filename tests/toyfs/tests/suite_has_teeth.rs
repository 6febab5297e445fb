//! Every check of the conformance suite finds the fault it is for.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hexz_resolve::{
    Attributes, ByteRange, Claim, Descriptor, FileKey, FileSet, Filesystem, FilesystemPlugin,
    FsInfo, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet, RawName, ReadAt, ReadError,
    Replayed, Result, Role, Scan, Sink, UnitReader, Window,
};
use hexz_testkit::conformance::{Options, failures};
use hexz_toyfs::ToyFs;

use common::Maker;

/// What is wrong with a plugin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The order of claims depends on the threads.
    Unordered,
    /// Leaves out claims that start before what is wanted.
    CutsAtStart,
    /// Tells of files that no one asked for.
    Talkative,
    /// Shares a result that depends on what it did not read through its unit.
    SharesTooMuch,
    /// Gives the content of a file with what lies behind it in its last block.
    OverlongContent,
    /// Gives the content of another file.
    WrongContent,
    /// Lists fewer entries than it has links.
    ForgetsEntries,
    /// Reads zeros where the medium fails.
    SwallowsErrors,
    /// Takes what can't be read for free.
    ErrorsAreFree,
    /// Says nothing of what the volume lacks.
    HidesShortness,
    /// Panics over an odd label.
    Panics,
    /// Does not come back from an odd label.
    Hangs,
    /// Reserves what a count says.
    Reserves,
}

/// The toy filesystem with a fault.
struct Broken(Fault);

impl FilesystemPlugin for Broken {
    fn descriptor(&self) -> &'static Descriptor {
        ToyFs.descriptor()
    }

    fn probe(&self, window: &Window) -> Probe {
        ToyFs.probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let volume = Arc::clone(Member::only(members)?);
        let fault = self.0;
        let raw = Arc::clone(&volume);
        let volume: Arc<dyn ReadAt> = match fault {
            Fault::SwallowsErrors | Fault::HidesShortness => Arc::new(Zeros(volume)),
            _ => volume,
        };
        let inner = ToyFs.open(&[Member::alone(volume)], cx)?;
        if fault == Fault::HidesShortness {
            let _hidden = cx.diagnostics.take();
        }
        if inner.info().label != b"toy box" {
            match fault {
                Fault::Panics => panic!("an odd label"),
                Fault::Hangs => thread::sleep(Duration::from_secs(30)),
                Fault::Reserves => drop(vec![1u8; 96 << 20]),
                _ => {}
            }
        }
        Ok(Box::new(BrokenFs { inner, raw, fault }))
    }
}

/// A reader that gives zeros for what can't be read.
struct Zeros(Arc<dyn ReadAt>);

impl ReadAt for Zeros {
    fn len(&self) -> u64 {
        5000 * 512
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        if self.0.read_exact_at(offset, buf).is_err() {
            buf.fill(0);
        }
        Ok(())
    }
}

struct BrokenFs {
    inner: Box<dyn Filesystem>,
    raw: Arc<dyn ReadAt>,
    fault: Fault,
}

impl Filesystem for BrokenFs {
    fn info(&self) -> &FsInfo {
        self.inner.info()
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        self.inner.reader()
    }

    fn replayed(&self) -> &Replayed {
        self.inner.replayed()
    }

    fn root(&self) -> FileKey {
        self.inner.root()
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        let mut claims = Vec::new();
        self.inner.claims(wanted, cx, &mut claims)?;
        match self.fault {
            Fault::Unordered => {
                let here = thread::current().id();
                let mut elsewhere = false;
                let run = |_: &u8, _: &UnitReader<'_>| Ok(thread::current().id() != here);
                cx.units("where", self.reader(), &[0, 1], run, |_, e| {
                    elsewhere = *e;
                    Ok(())
                })?;
                if elsewhere {
                    claims.reverse();
                }
            }
            Fault::CutsAtStart => {
                let start = wanted.bounds().unwrap_or_default().start();
                claims.retain(|c| c.range.start() >= start);
            }
            Fault::ErrorsAreFree if cx.is_partial() => {
                claims.retain(|c| c.role != Role::InodeTable);
                claims.push(Claim::free(ByteRange::new(1536, 20_000)));
            }
            _ => {}
        }
        claims.into_iter().try_for_each(|claim| out.put(claim))
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        self.inner.links(wanted, cx, out)
    }

    fn attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        if self.fault == Fault::SharesTooMuch {
            let raw = &self.raw;
            let unit = |_: &u8, _: &UnitReader<'_>| {
                let mut all = vec![0; raw.len() as usize];
                Ok(raw.read_exact_at(0, &mut all).is_ok().then_some(all))
            };
            let mut sum = 0u64;
            cx.units("sum", self.reader(), &[0], unit, |_, all| {
                sum = all.iter().flatten().map(|b| u64::from(*b)).sum();
                Ok(())
            })?;
            let mut all = Vec::new();
            self.inner.attributes(files, cx, &mut all)?;
            return all.into_iter().try_for_each(|mut attributes| {
                attributes.flags = Some(sum);
                out.put(attributes)
            });
        }
        if self.fault == Fault::Talkative {
            let root: FileSet = [self.root()].into_iter().collect();
            self.inner.attributes(&root, cx, out)?;
        }
        self.inner.attributes(files, cx, out)
    }

    fn entries(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Link>) -> Result<()> {
        let mut all = Vec::new();
        self.inner.entries(files, cx, &mut all)?;
        if self.fault == Fault::ForgetsEntries {
            all.retain(|link| link.name.as_bytes() != b"manual");
        }
        all.into_iter().try_for_each(|link| out.put(link))
    }

    fn extents(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        self.inner.extents(files, cx, out)
    }

    fn content(
        &self,
        file: FileKey,
        stream: Option<&RawName>,
        cx: &Scan<'_>,
    ) -> Result<Arc<dyn ReadAt>> {
        let content = self.inner.content(file, stream, cx)?;
        let read = |length: u64| {
            let mut bytes = vec![0; length as usize];
            content.read_exact_at(0, &mut bytes).expect("it is sound");
            bytes
        };
        Ok(match self.fault {
            Fault::OverlongContent => {
                let mut bytes = read(content.len());
                bytes.resize(bytes.len().next_multiple_of(512), 0);
                Arc::new(bytes)
            }
            Fault::WrongContent => {
                Arc::new(read(content.len()).into_iter().rev().collect::<Vec<u8>>())
            }
            _ => content,
        })
    }
}

/// The names of the checks that fail for `fault`.
fn found(fault: Fault, damages: usize) -> Vec<String> {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(Broken(fault));
    let image: Arc<dyn ReadAt> = Arc::new(Maker::sample().image);
    let options = Options {
        patience: Duration::from_secs(1),
        memory: 64 << 20,
        damages,
        ..Options::default()
    };
    let mut names: Vec<String> = failures(&plugin, &image, &options)
        .iter()
        .map(|f| f.split(':').next().unwrap_or_default().to_owned())
        .collect();
    names.dedup();
    names
}

#[test]
fn each_fault_is_found_by_its_check() {
    for (fault, check) in [
        (Fault::Unordered, "threads"),
        (Fault::CutsAtStart, "subset"),
        (Fault::Talkative, "foreign"),
        (Fault::SharesTooMuch, "shared"),
        (Fault::OverlongContent, "content"),
        (Fault::WrongContent, "content"),
        (Fault::ForgetsEntries, "agreement"),
        (Fault::SwallowsErrors, "fault"),
        (Fault::ErrorsAreFree, "fault"),
        (Fault::HidesShortness, "truncated"),
        (Fault::Panics, "damage"),
        (Fault::Hangs, "damage"),
        (Fault::Reserves, "damage"),
    ] {
        let damages = if check == "damage" { 1000 } else { 0 };
        let found = found(fault, damages);
        assert!(
            found.iter().any(|f| f == check),
            "{fault:?} is found by {found:?}"
        );
    }
}
