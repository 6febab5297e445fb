//! Whether an image is a copy of a layer of a chain, as far as some looks at both tell.

use hexz_resolve::{ByteRange, Diagnostics, Error, RangeSet, ReadAt, Result, read_vec};

use crate::image::Image;

/// How many blocks of each kind are looked at.
const LOOKS: u64 = 256;
const BLOCK: u64 = 4096;

/// Whether `layer`, which lies below `top`, and `given` hold the same where one looks: spread over
/// the data of both, and over what each image of the chain holds itself, since that is where the
/// layers of one chain differ.
pub(crate) fn agree(layer: &Image, given: &Image, top: &Image) -> Result<bool> {
    let length = layer.len().min(given.len());
    let whole = ByteRange::new(0, length);
    let silent = Diagnostics::new();
    let own = top.chain().filter(|image| image.below.is_some());
    let mut kinds: Vec<RangeSet> = own.map(|image| image.held(whole, &silent)).collect();
    kinds.push(layer.data_in(whole));
    kinds.push(given.data_in(whole));
    // What only the longer one has must be zeros, as it is for who reads past the shorter one.
    for longer in [layer, given] {
        let tail = ByteRange::new(length, longer.len());
        for block in spread(&longer.data_in(tail)) {
            if contents(longer, block)?.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
    for kind in &kinds {
        for block in spread(&kind.clipped(whole)) {
            if contents(layer, block)? != contents(given, block)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn contents(image: &Image, block: ByteRange) -> Result<Vec<u8>> {
    let length = crate::num::usize_of(block.len());
    read_vec(image, block.start(), length)
        .map_err(|error| Error::io("image", error).message(image.real.display().to_string()))
}

/// Blocks of `all`, evenly spread over it.
fn spread(all: &RangeSet) -> Vec<ByteRange> {
    let step = (all.len() / LOOKS).max(BLOCK);
    let (mut blocks, mut passed, mut next) = (Vec::new(), 0u64, 0u64);
    for range in all {
        let end = passed.saturating_add(range.len());
        while next < end {
            let start = range.start().saturating_add(next.saturating_sub(passed));
            let end = start.saturating_add(BLOCK).min(range.end());
            blocks.push(ByteRange::new(start, end));
            next = next.saturating_add(step);
        }
        passed = end;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_spread_over_all_of_it() {
        let all: RangeSet = [ByteRange::new(100, 200), ByteRange::new(1 << 20, 9 << 20)]
            .into_iter()
            .collect();
        let blocks = spread(&all);
        assert!((256..=258).contains(&blocks.len()), "{}", blocks.len());
        assert_eq!(blocks[0], ByteRange::new(100, 200));
        assert!(blocks.iter().all(|block| all.contains(block.start())));
        let last = blocks.last().unwrap().end();
        assert!(last > (9 << 20) - (1 << 16));
    }
}
