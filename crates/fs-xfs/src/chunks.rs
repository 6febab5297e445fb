//! Inode chunks: what the inode btrees say of them, and reading the inodes in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_ondisk::{Fields, read_into, to_usize, with_buffer};
use hexz_resolve::{ByteRange, Diagnostic, Diagnostics, FileSet, RangeSet, Result, Scan, Silent};

use crate::btree::{INOBT, Visitor, walk};
use crate::chunk::Chunk;
use crate::disk::Disk;
use crate::fs::Xfs;
use crate::geometry::Geometry;
use crate::groups::agi;
use crate::inode::Inode;
use crate::ondisk::INODES_PER_CHUNK;

/// Reads the chunks that share a number with `only` (half-open, rising); all without it.
struct Records<'a> {
    sparse: bool,
    only: Option<&'a [(u32, u32)]>,
    chunks: Vec<Chunk>,
}

impl Records<'_> {
    fn overlaps(&self, from: u64, to: u64) -> bool {
        self.only.is_none_or(|only| {
            let at = only.partition_point(|(_, end)| u64::from(*end) <= from);
            only.get(at)
                .is_some_and(|(start, _)| u64::from(*start) < to)
        })
    }
}

impl Visitor for Records<'_> {
    fn wants(&mut self, _level: u16, key: &Fields<'_>, next: Option<&Fields<'_>>) -> Result<bool> {
        let from = u64::from(key.be32(0)?);
        // The last chunk below reaches past the key behind it on a damaged image only.
        let to = next
            .map(|next| next.be32(0))
            .transpose()?
            .map_or(u64::MAX, u64::from);
        Ok(self.overlaps(from, to))
    }

    fn record(&mut self, record: &Fields<'_>) -> Result<()> {
        let start = record.be32(0)?;
        let end = u64::from(start).saturating_add(u64::from(INODES_PER_CHUNK));
        if self.overlaps(u64::from(start), end) {
            self.chunks.push(Chunk {
                start,
                holes: if self.sparse { record.be16(4)? } else { 0 },
                free: record.be64(8)?,
            });
        }
        Ok(())
    }
}

/// Some chunks of a group, near each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InodeUnit {
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) agno: u32,
    pub(crate) chunks: Vec<Chunk>,
    /// Which inodes are looked at; all without it.
    only: Option<Vec<u32>>,
}

/// A group whose inode btree is read.
#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupUnit {
    geometry: Arc<Geometry>,
    agno: u32,
    only: Option<Vec<(u32, u32)>>,
}

/// Which inodes of a chunk are looked at.
type Only<'a> = dyn Fn(&Chunk) -> Vec<u32> + 'a;

/// Groups with the inode numbers in them, half-open and rising.
pub(crate) type Numbers = Vec<(u32, Vec<(u32, u32)>)>;

/// From so many stretches of inode numbers on the chunks are kept,
const MANY: usize = 32;
/// and always where there are no more inodes: their btrees take up some 200 KiB.
const FEW_INODES: u64 = 1 << 20;

/// Bytes of a group whose chunks make a unit: fixed, so that a chunk that came or went moves no
/// other into another unit; and small, since a unit with a changed byte is read in both views.
const WINDOW: u64 = 128 << 10;

