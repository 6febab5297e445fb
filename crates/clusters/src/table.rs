//! The file allocation table, as runs of clusters that follow each other.

use hexz_ondisk::{read_what_can_be, to_usize, with_buffer};
use hexz_resolve::{ByteRange, Error, RangeSet, ReadAt, Result, Scan, UnitReader};

use crate::Heap;
use crate::faults::Faults;

/// What the table says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is free.
    Free,
    /// It is marked as bad.
    Bad,
    /// It is the last of its chain.
    End,
    /// This one follows, which may be one that does not exist.
    To(u32),
    /// Its entry could not be read.
    Unknown,
}

const FREE: u32 = 0;
const UNKNOWN: u32 = 1;
const BAD: u32 = 0xFFFF_FFF7;
const END: u32 = 0xFFFF_FFFF;

impl Next {
    const fn decode(code: u32) -> Self {
        match code {
            FREE => Self::Free,
            UNKNOWN => Self::Unknown,
            BAD => Self::Bad,
            END => Self::End,
            cluster => Self::To(cluster),
        }
    }
}

/// Where a table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePlace {
    /// Its first byte on the volume.
    pub start: u64,
    /// Bits of an entry that count: 12, 16, 28 (in 32) or 32.
    pub bits: u8,
    /// Number of entries, with those of clusters 0 and 1.
    pub entries: u32,
}

/// Entries that are read together: one unit of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Part {
    bytes: ByteRange,
    bits: u8,
    /// The entries from the one that lies at the start of `bytes`, and the first that counts.
    base: u32,
    first: u32,
    end: u32,
}

/// Clusters that follow each other, up to where the next run starts: each leads to the next, and
/// the last to `next`. Where `next` says that they are free, bad or unknown, all of them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u32,
    next: u32,
}

const fn is_uniform(next: u32) -> bool {
    matches!(next, FREE | UNKNOWN | BAD)
}

/// A table in memory. It takes 8 bytes for each run, whatever the number of clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    runs: Vec<Run>,
    end: u32,
}

/// A run as [`Table::run`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) index: usize,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) next: Next,
}

impl Table {
    /// Reads the table of the clusters of `heap`, as far as the volume reaches. What can't be read
    /// goes to `faults`, and is unknown.
    ///
    /// # Errors
    /// What ends the scan.
    pub(crate) fn read(
        reader: &std::sync::Arc<dyn ReadAt>,
        place: TablePlace,
        heap: &Heap,
        cx: &Scan<'_>,
        faults: &mut Faults,
    ) -> Result<Self> {
        let parts = parts(place, heap.end(), reader.len(), cx.limits().unit_bytes);
        let mut table = Self {
            runs: Vec::new(),
            end: Heap::FIRST,
        };
        let most = cx.limits().claims;
        cx.units_moved(
            "allocation table",
            reader,
            &parts,
            runs,
            |part, (runs, lost)| {
                faults.append(lost);
                cx.advance(part.bytes.len());
                table.fill(part.first);
                if table.runs.len().saturating_add(runs.len()) > most {
                    let text = format!("it is in more than {most} pieces");
                    return Err(Error::limit("file allocation table", text).at(place.start));
                }
                table.runs.extend(runs);
                table.end = part.end;
                Ok(())
            },
        )?;
        table.fill(heap.end());
        Ok(table)
    }

    /// Of clusters `from..to` nothing is known when they were not read.
    fn fill(&mut self, to: u32) {
        if self.end < to {
            self.runs.push(Run {
                start: self.end,
                next: UNKNOWN,
            });
            self.end = to;
        }
    }

    /// Number of runs.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The run that `cluster` is in.
    pub(crate) fn run(&self, cluster: u32) -> Option<Shown> {
        if cluster < Heap::FIRST || cluster >= self.end {
            return None;
        }
        let behind = self.runs.partition_point(|run| run.start <= cluster);
        self.shown(behind.checked_sub(1)?)
    }

    pub(crate) fn shown(&self, index: usize) -> Option<Shown> {
        let run = self.runs.get(index)?;
        let following = index.checked_add(1).and_then(|at| self.runs.get(at));
        Some(Shown {
            index,
            start: run.start,
            end: following.map_or(self.end, |run| run.start),
            next: Next::decode(run.next),
        })
    }

    /// What the table says of `cluster`; `None` when there is no such cluster.
    #[must_use]
    pub fn next(&self, cluster: u32) -> Option<Next> {
        let run = self.run(cluster)?;
        let last = cluster.checked_add(1)? == run.end;
        let uniform = matches!(run.next, Next::Free | Next::Bad | Next::Unknown);
        Some(match last || uniform {
            true => run.next,
            false => Next::To(cluster.checked_add(1)?),
        })
    }

