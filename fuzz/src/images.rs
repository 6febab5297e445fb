//! Image files that are damaged in place, read, and mended again.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hexz_resolve::{ByteRange, ChangeSource, Diagnostics, Limits};
use hexz_source::{DefaultGate, ImageOverlay, TwoImages, open_image};
use tempfile::TempDir;

use crate::{Input, apply, read_some};

/// Sound images, and a copy of each that is damaged.
pub struct ImageFiles {
    sound: Vec<Vec<u8>>,
    files: Vec<(PathBuf, File)>,
    _dir: TempDir,
}

impl ImageFiles {
    /// `images` by name; `beside` are files that they may name.
    #[must_use]
    pub fn new(images: Vec<(&str, Vec<u8>)>, beside: Vec<(&str, Vec<u8>)>) -> Self {
        let dir = TempDir::new().expect("a place for files");
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(true);
            let mut file = options.open(&path).expect("a place for files");
            file.write_all(bytes).expect("a place for files");
            (path, file)
        };
        for (name, bytes) in beside {
            write(name, &bytes);
        }
        let made = images
            .into_iter()
            .map(|(name, bytes)| (write(name, &bytes), bytes));
        let (files, sound) = made.unzip();
        Self {
            sound,
            files,
            _dir: dir,
        }
    }

    /// Damages one of the images as `input` says, runs `work` on it, and mends it.
    pub fn damaged(&self, input: &mut Input<'_>, work: impl FnOnce(&Path)) {
        let number = input.number(1) as usize % self.files.len();
        let ((path, file), sound) = (&self.files[number], &self.sound[number]);
        let size = sound.len() as u64;
        // Headers and tables lie in front, in the first clusters, and at the end.
        let part = |from: u64, to: u64| ByteRange::new(from.min(size - 1), to.min(size));
        let places = [
            part(0, 128),
            part(0, 4096),
            part(0, 1 << 20),
            part(size.saturating_sub(4096), size),
            part(0, size),
        ];
        let damages = apply(input, &places);
        for damage in &damages {
            let room = (size - damage.at) as usize;
            let bytes = &damage.bytes[..damage.bytes.len().min(room)];
            file.write_all_at(bytes, damage.at)
                .expect("a place for files");
        }
        work(path);
        for damage in &damages {
            let end = (damage.at as usize + damage.bytes.len()).min(sound.len());
            let bytes = &sound[damage.at as usize..end];
            file.write_all_at(bytes, damage.at)
                .expect("a place for files");
        }
    }
}

impl std::fmt::Debug for ImageFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageFiles")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn limits() -> Limits {
    Limits::default().with(|limits| limits.cache_bytes = 16 << 20)
}

/// Opens an image and reads some of it.
pub fn open_and_read(path: &Path) {
    let gate = DefaultGate::new();
    if let Ok(disk) = open_image(path, &limits(), &gate, &Diagnostics::new()) {
        read_some(&*disk);
    }
}

/// What an image changed of what it stands on: within the disk, and of both views as much as there
/// is.
pub fn overlay(path: &Path) {
    check(&ImageOverlay::new(path));
}

/// The image against itself in another file: what is read is the same.
pub fn compare(path: &Path, other: &Path) {
    check(&TwoImages::new(path, other));
}

fn check(source: &dyn ChangeSource) {
    let Ok(loaded) = source.load(&limits(), &DefaultGate::new()) else {
        return;
    };
    let views = [&loaded.base, &loaded.merged].into_iter().flatten();
    let size = views.clone().map(|view| view.len()).max().unwrap_or(0);
    let disk = ByteRange::new(0, size);
    let ranges = &loaded.changes.ranges;
    // A disk that shrank is changed where it was.
    let within = ranges
        .iter()
        .take(1000)
        .all(|r| r.intersection(&disk) == Some(r));
    assert!(within, "changes past {size}: {:?}", ranges.bounds());
    views.for_each(|view| read_some(&**view));
}