impl Xfs {
    /// Hands out the chunks of each group, by number: those that share a number with `only`, or
    /// all.
    pub(crate) fn chunks(
        &self,
        cx: &Scan<'_>,
        only: Option<&Numbers>,
        mut out: impl FnMut(u32, &[Chunk]) -> Result<()>,
    ) -> Result<()> {
        let unit = |agno, only| GroupUnit {
            geometry: Arc::clone(&self.geometry),
            agno,
            only,
        };
        let units: Vec<GroupUnit> = match only {
            Some(only) => only
                .iter()
                .map(|(agno, of)| unit(*agno, Some(of.clone())))
                .collect(),
            None => (0..self.geometry.groups())
                .map(|agno| unit(agno, None))
                .collect(),
        };
        cx.units(
            "xfs-inobt",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut records = Records {
                    sparse: unit.geometry.sparse,
                    only: unit.only.as_deref(),
                    chunks: Vec::new(),
                };
                let agi = agi(&disk, unit.agno)?;
                walk(&disk, &INOBT, agi.inobt, &mut records)?;
                records.chunks.sort_unstable_by_key(|chunk| chunk.start);
                let before = records.chunks.len();
                records.chunks.dedup_by(|next, kept| {
                    next.start < kept.start.saturating_add(INODES_PER_CHUNK)
                });
                let outside = |c: &Chunk| {
                    unit.geometry
                        .inode_range(unit.agno, c.start, INODES_PER_CHUNK)
                        .is_none()
                        && c.holes == 0
                };
                if records.chunks.len() != before || records.chunks.iter().any(outside) {
                    let at = unit.geometry.ag_start(unit.agno);
                    let text = format!(
                        "inode chunks of group {} overlap or reach past its end",
                        unit.agno
                    );
                    // Inodes are left out by it.
                    let finding = Diagnostic::error("bad-inode-chunks", text);
                    disk.findings.note(finding.at(at));
                }
                Ok(records.chunks)
            },
            |unit, chunks| out(unit.agno, chunks),
        )
    }

    /// Units for all inodes there are.
    pub(crate) fn all_inodes(&self, cx: &Scan<'_>) -> Result<Vec<InodeUnit>> {
        let mut units = Vec::new();
        self.chunks(cx, None, |agno, chunks| {
            self.windows(cx, agno, chunks, None, &mut units);
            Ok(())
        })?;
        Ok(units)
    }

    /// Units for those of `files` that lie in an inode chunk.
    pub(crate) fn some_inodes(&self, cx: &Scan<'_>, files: &FileSet) -> Result<Vec<InodeUnit>> {
        let plain = files.iter().filter(|key| key.subvolume == 0);
        let numbers: Vec<u64> = plain.map(|key| key.number).collect();
        self.inodes_of(cx, &numbers, None)
    }

    /// Units for the inodes `numbers` (rising), and those whose records share a byte with
    /// `records`.
    pub(crate) fn inodes_of(
        &self,
        cx: &Scan<'_>,
        numbers: &[u64],
        records: Option<&RangeSet>,
    ) -> Result<Vec<InodeUnit>> {
        let mut ranges: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for (agno, some) in records.map(|r| self.inode_numbers(r)).unwrap_or_default() {
            ranges.insert(agno, some);
        }
        for (agno, agino) in numbers.iter().filter_map(|n| self.geometry.split_inode(*n)) {
            let list = ranges.entry(agno).or_default();
            list.push((agino, agino.saturating_add(1)));
        }
        let wanted: Numbers = ranges
            .into_iter()
            .map(|(agno, list)| (agno, joined(list)))
            .collect();
        let mut units = Vec::new();
        self.some_chunks(cx, &wanted, &mut |agno, chunks| {
            let only = |chunk: &Chunk| self.wanted_of(agno, chunk, numbers, records);
            self.windows(cx, agno, chunks, Some(&only), &mut units);
            Ok(())
        })?;
        Ok(units)
    }

    /// The inodes of a chunk that are among `numbers` (rising), or whose records share a byte with
    /// `records`.
    fn wanted_of(
        &self,
        agno: u32,
        chunk: &Chunk,
        numbers: &[u64],
        records: Option<&RangeSet>,
    ) -> Vec<u32> {
        let number = |agino: u32| self.geometry.inode_number(agno, agino);
        let of_chunk = || {
            let all = 0..INODES_PER_CHUNK;
            all.filter_map(|index| chunk.start.checked_add(index))
        };
        let from = numbers.partition_point(|n| *n < number(chunk.start));
        let numbers = numbers.get(from..).unwrap_or_default();
        let last = of_chunk().next_back().map(number);
        let count = numbers.partition_point(|n| Some(*n) <= last);
        let numbers = numbers.get(..count).unwrap_or_default();
        let first = number(chunk.start);
        let index = |n: &u64| u32::try_from(n.saturating_sub(first)).unwrap_or(u32::MAX);
        let mut wanted: Vec<u32> = numbers.iter().map(index).collect();
        let whole = self
            .geometry
            .inode_range(agno, chunk.start, INODES_PER_CHUNK);
        match (records, whole) {
            (Some(records), Some(whole)) => {
                let size = self.geometry.inode_size();
                let place = |at: u64| at.saturating_sub(whole.start()).checked_div(size);
                for part in records.overlapping(whole) {
                    let ends = place(part.start()).zip(place(part.end().saturating_sub(1)));
                    let (from, to) = ends.unwrap_or((1, 0));
                    wanted.extend((from..=to).filter_map(|n| u32::try_from(n).ok()));
                }
            }
            // A chunk that reaches past its group has no range as a whole.
            (Some(records), None) => {
                let range = |index: &u32| {
                    let agino = chunk.start.checked_add(*index)?;
                    self.geometry.inode_range(agno, agino, 1)
                };
                let overlaps = |index: &u32| range(index).is_some_and(|r| records.overlaps(r));
                wanted.extend((0..INODES_PER_CHUNK).filter(overlaps));
            }
            (None, _) => {}
        }
        wanted.sort_unstable();
        wanted.dedup();
        let places = wanted.into_iter();
        places
            .filter(|index| *index < INODES_PER_CHUNK)
            .filter_map(|index| chunk.start.checked_add(index))
            .collect()
    }

    /// [`Xfs::chunks`] for some files. Whoever asks about many asks again: the chunks are kept then.
    fn some_chunks(
        &self,
        cx: &Scan<'_>,
        wanted: &Numbers,
        out: &mut dyn FnMut(u32, &[Chunk]) -> Result<()>,
    ) -> Result<()> {
        let ranges: usize = wanted.iter().map(|(_, ranges)| ranges.len()).sum();
        let many = ranges >= MANY || self.inodes <= FEW_INODES;
        if many && self.inode_chunks.get().is_none() {
            let found = self.quiet_chunks(cx)?;
            self.inode_chunks.get_or_init(|| found);
        }
        let Some(Some(kept)) = self.inode_chunks.get() else {
            return self.chunks(cx, Some(wanted), out);
        };
        for (agno, ranges) in wanted {
            let Some(chunks) = usize::try_from(*agno).ok().and_then(|n| kept.get(n)) else {
                continue;
            };
            let mut some: Vec<Chunk> = Vec::new();
            for (from, to) in ranges {
                let end = |c: &Chunk| c.start.saturating_add(INODES_PER_CHUNK);
                let first = chunks.partition_point(|c| end(c) <= *from);
                let behind = chunks.get(first..).unwrap_or_default().iter();
                let last = some.last().map(|c| c.start);
                let fresh = behind.take_while(|c| c.start < *to);
                some.extend(fresh.filter(|c| last.is_none_or(|last| c.start > last)));
            }
            out(*agno, &some)?;
        }
        Ok(())
    }

    /// The chunks of all groups, where nothing is wrong with them. What is wrong is told to those
    /// who ask for just that.
    fn quiet_chunks(&self, cx: &Scan<'_>) -> Result<Option<Vec<Arc<[Chunk]>>>> {
        cx.check()?;
        let findings = Diagnostics::new();
        let quiet = Scan::new(cx.limits(), cx.view(), &findings, &Silent);
        let mut all: Vec<Arc<[Chunk]>> = Vec::new();
        let done = self.chunks(&quiet, None, |agno, chunks| {
            // A group that could not be read leaves a gap.
            if usize::try_from(agno).is_ok_and(|agno| agno == all.len()) {
                all.push(chunks.into());
            }
            Ok(())
        });
        let groups = usize::try_from(self.geometry.groups());
        let whole = done.is_ok() && groups.is_ok_and(|groups| groups == all.len());
        Ok((whole && findings.take().is_empty()).then_some(all))
    }

    fn windows(
        &self,
        cx: &Scan<'_>,
        agno: u32,
        chunks: &[Chunk],
        only: Option<&Only<'_>>,
        out: &mut Vec<InodeUnit>,
    ) {
        let unit = u64::try_from(cx.limits().unit_bytes).unwrap_or(WINDOW);
        let length = WINDOW.min(unit);
        let window = |chunk: &Chunk| {
            let range = self.geometry.inode_range(agno, chunk.start, 1);
            range.and_then(|range| range.start().checked_div(length))
        };
        for group in chunks.chunk_by(|a, b| window(a) == window(b)) {
            out.push(InodeUnit {
                geometry: Arc::clone(&self.geometry),
                agno,
                chunks: group.to_vec(),
                only: only.map(|only| group.iter().flat_map(only).collect()),
            });
        }
    }
}