    /// The runs of free (or bad) clusters that share a byte with `wanted`, as bytes.
    #[must_use]
    pub fn uniform(&self, kind: Next, heap: &Heap, wanted: &RangeSet) -> Vec<ByteRange> {
        let mut found: Vec<ByteRange> = Vec::new();
        for range in wanted {
            let clusters = heap.clusters_in(range);
            let mut at = self.run(clusters.start).filter(|_| !clusters.is_empty());
            while let Some(run) = at.filter(|run| run.start < clusters.end) {
                let bytes = heap.bytes_of(run.start..run.end);
                if run.next == kind && found.last() != Some(&bytes) {
                    found.push(bytes);
                }
                at = run.index.checked_add(1).and_then(|next| self.shown(next));
            }
        }
        found
    }
}

/// The table in parts of about `unit` bytes, as far as the volume reaches: the number of parts is
/// bounded by what is there, whatever the boot sector says.
fn parts(place: TablePlace, end: u32, volume: u64, unit: usize) -> Vec<Part> {
    let end = end.min(place.entries);
    let per_part = match place.bits {
        // The largest has 6 KiB, and entries that cross bytes.
        12 => 1 << 16,
        bits => {
            let unit = u32::try_from(unit).unwrap_or(u32::MAX).max(4096);
            unit.checked_div(width(bits)).unwrap_or(1).max(1)
        }
    };
    let mut parts = Vec::new();
    let mut base = 0u32;
    while base < end {
        let to = base.saturating_add(per_part).min(end);
        let start = offset(place, base);
        let stop = offset(place, to).map(|stop| stop.min(volume));
        let (Some(start), Some(stop)) = (start, stop) else {
            break;
        };
        if start >= stop {
            break;
        }
        let whole = match place.bits {
            12 => stop.saturating_sub(start).saturating_mul(2) / 3,
            16 => stop.saturating_sub(start) / 2,
            _ => stop.saturating_sub(start) / 4,
        };
        let known = u32::try_from(whole).unwrap_or(u32::MAX);
        let to = base.saturating_add(known).min(to);
        if to > Heap::FIRST {
            parts.push(Part {
                bytes: ByteRange::new(start, stop),
                bits: place.bits,
                base,
                first: base.max(Heap::FIRST),
                end: to,
            });
        }
        base = base.saturating_add(per_part);
    }
    parts
}

const fn width(bits: u8) -> u32 {
    match bits {
        16 => 2,
        _ => 4,
    }
}

/// The byte behind the entries before `entry`.
fn offset(place: TablePlace, entry: u32) -> Option<u64> {
    let bytes = match place.bits {
        12 => u64::from(entry).checked_mul(3)?.div_ceil(2),
        bits => u64::from(entry).checked_mul(u64::from(width(bits)))?,
    };
    place.start.checked_add(bytes)
}

/// Reads a part.
fn runs(part: &Part, reader: &UnitReader<'_>) -> Result<(Vec<Run>, Faults)> {
    let length = to_usize(part.bytes.len()).unwrap_or_default();
    with_buffer(length, |bytes| {
        let (mut lost, mut faults) = (RangeSet::new(), Faults::default());
        let start = part.bytes.start();
        read_what_can_be(
            reader,
            "file allocation table",
            start,
            bytes,
            &mut |range, error| {
                lost.insert(range);
                faults.push(&error);
                Ok(())
            },
        )?;
        let bytes: &[u8] = bytes;
        let clusters = part.first..part.end;
        let skip = to_usize(u64::from(part.first.saturating_sub(part.base))).unwrap_or_default();
        let place = TablePlace {
            start: start.saturating_sub(entry_bytes(part.bits, part.base)),
            bits: part.bits,
            entries: part.end,
        };
        let is_lost = |cluster: u32| {
            // An entry of twelve bits starts within the byte before.
            let from = offset(place, cluster).map(|at| at.saturating_sub(1));
            let to = offset(place, cluster.saturating_add(1));
            let both = from.zip(to);
            both.is_none_or(|(from, to)| lost.overlaps(ByteRange::new(from, to.max(from))))
        };
        let known = |cluster: u32, code: u32| match !lost.is_empty() && is_lost(cluster) {
            true => UNKNOWN,
            false => code,
        };
        let runs = match part.bits {
            12 => collect(
                clusters,
                |cluster| twelve(bytes, cluster.saturating_sub(part.base)),
                known,
            ),
            16 => {
                let mut entries = bytes.chunks_exact(2).skip(skip);
                let mut next = || match entries.next() {
                    Some([low, high]) => code16(u16::from_le_bytes([*low, *high])),
                    _ => UNKNOWN,
                };
                collect(clusters, |_| next(), known)
            }
            bits => {
                let mut entries = bytes.chunks_exact(4).skip(skip);
                let mut next = || match entries.next() {
                    Some([a, b, c, d]) => code32(u32::from_le_bytes([*a, *b, *c, *d]), bits),
                    _ => UNKNOWN,
                };
                collect(clusters, |_| next(), known)
            }
        };
        Ok((runs, faults))
    })
}

