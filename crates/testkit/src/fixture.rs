//! Fixtures: directories with a recipe, compressed images, and what is expected of them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::ReadAt;

/// The root of the workspace: the nearest directory above the running test's package that has
/// `fixtures/` beside a `Cargo.toml`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn workspace_dir() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .ancestors()
        .find(|dir| dir.join("fixtures").is_dir() && dir.join("Cargo.toml").is_file())
        .unwrap_or_else(|| panic!("no workspace above {}", package.display()))
        .to_owned()
}

/// The directory of all fixtures.
#[must_use]
pub fn fixtures_dir() -> PathBuf {
    workspace_dir().join("fixtures")
}

/// The bytes of the zstd file at `path`.
///
/// # Panics
/// When it can't be read.
#[must_use]
pub fn decompress(path: &Path) -> Vec<u8> {
    let packed = read(path);
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed.as_slice())
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .read_to_end(&mut bytes)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    bytes
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// One case under `fixtures/`.
///
/// `base.img.zst` is the disk before; `overlay.zst` the data file of a hexz overlay (block N at
/// byte N × 4096), `overlay.meta` its block numbers.
#[derive(Clone, Debug)]
pub struct Fixture {
    dir: PathBuf,
}

impl Fixture {
    /// The case with this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn load(case: &str) -> Self {
        let dir = fixtures_dir().join(case);
        assert!(dir.is_dir(), "no fixture {}", dir.display());
        Self { dir }
    }

    /// A file of the case.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Whether the case has this file.
    #[must_use]
    pub fn has(&self, file: &str) -> bool {
        self.path(file).is_file()
    }

    /// The bytes of a file of the case; those of `FILE.zst` where that is what there is.
    ///
    /// # Panics
    /// When there is neither.
    #[must_use]
    pub fn bytes(&self, file: &str) -> Vec<u8> {
        if self.has(file) {
            return read(&self.path(file));
        }
        decompress(&self.path(&format!("{file}.zst")))
    }

    /// The disk before.
    #[must_use]
    pub fn base(&self) -> Arc<dyn ReadAt> {
        Arc::new(self.bytes("base.img"))
    }

    /// The disk after: the blocks that `overlay.meta` lists, over the base.
    #[must_use]
    pub fn merged(&self) -> Arc<dyn ReadAt> {
        let mut disk = self.bytes("base.img");
        let data = self.bytes("overlay");
        disk.resize(disk.len().max(data.len()), 0); // The disk grew.
        for block in self.blocks() {
            let Some(start) = block.checked_mul(4096).filter(|s| *s < data.len() as u64) else {
                continue; // A case about a damaged list.
            };
            let start = start as usize;
            let end = (start + 4096).min(data.len());
            disk[start..end].copy_from_slice(&data[start..end]);
        }
        Arc::new(disk)
    }

    /// The numbers that `overlay.meta` lists, as they stand there; a torn last one is left out.
    #[must_use]
    pub fn blocks(&self) -> Vec<u64> {
        let meta = self.bytes("overlay.meta");
        let (blocks, _torn) = meta.as_chunks::<8>();
        blocks.iter().copied().map(u64::from_le_bytes).collect()
    }

    /// Writes `base.img`, `case.overlay` and `case.meta` into `dir`, as a user would have them.
    ///
    /// # Panics
    /// When that fails.
    pub fn unpack(&self, dir: &Path) {
        for (from, to) in [
            ("base.img", "base.img"),
            ("overlay", "case.overlay"),
            ("overlay.meta", "case.meta"),
        ] {
            fs::write(dir.join(to), self.bytes(from)).expect("the directory can be written");
        }
    }
}

/// The hash of the recipe of the case in `dir`, and of what all recipes share: `recipe.hash`
/// holds the one that the archived images were made by.
///
/// # Panics
/// When there is no recipe.
#[must_use]
pub fn recipe_hash(dir: &Path) -> String {
    let shared = dir.parent().unwrap_or(dir);
    let recipe = read(&dir.join("recipe.sh"));
    let named = String::from_utf8_lossy(&recipe).into_owned();
    let mut bytes = [recipe, read(&shared.join("lib.sh"))].concat();
    for script in ["btrfs.sh", "fat.sh", "ntfs.sh", "mounted.py"] {
        if named.contains(script) {
            bytes.extend(read(&shared.join(script)));
        }
    }
    // FNV-1a: only an accident must be noticed.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