/// The ranges sorted, those that touch as one.
fn joined(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joins = next.0 <= kept.1;
        if joins {
            kept.1 = kept.1.max(next.1);
        }
        joins
    });
    ranges
}

impl InodeUnit {
    /// The bytes from its first to its last inode.
    pub(crate) fn span(&self) -> ByteRange {
        let place = |chunk: Option<&Chunk>, count| {
            chunk.and_then(|c| self.geometry.inode_range(self.agno, c.start, count))
        };
        let start = place(self.chunks.first(), 1).map_or(0, |range| range.start());
        let end = place(self.chunks.last(), INODES_PER_CHUNK).map_or(u64::MAX, |range| range.end());
        ByteRange::new(start, end)
    }

    /// The unit without the inodes whose records share a byte with `records`.
    pub(crate) fn without(self, records: &RangeSet) -> Self {
        if !records.overlaps(self.span()) {
            return self;
        }
        let range = |agino: u32| self.geometry.inode_range(self.agno, agino, 1);
        let all = self.chunks.iter().flat_map(|chunk| {
            (0..INODES_PER_CHUNK).filter_map(|index| chunk.start.checked_add(index))
        });
        let others = all.filter(|agino| range(*agino).is_none_or(|r| !records.overlaps(r)));
        let only = Some(others.collect());
        Self { only, ..self }
    }