fn entry_bytes(bits: u8, entry: u32) -> u64 {
    match bits {
        12 => u64::from(entry).saturating_mul(3) / 2,
        bits => u64::from(entry).saturating_mul(u64::from(width(bits))),
    }
}

fn twelve(bytes: &[u8], entry: u32) -> u32 {
    let at = to_usize(entry_bytes(12, entry)).unwrap_or(usize::MAX);
    let pair = at.checked_add(2).and_then(|end| bytes.get(at..end));
    let Some([low, high]) = pair else {
        return UNKNOWN;
    };
    let both = u16::from_le_bytes([*low, *high]);
    let entry = if entry.is_multiple_of(2) {
        both & 0xFFF
    } else {
        both >> 4
    };
    match entry {
        0 => FREE,
        0xFF7 => BAD,
        0xFF8.. => END,
        cluster => unlike_codes(u32::from(cluster)),
    }
}

fn code16(entry: u16) -> u32 {
    match entry {
        0 => FREE,
        0xFFF7 => BAD,
        0xFFF8.. => END,
        cluster => unlike_codes(u32::from(cluster)),
    }
}

/// 28 bits of a FAT32, whose upper four are not for us; all 32 of an exFAT.
fn code32(entry: u32, bits: u8) -> u32 {
    if bits == 32 {
        return unlike_codes(match entry {
            0xFFFF_FFF8..=0xFFFF_FFFE => 0xFFFF_FFF6,
            entry => entry,
        });
    }
    match entry & 0x0FFF_FFFF {
        0 => FREE,
        0x0FFF_FFF7 => BAD,
        0x0FFF_FFF8.. => END,
        cluster => unlike_codes(cluster),
    }
}

/// Cluster 1, which does not exist, by the number of another one that does not.
const fn unlike_codes(code: u32) -> u32 {
    if code == UNKNOWN { 0xFFFF_FFF6 } else { code }
}

/// The runs of `clusters`.
fn collect(
    clusters: std::ops::Range<u32>,
    mut code: impl FnMut(u32) -> u32,
    known: impl Fn(u32, u32) -> u32,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut start = clusters.start;
    for cluster in clusters.clone() {
        let entry = code(cluster);
        let next = known(cluster, entry);
        let following = cluster.saturating_add(1);
        if next == following {
            continue;
        }
        if is_uniform(next) {
            if start < cluster {
                // The one before leads here.
                runs.push(Run {
                    start,
                    next: cluster,
                });
                start = cluster;
            }
            let alike = runs.last().is_some_and(|run| run.next == next);
            if !alike {
                runs.push(Run { start, next });
            }
        } else {
            runs.push(Run { start, next });
        }
        start = following;
    }
    if start < clusters.end {
        runs.push(Run {
            start,
            next: clusters.end,
        });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(codes: &[u32]) -> Table {
        let end = 2 + codes.len() as u32;
        let runs = collect(2..end, |c| codes[c as usize - 2], |_, code| code);
        Table { runs, end }
    }

    proptest! {
        #[test]
        fn runs_say_what_the_entries_say(codes in proptest::collection::vec(
            prop_oneof![
                3 => Just(FREE), 1 => Just(BAD), 2 => Just(END), 1 => Just(UNKNOWN), 6 => Just(7u32),
                3 => 2u32..60,
            ], 1..50)) {
            // 7 stands for the cluster that follows.
            let codes: Vec<u32> = (2u32..).zip(codes)
                .map(|(cluster, code)| if code == 7 { cluster + 1 } else { code }).collect();
            let table = table(&codes);
            for (cluster, code) in (2u32..).zip(&codes) {
                prop_assert_eq!(table.next(cluster), Some(Next::decode(*code)), "{}", cluster);
            }
            prop_assert_eq!(table.next(1), None);
            prop_assert_eq!(table.next(2 + codes.len() as u32), None);
        }
    }

    #[test]
    fn entries_of_twelve_bits_share_bytes() {
        // Clusters 0 to 3: 0xFF0, 0xFFF, 3, end.
        let bytes = [0xF0, 0xFF, 0xFF, 0x03, 0xF0, 0xFF];
        assert_eq!(twelve(&bytes, 2), 3);
        assert_eq!(twelve(&bytes, 3), END);
        assert_eq!(twelve(&bytes, 4), UNKNOWN);
    }

    #[test]
    fn parts_end_with_the_volume() {
        let place = TablePlace {
            start: 512,
            bits: 28,
            entries: 1 << 28,
        };
        let parts = parts(place, 1 << 28, 64 << 10, 4 << 20);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].bytes, ByteRange::new(512, 64 << 10));
        assert_eq!(parts[0].end, ((64 << 10) - 512) / 4);
    }
}
