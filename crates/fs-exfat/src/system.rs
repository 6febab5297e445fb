//! What the root directory says of the volume: where its bitmaps and its table of capitals lie, and
//! its label.

use hexz_clusters::ENTRY;
use hexz_ondisk::{Fields, read, to_usize, wtf8_from_utf16le};
use hexz_resolve::{Diagnostic, OpenContext, ReadAt, Result};

use crate::ondisk::{Boot, entry_type};

/// Clusters of the root directory that are searched: such entries lie near its start.
const CLUSTERS: usize = 4096;
/// Bytes of a cluster that are read at a time.
const PIECE: u64 = 64 << 10;

/// A chain of clusters with a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) first_cluster: u32,
    pub(crate) data_length: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct System {
    /// The allocation bitmaps: a TexFAT has two.
    pub(crate) bitmaps: [Option<Stream>; 2],
    pub(crate) up_case_table: Option<Stream>,
    pub(crate) label: Vec<u8>,
}

impl System {
    /// Searches the root directory.
    pub(crate) fn read(volume: &dyn ReadAt, boot: &Boot, cx: &OpenContext<'_>) -> Self {
        let mut system = Self::default();
        let mut cluster = boot.first_cluster_of_root_directory;
        for _ in 0..CLUSTERS {
            let next = system.search(volume, boot, cluster, cx);
            match next {
                Ok(Some(next)) if boot.heap.has(next) => cluster = next,
                Ok(_) => break,
                Err(error) => {
                    // Whoever asks for files meets it too.
                    cx.diagnose(Diagnostic::from(&error));
                    break;
                }
            }
        }
        system
    }

    /// Looks at a cluster of the root directory, and gives the next one; none behind the last
    /// entry.
    fn search(
        &mut self,
        volume: &dyn ReadAt,
        boot: &Boot,
        cluster: u32,
        cx: &OpenContext<'_>,
    ) -> Result<Option<u32>> {
        if !boot.heap.has(cluster) {
            return Ok(None);
        }
        let bytes = boot.heap.bytes_of(cluster..cluster.saturating_add(1));
        let mut at = bytes.start();
        while at < bytes.end() {
            let length = PIECE.min(bytes.end().saturating_sub(at));
            let piece = read(
                volume,
                "root directory",
                at,
                to_usize(length).unwrap_or_default(),
            )?;
            for (place, entry) in (at..).step_by(ENTRY).zip(piece.chunks_exact(ENTRY)) {
                let fields = Fields::new("directory entry", place, entry);
                if fields.u8(0)? == entry_type::END {
                    return Ok(None);
                }
                self.entry(&fields, cx)?;
            }
            at = at.saturating_add(length);
        }
        let table = boot.place();
        let place = table
            .start
            .saturating_add(u64::from(cluster).saturating_mul(4));
        let next = read(volume, "file allocation table", place, 4)?;
        let next = Fields::new("file allocation table", place, &next).le32(0)?;
        Ok(Some(next))
    }

    fn entry(&mut self, fields: &Fields<'_>, cx: &OpenContext<'_>) -> Result<()> {
        let stream = || -> Result<Stream> {
            Ok(Stream {
                first_cluster: fields.le32(20)?,
                data_length: fields.le64(24)?,
            })
        };
        let kind = fields.u8(0)?;
        match kind {
            entry_type::ALLOCATION_BITMAP => {
                let [first, second] = &mut self.bitmaps;
                let which = if fields.u8(1)? & 1 == 0 {
                    first
                } else {
                    second
                };
                which.get_or_insert(stream()?);
            }
            entry_type::UP_CASE_TABLE => {
                self.up_case_table.get_or_insert(stream()?);
            }
            entry_type::VOLUME_LABEL => {
                // The specification allows 11, and some programs write more.
                let length = usize::from(fields.u8(1)?.min(15)).saturating_mul(2);
                self.label = wtf8_from_utf16le(fields.bytes(2, length)?);
            }
            entry_type::FILE => {}
            kind if kind & (entry_type::IN_USE | entry_type::SECONDARY | entry_type::BENIGN)
                == entry_type::IN_USE =>
            {
                let text = format!("an entry of the unknown critical type {kind:#04x}");
                cx.diagnose(Diagnostic::warning("exfat-critical-entry", text).at(fields.offset()));
            }
            _ => {}
        }
        Ok(())
    }
}