    /// Reads the inodes of the unit that are in use, by number. One that can't be read is told
    /// and left out.
    pub(crate) fn for_each(
        &self,
        disk: &Disk<'_>,
        unit_bytes: usize,
        mut each: impl FnMut(&Inode<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut chunks = self.chunks.as_slice();
        while let Some((first, rest)) = chunks.split_first() {
            // Chunks that lie side by side are read as one.
            let mut run = 1;
            let mut last = first;
            for next in rest {
                let end = u64::from(next.start.saturating_sub(first.start))
                    .saturating_add(u64::from(INODES_PER_CHUNK));
                let near = next.start == last.start.saturating_add(INODES_PER_CHUNK)
                    && end.saturating_mul(self.geometry.inode_size())
                        <= u64::try_from(unit_bytes).unwrap_or(u64::MAX);
                if !near || self.only.is_some() || next.holes != 0 || first.holes != 0 {
                    break;
                }
                run = usize::saturating_add(run, 1);
                last = next;
            }
            let (now, later) = chunks.split_at(run.min(chunks.len()));
            self.read_run(disk, now, &mut each)?;
            chunks = later;
        }
        Ok(())
    }

    /// The inodes of `chunk` that are in use and looked at.
    fn wanted(&self, chunk: &Chunk) -> Vec<u32> {
        let Some(only) = &self.only else {
            let used = (0..INODES_PER_CHUNK).filter(|index| chunk.is_used(*index));
            return used
                .filter_map(|index| chunk.start.checked_add(index))
                .collect();
        };
        let from = only.partition_point(|agino| *agino < chunk.start);
        let behind = only.get(from..).unwrap_or_default().iter().copied();
        let index = |agino: u32| agino.saturating_sub(chunk.start);
        behind
            .take_while(|agino| index(*agino) < INODES_PER_CHUNK)
            .filter(|agino| chunk.is_used(index(*agino)))
            .collect()
    }

    fn read_run(
        &self,
        disk: &Disk<'_>,
        run: &[Chunk],
        each: &mut impl FnMut(&Inode<'_>) -> Result<()>,
    ) -> Result<()> {
        let used: Vec<u32> = run.iter().flat_map(|chunk| self.wanted(chunk)).collect();
        let (Some(first), Some(last)) = (used.first(), used.last()) else {
            return Ok(());
        };
        let span = |from: u32, to: u32| -> Option<ByteRange> {
            let count = to.checked_sub(from)?.checked_add(1)?;
            self.geometry.inode_range(self.agno, from, count)
        };
        if let Some(done) = self.kept_run(disk, &used, each) {
            return done;
        }
        if let Some(range) = span(*first, *last) {
            let length = to_usize(range.len()).unwrap_or(0);
            let done = with_buffer(length, |bytes| {
                read_into(disk.reader, "inodes", range.start(), bytes).ok()?;
                self.keep(disk, &used, (range.start(), bytes));
                let mut used = used.iter();
                Some(used.try_for_each(|agino| self.one(disk, *agino, range.start(), bytes, each)))
            });
            if let Some(done) = done {
                return done;
            }
        }
        // Something in there can't be read: one by one, so that the others are had.
        for agino in used {
            let read = span(agino, agino)
                .ok_or_else(|| {
                    let text = format!("inode {agino} of group {} is outside of it", self.agno);
                    hexz_resolve::Error::corrupt("inode btree").message(text)
                })
                .and_then(|range| {
                    let length = to_usize(range.len()).unwrap_or(0);
                    Ok((range.start(), disk.read("inode", range.start(), length)?))
                });
            match read {
                Ok((at, bytes)) => self.one(disk, agino, at, &bytes, each)?,
                Err(error) => disk.tolerate(error)?,
            }
        }
        Ok(())
    }

    /// Hands out the inodes `used`, when the records of all of them are kept.
    fn kept_run(
        &self,
        disk: &Disk<'_>,
        used: &[u32],
        each: &mut impl FnMut(&Inode<'_>) -> Result<()>,
    ) -> Option<Result<()>> {
        let kept = disk.kept?;
        let size = to_usize(self.geometry.inode_size())?;
        let place = |agino: &u32| {
            let range = self.geometry.inode_range(self.agno, *agino, 1);
            range.map_or(u64::MAX, |range| range.start())
        };
        with_buffer(size.checked_mul(used.len())?, |bytes| {
            kept.copy(used.iter().map(place), size, bytes)?;
            let mut records = used.iter().zip(bytes.chunks_exact(size));
            let one =
                |(agino, record): (&u32, &[u8])| self.one(disk, *agino, place(agino), record, each);
            Some(records.try_for_each(one))
        })
    }

    /// Keeps the records of the inodes `used`, which lie in `bytes` at `at`, where only some inodes
    /// are looked at: they will be asked for again.
    fn keep(&self, disk: &Disk<'_>, used: &[u32], (at, bytes): (u64, &[u8])) {
        let Some(kept) = disk.kept.filter(|_| self.only.is_some()) else {
            return;
        };
        let record = |agino: &u32| {
            let range = self.geometry.inode_range(self.agno, *agino, 1)?;
            let within = range.moved_down(at)?;
            let bytes = bytes.get(to_usize(within.start())?..to_usize(within.end())?)?;
            Some((range.start(), bytes))
        };
        kept.put(used.iter().filter_map(record));
    }

    /// Inode `agino`, in `bytes` that lie at `at`.
    fn one(
        &self,
        disk: &Disk<'_>,
        agino: u32,
        at: u64,
        bytes: &[u8],
        each: &mut impl FnMut(&Inode<'_>) -> Result<()>,
    ) -> Result<()> {
        let number = self.geometry.inode_number(self.agno, agino);
        let length = to_usize(self.geometry.inode_size()).unwrap_or(0);
        let mut done = || -> Result<()> {
            let all = Fields::new("inode", at, bytes);
            let skip = self
                .geometry
                .inode_range(self.agno, agino, 1)
                .and_then(|range| to_usize(range.start().checked_sub(at)?))
                .unwrap_or(usize::MAX);
            let record = all.sub("inode", skip, length)?;
            match Inode::parse(disk, number, record)? {
                Some(inode) => each(&inode),
                None => {
                    let text =
                        format!("inode {number} is in use by its btree and free by its mode");
                    disk.warn("free-inode", record.offset(), text);
                    Ok(())
                }
            }
        };
        done().or_else(|error| disk.tolerate(error))
    }
}
