//! Entries of a partition table as volumes: within the disk, and told where they are odd.

use hexz_resolve::{ByteMap, ByteRange, Diagnostic, FoundVolume, OpenContext, Unusable};

/// One entry that is in use.
#[derive(Debug)]
pub(crate) struct Slot {
    /// `N` of `pN`.
    pub(crate) number: u32,
    /// First sector.
    pub(crate) first: u64,
    /// Number of sectors; `None` when the entry ends before it starts.
    pub(crate) sectors: Option<u64>,
    /// Where the entry lies.
    pub(crate) entry: u64,
    pub(crate) partition_type: String,
    pub(crate) label: Option<String>,
}

impl Slot {
    /// Its bytes; `None` when they make no range.
    pub(crate) fn range(&self, sector: u64) -> Option<ByteRange> {
        let start = self.first.checked_mul(sector)?;
        ByteRange::at(start, self.sectors?.checked_mul(sector)?).filter(|r| !r.is_empty())
    }
}

/// The volumes of `slots` on a disk of `disk` bytes. A partition that lies within another comes
/// before it, since it says more of the bytes that both have.
pub(crate) fn place(
    slots: Vec<Slot>,
    sector: u64,
    disk: u64,
    cx: &OpenContext<'_>,
) -> Vec<FoundVolume> {
    let mut placed: Vec<(Option<ByteRange>, FoundVolume)> = Vec::new();
    for slot in slots {
        let found = one(&slot, sector, disk, cx);
        let on_disk = found.unusable.is_none().then(|| slot.range(sector));
        let on_disk = on_disk.flatten().map(|r| clip(r, disk));
        placed.push((on_disk, found));
    }
    let around = overlaps(&placed, cx);
    let mut order: Vec<_> = placed.into_iter().zip(around).collect();
    order.sort_by_key(|((range, _), around)| match range {
        Some(range) if *around => range.len(),
        _ => 0,
    });
    order.into_iter().map(|((_, found), _)| found).collect()
}

fn clip(range: ByteRange, disk: u64) -> ByteRange {
    ByteRange::new(range.start(), range.end().min(disk))
}

fn one(slot: &Slot, sector: u64, disk: u64, cx: &OpenContext<'_>) -> FoundVolume {
    let name = format!("p{}", slot.number);
    let warn = |code, text: &str| {
        let text = format!("{name}: {text}");
        cx.diagnose(Diagnostic::warning(code, text).at(slot.entry));
    };
    let mut map = ByteMap::default();
    let mut unusable = None;
    match slot.range(sector) {
        None => {
            let reason = match slot.sectors {
                Some(0) => "the table gives it no sectors",
                Some(_) => "the table puts it past 64 bits of bytes",
                None => "the table ends it before it starts",
            };
            warn("partition-invalid", reason);
            unusable = Some(Unusable::Damaged(reason.to_owned()));
        }
        Some(range) if range.start() >= disk => {
            let start = range.start();
            let reason = format!("it starts at byte {start}, and the disk ends at {disk}");
            warn("partition-beyond-disk", &reason);
            unusable = Some(Unusable::Damaged(reason));
            map = ByteMap::contiguous(range);
        }
        Some(range) => {
            if range.end() > disk {
                let end = range.end();
                let text = format!("it ends at byte {end}, and is cut at the disk's end {disk}");
                warn("partition-clipped", &text);
            }
            map = ByteMap::contiguous(clip(range, disk));
        }
    }
    FoundVolume {
        name,
        map,
        partition_type: Some(slot.partition_type.clone()),
        label: slot.label.clone(),
        unusable,
    }
}

/// Which of `placed` have another one strictly within them. Tells of all that share bytes.
fn overlaps(placed: &[(Option<ByteRange>, FoundVolume)], cx: &OpenContext<'_>) -> Vec<bool> {
    let mut around = vec![false; placed.len()];
    let mut sorted: Vec<(usize, ByteRange)> = Vec::new();
    for (index, (range, _)) in placed.iter().enumerate() {
        sorted.extend(range.map(|r| (index, r)));
    }
    sorted.sort_by_key(|(_, r)| (r.start(), std::cmp::Reverse(r.end())));
    let mut open: Vec<(usize, ByteRange)> = Vec::new();
    for (index, range) in sorted {
        open.retain(|(_, o)| o.end() > range.start());
        for (outer, o) in &open {
            if o.end() >= range.end()
                && *o != range
                && let Some(flag) = around.get_mut(*outer)
            {
                *flag = true;
            }
        }
        if let Some((outer, o)) = open.last() {
            let name = |i: usize| placed.get(i).map_or("", |(_, v)| v.name.as_str());
            let (one, two) = (name(*outer), name(index));
            let text = format!("{one} ({o:?}) and {two} ({range:?}) share bytes");
            cx.diagnose(Diagnostic::warning("partition-overlap", text).at(range.start()));
        }
        open.push((index, range));
    }
    around
}
