//! Bounds on what a hostile image can make us spend.

/// Bounds that every reader, plugin and the engine keep. Reaching one gives a partial result and
/// a diagnostic, never an abort.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Depth of a directory path.
    pub path_depth: u32,
    /// Length of a path in bytes.
    pub path_bytes: usize,
    /// Bytes of the paths of all directories that are looked at, of one view of one volume.
    pub paths_bytes: usize,
    /// Names one file may have in the report.
    pub links_per_file: usize,
    /// Owners one byte may have in the report.
    pub owners_per_byte: usize,
    /// Claims kept for one view of one volume.
    pub claims: usize,
    /// Claims held at a time when the owners of a whole disk are asked for; more are found in
    /// several scans.
    pub claims_at_once: usize,
    /// Links kept for one view of one volume.
    pub links: usize,
    /// Files whose attributes are compared, per volume.
    pub files: usize,
    /// Bytes of the lists of changed files, their names and their order that are in memory; past
    /// that, they go to a scratch file where there can be one.
    pub memory: usize,
    /// Bytes of one unit of a scan held in memory at a time.
    pub unit_bytes: usize,
    /// Bytes of decompressed blocks that an image reader may cache.
    pub cache_bytes: usize,
    /// Bytes of journal blocks kept in memory for replay, per view and volume.
    pub journal_bytes: usize,
    /// Parents of an archive, or backing files of an image.
    pub parents: u32,
    /// Ranges of a disk that are held for one purpose; past that, neighbours are joined.
    pub ranges: usize,
}

impl Limits {
    /// These limits with a change of some: `Limits::default().with(|l| l.parents = 1)`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            path_depth: 4096,
            path_bytes: 64 * 1024,
            paths_bytes: 256 << 20,
            links_per_file: 1 << 20,
            owners_per_byte: 4096,
            claims: 50_000_000,
            claims_at_once: 1 << 20,
            links: 50_000_000,
            files: 5_000_000,
            memory: 64 << 20,
            unit_bytes: 4 << 20,
            cache_bytes: 64 << 20,
            journal_bytes: 1 << 30,
            parents: 64,
            ranges: 1 << 20,
        }
    }
}
