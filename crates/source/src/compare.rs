//! Where two images may differ, from what their formats tell without reading the disks.

use hexz_resolve::{ByteRange, Diagnostics, RangeSet, ReadAt as _, Result};

use crate::hxz;
use crate::image::Image;

/// The pieces of the disk in which `a` and `b` may differ. Which of them do is not known yet.
pub(crate) fn candidates(a: &Image, b: &Image, found: &Diagnostics) -> Result<RangeSet> {
    if a.is_same(b) {
        return Ok(RangeSet::new());
    }
    if let (Some(a), Some(b)) = (a.layer.archive(), b.layer.archive()) {
        return hxz::candidates(a, b);
    }
    let whole = ByteRange::new(0, a.len().max(b.len()));
    let Some((upper, shared)) = shared_layer(a, b) else {
        return Ok(a.data_in(whole).union(&b.data_in(whole)));
    };
    let mut all = RangeSet::new();
    for layer in &upper {
        all = all.union(&layer.held(ByteRange::new(0, layer.len()), found));
    }
    // A layer hides what is behind its end, whatever lies above it.
    let lengths = || upper.iter().map(|layer| layer.len()).chain([shared.len()]);
    let shortest = lengths().min().unwrap_or(0);
    let longest = lengths().max().unwrap_or(0);
    let hidden = ByteRange::new(shortest, longest);
    for image in [a, b] {
        all = all.union(&image.data_in(hidden));
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
