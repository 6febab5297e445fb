//! A buffer that each thread keeps: fresh memory for every slice of a sweep costs as much as
//! reading it.

use std::cell::RefCell;

/// Where a buffer begins: the kernel copies into one that begins elsewhere up to four times slower
/// (measured on an AMD EPYC, with buffers of the usual allocator, which begin 16 bytes behind this).
const ALIGNMENT: usize = 4096;
/// A longer buffer is given back.
const KEPT: usize = (8 << 20) + ALIGNMENT;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `length` bytes to read into; what stands in them is left over from before.
/// The length must be one that was checked.
pub fn with_buffer<T>(length: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    // Work within work gets a buffer of its own.
    let mut buffer = BUFFER.take();
    let with_start = length.saturating_add(ALIGNMENT);
    if buffer.len() < with_start {
        buffer.resize(with_start, 0);
    }
    let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let bytes = buffer.get_mut(start..start.saturating_add(length));
    let result = work(bytes.unwrap_or_default());
    if buffer.len() <= KEPT {
        BUFFER.replace(buffer);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_within_work_has_another_buffer() {
        with_buffer(4, |outer| {
            outer.fill(1);
            with_buffer(8, |inner| inner.fill(2));
            assert_eq!(outer, [1; 4]);
        });
        with_buffer(0, |none| assert!(none.is_empty()));
        with_buffer(KEPT + 1, |long| assert_eq!(long.len(), KEPT + 1));
        BUFFER.with_borrow(|kept| assert!(kept.len() <= KEPT));
        with_buffer(1, |one| assert_eq!(one.as_ptr().addr() % ALIGNMENT, 0));
    }
}
