//! Where two images may differ, from what their formats tell without reading the disks.

use hexz_resolve::{ByteRange, Diagnostics, OpenGate, RangeSet, ReadAt as _, Result};

use crate::hxz;
use crate::image::Image;

/// The pieces of the disk in which `a` and `b` may differ. Which of them do is not known yet.
pub(crate) fn candidates(
    a: &Image,
    b: &Image,
    gate: &dyn OpenGate,
    found: &Diagnostics,
) -> Result<RangeSet> {
    if a.is_same(b) {
        return Ok(RangeSet::new());
    }
    if let (Some(a), Some(b)) = (a.layer.archive(), b.layer.archive()) {
        return hxz::candidates(a, b);
    }
    let whole = ByteRange::new(0, a.len().max(b.len()));
    let Some((upper, shared)) = shared_layer(a, b) else {
        return data_in(&[a, b], whole, gate);
    };
    let mut all = RangeSet::new();
    for layer in &upper {
        gate.check()?;
        all = all.union(&layer.held(ByteRange::new(0, layer.len()), found));
    }
    // A layer hides what is behind its end, whatever lies above it.
    let lengths = || upper.iter().map(|layer| layer.len()).chain([shared.len()]);
    let shortest = lengths().min().unwrap_or(0);
    let longest = lengths().max().unwrap_or(0);
    let hidden = ByteRange::new(shortest, longest);
    Ok(all.union(&data_in(&[a, b], hidden, gate)?))
}

/// The pieces of `range` that are not a hole of all `images`. It is asked for in parts, since there
/// may be millions, and the gate may want to end it.
fn data_in(images: &[&Image], range: ByteRange, gate: &dyn OpenGate) -> Result<RangeSet> {
    const PART: u64 = 1 << 30;
    const PARTS: u64 = 4096;
    let part = (range.len() / PARTS).max(PART);
    let mut all = RangeSet::new();
    let mut at = range.start();
    while at < range.end() {
        gate.check()?;
        let end = at.saturating_add(part).min(range.end());
        let part = ByteRange::new(at, end);
        let data = images.iter().map(|image| image.data_in(part));
        let data = data.reduce(|one, other| one.union(&other));
        for piece in &data.unwrap_or_default() {
            all.insert(piece);
        }
        at = end;
    }
    Ok(all)
}

/// The layers of two chains that lie above the first one that both have, and that one.
fn shared_layer<'a>(a: &'a Image, b: &'a Image) -> Option<(Vec<&'a Image>, &'a Image)> {
    let right: Vec<&Image> = b.chain().collect();
    let mut upper = Vec::new();
    for layer in a.chain() {
        if right.iter().any(|other| other.is_same(layer)) {
            upper.extend(right.iter().take_while(|other| !other.is_same(layer)));
            return Some((upper, layer));
        }
        upper.push(layer);
    }
    None
}
